"""Whether a mask belongs to its image: do its borders lie on edges of the image?

Edges and borders are fields of directions (`sketch.py`). Their correlation over all small
shifts has a sharp peak at shift 0 for a mask that was drawn on this image; for a mask of
another image there is no peak, for a mask that slipped it stands elsewhere. How high a
peak must be is not known beforehand, so the data set's own pairs, and masks laid on images
that are not theirs, say what is usual: `calibrate`. Where these two look alike, nothing is
seen from the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

REACH = 14  # largest shift looked at, in pixels of the map
CENTRE = 2  # pixels about a peak that belong to it
ENOUGH = 16  # pairs that a calibration needs


@dataclass(frozen=True)
class Fit:
    """Attributes:
    here: Height of the correlation at shift 0, in standard deviations of all shifts.
    best: Its largest height.
    dy, dx: The shift of the mask, in pixels of the image, at which it is largest.
    """

    here: float
    best: float
    dy: float
    dx: float

    def scaled(self, down: float, right: float) -> "Fit":
        return replace(self, dy=round(self.dy * down, 2), dx=round(self.dx * right, 2))


@dataclass(frozen=True)
class Calibration:
    """What is usual in a data set.

    Attributes:
        own: (centre, spread) of `Fit.here` of pairs that belong together, robust.
        other: The same of masks laid on images that are not theirs.
        other_best: What `Fit.best` of these exceeds once in a hundred times.
        slack: Shift in pixels at which own masks fit best, the median.
        pairs: Number of pairs behind `own`.
    """

    own: tuple[float, float]
    other: tuple[float, float]
    other_best: float
    slack: float
    pairs: int

    @property
    def informative(self) -> bool:
        """Whether the fit tells own masks from others: they overlap in a few hundredths."""
        distance = self.own[0] - self.other[0]
        return distance > 2.0 * (self.own[1] + self.other[1])

    @property
    def sharp(self) -> bool:
        """Whether own masks never fit as badly as others do."""
        distance = self.own[0] - self.other[0]
        return distance > 3.0 * (self.own[1] + self.other[1])

    def ratio(self, fit: Fit) -> float:
        """How many times likelier the fit is for an own mask than for another's.

        Student's distribution with 5 degrees of freedom, so that one odd value never
        counts for more than it can; beyond the two centres the ratio stays as it is there.
        """
        value = float(np.clip(fit.here, self.other[0], self.own[0]))
        return float(_density(value, *self.own) / _density(value, *self.other))


def measure_fit(edges: np.ndarray, borders: np.ndarray) -> Fit | None:
    """The fit of two maps (h, w) complex64; None where one is all but empty.

    Shifts reach to a third of the map, at most `REACH` pixels.
    """
    height, width = edges.shape
    down, right = min(REACH, height // 3), min(REACH, width // 3)
    if min(down, right) < 4 or (borders != 0).sum() < ENOUGH or (edges != 0).sum() < ENOUGH:
        return None
    # The zeros beyond keep the far end from coming round.
    shape = fft.next_fast_len(height + down), fft.next_fast_len(width + right)
    product = fft.fft2(edges, shape) * np.conj(fft.fft2(borders, shape))
    heights = fft.ifft2(product, overwrite_x=True).real
    heights = np.roll(heights, (down, right), (0, 1))[: 2 * down + 1, : 2 * right + 1]
    y, x = (int(i) for i in np.unravel_index(heights.argmax(), heights.shape))
    rest = np.ones(heights.shape, bool)
    for row, column in ((y, x), (down, right)):
        top, left = max(0, row - CENTRE), max(0, column - CENTRE)
        rest[top : row + CENTRE + 1, left : column + CENTRE + 1] = False
    mean, spread = heights[rest].mean(), heights[rest].std()
    if not spread > 0:
        return None
    here, best = (float((h - mean) / spread) for h in (heights[down, right], heights[y, x]))
    dy = y - down + _vertex(heights[:, x], y)
    dx = x - right + _vertex(heights[y], x)
    return Fit(round(here, 3), round(best, 3), float(dy), float(dx))


def calibrate(own: Sequence[Fit], other: Sequence[Fit]) -> Calibration | None:
    """What is usual, from pairs thought to be right and from pairs known to be wrong.

    Medians and quartiles bear it that a part of `own` is wrong. None where there are fewer
    than `ENOUGH` of either.
    """
    if min(len(own), len(other)) < ENOUGH:
        return None
    best = float(np.quantile([fit.best for fit in other], 0.99))
    right = _robust([fit.here for fit in own])
    slack = float(np.median([np.hypot(fit.dy, fit.dx) for fit in own]))
    return Calibration(right, _robust([fit.here for fit in other]), best, slack, pairs=len(own))


def _robust(values: Sequence[float]) -> tuple[float, float]:
    """Median, and the spread from the lower quartile: the side that a decision looks at."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(middle), float(max(middle - low, (high - low) / 2, 0.2) / 0.6745)


def _density(value: float, centre: float, spread: float) -> float:
    return (1 + ((value - centre) / spread) ** 2 / 5) ** -3 / spread


def _vertex(line: np.ndarray, at: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, -0.5..0.5 about it."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, peak, after = line[at - 1 : at + 2]
    bend = before - 2 * peak + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
