"""Strings that are read right or wrong, by the threshold at which they are read. NumPy only.

| name | shape | dtype | what it is |
|---|---|---|---|
| spans | (N, 2) | float64 | a string is right at thresholds in (low, high], of (0, 1] |
| read_from | (N,) | float64 | the threshold at which it is read; 0: none is read |
"""

from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.5  # where nothing has chosen one


def right_at(spans: np.ndarray, read_from: float | np.ndarray) -> np.ndarray:
    """(N,) bool."""
    return (spans[:, 0] < read_from) & (read_from <= spans[:, 1])


def best_threshold(spans: np.ndarray) -> float:
    """The threshold at which the most strings are right: the middle of the widest such range."""
    spans = spans[spans[:, 1] > spans[:, 0]]
    if not len(spans):
        return THRESHOLD
    ends = np.unique(np.clip([0.0, 1.0, *spans.ravel()], 0, 1))
    middles = (ends[1:] + ends[:-1]) / 2
    right = np.array([right_at(spans, middle).sum() for middle in middles])
    best = np.flatnonzero(right == right.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    low, high = max(((ends[run[0]], ends[run[-1] + 1]) for run in runs), key=lambda e: e[1] - e[0])
    return float((low + high) / 2)


def out_of_fold(spans: np.ndarray, folds: Sequence[int]) -> np.ndarray:
    """(N,) thresholds: for the images of a fold the best one of those of all others."""
    folds, found = np.asarray(folds), np.full(len(spans), THRESHOLD)
    for fold in np.unique(folds):
        found[folds == fold] = best_threshold(spans[folds != fold])
    return found


def unread(number: int) -> dict[str, np.ndarray]:
    """Of so many images whose strings are not read."""
    return {"spans": np.zeros((number, 2)), "read_from": np.zeros(number)}
