"""Scores of classifiers: from one count an image, and from probabilities. No TensorFlow, float64.

A class label is a mask of one pixel, so accuracy and F1 are the pixel accuracy and the Dice of
`contract.py`. What they say where a class is absent follows the contract; with its defaults
every number is the one of scikit-learn with `zero_division=0` and without `labels`:

- F1 of a class that neither truth nor prediction holds is undefined and stays out of the mean
  (`absent` of the contract may say otherwise; scikit-learn with `labels=range(K)` is "zero").
- A class that is true but never predicted has precision 0, one that is predicted but never true
  has recall 0, in the macro means; in the table of classes both are undefined, `None`.
- Balanced accuracy is the mean recall of the classes in the truth (`balanced_accuracy_score`);
  `absent` says here what a class that is not in the truth counts.
- ROC AUC and average precision need images of the class, ROC AUC also others: a class that has
  none stays out of their means.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics import contract as c
from tfvision.metrics.calibration import (
    check_probabilities,
    expected_calibration_error,
    log_of,
)
from tfvision.metrics.contract import Contract

PLAIN = Contract()

accuracy = c.pixel_accuracy
f1_per_class = c.dice_per_class
macro_f1 = c.mean_dice


def weighted_f1(counts: np.ndarray, contract: Contract = PLAIN) -> float:
    """Mean F1 of (N, K, K) counts, each class weighted by its images; NaN without any.

    A class without an image weighs nothing, so `absent` does not matter here.
    """
    return c.average_over(
        lambda cm: _support_mean(f1_per_class(cm), cm, contract), counts, contract
    )


def balanced_accuracy(counts: np.ndarray, contract: Contract = PLAIN) -> float:
    """Mean recall of (N, K, K) counts over the classes in the truth; NaN without any."""
    return c.average_over(
        lambda cm: c.class_mean(c.recall_per_class(cm), contract), counts, contract
    )


SCORES = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "balanced_accuracy": balanced_accuracy,
}


def count_scores(counts: np.ndarray, contract: Contract = PLAIN) -> dict:
    """The scores of (N, K, K) counts alone, ready for JSON, in the form of `contract.scores`.

    `accuracy`, `macro_f1`, `weighted_f1`, `balanced_accuracy`, and lists of K: `per_class_f1`,
    `precision`, `recall`; `num_images`.
    """
    counts = c.counted_rows(counts, contract)
    total = counts.sum(axis=0)
    return {
        **{name: c.or_none(score(counts, contract)) for name, score in SCORES.items()},
        "per_class_f1": c.or_none(f1_per_class(total)),
        "precision": c.or_none(c.precision_per_class(total)),
        "recall": c.or_none(c.recall_per_class(total)),
        "num_images": len(counts),
    }


def scores(
    counts: np.ndarray,
    probabilities: np.ndarray | None,
    labels: np.ndarray | None,
    contract: Contract,
    class_names: Sequence[str],
) -> dict:
    """All scores of a classification under `contract`, ready for JSON: None stands for NaN.

    Args:
        counts: (N, K, K), one count an image, rows the truth.
        probabilities: (N, K) float in [0, 1], rows of sum 1; None: the scores that need them
            are None.
        labels: (N,) true classes; those of `contract.ignore_labels` are not scored. None
            only without probabilities.
        contract: What is counted. `exclude_classes` stay out of every mean over classes.
        class_names: K names.

    Returns:
        `accuracy`, `macro_f1`, `weighted_f1`, `balanced_accuracy`, `macro_precision`,
        `macro_recall`, `weighted_precision`, `weighted_recall`; `per_class`: by name
        {precision, recall, f1, support, roc_auc, average_precision}, support in images;
        `log_loss` (nats), `brier` (the sum over the classes, 0..2), `ece` (15 bins of equal
        width), `roc_auc` (one class against the rest, mean of the classes),
        `average_precision` (mean of the classes); `num_images` that are scored.

    Raises:
        InputError: Numbers of images or classes that do not fit each other, values that are
            no probabilities, labels outside 0..K-1 that are not ignored.
    """
    counts = c.counted_rows(counts, contract)
    num_classes = counts.shape[-1]
    if len(class_names) != num_classes:
        raise InputError(
            f"{num_classes} classes need {num_classes} names; received {len(class_names)}: "
            f"{list(class_names)}."
        )
    total = counts.sum(axis=0)
    found = {name: score(counts, contract) for name, score in SCORES.items()}
    found |= _means(counts, contract)
    ranking = dict.fromkeys(("log_loss", "brier", "ece", "roc_auc", "average_precision"), math.nan)
    areas = np.full((2, num_classes), math.nan)
    if probabilities is not None:
        probabilities, labels = _scored(
            probabilities, labels, len(counts), num_classes, contract=contract
        )
        ranking, areas = _of_probabilities(probabilities, labels, contract)
    columns = (
        c.precision_per_class(total),
        c.recall_per_class(total),
        f1_per_class(total),
        *areas,
    )
    keys = ("precision", "recall", "f1", "roc_auc", "average_precision")
    return {
        **{key: c.or_none(value) for key, value in found.items()},
        "per_class": {
            str(name): {
                "support": int(total[k].sum()),
                **{key: c.or_none(column[k]) for key, column in zip(keys, columns, strict=True)},
            }
            for k, name in enumerate(class_names)
        },
        **{key: c.or_none(value) for key, value in ranking.items()},
        "num_images": int((counts.sum(axis=(1, 2)) > 0).sum()),
    }


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p of the true class, in nats; NaN of no images.

    A probability counts as at least the smallest that a float32 keeps apart from 0 beside 1
    (1.2e-7; 2.2e-16 for float64), so that one sure mistake does not make the mean infinite.
    `sklearn.metrics.log_loss` does the same.
    """
    if not len(labels):
        return math.nan
    return float(-log_of(probabilities)[np.arange(len(labels)), labels].mean())


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth as one-hot, 0..2.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78, 1950: the sum over the classes, also of two.
    """
    if not len(labels):
        return math.nan
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1).mean())


def roc_curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ROC of one class, as `sklearn.metrics.roc_curve` has it.

    Args:
        truth: (N,) bool, whether the image is of the class.
        score: (N,) float, higher is surer. Equal scores are one step, never several.

    Returns:
        False positive rate, true positive rate and threshold, (T,) each, from (0, 0) with
        threshold infinity; points within a straight line are left out. A rate without images
        to count is NaN.
    """
    if not len(truth):
        return np.array([math.nan]), np.array([math.nan]), np.array([math.inf])
    from sklearn import metrics

    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # of a NaN rate
        return metrics.roc_curve(truth, score)


