"""Scoring a model: confusion matrices, image by image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfvision.engine.inference import Inference, logits_of, probabilities_of
from tfvision.engine.step import BatchLoss
from tfvision.metrics.confusion import confusion_matrix
from tfvision.metrics.graph import confusion_matrices
from tfvision.postprocess.components import ComponentRule, decode_images
from tfvision.postprocess.pixelwise import Rule, decode


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
        self._step = tf.function(lambda batch: strategy.run(self._score, args=(batch,)))

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
        outputs = logits_of(self._model, batch["image"])
        plain = self._count(batch["mask"], tf.argmax(outputs[-1], -1))
        decoded = plain
        if self._decode:
            probabilities = probabilities_of(self._model, outputs[-1])
            decoded = self._count(batch["mask"], self._decode(probabilities))
        return batch["valid"], self._loss(batch, outputs), plain, decoded

    def _count(self, labels, predictions):
        return confusion_matrices(labels, predictions, self._num_classes, self._ignored)


def replica_values(strategy: tf.distribute.Strategy, value) -> list[np.ndarray]:
    """What each replica has of a value."""
    return [v.numpy() for v in strategy.experimental_local_results(value)]


@dataclass(frozen=True)
class Scored:
    """What scoring a split gives, image by image.

    Attributes:
        ids: One an image.
        plain: (N, K, K) int64 counts of the bare argmax; row truth, column prediction.
        processed: The same after the post-processing rules, or None without any.
        labels: N predictions (H, W) uint8 after the rules, each at its image's size.
        truth, probabilities: Of a classification (N,) labels and (N, K), before the rules.
        pieces: The probabilities (n, K) of each image's pieces, of which these were made.
    """

    ids: list[str]
    plain: np.ndarray
    processed: np.ndarray | None
    labels: list[np.ndarray]
    truth: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    pieces: list[np.ndarray] | None = None

    @property
    def final(self) -> np.ndarray:
        """The counts of what `predict` writes."""
        return self.plain if self.processed is None else self.processed


def score(
    inference: Inference,
    samples: Iterator[tuple[str, np.ndarray, np.ndarray, float]],
    *,
    num_classes: int,
    rules: Sequence[Rule],
    ignore_labels: Sequence[int],
    batch_size: int,
    component_rules: Sequence[ComponentRule] = (),
) -> Scored:
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
    return Scored(
        kept["ids"],
        np.concatenate([empty, *kept["plain"]]),
        np.concatenate([empty, *kept["processed"]]) if processing else None,
        kept["labels"],
    )


def predict_probabilities(inference: Inference, images: np.ndarray) -> np.ndarray:
    """(B, H, W, C) float32 in [0, 1] -> (B, H, W, K) float32."""
    return inference.serve_float(tf.constant(images))["probabilities"].numpy()


def as_float(images: Sequence[np.ndarray], scales: Sequence[float]) -> np.ndarray:
    """Stored images of one size as one float32 array in [0, 1], as the pipeline makes it."""
    return np.stack(
        [
            image.astype(np.float32) * np.float32(scale)
            for image, scale in zip(images, scales, strict=True)
        ]
    )


def batches_of_one_size(samples, batch_size: int) -> Iterator[list]:
    """Groups successive samples of equal image size, at most `batch_size` each."""
    group: list = []
    for sample in samples:
        full = len(group) == batch_size
        if group and (full or sample[1].shape != group[0][1].shape):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group
