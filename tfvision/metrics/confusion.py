"""Confusion matrices of label maps. NumPy only; `graph.py` has the same for tf.function."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tfvision.errors import InputError


def confusion_matrix(
    labels: np.ndarray | Sequence[np.ndarray],
    predictions: np.ndarray | Sequence[np.ndarray],
    num_classes: int,
    ignore_labels: int | Iterable[int] = (),
) -> np.ndarray:
    """Counts the pixels of each image by true and predicted class.

    Args:
        labels: The truth, (N, H, W) integers, or N arrays (H, W) of sizes of their own.
        predictions: Predicted labels, of the same shapes, in 0..K-1.
        num_classes: K.
        ignore_labels: True labels whose pixels are not counted, whatever is predicted
            there. They may lie outside 0..K-1. Leave labels inside 0..K-1 to the metric
            contract, which can drop their rows later: `conventions` needs those counts.

    Returns:
        (N, K, K) int64, rows the truth, columns the prediction.

    Raises:
        InputError: A counted pixel has a label outside 0..K-1; the message gives the number
            of such pixels, their labels, and the first image.
    """
    ignored = check_labels(ignore_labels, "ignore_labels")
    if len(labels) != len(predictions):
        raise InputError(
            f"Labels and predictions must be of the same images: {len(labels)} label maps came "
            f"with {len(predictions)} predictions."
        )
    matrices = np.zeros((len(labels), num_classes, num_classes), np.int64)
    strays = {"Labels": Counter(), "Predictions": Counter()}
    first = {}
    for i, pair in enumerate(zip(labels, predictions, strict=True)):
        truth, predicted = _check_pair(*pair, image=i)
        counted = ~np.isin(truth, ignored)
        truth, predicted = truth[counted], predicted[counted]
        for what, values in (("Labels", truth), ("Predictions", predicted)):
            stray = values[(values < 0) | (values >= num_classes)]
            if stray.size:
                strays[what].update(stray.tolist())
                first.setdefault(what, i)
        if not first:
            cells = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
            matrices[i] = cells.reshape(num_classes, num_classes)
    for what in first:
        raise InputError(_stray_message(what, strays[what], first[what], num_classes))
    return matrices


def check_labels(labels: int | Iterable[int], what: str) -> tuple[int, ...]:
    """One whole number or several, as a sorted tuple without repeats."""
    values = [labels] if np.ndim(labels) == 0 else list(labels)
    if not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values):
        raise InputError(f"{what} must be a whole number or a list of them; received {labels!r}.")
    return tuple(sorted({int(v) for v in values}))


def _check_pair(truth, predicted, *, image: int) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise InputError(
            "Labels and predictions must be label maps (H, W) of the same size; image "
            f"{image} has labels {truth.shape} and predictions {predicted.shape}."
        )
    for what, values in (("labels", truth), ("predictions", predicted)):
        if values.dtype.kind not in "iub":
            raise InputError(
                f"The {what} of image {image} must be whole numbers; received {values.dtype}. "
                "Of logits or probabilities take the argmax over the classes first."
            )
    return truth.astype(np.int64), predicted.astype(np.int64)


def _stray_message(what: str, strays: Counter, image: int, num_classes: int) -> str:
    listed = ", ".join(f"{label} ({count} pixels)" for label, count in strays.most_common(5))
    more = ", ..." if len(strays) > 5 else ""
    advice = " Correct or map them, or name them in ignore_labels." if what == "Labels" else ""
    return (
        f"{what} must lie in 0..{num_classes - 1}; {sum(strays.values())} pixels do not: "
        f"{listed}{more}, first in image {image}.{advice}"
    )
