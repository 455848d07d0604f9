"""What the training recipes of all tasks share, as plain functions."""

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.augment import MIXERS, OPS
from tfvision.config import RunConfig
from tfvision.data.pipeline import Samples
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.distribute import describe, resolve_determinism, resolve_precision
from tfvision.engine.loop import cannot_make
from tfvision.errors import InputError, out_of_memory
from tfvision.losses import LOSSES
from tfvision.losses.weights import class_weights
from tfvision.metrics import METRICS
from tfvision.postprocess import POSTPROCESS
from tfvision.recipe.dataset import Prepared, resolved_source
from tfvision.recipe.recipe import Recipe, models_of
from tfvision.registry import Spec
from tfvision.runs.request import TrainRequest


def trainer(task: str) -> Callable[..., dict[str, Any]]:
    """The recipe that trains a task: `train(request) -> summary`."""
    return importlib.import_module(f"tfvision.tasks.{task}.training").train


def check_arguments(config: RunConfig) -> None:
    """Every argument in the config fits its builder; said before any data is opened."""
    given = {"num_classes"}
    models_of(config.task).check_arguments(config.model, {"input_shape", "num_classes", "name"})
    keras_own = {"name", "reduction", "dtype"}
    if config.task == "classification":
        from tfvision.data import INPUTS

        INPUTS.check_arguments(config.data.input)
        INPUTS.build(config.data.input)
    for kind, specs, context in (
        (LOSSES, config.loss, keras_own),
        (METRICS, config.metrics, given | keras_own),
        (POSTPROCESS, config.postprocess, given),
        (OPS, config.data.augment, set()),
        (MIXERS, config.data.mix, set()),
        (OPTIMIZERS, (config.train.optimizer,), {"name"}),
        (SCHEDULES, (config.train.schedule,), set()),
    ):
        for spec in specs:
            kind.check_arguments(spec, context)
    for kind, specs in ((OPS, config.data.augment), (MIXERS, config.data.mix)):
        for spec in specs:
            kind.build(spec)
    SCHEDULES.build(config.train.schedule)
    if "clipnorm" in config.train.optimizer.kwargs or "ema_momentum" in (
        config.train.optimizer.kwargs
    ):
        raise InputError(
            "Clipping and averaging are train.clip_norm and train.ema, which mean the same on any "
            "number of devices; leave them out of train.optimizer."
        )


def open_run(request: TrainRequest) -> None:
    """Makes and locks the run folder, or locks the one to go on with; a dry run has none."""
    if request.dry_run:
        return
    if request.resume:
        request.run.lock()
    else:
        request.run.create(overwrite=request.overwrite)


def resolve(config: RunConfig, prepared: Prepared) -> RunConfig:
    """The config with what the data decided, as it is saved."""
    data = config.data.model_copy(update={"source": resolved_source(config.data, prepared.source)})
    return config.model_copy(update={"data": type(config.data).model_validate(data.model_dump())})


def seed_everything(config: RunConfig) -> None:
    """All chance of Keras from the config's seed, and deterministic ops where they are asked."""
    keras.utils.set_random_seed(config.seed)
    if resolve_determinism(config.train.deterministic, xla=config.train.xla):
        tf.config.experimental.enable_op_determinism()


def make_optimizer(config: RunConfig) -> keras.optimizers.Optimizer:
    """The optimizer, under the dtype policy that is set now."""
    spec = config.train.optimizer
    optimizer = OPTIMIZERS.build(spec, name=spec.name)
    if keras.config.dtype_policy().name == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def make_losses(config: RunConfig, recipe: Recipe, class_pixels: np.ndarray) -> list:
    """(loss, weight) of each term, class weights computed, ignored labels as the contract's."""
    terms = []
    for term in config.loss:
        arguments = {"ignore_labels": recipe.ignored, **term.kwargs}
        if "class_weights" in arguments:
            arguments["class_weights"] = class_weights(
                arguments["class_weights"], class_pixels, ignore_labels=arguments["ignore_labels"]
            )
        loss = LOSSES.build(Spec(name=term.name, **arguments))
        terms.append((loss, term.weight))
    return terms


def check_first_batch(stream: tf.data.Dataset, plain, samples: Samples) -> None:
    """Makes one batch before anything depends on it.

    Raises:
        InputError: The augmentation fails on it; its images are named.
    """
    try:
        next(iter(stream))
    except tf.errors.OpError as error:
        if out_of_memory(error):
            raise
        raise cannot_make(0, error, ids_of(next(iter(plain(0))), samples)) from error


def ids_of(batch, samples: Samples) -> list[str]:
    """The ids of the samples in a batch."""
    return [samples.ids[i] for i in batch["index"].numpy()]


def few_samples(config: RunConfig, count: int, views: int = 1) -> list[str]:
    """A warning where a batch, each image of which it has `views` times, is larger than the
    training set."""
    if count * views >= config.data.batch_size:
        return []
    return [
        f"data.batch_size {config.data.batch_size} is more than the {count} training images: a "
        "batch holds some of them several times."
    ]


def overview(recipe: Recipe, prepared: Prepared, model, strategy) -> str:
    """What is going to be trained, on what and where, for the terminal."""
    counts = " / ".join(str(len(prepared.indices(s))) for s in ("train", "val", "test"))
    devices = describe(strategy)
    where = ", ".join(devices["gpus"]) or f"{devices['cpus']} CPU cores (no GPU in use)"
    return (
        f"{recipe.config.model.name}: {model.count_params():,} parameters, "
        f"{recipe.num_classes} classes ({', '.join(prepared.class_names)})\n"
        f"labelled train / val / test: {counts}  ({prepared.how})\n"
        f"{'x'.join(map(str, prepared.size))}x{prepared.channels}, batch "
        f"{recipe.config.data.batch_size}, {devices['replicas']} replica(s) on {where}, "
        f"{resolve_precision(recipe.config.train.precision)}"
    )


class precision:
    """Keras' dtype policy of the run, while the model and its optimizer are built."""

    def __init__(self, config: RunConfig):
        self._policy = resolve_precision(config.train.precision)

    def __enter__(self):
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._policy)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self._before)
