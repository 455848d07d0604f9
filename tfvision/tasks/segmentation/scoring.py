"""Scoring a segmentation: confusion matrices, image by image."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.pipeline import scoring_batches
from tfvision.engine.inference import Inference, logits_of, probabilities_of
from tfvision.engine.predict import (
    as_float,
    batches_of_one_size,
    predict_probabilities,
    replica_values,
)
from tfvision.engine.step import BatchLoss, TrainStep, label_maps
from tfvision.metrics import contract
from tfvision.metrics.confusion import confusion_matrix
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.metrics.graph import confusion_matrices
from tfvision.postprocess.components import ComponentRule, decode_images
from tfvision.postprocess.pixelwise import Rule, decode
from tfvision.recipe.labels import declared_scores, predicted_shares, scored_at_once
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.parts import Examples, Validate
from tfvision.tasks.scored import ScoredLabels
from tfvision.text import counted, figure


class Validation:
    """Scores the weights that are in a model now, on batches at the training size.

    Args:
        model: From images to logits, or to several: the last counts.
        batches: One pass over the split, from `scoring_batches`.
        num_classes: K.
        loss: The loss of training; averaged over the images.
        rules: Post-processing of single pixels.
        ignore_labels: True labels whose pixels are not counted.
        strategy: A `tf.distribute` strategy.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: tf.data.Dataset,
        *,
        num_classes: int,
        loss: BatchLoss,
        rules: Sequence[Rule],
        ignore_labels: Sequence[int],
        strategy: tf.distribute.Strategy,
    ):
        self._model, self._loss, self._strategy = model, loss, strategy
        self._num_classes, self._ignored = num_classes, tuple(ignore_labels)
        self._decode = decode(rules) if rules else None
        self._batches = strategy.experimental_distribute_dataset(batches)
        self._step = tf.function(
            lambda batch: strategy.run(self._score, args=(batch,)), autograph=False
        )

    def __call__(self) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Returns plain (N, K, K) and post-processed (N, K, K) counts, and the mean loss.

        The second is None where there are no rules.
        """
        parts: list[list[np.ndarray]] = []
        for batch in self._batches:
            results = self._step(batch)
            parts.append(
                [np.concatenate(replica_values(self._strategy, value)) for value in results]
            )
        valid, losses, plain, decoded = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        counted = plain[valid].astype(np.int64)
        processed = decoded[valid].astype(np.int64) if self._decode else None
        return counted, processed, float(losses[valid].astype(np.float64).mean())

    def _score(self, batch):
        outputs, labels = logits_of(self._model, batch["image"]), label_maps(batch)
        plain = self._count(labels, tf.argmax(outputs[-1], -1))
        decoded = plain
        if self._decode:
            probabilities = probabilities_of(self._model, outputs[-1])
            decoded = self._count(labels, self._decode(probabilities))
        return batch["valid"], self._loss(batch, outputs), plain, decoded

    def _count(self, labels, predictions):
        return confusion_matrices(labels, predictions, self._num_classes, self._ignored)


def score(
    inference: Inference,
    samples: Iterator[tuple[str, np.ndarray, np.ndarray, float]],
    *,
    num_classes: int,
    rules: Sequence[Rule],
    ignore_labels: Sequence[int],
    batch_size: int,
    component_rules: Sequence[ComponentRule] = (),
) -> ScoredLabels:
    """Predicts samples at their own size and counts.

    Args:
        inference: What predicts.
        samples: (id, image (H, W, C), mask (H, W), pixel scale) each.
        num_classes: K.
        rules: Post-processing of single pixels.
        ignore_labels: True labels whose pixels are not counted.
        batch_size: Images at a time.
        component_rules: Post-processing of whole images, after `rules`.
    """
    kept: dict[str, list] = {"ids": [], "plain": [], "processed": [], "labels": []}
    final = decode_images(rules, component_rules)
    processing = bool(rules or component_rules)

    def count(masks, labels):
        return confusion_matrix(np.stack(masks), labels, num_classes, ignore_labels)

    def flush(ids, images, masks):
        probabilities = predict_probabilities(inference, images)
        plain = np.argmax(probabilities, -1)
        labels = final(probabilities) if processing else plain.astype(np.uint8)
        kept["ids"] += ids
        kept["plain"].append(count(masks, plain))
        kept["labels"] += list(labels)
        if processing:
            kept["processed"].append(count(masks, labels))

    for group in batches_of_one_size(samples, batch_size):
        ids, images, masks, scales = (list(column) for column in zip(*group, strict=True))
        flush(ids, as_float(images, scales), masks)
    empty = np.zeros((0, num_classes, num_classes), np.int64)
    plain = np.concatenate([empty, *kept["plain"]])
    processed = np.concatenate([empty, *kept["processed"]]) if processing else None
    return ScoredLabels(ConfusionEvidence.of(kept["ids"], plain, processed), kept["labels"])


def predictor_of(recipe: Recipe, model: keras.Model) -> Inference:
    """Preprocessing, `model` and decoding as one module, for images of any size."""
    return Inference(
        model,
        channels=recipe.channels,
        size=recipe.size if recipe.resized else None,
        rules=recipe.rules,
    )


def score_samples(
    recipe: Recipe, inference: Inference, samples: Iterable[tuple[str, Native]]
) -> ScoredLabels:
    """`score` of samples, (id, sample) each, under a recipe."""
    return score(
        inference,
        ((name, one.image, one.labels, one.scale) for name, one in samples),
        num_classes=recipe.num_classes,
        rules=recipe.rules,
        component_rules=recipe.component_rules,
        ignore_labels=recipe.void,
        batch_size=recipe.config.data.batch_size,
    )


def validation(
    recipe: Recipe, examples: Examples, model: keras.Model, step: TrainStep, loss: RunLoss
) -> Validate:
    """`() -> scores` of the validation split, by the weights that are in the model now."""
    config, samples = recipe.config, examples.val
    batches = scoring_batches(
        samples,
        batch_size=scored_at_once(config, len(samples), step),
        workers=config.data.workers,
        enrich=loss.enrich,
    )
    score_all = Validation(
        model,
        batches,
        num_classes=recipe.num_classes,
        loss=loss.of_batch,
        rules=recipe.rules,
        ignore_labels=recipe.void,
        strategy=step.strategy,
    )

    def validate() -> dict[str, float]:
        plain, processed, mean_loss = score_all()
        scores = {"val_loss": mean_loss, **declared_scores(recipe, plain, processed)}
        scores.setdefault("val_pixel_accuracy", contract.pixel_accuracy(plain, recipe.contract))
        pooled = plain.sum(axis=0)
        for k, value in enumerate(contract.iou_per_class(pooled)):
            scores[f"val_iou_{k}"] = float(value)
        return {**scores, **predicted_shares(pooled)}

    return validate


def metrics_of(recipe: Recipe, scored: ScoredLabels, class_names: Sequence[str]) -> dict[str, Any]:
    """The entry of a split in `summary.json`."""
    metrics = contract.scores(scored.plain, recipe.contract)
    if scored.processed is not None:
        metrics["post_processed"] = contract.scores(scored.processed, recipe.contract)
    metrics["conventions"] = {
        row["name"]: row["mean_iou"]
        for row in contract.conventions(scored.final, class_names, recipe.contract)
    }
    return metrics


def score_lines(metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
    """What `evaluate` prints of it."""
    dash = functools.partial(figure, missing="-")
    final = metrics.get("post_processed", metrics)
    return [
        f"{counted(final['num_images'], 'image')}, mean IoU {dash(final['mean_iou'])}, "
        f"pixel accuracy {dash(final['pixel_accuracy'])}",
        *(
            f"  {name:20} IoU {dash(final['per_class_iou'][k])}"
            for k, name in enumerate(class_names)
        ),
    ]
