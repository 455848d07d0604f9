"""Two kinds of evidence that no task of the toolkit has: errors of numbers, and ranked hits."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Measure, Ratios, by_group, group_numbers


@dataclass(frozen=True, eq=False)
class Errors(Evidence):
    """A number an image, true and predicted: lower errors are better, without an end."""

    suffix: ClassVar[str] = "errors"
    scores: ClassVar[tuple[str, ...]] = ("mean_error",)
    text: ClassVar[str] = "errors"

    ids: list[str]
    truth: np.ndarray
    predicted: np.ndarray

    def digest(self):
        return self.truth[:, None]

    def image_scores(self, score, contract):
        return np.abs(self.predicted - self.truth).astype(np.float64)

    def measure(self, score, contract, *, groups=None, class_index=None):
        sides = (self.image_scores(score, contract), np.ones(len(self)))
        above, below = (by_group(side[:, None], groups) for side in sides)
        return Ratios(above, below, high=math.inf, larger_is_better=False)


@dataclass(frozen=True, eq=False)
class Hits(Evidence):
    """Detections with a score each, right or wrong: average precision ranks those of one model."""

    suffix: ClassVar[str] = "hits"
    scores: ClassVar[tuple[str, ...]] = ("average_precision",)
    text: ClassVar[str] = "detections"
    pools: ClassVar[bool] = False

    ids: list[str]
    num_true: np.ndarray  # (N,) objects
    image: np.ndarray  # (D,) whose detection
    score: np.ndarray  # (D,) float
    hit: np.ndarray  # (D,) bool

    def arrays(self):
        arrays = {"ids": np.array(self.ids), "num_true": self.num_true}
        return {**arrays, "image": self.image, "score": self.score, "hit": self.hit}

    @classmethod
    def from_arrays(cls, arrays):
        rest = (arrays[key] for key in ("num_true", "image", "score", "hit"))
        return cls([str(i) for i in arrays["ids"]], *rest)

    def take(self, rows):
        places = [np.flatnonzero(self.image == row) for row in rows]
        image = np.repeat(np.arange(len(rows)), [len(place) for place in places])
        place = np.concatenate([*places, np.zeros(0, int)])
        ids = [self.ids[row] for row in rows]
        return Hits(ids, self.num_true[rows], image, self.score[place], self.hit[place])

    @classmethod
    def join(cls, parts):
        starts = np.cumsum([0, *(len(part) for part in parts)])
        image = np.concatenate([p.image + s for p, s in zip(parts, starts, strict=False)])
        columns = [
            np.concatenate([getattr(part, key) for part in parts])
            for key in ("num_true", "score", "hit")
        ]
        return cls([i for p in parts for i in p.ids], columns[0], image, *columns[1:])

    def digest(self):
        return self.num_true[:, None]

    def measure(self, score, contract, *, groups=None, class_index=None):
        unit, _ = group_numbers(groups, len(self))
        objects = by_group(self.num_true[:, None].astype(float), groups)[:, 0]
        return AveragePrecision(objects, unit[self.image], self.score, self.hit)


class AveragePrecision(Measure):
    """The mean over the objects of the precision at the rank where each is found.

    Args:
        objects: (U,) of each unit.
        unit, score, hit: (D,) of each detection.
    """

    def __init__(self, objects, unit, score, hit):
        order = np.argsort(-score, kind="stable")
        self._objects, self._unit = objects, unit[order]
        self._hit = hit[order].astype(np.float64)

    @property
    def num_units(self):
        return len(self._objects)

    def under(self, weights):
        drawn = weights[:, self._unit]  # (R, D)
        hits, number = np.cumsum(drawn * self._hit, axis=1), np.cumsum(drawn, axis=1)
        safe = np.where(number > 0, number, 1.0)
        total = weights @ self._objects
        scale = 1.0 / np.where(total > 0, total, 1.0)
        precision = hits / safe
        values = (drawn * self._hit * precision).sum(axis=1) * scale
        # What a detection adds itself, and to the precision of all that are ranked behind it.
        behind = drawn * self._hit / safe
        with_hit, without = _from_behind(behind), _from_behind(behind * precision)
        pull = (self._hit * (precision + with_hit) - without) * scale[:, None]
        influences = -values[:, None] * self._objects * scale[:, None]
        for place, unit in enumerate(self._unit):
            influences[:, unit] += pull[:, place]
        return np.where(total > 0, values, np.nan), influences


def _from_behind(values):
    """(R, D) -> the sum over each place and all behind it."""
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]


def hits(images: int = 30, *, seed: int = 0, own: int = 0, sharp: float = 1.0) -> Hits:
    """Images of the same objects for one `seed`; `own` is of the model, `sharp` its merit."""
    rng, mine = np.random.default_rng(seed), np.random.default_rng([seed, own])
    num_true = rng.integers(0, 6, images)
    false = rng.integers(0, 5, images)
    image = np.repeat(np.arange(images), num_true + false)
    hit = np.concatenate([np.arange(t + f) < t for t, f in zip(num_true, false, strict=True)])
    base = rng.normal(size=len(image))
    score = base + sharp * hit + 0.3 * mine.normal(size=len(image))
    return Hits([f"image {i}" for i in range(images)], num_true, image, score, hit)


def errors(images: int = 40, *, seed: int = 0, own: int = 0, off: float = 4.0) -> Errors:
    """Numbers of the same images for one `seed`; `off` is the size of the model's errors."""
    rng, mine = np.random.default_rng(seed), np.random.default_rng([seed, own])
    truth = rng.integers(0, 50, images).astype(np.float64)
    hard = rng.exponential(1.0, images)
    predicted = truth + off * hard + 0.5 * mine.normal(size=images)
    return Errors([f"image {i}" for i in range(images)], truth, predicted)
