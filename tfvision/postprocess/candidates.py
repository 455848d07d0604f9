"""What a fit may choose from: rules in NumPy, and how the numbers of each are found.

The rules themselves are in `pixelwise.py` and `components.py`; those of single pixels stand here
once more in NumPy, since a fit applies them thousands of times (tests hold the two against each
other). A fitted rule is a plain dict, `{"name": "drop_class", "index": 0}`, as a config has it.
NumPy only; nothing here is random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Rule = dict[str, Any]
# In the order in which they act: scores first, whole images last.
CANDIDATES = (
    "drop_class",
    "class_prior_offsets",
    "class_thresholds",
    "smallest_component",
    "fill_holes",
)
OFFSETS = np.round(np.arange(-6.0, 6.05, 0.1), 1)  # of natural logarithms
THRESHOLDS = np.round(np.arange(0.0, 0.96, 0.025), 3)
SIZES = tuple(2**i for i in range(1, 13))  # pixels of components and holes
SWEEPS = 20  # over the classes; the ascent mostly stops after three or four
TINY = 1e-9  # scores nearer than this are equal


@dataclass(frozen=True)
class Objective:
    """What a fit maximises.

    Attributes:
        score: Counts (G, N, K, K) int of N images under G settings -> (G,) float64, NaN where
            nothing is counted.
        per_image: Whether it looks at each image; else it is given their sum, N = 1.
    """

    score: Callable[[np.ndarray], np.ndarray]
    per_image: bool = False


@dataclass(frozen=True)
class Pixels:
    """Drawn pixels of some images.

    Attributes:
        scores: (P, K) float32.
        truth: (P,) int64 in 0..K-1.
        image: (P,) int64, from 0: the image of each.
    """

    scores: np.ndarray
    truth: np.ndarray
    image: np.ndarray

    @property
    def num_images(self) -> int:
        return int(self.image.max()) + 1 if len(self.image) else 1

    def after(self, rule: Rule) -> "Pixels":
        """The same pixels with the scores that a rule makes of theirs."""
        return replace(self, scores=apply(rule, self.scores))


def apply(rule: Rule, scores: np.ndarray) -> np.ndarray:
    """A rule of single pixels on scores (..., K) float32, as `pixelwise.py` has it."""
    if rule["name"] == "drop_class":
        scores = scores.copy()
        scores[..., rule["index"]] = -1
        return scores
    if rule["name"] == "class_prior_offsets":
        weights = np.array([math.exp(value) for value in rule["offsets"]], scores.dtype)
        weighted = scores * weights
        total = np.maximum(weighted, 0).sum(axis=-1, keepdims=True)
        return weighted / np.where(total > 0, total, 1).astype(scores.dtype)
    return scores + (scores >= np.array(rule["thresholds"], scores.dtype))


def fit_drop_class(pixels: Pixels, objective: Objective) -> Rule | None:
    """The class whose dropping scores highest; None where that is none."""
    num_classes = pixels.scores.shape[1]
    rules = [{"name": "drop_class", "index": k} for k in range(num_classes)]
    if num_classes < 2:
        return None
    labels = [pixels.scores.argmax(axis=1)]
    labels += [apply(rule, pixels.scores).argmax(axis=1) for rule in rules]
    best = first_best(objective.score(np.stack([_count(pixels, found) for found in labels])))
    return rules[best - 1] if best else None


def fit_class_prior_offsets(pixels: Pixels, objective: Objective) -> Rule | None:
    """Offsets by coordinate ascent from 0: for one class after the other the best of `OFFSETS`.

    Against the best of the other classes, of weighted score m, class k wins where its offset
    exceeds log m - log p_k; so a histogram of that number gives the counts under every offset
    at once, and each line search is exact on the grid. The score is not concave: what is found
    is a point that no single class can improve.
    """
    logs = np.where(pixels.scores > 0, np.log(np.maximum(pixels.scores, 1e-12)), -np.inf)

    def split(values: np.ndarray, k: int):
        weighted = logs + values
        weighted[:, k] = -np.inf
        other = weighted.argmax(axis=1)
        with np.errstate(invalid="ignore"):
            needed = weighted[np.arange(len(other)), other] - logs[:, k]
        needed = np.where(np.isneginf(logs[:, k]), np.inf, needed)
        return np.searchsorted(OFFSETS, needed, side="right"), other, np.full_like(other, k)

    values = _ascend(pixels, objective, OFFSETS, split)
    if values is None:
        return None
    values = np.round(values - values.mean(), 4) + 0.0  # a constant changes nothing
    return {"name": "class_prior_offsets", "offsets": values.tolist()}


def fit_class_thresholds(pixels: Pixels, objective: Objective) -> Rule | None:
    """Thresholds by coordinate ascent from 0, as the offsets: the best of `THRESHOLDS`."""
    scores = pixels.scores

    def split(values: np.ndarray, k: int):
        lifted = scores + (scores >= values.astype(scores.dtype))
        lifted[:, k] = -np.inf
        other = lifted.argmax(axis=1)
        rival, own = lifted[np.arange(len(other)), other], scores[:, k]
        reached = np.where(own + 1 > rival, k, other)
        missed = np.where(own > rival, k, other)
        grid = THRESHOLDS.astype(scores.dtype)
        return np.searchsorted(grid, own, side="right"), reached, missed

    values = _ascend(pixels, objective, THRESHOLDS, split)
    return None if values is None else {"name": "class_thresholds", "thresholds": values.tolist()}


FITS: dict[str, Callable[[Pixels, Objective], Rule | None]] = {
    "drop_class": fit_drop_class,
    "class_prior_offsets": fit_class_prior_offsets,
    "class_thresholds": fit_class_thresholds,
}


def first_best(scores: Sequence[float], home: int = 0) -> int:
    """The place of the highest score; of equal ones the nearest to `home`."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = np.flatnonzero(scores >= scores.max() - TINY)
    return int(best[np.argmin(np.abs(best - home))])