def precision_recall_curve(
    truth: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall of one class, as `sklearn.metrics.precision_recall_curve` has them.

    Arguments as `roc_curve` has them. Returns precision (T + 1,), recall (T + 1,), thresholds
    (T,) ascending; the last point is (1, 0) and has no threshold. Recall is NaN where no image
    is of the class.
    """
    if not len(truth):
        return np.array([1.0]), np.array([math.nan]), np.array([])
    from sklearn import metrics

    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # of recall without truth
        precision, recall, thresholds = metrics.precision_recall_curve(truth, score)
    return precision, recall if np.any(truth) else np.full_like(recall, math.nan), thresholds


def roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under `roc_curve`, by trapezoids; NaN where either side has no image."""
    across, up, _ = roc_curve(truth, score)
    return float((np.diff(across) * (up[1:] + up[:-1]) / 2).sum()) if len(up) > 1 else math.nan


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Sum of precision times the gain of recall, step by step; NaN without images of the class."""
    precision, recall, _ = precision_recall_curve(truth, score)
    return float(-(np.diff(recall) * precision[:-1]).sum()) if len(recall) > 1 else math.nan


def _means(counts: np.ndarray, contract: Contract) -> dict[str, float]:
    """Macro and weighted means of precision and recall; undefined ones count 0, as in sklearn."""
    found = {}
    for name, per_class in (
        ("precision", c.precision_per_class),
        ("recall", c.recall_per_class),
    ):
        found[f"macro_{name}"] = c.average_over(
            lambda cm, of=per_class: c.class_mean(_defined(of(cm), cm), contract), counts, contract
        )
        found[f"weighted_{name}"] = c.average_over(
            lambda cm, of=per_class: _support_mean(of(cm), cm, contract), counts, contract
        )
    return found


def _defined(values: np.ndarray, cm: np.ndarray) -> np.ndarray:
    """Undefined values of classes that truth or prediction holds as 0; of the others NaN."""
    return np.where(np.isnan(f1_per_class(cm)), math.nan, np.nan_to_num(values))


def _support_mean(values: np.ndarray, cm: np.ndarray, contract: Contract) -> np.ndarray:
    """(N, K) scores weighted by the true images of each class that stays -> (N,)."""
    stay = [k for k in range(values.shape[-1]) if k not in contract.exclude_classes]
    support = cm.sum(axis=-1)[:, stay]
    return c.divide((np.nan_to_num(values[:, stay]) * support).sum(axis=-1), support.sum(axis=-1))


def _scored(probabilities, labels, num_images: int, num_classes: int, contract: Contract):
    """Probabilities and labels of the images that are scored, checked."""
    if labels is None or not num_images == len(labels) == len(probabilities):
        raise InputError(
            f"Counts, probabilities and labels must be of the same images; received {num_images} "
            f"counts, {len(probabilities)} rows of probabilities and "
            f"{'no' if labels is None else len(labels)} labels."
        )
    labels = np.asarray(labels)
    kept = ~np.isin(labels, contract.ignore_labels)
    return check_probabilities(np.asarray(probabilities)[kept], labels[kept], num_classes)


def _of_probabilities(probabilities, labels, contract: Contract) -> tuple[dict, np.ndarray]:
    """The scores that need probabilities, and ROC AUC and average precision (2, K) of classes."""
    num_classes = probabilities.shape[1]
    areas = np.array(
        [
            [area(labels == k, probabilities[:, k]) for k in range(num_classes)]
            for area in (roc_auc, average_precision)
        ]
    )
    stay = [k for k in range(num_classes) if k not in contract.exclude_classes]
    means = [row[stay][~np.isnan(row[stay])] for row in areas]
    return {
        "log_loss": log_loss(probabilities, labels),
        "brier": brier(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
        "roc_auc": float(means[0].mean()) if means[0].size else math.nan,
        "average_precision": float(means[1].mean()) if means[1].size else math.nan,
    }, areas
