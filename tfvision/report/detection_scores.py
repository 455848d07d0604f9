"""What the report of a detection says of one split: scores with intervals, curves, confusion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.metrics.coco import CocoEvaluation
from tfvision.metrics.contract import Contract
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.intervals import wilson
from tfvision.metrics.thresholds import ThresholdCurve, threshold_curve
from tfvision.stats.bootstrap import compare
from tfvision.stats.measure import Measure

WITH_INTERVALS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
IOUS = {"ap50": 0.5, "ap75": 0.75}  # of the curves
MOST_RESAMPLES, LEAST_RESAMPLES = 1000, 100
WORK = 1_000_000  # boxes times resamples, a few seconds


@dataclass
class SplitDetections:
    """Scores of one split; `split_detections` makes it.

    Attributes:
        metrics: Its entry of `summary.json`.
        intervals: Score -> ends of its 95 % interval, NaN where there is none. That of the share
            of strings read right is Wilson's where images are resampled.
        class_intervals: The same of AP of each class.
        resamples: Behind them; 0: too few images, or too many boxes for a page.
        units: What was resampled: "images" or "groups".
        precision: IoU -> (101, K) precision at recall 0, 0.01, ..., 1; NaN without truths.
        thresholds: Precision, recall and F1 over the threshold; None without a box.
        calibration: As `CocoEvaluation.calibration` gives it.
        confusion: (K + 1, K + 1) boxes at the operating point; the last are background.
        errors: As `CocoEvaluation.errors` gives it.
    """

    metrics: dict[str, Any]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    class_intervals: list[tuple[float, float]] = field(default_factory=list)
    resamples: int = 0
    units: str = "images"
    precision: dict[float, np.ndarray] = field(default_factory=dict)
    thresholds: ThresholdCurve | None = None
    calibration: dict[str, Any] | None = None
    confusion: np.ndarray | None = None
    errors: dict[str, Any] | None = None


def split_detections(
    evidence: DetectionEvidence,
    evaluation: CocoEvaluation,
    *,
    metrics: dict[str, Any],
    errors: dict[str, Any] | None,
    threshold: float,
    contract: Contract,
    groups: Sequence[str] | None = None,
) -> SplitDetections:
    """Everything of a split that the page shows but its images.

    Args:
        evidence, evaluation: Of the same detections and annotated boxes.
        metrics, errors: Of `summary.json`.
        threshold: The operating point.
        contract: What is counted.
        groups: The group of each image, which are resampled; None: images are.
    """
    intervals, of_classes, resamples = _intervals(evidence, contract, groups)
    counted = counted_classes(evidence, contract)
    return SplitDetections(
        metrics=metrics,
        intervals=intervals,
        class_intervals=of_classes,
        resamples=resamples,
        units="images" if groups is None else "groups",
        precision={iou: evidence.measure(name, None).precision()[0] for name, iou in IOUS.items()},
        thresholds=threshold_curve(evidence, counted) if counted else None,
        calibration=evaluation.calibration(),
        confusion=evaluation.confusion(threshold),
        errors=errors,
    )


def counted_classes(evidence: DetectionEvidence, contract: Contract) -> list[int]:
    """The classes that the contract counts."""
    return [k for k in range(evidence.num_classes) if k not in contract.exclude_classes]


def _intervals(evidence: DetectionEvidence, contract: Contract, groups):
    """Ends by score, ends of AP of each class, and the number of resamples."""
    strings = ("string_accuracy",) if (evidence.read_from > 0).any() else ()
    names = (*WITH_INTERVALS, *strings)
    measures: list[Measure] = [
        *(evidence.measure(name, contract, groups=groups) for name in names),
        *evidence.classes("ap", contract, groups=groups),
    ]
    resamples = min(MOST_RESAMPLES, WORK // max(int(evidence.truths[:, :, 0].sum()), 1))
    if resamples < LEAST_RESAMPLES or measures[0].num_units < 2:
        resamples, ends = 0, [(math.nan, math.nan)] * len(measures)
    else:
        found = compare([(one.zero(), one) for one in measures], resamples=resamples)
        ends = [
            (max(d.low, one.low), min(d.high, one.high))
            for d, one in zip(found, measures, strict=True)
        ]
    number = len(names)
    of_scores = dict(zip(names, ends[:number], strict=True))
    if strings and groups is None:  # a share of images, of which all may be alike
        right = measures[names.index(strings[0])]
        of_scores[strings[0]] = wilson(int(right.above.sum()), int(right.below.sum()))
    return of_scores, ends[number:], resamples
