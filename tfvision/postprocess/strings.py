"""A string read from the boxes of its characters: numbers from digits, words from letters.

NumPy only. Detections are dicts as `boxes.py` has them, truths the same without scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.errors import InputError
from tfvision.postprocess.boxes import areas, intersections

LEAST = 1e-4  # share of a length that no string of the training has
CERTAIN = 1e-6  # scores are held this far from 0 and 1


@dataclass(frozen=True)
class Reading:
    """How a string is read.

    Of detections that lie in one place the best is taken; what is left is read from left to
    right by the centres of the boxes. A threshold t in (0, 1] says how many are taken, the best
    first: so many that the sum of their log odds log(p / (1 - p)) - log(t / (1 - t)) is largest,
    which without a prior are those with a score of at least t. A prior of lengths adds `weight`
    times the logarithm of its share to that sum.

    Attributes:
        characters: Of each of the K classes.
        overlap: Two boxes lie in one place where they share more than this of the smaller one.
        leading_zeros: Whether `007` is kept, or is `7`.
        empty: What is read where there is no character.
        shares: Of strings of the length 0, 1, 2, ...; None: no prior.
        weight: Of the prior, >= 0.
    """

    characters: Sequence[str]
    overlap: float = 0.5
    leading_zeros: bool = True
    empty: str = "-1"
    shares: Sequence[float] | None = None
    weight: float = 1.0

    def text(self, detections: Mapping[str, np.ndarray], threshold: float) -> str:
        """The string that detections of an image are read as."""
        best, odds = self._best(detections)
        slack = odds - np.arange(len(odds)) * _log_odds(threshold)
        return self._joined(best, int(np.flatnonzero(slack >= slack.max() - 1e-9)[-1]))

    def truth(self, truth: Mapping[str, np.ndarray]) -> str:
        """The string of annotated boxes, all of which count but crowds and padding."""
        there = np.asarray(truth["classes"]) >= 0
        if "crowd" in truth:
            there &= ~np.asarray(truth["crowd"], bool)
        boxes = np.asarray(truth["boxes"], np.float64).reshape(-1, 4)[there]
        return self._joined((boxes, np.asarray(truth["classes"])[there]), len(boxes))

    def span(self, detections: Mapping[str, np.ndarray], truth: str) -> tuple[float, float]:
        """(low, high): at thresholds in (low, high] the string is read right; (0, 0]: never.

        There is one such span: a lower threshold only adds characters.
        """
        best, odds = self._best(detections)
        lows, highs = [], []
        for n in range(len(odds)):
            may_be = n == 0 or n == len(truth) or (n > len(truth) and not self.leading_zeros)
            if not may_be or self._joined(best, n) != truth:
                continue
            away = np.arange(len(odds)) - n
            slopes = np.divide(odds - odds[n], away, out=np.zeros(len(odds)), where=away != 0)
            low, high = slopes[n + 1 :].max(initial=-math.inf), slopes[:n].min(initial=math.inf)
            if low < high:
                lows.append(_share(low))
                highs.append(_share(high))
        return (min(lows), max(highs)) if lows else (0.0, 0.0)

    def normal(self, string: str) -> str:
        """A string as it is compared: without leading zeros where these are dropped."""
        if not string:
            return self.empty
        return string if self.leading_zeros else string.lstrip("0") or "0"

    def _best(self, detections) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Boxes and classes of those that lie in different places, best first, and the sum of the
        log odds of the n best with the prior, for n = 0, 1, ..."""
        places = self._places(detections)
        odds = np.cumsum([0.0, *map(_log_odds, detections["scores"][places].tolist())])
        if self.shares is not None:
            shares = np.full(len(odds), LEAST)
            known = np.asarray(self.shares, np.float64)[: len(odds)]
            shares[: len(known)] = np.maximum(known, LEAST)
            odds += self.weight * np.log(shares)
        boxes = np.asarray(detections["boxes"], np.float64).reshape(-1, 4)
        return (boxes[places], np.asarray(detections["classes"])[places]), odds

    def _places(self, detections) -> np.ndarray:
        """The rows that stay, best first."""
        boxes = np.asarray(detections["boxes"], np.float64).reshape(-1, 4)
        size = np.maximum(areas(boxes), 1e-9)
        shared = intersections(boxes, boxes) / np.minimum(size[:, None], size[None])
        free, kept = np.ones(len(boxes), bool), []
        for row in np.argsort(-np.asarray(detections["scores"]), kind="stable"):
            if free[row]:
                kept.append(row)
                free &= shared[row] <= self.overlap
        return np.array(kept, int)

    def _joined(self, best: tuple[np.ndarray, np.ndarray], number: int) -> str:
        """The string of the first so many."""
        boxes, classes = best[0][:number], best[1][:number]
        order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
        return self.normal("".join(self.characters[int(k)] for k in classes[order]))


def likely_string(
    *,
    shares: Sequence[float] | None = None,
    weight: float = 1.0,
    overlap: float = 0.5,
    threshold: float | None = None,
):
    """Reads the string that is the most likely under scores and a prior of lengths.

    A rule of the reading (`reading` in the config): boxes and their scores stay as they are, so
    AP does.

    Args:
        shares: Of strings of the length 0, 1, 2, ... in the training; None: no prior.
        weight: Of the prior, >= 0; 0 is none.
        overlap: Two boxes lie in one place where they share more than this of the smaller one.
        threshold: In (0, 1], of the reading; None: that of the run.
    """
    numbers = [weight, overlap, *(shares or ())]
    wrong = any(isinstance(x, bool) or not isinstance(x, int | float) or x < 0 for x in numbers)
    if wrong or not 0 < overlap <= 1 or not (threshold is None or 0 < threshold <= 1):
        raise InputError(
            "likely_string takes shares=[...] of lengths and a weight, all of at least 0, overlap "
            f"and threshold above 0 and at most 1. Received: shares={shares!r}, weight={weight!r}, "
            f"overlap={overlap!r}, threshold={threshold!r}."
        )
    return lambda prediction: prediction


def length_shares(strings: Sequence[str], empty: str) -> list[float]:
    """The share of each length 0, 1, ... among strings, one more string of each counted."""
    lengths = [0 if string == empty else len(string) for string in strings]
    counts = np.bincount(lengths, minlength=1) + 1.0
    return np.round(counts / counts.sum(), 5).tolist()


def _log_odds(score: float) -> float:
    score = min(max(score, CERTAIN), 1 - CERTAIN)
    return math.log(score / (1 - score))


def _share(log_odds: float) -> float:
    """The score of log odds; 0 and 1 at their ends."""
    if math.isinf(log_odds):
        return float(log_odds > 0)
    return 1 / (1 + math.exp(-min(max(log_odds, -700), 700)))
