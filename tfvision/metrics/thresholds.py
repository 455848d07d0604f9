"""Precision, recall and F1 of detections over the threshold of their scores. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.metrics.detections import DetectionEvidence


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Precision, recall and F1 at IoU 0.5 of the detections that reach each threshold.

    Attributes:
        thresholds: (S,) float64, the scores there are, falling.
        precision, recall, f1: (S,) float64; recall and F1 are NaN where there is no truth.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    @property
    def best(self) -> float:
        """The threshold of the largest F1, of equal ones the highest; NaN where there is none."""
        if not (self.f1 > 0).any():
            return float("nan")
        return float(self.thresholds[np.nanargmax(self.f1)])


def threshold_curve(
    evidence: DetectionEvidence, classes: Sequence[int] | None = None
) -> ThresholdCurve:
    """The curve of all boxes of some classes together.

    Args:
        evidence: Of the images of one split.
        classes: Numbers in 0..K-1; None: all.
    """
    classes = range(evidence.num_classes) if classes is None else classes
    parts = [evidence.ranked(k, ious=(0,)) for k in classes]
    score = np.concatenate([part.score for part in parts])
    order = np.argsort(-score, kind="stable")
    counted = np.concatenate([part.counted[:, 0] for part in parts])[order]
    right = np.concatenate([part.right[:, 0] for part in parts])[order] & counted
    thresholds = score[order]
    # Equal scores reach a threshold together.
    last = np.flatnonzero(np.diff(thresholds, append=-np.inf))
    hits, number = np.cumsum(right)[last], np.cumsum(counted)[last]
    truths = sum(part.truths.sum() for part in parts)
    if not truths:
        missing = np.full(len(last), np.nan)
        return ThresholdCurve(thresholds[last], hits / np.maximum(number, 1), missing, missing)
    precision = np.where(number > 0, hits / np.maximum(number, 1), 1.0)
    return ThresholdCurve(thresholds[last], precision, hits / truths, 2 * hits / (number + truths))


def best_thresholds(evidence: DetectionEvidence) -> tuple[float, list[float]]:
    """The thresholds of the largest F1 at IoU 0.5: of all boxes together, and of each class.

    They are fitted: choose them on a validation set, and score others with `evidence.at`. A class
    without a right detection takes the threshold of all, which is 0.5 where nothing is right.

    Example:
        together, by_class = best_thresholds(val)
        test.at(together).measure("f1", None).value()
    """
    together = threshold_curve(evidence).best
    together = 0.5 if np.isnan(together) else together
    each = [threshold_curve(evidence, [k]).best for k in range(evidence.num_classes)]
    return together, [together if np.isnan(best) else best for best in each]
