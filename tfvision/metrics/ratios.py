"""Scores of confusion matrices as ratios of sums over images, for the bootstrap.

Every score of `contract.py` and `classification.py` is a mean of ratios of such sums. NumPy only,
float64.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics import classification
from tfvision.metrics.contract import Contract, mean_dice, mean_iou, pixel_accuracy
from tfvision.registry import unknown
from tfvision.stats.measure import Ratios, by_group

_FUNCTIONS = {
    "mean_iou": mean_iou,
    "mean_dice": mean_dice,
    "pixel_accuracy": pixel_accuracy,
    **classification.SCORES,
}
SCORES = tuple(_FUNCTIONS)
# Whose ratio one class is worth beside a score: the score's own, or what is usual.
_OF_CLASS = {
    "mean_iou": "mean_iou",
    "mean_dice": "mean_iou",
    "pixel_accuracy": "mean_iou",
    "accuracy": "macro_f1",
    "macro_f1": "macro_f1",
    "weighted_f1": "macro_f1",
    "balanced_accuracy": "balanced_accuracy",
}
PLAIN = Contract()


def score_ratios(
    cms: np.ndarray,
    contract: Contract = PLAIN,
    *,
    score: str = "mean_iou",
    groups: Sequence[str] | None = None,
) -> Ratios:
    """A score of `contract.py` or `classification.py` as ratios of sums.

    Args:
        cms: (N, K, K) counts, one an image, rows the truth.
        contract: What is counted.
        score: A name of `SCORES`.
        groups: The group of each image, N names; None: each image for itself.

    Raises:
        InputError: An unknown score, classes that do not fit, groups of another number.
    """
    if score not in SCORES:
        raise InputError(unknown("score", score, SCORES))
    cms = np.asarray(cms, np.float64)
    contract.check_classes(cms.shape[-1])
    if contract.average == "image":
        values = image_scores(cms, contract, score=score)[:, None]
        there = ~np.isnan(values)
        above = np.where(there, values, 0.0)
        return Ratios(by_group(above, groups), by_group(there.astype(np.float64), groups))
    cms = _without_ignored(cms, contract)
    above, below = (by_group(side, groups) for side in _ratios(cms, score))
    if score in ("pixel_accuracy", "accuracy"):
        return Ratios(above, below)
    stay = [k for k in range(cms.shape[-1]) if k not in contract.exclude_classes]
    above, below = above[:, stay], below[:, stay]
    if score == "weighted_f1":
        return Ratios(above, below, weights=by_group(cms.sum(axis=2)[:, stay], groups))
    return Ratios(above, below, contract.absent)


def class_ratio(
    cms: np.ndarray,
    index: int,
    contract: Contract = PLAIN,
    *,
    score: str = "mean_iou",
    groups: Sequence[str] | None = None,
) -> Ratios:
    """What class `index` is worth beside a score (its IoU, F1 or recall), from all images.

    Other arguments as `score_ratios` has them.
    """
    ignored = [k for k in contract.ignore_labels if 0 <= k < cms.shape[-1]]
    rows, columns = cms[:, index, :], cms[:, :, index]
    truth = rows.sum(axis=1, dtype=np.float64) * (index not in ignored)
    hit = rows[:, index].astype(np.float64) * (index not in ignored)
    predicted = np.delete(columns, ignored, axis=1).sum(axis=1, dtype=np.float64)
    above, below = {
        "mean_iou": (hit, truth + predicted - hit),
        "macro_f1": (2 * hit, truth + predicted),
        "balanced_accuracy": (hit, truth),
    }[_OF_CLASS[score]]
    return Ratios(by_group(above[:, None], groups), by_group(below[:, None], groups))


def image_scores(cms: np.ndarray, contract: Contract = PLAIN, *, score: str) -> np.ndarray:
    """(N,) scores of each image alone, whatever the contract's average; NaN where undefined."""
    cms = np.asarray(cms, np.float64)
    if score in ("pixel_accuracy", "accuracy"):
        above, below = _ratios(_without_ignored(cms, contract), score)
        return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)[:, 0]
    return np.array([_FUNCTIONS[score](cm[None], contract) for cm in cms], np.float64)


def scores_of_settings(counts: np.ndarray, contract: Contract, *, score: str) -> np.ndarray:
    """A score under many settings at once, as a search over settings needs it.

    Args:
        counts: (G, N, K, K) counts of N images under G settings.
        contract: What is counted; the mean over images is taken whatever its average is, so
            give the sum of the images, N = 1, for a score of all together.
        score: A name of `SCORES`.

    Returns:
        (G,) float64, NaN where nothing is counted.
    """
    settings, images, size = counts.shape[:3]
    flat = counts.reshape(-1, size, size)
    ratios = score_ratios(flat, replace(contract, average="dataset"), score=score)
    there = ratios.below > 0
    values = ratios.above / np.where(there, ratios.below, 1)
    values = np.where(there, values, float(ratios.absent == "one"))
    in_mean = there if ratios.absent == "skip" else np.ones_like(there)
    number = in_mean.sum(axis=1)
    values = (values * in_mean).sum(axis=1) / np.maximum(number, 1)
    counted = [k for k in range(size) if k not in contract.ignore_labels]
    scored = (number > 0) & (flat[:, counted].sum(axis=(1, 2)) > 0)
    values = np.where(scored, values, 0.0).reshape(settings, images)
    number = scored.reshape(settings, images).sum(axis=1)
    return np.where(number > 0, values.sum(axis=1) / np.maximum(number, 1), np.nan)


def _without_ignored(cms: np.ndarray, contract: Contract) -> np.ndarray:
    """The counts without the rows of ignored labels."""
    cms = cms.copy()
    cms[:, [k for k in contract.ignore_labels if 0 <= k < cms.shape[-1]]] = 0
    return cms


def _ratios(cms: np.ndarray, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Both sides (N, Q) of the ratios of a score."""
    hit, truth = np.diagonal(cms, axis1=1, axis2=2), cms.sum(axis=2)
    predicted = cms.sum(axis=1)
    if score == "mean_iou":
        return hit, truth + predicted - hit
    if score in ("mean_dice", "macro_f1", "weighted_f1"):
        return 2 * hit, truth + predicted
    if score == "balanced_accuracy":
        return hit, truth
    return hit.sum(axis=1, keepdims=True), truth.sum(axis=1, keepdims=True)
