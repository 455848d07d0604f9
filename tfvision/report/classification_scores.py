"""What the report of a classification says of one split: scores, curves, calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.metrics import calibration
from tfvision.metrics import classification as metrics
from tfvision.metrics.contract import Contract
from tfvision.metrics.intervals import score_interval
from tfvision.metrics.ratios import score_ratios


@dataclass
class SplitResult:
    """Scores of one split, by image unless said otherwise; `split_result` makes it.

    Attributes:
        confusion: (K, K) counts of images; row: truth, column: prediction.
        scores: What `metrics.classification.scores` gives of the network's own labels.
        metric: Name of the run's metric, a name of `ratios.SCORES`.
        value: Its value; NaN where undefined.
        interval: Its ends, 95 %; NaN of a single image.
        post_processed: The scores after post-processing, or None without any.
        post_value: The run's metric of these.
        roc, precision_recall: (x, y) of each class, or None where it has no curve.
        reliability: Rows of `calibration.reliability`; empty without probabilities.
        calibrated: The same with temperature: {temperature, fitted_on, rows, ece, log_loss,
            brier}, or None.
        pieces: Scores of the pieces before they are joined, or None where a piece is an image.
    """

    confusion: np.ndarray
    scores: dict[str, Any]
    metric: str = "accuracy"
    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    post_processed: dict[str, Any] | None = None
    post_value: float = math.nan
    roc: list[tuple | None] = field(default_factory=list)
    precision_recall: list[tuple | None] = field(default_factory=list)
    reliability: list[dict[str, Any]] = field(default_factory=list)
    calibrated: dict[str, Any] | None = None
    pieces: dict[str, Any] | None = None


def split_result(
    counts: np.ndarray,
    probabilities: np.ndarray | None,
    labels: np.ndarray | None,
    *,
    contract: Contract,
    class_names: Sequence[str],
    metric: str,
    groups: Sequence[str] | None = None,
    processed: np.ndarray | None = None,
    calibrated: np.ndarray | None = None,
    temperature: float | None = None,
    fitted_on: str = "val",
    pieces: dict[str, Any] | None = None,
) -> SplitResult:
    """All the report says of a split.

    The interval is `intervals.score_interval`'s, of the final labels: after post-processing
    where there is some.

    Args:
        counts, probabilities, labels, contract, class_names: As
            `metrics.classification.scores` has them.
        metric: A name of `ratios.SCORES`, the run's first.
        groups: The group of each image, where the data has some.
        processed: (N, K, K) counts after post-processing, or None.
        calibrated: (N, K) probabilities with temperature, fitted on other images: of another
            split, or `calibration.cross_fitted`. None without.
        temperature: Their temperature.
        fitted_on: Which images it was fitted on, in words.
        pieces: Scores of the pieces, or None.
    """
    final = counts if processed is None else processed
    result = SplitResult(
        confusion=np.asarray(final).sum(axis=0),
        scores=metrics.scores(counts, probabilities, labels, contract, class_names=class_names),
        metric=metric,
        value=score_ratios(counts, contract, score=metric).value(),
        interval=score_interval(final, contract, score=metric, groups=groups),
        pieces=pieces,
    )
    if processed is not None:
        result.post_processed = metrics.scores(
            processed, None, None, contract, class_names=class_names
        )
        result.post_value = score_ratios(processed, contract, score=metric).value()
    if probabilities is None:
        return result
    kept = ~np.isin(labels, contract.ignore_labels)
    truth, given = np.asarray(labels)[kept], np.asarray(probabilities)[kept]
    for k in range(given.shape[1]):
        across, up, _ = metrics.roc_curve(truth == k, given[:, k])
        precision, recall, _ = metrics.precision_recall_curve(truth == k, given[:, k])
        result.roc.append(None if np.isnan([*across, *up]).any() else (across, up))
        result.precision_recall.append(None if np.isnan(recall).any() else (recall, precision))
    result.reliability = calibration.reliability(given, truth)
    if calibrated is not None:
        scaled = np.asarray(calibrated)[kept]
        result.calibrated = {
            "temperature": temperature,
            "fitted_on": fitted_on,
            "rows": calibration.reliability(scaled, truth),
            "ece": calibration.expected_calibration_error(scaled, truth),
            "log_loss": metrics.log_loss(scaled, truth),
            "brier": metrics.brier(scaled, truth),
        }
    return result
