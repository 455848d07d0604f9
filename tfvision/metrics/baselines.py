"""What a score is worth: predictions that need no network, scored the same way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.metrics.confusion import confusion_matrix

LEVELS = 64


@dataclass(frozen=True)
class IntensityLookup:
    """The best that single pixels can say: a class for each grey level.

    Attributes:
        table: (LEVELS,) class of each level.
    """

    table: np.ndarray

    @classmethod
    def fit(cls, counts: np.ndarray, *, balanced: bool) -> "IntensityLookup":
        """From `level_counts` of the training split.

        Args:
            counts: (LEVELS, K) pixels.
            balanced: Let every class count the same, whatever its number of pixels; without
                it the most frequent class wins nearly everywhere.
        """
        weights = counts / np.maximum(counts.sum(axis=0), 1) if balanced else counts
        return cls(np.argmax(weights, axis=1))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) in [0, 1] -> labels (N, H, W)."""
        return self.table[_levels(images)]


def level_counts(
    images: np.ndarray, masks: np.ndarray, num_classes: int, ignore_labels: Sequence[int]
) -> np.ndarray:
    """(LEVELS, K) pixels of each grey level and class. Images (N, H, W, C) in [0, 1]."""
    counted = ~np.isin(masks, list(ignore_labels))
    cell = _levels(images)[counted] * num_classes + masks[counted].astype(np.int64)
    return np.bincount(cell, minlength=LEVELS * num_classes).reshape(LEVELS, num_classes)


def majority(
    class_pixels: np.ndarray, masks: np.ndarray, num_classes: int, ignore_labels: Sequence[int]
) -> np.ndarray:
    """(N, K, K) counts of predicting the training split's most frequent class everywhere."""
    label = int(np.argmax(class_pixels))
    return confusion_matrix(
        masks, np.full(masks.shape, label, np.uint8), num_classes, ignore_labels
    )


def _levels(images: np.ndarray) -> np.ndarray:
    gray = np.asarray(images, np.float32).mean(axis=-1)
    return np.clip((gray * LEVELS).astype(np.int64), 0, LEVELS - 1)