def _ascend(pixels: Pixels, objective: Objective, grid: np.ndarray, split) -> np.ndarray | None:
    """Coordinate ascent over one value of `grid` a class, all 0 at first; None: it stays there.

    `split(values, k)` says for each pixel what happens as the value of class k runs through the
    grid: the place from which on its label changes, and the label before and after.
    """
    home = int(np.flatnonzero(grid == 0)[0])
    places = np.full(pixels.scores.shape[1], home)
    best = None
    for _ in range(SWEEPS):
        moved = False
        for k in range(len(places)):
            scores = objective.score(_sweep(pixels, *split(grid[places], k), len(grid)))
            if best is None:
                best = scores[places[k]]
            place = first_best(scores, home)
            if scores[place] > np.nan_to_num(best, nan=-np.inf) + TINY:
                places[k], best, moved = place, scores[place], True
        if not moved:
            break
    return None if (places == home).all() else grid[places]


def _sweep(pixels: Pixels, switch, before, after, size: int) -> np.ndarray:
    """Counts (G, N, K, K) where each pixel has its label `before` up to its `switch`."""
    count, num_classes = pixels.num_images, pixels.scores.shape[1]
    start = _count(pixels, before)
    moves = np.flatnonzero((before != after) & (switch < size))
    row = (switch[moves] * count + pixels.image[moves]) * num_classes + pixels.truth[moves]
    shape = (size, count, num_classes, num_classes)
    cells = int(np.prod(shape))
    gained = np.bincount(row * num_classes + after[moves], minlength=cells)
    lost = np.bincount(row * num_classes + before[moves], minlength=cells)
    return start + np.cumsum((gained - lost).reshape(shape), axis=0)


def _count(pixels: Pixels, labels: np.ndarray) -> np.ndarray:
    """(N, K, K) int64 counts, rows the truth."""
    count, num_classes = pixels.num_images, pixels.scores.shape[1]
    cells = (pixels.image * num_classes + pixels.truth) * num_classes + labels
    counts = np.bincount(cells, minlength=count * num_classes**2)
    return counts.reshape(count, num_classes, num_classes)
