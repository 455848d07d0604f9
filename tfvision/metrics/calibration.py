"""Whether probabilities can be believed, and one number that repairs them. NumPy and SciPy.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: reliability
diagrams and the expected calibration error (section 2), temperature scaling (section 4.2).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.errors import InputError

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # temperatures that are sought


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """Natural logarithm, float64, of probabilities cut off below what 1 + p keeps apart from 1.

    That is 2.2e-16 for float64 and 1.2e-7 for everything shorter.
    """
    probabilities = np.asarray(probabilities)
    exact = probabilities.dtype == np.float64
    least = float(np.finfo(np.float64 if exact else np.float32).eps)
    return np.log(np.clip(probabilities.astype(np.float64), least, 1.0))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the log loss of softmax(log p / T).

    Above 1 the model was too sure of itself, below 1 not sure enough. The loss is convex in
    1 / T; T is the root of its slope, mean(E_q[z] - z_true) with z = log p and q the scaled
    probabilities.

    Fit it on images the model was not trained on, and judge it on others than it was fitted
    on: `cross_fitted` does.

    Args:
        probabilities: (N, K) float.
        labels: (N,) true classes in 0..K-1.

    Returns:
        T in 0.05..20; an end where the loss falls all the way to it: 0.05 where every image is
        right, 20 where the probabilities say nothing.

    Raises:
        InputError: No image, values that are no probabilities, labels outside 0..K-1.
    """
    from scipy.optimize import brentq  # scores need this module, and no SciPy

    probabilities, labels = check_probabilities(probabilities, labels)
    if not len(labels):
        raise InputError("A temperature is fitted on at least one labelled image; received none.")
    z = log_of(probabilities)
    true = z[np.arange(len(labels)), labels]

    def slope(temperature: float) -> float:
        return float(((_softmax(z / temperature) * z).sum(axis=1) - true).mean())

    if slope(LOWEST) <= 0:
        return LOWEST
    if slope(HIGHEST) >= 0:
        return HIGHEST
    return brentq(slope, LOWEST, HIGHEST, xtol=1e-12)


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(..., K) probabilities -> softmax(log p / T), of the same dtype. The argmax stays.

    Rounding can make two classes equal, and the argmax of equals is the first: there the one
    that was the most probable gets the next larger number.

    Raises:
        InputError: A temperature that is not above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"A temperature must be a number above 0; received {temperature!r}.")
    probabilities = np.asarray(probabilities)
    scaled = _softmax(log_of(probabilities) / temperature).astype(probabilities.dtype)
    rows = scaled.reshape(-1, scaled.shape[-1])
    best = probabilities.reshape(rows.shape).argmax(axis=-1)
    lost = np.flatnonzero(rows.argmax(axis=-1) != best)
    most = rows[lost].max(axis=-1)
    rows[lost, best[lost]] = np.nextafter(most, np.ones_like(most))
    return rows.reshape(scaled.shape)


def cross_fitted(
    probabilities: np.ndarray, labels: np.ndarray, parts: Sequence[Any]
) -> tuple[np.ndarray, list[float]]:
    """Each image's probabilities under the temperature fitted on all parts but its own.

    Args:
        probabilities: (N, K) float, of images the model was not trained on.
        labels: (N,) true classes in 0..K-1.
        parts: The part of each image, N names or numbers: a fold, or a group.

    Returns:
        (N, K) scaled probabilities, and the temperature of each part in sorted order.

    Raises:
        InputError: Fewer than 2 parts; as `fit_temperature`.
    """
    probabilities, labels = check_probabilities(probabilities, labels)
    parts = np.asarray(parts)
    names = np.unique(parts)
    if len(names) < 2 or len(parts) != len(labels):
        raise InputError(
            "A temperature is fitted without each part and judged on it: give the part of each of "
            f"the {len(labels)} images, at least 2 different ones; received {len(parts)} with "
            f"{len(names)} different."
        )
    scaled, temperatures = np.empty_like(probabilities), []
    for name in names:
        own = parts == name
        temperatures.append(fit_temperature(probabilities[~own], labels[~own]))
        scaled[own] = with_temperature(probabilities[own], temperatures[-1])
    return scaled, temperatures


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> list[dict[str, Any]]:
    """How often predictions of each confidence are right.

    Args:
        probabilities: (N, K) float.
        labels: (N,) true classes in 0..K-1.
        bins: Of equal width over confidences 0..1, each with its upper end and without its
            lower one.

    Returns:
        {low, high, num_images, confidence, accuracy} of each bin; the last two are means over
        its images, None where it has none.
    """
    if bins < 1:
        raise InputError(f"A reliability diagram has at least 1 bin; received {bins}.")
    probabilities, labels = check_probabilities(probabilities, labels)
    confidence = probabilities.max(axis=1).astype(np.float64) if len(labels) else np.zeros(0)
    right = probabilities.argmax(axis=1) == labels if len(labels) else np.zeros(0, bool)
    edges = np.linspace(0, 1, bins + 1)
    # Rounding may leave a confidence a little above 1.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows = []
    for k in range(bins):
        own = place == k
        some = bool(own.any())
        rows.append(
            {
                "low": float(edges[k]),
                "high": float(edges[k + 1]),
                "num_images": int(own.sum()),
                "confidence": float(confidence[own].mean()) if some else None,
                "accuracy": float(right[own].mean()) if some else None,
            }
        )
    return rows


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """Mean over the images of |accuracy - confidence| of their bin, in [0, 1]; NaN of none.

    Guo et al., equation 3. It depends on the bins, and of few images it is too high: compare
    it only between sets of one size.
    """
    rows = [row for row in reliability(probabilities, labels, bins) if row["num_images"]]
    total = sum(row["num_images"] for row in rows)
    if not total:
        return math.nan
    gaps = (row["num_images"] * abs(row["accuracy"] - row["confidence"]) for row in rows)
    return float(sum(gaps) / total)


def check_probabilities(
    probabilities: np.ndarray, labels: np.ndarray, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) float probabilities and (N,) int64 labels that fit each other.

    Raises:
        InputError: Other shapes, values outside [0, 1], rows whose sum is not 1, labels
            outside 0..K-1; the message names the first row.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    wanted = "K" if num_classes is None else num_classes
    fits = probabilities.ndim == 2 and labels.shape == (len(probabilities),)
    if not fits or (num_classes is not None and probabilities.shape[1] != num_classes):
        raise InputError(
            f"Scores need probabilities (N, {wanted}) and labels (N,) of the same images; received "
            f"{probabilities.shape} and {labels.shape}."
        )
    if probabilities.dtype.kind != "f":
        probabilities = probabilities.astype(np.float64)
    total = probabilities.sum(axis=1, dtype=np.float64)
    bad = ~((probabilities >= 0).all(axis=1) & (np.abs(total - 1) < 0.01))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            "Probabilities of an image must be numbers in 0..1 of sum 1; row "
            f"{row} is {np.array2string(probabilities[row], threshold=8, precision=4)} with sum "
            f"{total[row]:.4g}. Of logits take the softmax first."
        )
    wrong = (labels < 0) | (labels >= probabilities.shape[1])
    if wrong.any() or labels.dtype.kind not in "iub":
        row = int(np.argmax(wrong))
        raise InputError(
            f"Labels must be whole numbers in 0..{probabilities.shape[1] - 1}; row {row} has "
            f"{labels[row]!r}. Correct it, or name it in ignore_labels."
        )
    return probabilities, labels.astype(np.int64)


def _softmax(z: np.ndarray) -> np.ndarray:
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)
