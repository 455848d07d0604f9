"""Builds the sentinel of a run: the checks of its first batch and of every epoch."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import tensorflow as tf

from tfvision.engine.embeddings import is_embedding
from tfvision.engine.sentinel import Watch, check_start
from tfvision.engine.step import TrainStep
from tfvision.errors import InputError
from tfvision.metrics import METRICS
from tfvision.metrics.baselines import majority
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.task import Task


def start_alarms(
    recipe: Recipe,
    step: TrainStep,
    batches: tf.data.Dataset,
    loss: RunLoss,
    labels: np.ndarray | None,
    class_names: Sequence[str],
) -> list[str]:
    """Alarms before the first step.

    Args:
        recipe: Of the run.
        step: With the model as it will be trained.
        batches: The stream of training batches from its first step on.
        loss: Of the run.
        labels: (N, H, W) of the training samples, or None where the task has no label maps.
        class_names: K names.

    Raises:
        InputError: There are some, and `train.sentinel` is fail.
    """
    mode = recipe.config.train.sentinel
    if mode == "off":
        return []
    if loss.follow is not None:
        loss.follow(0.5)  # a term that comes in late is looked at, too
    alarms = check_start(
        step,
        batches,
        loss=loss.of_batch,
        terms=loss.terms,
        labels=labels,
        class_names=class_names,
        ignore_labels=(*recipe.void, *recipe.contract.ignore_labels),
    )
    if loss.follow is not None:
        loss.follow(0.0)
    if alarms and mode == "fail":
        raise InputError(
            "train.sentinel is fail, and before the first step:\n  " + "\n  ".join(alarms.values())
        )
    return list(alarms.values())


def make_watch(
    task: Task,
    recipe: Recipe,
    labels: np.ndarray | None,
    class_names: Sequence[str],
    *,
    unscored: Collection[int] = (),
) -> Callable[[list[dict], float], dict[str, str]]:
    """The watch over the history of a run.

    Args:
        task: Of the run; it may have a watch of its own.
        recipe: Of the run.
        labels: (N, H, W) of its validation split, or None where there are none.
        class_names: K names.
        unscored: Numbers, from 1, of stages that do not teach the output which is scored: their
            epochs are left out.
    """
    own = task.watch(recipe)
    if recipe.config.train.sentinel == "off" or (own is None and labels is None):
        return lambda history, done: {}
    if own is not None:
        return own
    void = (*recipe.void, *recipe.contract.ignore_labels)
    counts = np.stack([_class_pixels(m, recipe.num_classes, void) for m in labels])
    metric = METRICS[recipe.config.metrics[0].name]
    constant = np.concatenate(
        [
            majority(counts.sum(axis=0), mask[None], recipe.num_classes, recipe.void)
            for mask in labels
        ]
    )
    watch = Watch(
        class_names=class_names,
        present=counts.sum(axis=0),
        monitor=recipe.monitor,
        majority=float(metric.from_counts(constant, recipe.contract)),
        script=task.facts.script,
        unit=task.facts.unit,
        truth=task.facts.truth_word,
    )
    return lambda history, done: watch([r for r in history if r.get("stage") not in unscored], done)


def unscored_stages(step: TrainStep) -> list[int]:
    """Numbers, from 1, of the stages in which no loss on logits counts."""
    return [
        number + 1
        for number in range(len(step.stages))
        if all(is_embedding(name) for name in step.outputs_in(number))
    ]


def _class_pixels(mask: np.ndarray, num_classes: int, void: Sequence[int]) -> np.ndarray:
    counts = np.bincount(mask.ravel(), minlength=256)[:num_classes]
    counts[[k for k in void if 0 <= k < num_classes]] = 0
    return counts
