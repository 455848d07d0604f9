"""What the sentinel is told of a run."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfvision.config import SCRIPTS
from tfvision.engine.embeddings import is_embedding
from tfvision.engine.sentinel import Watch, check_start
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError
from tfvision.metrics import METRICS
from tfvision.metrics.baselines import majority

if TYPE_CHECKING:  # segmentation.py imports this module
    from tfvision.recipe.recipe import Recipe


def start_alarms(
    recipe: "Recipe",
    step: TrainStep,
    batches: tf.data.Dataset,
    terms: Sequence[tuple],
    masks: np.ndarray,
    class_names: Sequence[str],
) -> list[str]:
    """Alarms before the first step.

    Args:
        recipe: Of the run.
        step: With the model as it will be trained.
        batches: The stream of training batches from its first step on.
        terms: (loss, weight) of the run.
        masks: (N, H, W) labels of the training samples, of a classification (N, 1, 1).
        class_names: K names.

    Raises:
        InputError: There are some, and `train.sentinel` is fail.
    """
    mode = recipe.config.train.sentinel
    if mode == "off":
        return []
    names = [spec.name for spec in recipe.config.loss]
    alarms = check_start(
        step,
        batches,
        loss=batch_loss(terms),
        terms=[(name, loss) for name, (loss, _) in zip(names, terms, strict=True)],
        masks=masks,
        class_names=class_names,
        ignore_labels=(*recipe.void, *recipe.contract.ignore_labels),
    )
    if alarms and mode == "fail":
        raise InputError(
            "train.sentinel is fail, and before the first step:\n  " + "\n  ".join(alarms.values())
        )
    return list(alarms.values())


def make_watch(
    recipe: "Recipe",
    masks: np.ndarray | None,
    class_names: Sequence[str],
    *,
    unscored: Collection[int] = (),
) -> Callable[[list[dict], float], dict[str, str]]:
    """The watch over the history of a run.

    Args:
        recipe: Of the run.
        masks: (N, H, W) of its validation split, or None where there is none.
        class_names: K names.
        unscored: Numbers, from 1, of stages that do not teach the output which is scored: their
            epochs are left out.
    """
    if masks is None or recipe.config.train.sentinel == "off":
        return lambda history, done: {}
    void = (*recipe.void, *recipe.contract.ignore_labels)
    counts = np.stack([_class_pixels(m, recipe.num_classes, void) for m in masks])
    metric = METRICS[recipe.config.metrics[0].name]
    constant = np.concatenate(
        [
            majority(counts.sum(axis=0), mask[None], recipe.num_classes, recipe.void)
            for mask in masks
        ]
    )
    watch = Watch(
        class_names=class_names,
        present=counts.sum(axis=0),
        monitor=recipe.monitor,
        majority=float(metric.from_counts(constant, recipe.contract)),
        script=SCRIPTS[recipe.config.task],
        **({"unit": "images", "truth": "labels"} if recipe.is_classification else {}),
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
