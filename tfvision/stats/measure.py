"""A score of units that can be drawn again: its value under any weights, and each unit's pull.

A unit is what is resampled: an image, or a group of images that belong together. `bootstrap`,
`seeds` and `race` work on a `Measure` and know no metric. NumPy only, float64.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.errors import InputError


class Measure(ABC):
    """A score of U units under weights.

    Attributes:
        low, high: The range of the score, `math.inf` where it has no end.
        larger_is_better: Its direction.
    """

    low: float = 0.0
    high: float = 1.0
    larger_is_better: bool = True

    @property
    @abstractmethod
    def num_units(self) -> int:
        """U."""

    @abstractmethod
    def under(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores under weights, and the influence of each unit on them.

        Args:
            weights: (R, U) float64, how often each unit counts in each resample.

        Returns:
            (R,) scores, NaN where nothing is counted, and (R, U) influences: the change of the
            score per unit of weight on a unit, the first-order term of the delta method.
        """

    def values(self, weights: np.ndarray) -> np.ndarray:
        """The scores (R,) of `under` alone."""
        return self.under(weights)[0]

    def value(self) -> float:
        """The score, every unit counted once; NaN where nothing is counted."""
        return float(self.values(np.ones((1, self.num_units)))[0])

    def minus(self, other: "Measure", weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Differences (R,) to another score of the same units, and influences (R, U) on them."""
        values, influences = self.under(weights)
        other_values, other_influences = other.under(weights)
        return values - other_values, influences - other_influences

    def differs(self, other: "Measure") -> np.ndarray:
        """(U,) bool, the units that count otherwise in another score of the same units."""
        ones = np.ones((1, self.num_units))
        return (self.under(ones)[1] != other.under(ones)[1])[0]

    def zero(self) -> "Measure":
        """A score of the same units that is always 0, to compare this one with."""
        nothing, one = np.zeros((self.num_units, 1)), np.ones((self.num_units, 1))
        ends = {"low": self.low, "high": self.high, "larger_is_better": self.larger_is_better}
        return Ratios(nothing, one, **ends)

    @property
    def span(self) -> float:
        """The largest difference of two such scores."""
        return self.high - self.low


@dataclass(frozen=True)
class Ratios(Measure):
    """A score as a mean of Q ratios of sums over U units.

    IoU is shared area over joint area, class by class; a mean over images is a sum over a count;
    weighted F1 has weights that are sums themselves. So 10,000 resamples are a matrix product.

    Attributes:
        above, below: (U, Q) float64, what each unit adds to both sides of each ratio.
        absent: What a ratio counts whose lower side is 0: "skip", "zero" or "one".
        weights: (U, Q), what each unit adds to the weight of each ratio in the mean; None:
            all weigh the same.
        low, high, larger_is_better: As `Measure` has them.
    """

    above: np.ndarray
    below: np.ndarray
    absent: str = "skip"
    weights: np.ndarray | None = None
    low: float = 0.0
    high: float = 1.0
    larger_is_better: bool = True

    @property
    def num_units(self) -> int:
        return len(self.above)

    def under(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = self._slopes(weights)
        return values, slopes @ self._sides().T

    def values(self, weights: np.ndarray) -> np.ndarray:
        return self._slopes(weights)[0]

    def minus(self, other: Measure, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(other, Ratios):
            return super().minus(other, weights)
        others, other_slopes = other._slopes(weights)
        values, slopes = self._slopes(weights)
        sides = np.concatenate([self._sides(), other._sides()], axis=1)
        return values - others, np.concatenate([slopes, -other_slopes], axis=1) @ sides.T

    def differs(self, other: Measure) -> np.ndarray:
        if not isinstance(other, Ratios):
            return super().differs(other)
        sides, others = self._sides(), other._sides()
        if sides.shape != others.shape:
            return np.ones(self.num_units, bool)
        return (sides != others).any(axis=1)

    def _sides(self) -> np.ndarray:
        """(U, S), what each unit adds to the sums that the score is made of."""
        more = [] if self.weights is None else [self.weights]
        return np.concatenate([self.above, self.below, *more], axis=1)

    def _slopes(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (R,) under weights (R, U), and their slopes (R, S) in the S sums of `_sides`.

        A unit's slopes times what it adds are its influence.
        """
        above, below = weights @ self.above, weights @ self.below
        there = below > 0
        safe = np.where(there, below, 1.0)
        ratios = np.where(there, above / safe, float(self.absent == "one"))
        if self.weights is not None:
            return _weighted_slopes(ratios, safe, weights @ self.weights)
        skip = self.absent == "skip"
        counted = there.sum(axis=1) if skip else np.full(len(there), there.shape[1])
        counted = np.where(there.any(axis=1), counted, 0)
        scale = 1.0 / np.where(counted > 0, counted, 1)
        in_mean = there if skip else np.ones_like(there)
        values = np.where(counted > 0, (ratios * in_mean).sum(axis=1) * scale, np.nan)
        slopes = np.where(there, scale[:, None] / safe, 0.0)
        return values, np.concatenate([slopes, -slopes * ratios], axis=1)


class Average(Measure):
    """The mean of scores of several parts, which may share units; parts without one are left out.

    Args:
        parts: Scores of one kind.
        places: For each part, where its units stand among all, (U of the part,) integers.
        num_units: U of all.
    """

    def __init__(self, parts: Sequence[Measure], places: Sequence[np.ndarray], num_units: int):
        self._parts, self._places, self._num_units = list(parts), list(places), num_units
        first = self._parts[0]
        self.low, self.high = first.low, first.high
        self.larger_is_better = first.larger_is_better

    @property
    def num_units(self) -> int:
        return self._num_units

    def under(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, number = np.zeros(len(weights)), np.zeros(len(weights))
        influences = np.zeros(weights.shape)
        for part, places in zip(self._parts, self._places, strict=True):
            values, its = part.under(weights[:, places])
            there = np.isfinite(values)
            total += np.where(there, values, 0.0)
            number += there
            influences[:, places] += np.where(there[:, None], its, 0.0)
        scale = 1.0 / np.maximum(number, 1)
        return np.where(number > 0, total * scale, np.nan), influences * scale[:, None]

    def differs(self, other: Measure) -> np.ndarray:
        if not isinstance(other, Average):
            return super().differs(other)
        found = np.zeros(self.num_units, bool)
        for part, theirs, places in zip(self._parts, other._parts, self._places, strict=True):
            found[places] |= part.differs(theirs)
        return found


def by_group(values: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """(N, Q) of images summed to (U, Q) of groups, in the order of their names.

    Args:
        values: What each image adds.
        groups: The group of each image, N names; None: each image for itself.

    Raises:
        InputError: Groups of another number.
    """
    if groups is None:
        return values
    member, size = group_numbers(groups, len(values))
    summed = np.zeros((size, values.shape[1]))
    np.add.at(summed, member, values)
    return summed


def group_numbers(groups: Sequence[str] | None, num_images: int) -> tuple[np.ndarray, int]:
    """The unit of each image, (N,) from 0 in the order of the groups' names, and how many.

    Raises:
        InputError: Groups of another number than images.
    """
    if groups is None:
        return np.arange(num_images), num_images
    if len(groups) != num_images:
        raise InputError(f"{num_images} images need {num_images} groups; got {len(groups)}.")
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return member.ravel(), len(names)


def _weighted_slopes(ratios, safe, shares) -> tuple[np.ndarray, np.ndarray]:
    """`Ratios._slopes` of a mean of ratios (R, Q) with weights (R, Q)."""
    total = shares.sum(axis=1, keepdims=True)
    scale = 1.0 / np.where(total > 0, total, 1.0)
    values = (ratios * shares).sum(axis=1, keepdims=True) * scale
    slopes = shares * scale / safe
    shifts = (ratios - values) * scale
    values = np.where(total > 0, values, np.nan)[:, 0]
    return values, np.concatenate([slopes, -slopes * ratios, shifts], axis=1)
