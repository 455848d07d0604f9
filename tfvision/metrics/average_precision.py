"""COCO's average precision of ranked detections under weights of images, with influences.

At unit weights it is pycocotools' to the last bit: precision is `right / (counted + 2.2e-16)`,
made falling from the end, and read at 101 recall points. Only right detections are places where
recall grows and where the precision can be largest, so each curve is kept as its right detections
and the number of counted ones between them, unit by unit: under R weights that is a product of a
sparse matrix and sums along the curve.

**Influences.** The score at 101 points is a step function of the weights: where a point is
reached does not move with a small weight, so its derivative, 0 almost everywhere but for the
precisions, says nothing of what recall does (a model without false detections has none at all).
The influences are therefore those of what the points sample, the area under the same falling
curve, A = sum_j e_j w_j / n: e_j the largest precision at or behind right detection j, w_j its
weight, n the weight of all truths. With T_m right and N_m counted detections up to m, and m(j)
the place where e_j = T_m / N_m is taken, A changes per unit of weight on u by

    (sum_{j in u} e_j + sum_j w_j (T_m(j)^u - e_j N_m(j)^u) / N_m(j) - A n^u) / n,

the exact derivative wherever no two precisions that compete for m(j) are equal. The two areas
differ by at most one in 101 and the steps of recall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import sparse

from tfvision.stats.measure import Measure, Ratios

POINTS = np.linspace(0.0, 1.0, 101)
_HELD = 1 << 20  # numbers of a class and of a chunk of resamples held in one array


@dataclass(frozen=True, eq=False)
class Ranked:
    """Detections of one class by falling score, and the number of its truths.

    Attributes:
        unit: (D,) integers, of U, whose detection.
        score: (D,) float.
        right, counted: (D, T) bool at each IoU threshold: takes a truth; is not ignored.
        truths: (U,) float64.
    """

    unit: np.ndarray
    score: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    truths: np.ndarray


class AveragePrecision(Measure):
    """The mean of precision over 101 recall points, thresholds and classes that have a truth.

    Args:
        classes: One or more, of the same units and thresholds.
    """

    def __init__(self, classes: Sequence[Ranked]):
        self._ranked = list(classes)
        self._curves = [_Curves(one) for one in classes if one.truths.any()]

    @property
    def num_units(self) -> int:
        return len(self._ranked[0].truths)

    def precision(self) -> np.ndarray:
        """(T, 101, K) float64 at the recall points, every unit counted once; NaN without truths."""
        found = np.full((self._ranked[0].right.shape[1], 101, len(self._ranked)), np.nan)
        there = [k for k, one in enumerate(self._ranked) if one.truths.any()]
        for k, curves in zip(there, self._curves, strict=True):
            found[..., k] = curves.precision()
        return found

    def value(self) -> float:
        """The score in pycocotools' order of sums; NaN where no class has a truth."""
        precision = self.precision().ravel()
        precision = precision[~np.isnan(precision)]
        return float(np.mean(precision)) if len(precision) else float("nan")

    def under(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._under(weights, influences=True)

    def values(self, weights: np.ndarray) -> np.ndarray:
        return self._under(weights, influences=False)[0]

    def differs(self, other: Measure) -> np.ndarray:
        if not isinstance(other, AveragePrecision) or len(self._ranked) != len(other._ranked):
            return super().differs(other)
        found = np.zeros(self.num_units, bool)
        for one, its in zip(self._ranked, other._ranked, strict=True):
            found |= _differ(one, its)
        return found

    def _under(self, weights, *, influences: bool) -> tuple[np.ndarray, np.ndarray]:
        """Scores (R,) and influences (R, U), which are zeros where they are not asked for."""
        values, pulls = np.full(len(weights), np.nan), np.zeros(weights.shape)
        most = max((len(curves) for curves in self._curves), default=0)
        step = int(np.clip(_HELD // max(most, 1), 16, 1024))
        for start in range(0, len(weights), step):
            w = np.ascontiguousarray(weights[start : start + step].T, np.float64)
            total, number, pull = np.zeros(w.shape[1]), np.zeros(w.shape[1]), np.zeros(w.shape)
            for curves in self._curves:
                positives = curves.truths @ w
                there = positives > 0
                safe = np.where(there, positives, 1.0)
                areas, its = curves.under(w, safe, influences=influences)
                total += np.where(there, areas, 0.0)
                number += there
                if influences:
                    its *= there
                    pull += its
            scale = 1.0 / np.maximum(number, 1)
            values[start : start + step] = np.where(number > 0, total * scale, np.nan)
            pulls[start : start + step] = (pull * scale).T
        return values, pulls


class _Curves:
    """The right detections of one class, P in all, threshold after threshold.

    Attributes:
        truths: (U,) float64.
    """

    def __init__(self, ranked: Ranked):
        right = ranked.right & ranked.counted
        before = np.cumsum(right, axis=0) - right  # right ones of a better rank
        numbers = right.sum(axis=0)
        self._ends = np.cumsum(numbers)
        self._starts = self._ends - numbers
        kept = ranked.counted & (before < numbers)
        unit = np.broadcast_to(ranked.unit[:, None], right.shape)
        self.truths = np.asarray(ranked.truths, np.float64)
        # Transposed, a row of a mask is a threshold, so that its detections stay together.
        self._unit = unit.T[right.T]
        places = (before + self._starts).T[kept.T]
        size = (int(numbers.sum()), len(self.truths))
        self._between = sparse.csr_matrix(
            (np.ones(len(places)), (places, unit.T[kept.T])), shape=size
        )

    @cached_property
    def _to_units(self) -> sparse.csr_matrix:
        """(U, 2 P): what right detections gain, and counted ones lose, summed by unit."""
        places = np.arange(len(self))
        size = (len(self.truths), len(self))
        own = sparse.csr_matrix((np.ones(len(self)), (self._unit, places)), shape=size)
        return sparse.hstack([own, -self._between.T]).tocsr()

    def __len__(self) -> int:
        return self._ends[-1]

    def precision(self) -> np.ndarray:
        """(T, 101) at the recall points, every unit counted once."""
        w = np.ones((len(self.truths), 1))
        envelope, points, _ = self._along(w, self.truths @ w)
        found = np.zeros((len(self._ends), 101))
        for row, start, end in zip(found, self._starts, self._ends, strict=True):
            read = np.repeat(envelope[start:end, 0], points[start:end, 0].astype(int))
            row[: len(read)] = read
        return found

    def under(self, w, positives, *, influences: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores (r,) and influences (U, r) under weights (U, r); `positives` (r,): of truths."""
        thresholds = len(self._ends)
        envelope, points, (seen, found, precision) = self._along(w, positives)
        np.multiply(points, envelope, out=points)
        values = points.sum(axis=0) / (101 * thresholds)
        if not influences:
            return values, None
        area = np.einsum("pr,pr->r", envelope, w[self._unit])
        # A precision that is the largest from its place on stands for all right detections back
        # to the one before that is so, too.
        largest = precision >= envelope
        gained = np.multiply(found, largest, out=points)
        self._accumulate(np.maximum, gained)
        back = found - self._one_before(gained)
        back *= largest
        back /= seen
        whole = np.empty((2 * len(seen), w.shape[1]))
        pull, loss = whole[: len(seen)], whole[len(seen) :]
        np.multiply(back, precision, out=loss)
        self._accumulate(np.add, loss, backwards=True)
        pull[:] = back
        self._accumulate(np.add, pull, backwards=True)
        pull += envelope
        its = self._to_units @ whole
        its -= self.truths[:, None] * (area / positives)
        its /= thresholds * positives
        return values, its

    def _along(self, w, positives):
        """Along each curve, (P, r) each: the largest precision from there on, the number of recall
        points reached there first, and the weights of counted and right detections so far and
        their precision."""
        seen, found = self._between @ w, w[self._unit]
        self._accumulate(np.add, seen)
        self._accumulate(np.add, found)
        seen += np.spacing(1)
        precision = found / seen
        envelope = precision.copy()
        self._accumulate(np.maximum, envelope, backwards=True)
        recall = found / positives
        nearest = np.rint(recall * 100)
        reached = nearest + (nearest * POINTS[1] <= recall)
        return envelope, reached - self._one_before(reached), (seen, found, precision)

    def _one_before(self, values: np.ndarray) -> np.ndarray:
        """The row before, within a curve; 0 before its first."""
        moved = np.empty_like(values)
        moved[1:] = values[:-1]
        moved[self._starts[self._starts < len(values)]] = 0
        return moved

    def _accumulate(self, ufunc: np.ufunc, values: np.ndarray, *, backwards: bool = False) -> None:
        """Sums or maxima of (P, r) down each curve, in place; up each curve backwards."""
        for start, end in zip(self._starts, self._ends, strict=True):
            part = values[start:end][::-1] if backwards else values[start:end]
            if part.shape[1] < 128:
                ufunc.accumulate(part, axis=0, out=part)
                continue
            rows = list(part)  # NumPy's own way down the columns is ten times as slow
            for above, row in pairwise(rows):
                ufunc(above, row, out=row)


def _differ(one: Ranked, other: Ranked) -> np.ndarray:
    """(U,) bool, the units whose detections or truths differ."""
    size = len(one.truths)
    number, its = (np.bincount(part.unit, minlength=size) for part in (one, other))
    found = (one.truths != other.truths) | (number != its)
    columns = []
    for part in (one, other):
        order = np.argsort(part.unit, kind="stable")
        order = order[~found[part.unit[order]]]
        rows = (part.score[order, None], part.right[order], part.counted[order])
        columns.append((part.unit[order], np.concatenate(rows, axis=1)))
    (unit, first), (_, second) = columns
    found[unit[(first != second).any(axis=1)]] = True
    return found


class Recalls(Ratios):
    """The mean of recalls, every unit counted once in pycocotools' order of sums."""

    def value(self) -> float:
        above, below = self.above.sum(axis=0), self.below.sum(axis=0)
        there = below > 0
        return float(np.mean(above[there] / below[there])) if there.any() else float("nan")
