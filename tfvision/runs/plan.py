"""How long a run takes, and how much disk."""

import time

import keras
import numpy as np

from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.checkpoint import KEEP
from tfvision.engine.loop_state import Plan
from tfvision.engine.progress import duration
from tfvision.engine.step import TrainStep
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import steps_per_epoch
from tfvision.runs.kept_samples import MAX_BYTES
from tfvision.tasks.facts import facts_of
from tfvision.tasks.task import Task


def make_plan(config, recipe: Recipe, num_train: int, setup: float, reserve: float) -> Plan:
    budget = config.train.time_budget
    limit = None
    if budget is not None:
        limit = budget - setup - reserve
        if limit <= 0:
            raise InputError(
                f"train.time_budget of {duration(budget)} leaves nothing to train in: setting up "
                f"took {duration(setup)}, scoring and exporting need about {duration(reserve)}."
            )
    rate = config.train.optimizer.kwargs.get("learning_rate")
    if rate is None:
        rate = float(
            keras.ops.convert_to_numpy(OPTIMIZERS.build(config.train.optimizer).learning_rate)
        )
    return Plan(
        steps_per_epoch=steps_per_epoch(config, num_train),
        epochs=config.train.epochs,
        time_limit=limit,
        learning_rate=rate,
        schedule=SCHEDULES.build(config.train.schedule),
        monitor=recipe.monitor,
        early_stopping=config.train.early_stopping,
        larger_is_better=facts_of(config.task).score(config.metrics[0].name).larger_is_better,
        checkpoint_every=config.train.checkpoint_every,
    )


def seconds_to_finish(task: Task, recipe: Recipe, prepared: Prepared, model: keras.Model) -> float:
    """Seconds that scoring, exporting and reporting will take, for a time budget."""
    config = recipe.config
    if config.train.time_budget is None:
        return 0.0
    size = config.data.batch_size
    images = np.zeros((size, *recipe.size, task.input_channels(recipe)), np.float32)
    predictor = task.predictor(recipe, model)
    predictor.rows(images)
    began = time.monotonic()
    predictor.rows(images)
    per_image = (time.monotonic() - began) / size
    scored = 2 * len(prepared.indices("val")) + len(prepared.indices("test", labelled=False))
    return min(0.25 * config.train.time_budget, 50 + 1.5 * scored * per_image)


def bytes_needed(recipe: Recipe, prepared: Prepared, step: TrainStep) -> int:
    """About what a run takes on disk at its largest, in bytes."""
    weights = sum(int(np.prod(v.shape)) * 4 for v in step.model.variables)
    scored = [i for s in ("val", "test") for i in prepared.indices(s)]
    pixels = sum(prepared.scan.heights[i] * prepared.scan.widths[i] for i in scored)
    counts = 2 * 8 * recipe.num_classes**2 * len(scored)
    exports = 3 * weights + 4_000_000  # three files, the SavedModel's graph
    report = 3_000_000
    sizes = [prepared.scan.heights[i] * prepared.scan.widths[i] for i in prepared.indices("train")]
    largest = sorted(sizes, reverse=True)[: int(recipe.config.data.keep_samples)]
    # Kept samples, of train and of val: up to four channels of four bytes a pixel, with the truth.
    samples = min(MAX_BYTES, 2 * 4 * 4 * int(sum(largest)))
    # Labels are compressed, to a tenth or less.
    return checkpoint_bytes(step) + exports + int(pixels) // 10 + counts + report + samples


def checkpoint_bytes(step: TrainStep) -> int:
    """The newest ones, the best, and the one being written."""
    return (KEEP + 2) * sum(
        int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in step.named_variables().values()
    )
