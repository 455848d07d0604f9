"""A permutation test: how well features predict classes, cross-validated.

A ridge regression on the classes' indicators gives each sample scores from a model that has
not seen its fold. As its inverse does not depend on the classes, the same is done for hundreds
of permutations of them at once, and how often these do as well is the p-value: it holds
whatever the features are, for any number of samples. (Ojala and Garriga, "Permutation Tests
for Studying Classifier Performance", JMLR 11, 2010; test 1.)

Samples of one unit (duplicates, a group) stay in one fold and move together when permuted.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5
PERMUTATIONS = 199
DRAWS = 500  # of the bootstrap behind an interval
RIDGE = 0.3  # of the number of samples; features have variance 1


@dataclass(frozen=True)
class Scores:
    """Attributes:
    own: (n, K) float32, scores of the classes in standard deviations of their indicators.
    permuted: (P, n, K) float32, the same for permuted classes.
    classes: (n,) the classes; `permuted_classes` (P, n) those each permutation was scored for.
    """

    own: np.ndarray
    permuted: np.ndarray
    classes: np.ndarray
    permuted_classes: np.ndarray


@dataclass(frozen=True)
class PermutationTest:
    """Attributes:
    value: Mean over the classes of the share predicted right, or the area under the ROC curve.
    low, high: Its 95 % interval, over units.
    chance: Its value where the features predict nothing.
    p: Share of permutations, the data itself among them, that do at least as well.
    """

    value: float
    low: float
    high: float
    chance: float
    p: float

    @property
    def skill(self) -> tuple[float, float, float]:
        """Value, low and high as a part of the way from chance (0) to always right (1)."""
        return tuple(
            (v - self.chance) / (1 - self.chance) for v in (self.value, self.low, self.high)
        )


def cross_validated(
    features: np.ndarray, classes: np.ndarray, num_classes: int, units: np.ndarray, *, seed: int = 0
) -> Scores:
    """Scores of every sample from the other folds.

    Folds are assigned without a look at the classes: were they stratified, the data itself would
    have an advantage over its permutations.

    Args:
        features: (n, d) float, finite.
        classes: (n,) whole numbers below `num_classes`, each at least once.
        num_classes: K.
        units: (n,) whole numbers: samples that belong together share one.
        seed: Of folds and permutations.
    """
    rng = np.random.default_rng(seed)
    _, units = np.unique(units, return_inverse=True)
    order = np.argsort(units, kind="stable")  # so that units are runs, as permuted ones are
    x, y, units = _standardised(features)[order], np.asarray(classes)[order], units[order]
    keys = rng.random((PERMUTATIONS, units[-1] + 1))[:, units]
    labels = np.concatenate([y[None], y[np.argsort(keys, axis=1, kind="stable")]])
    share = np.bincount(y, minlength=num_classes) / len(y)
    fold = (rng.permutation(units[-1] + 1) % FOLDS)[units]
    scores = np.zeros((len(labels), len(y), num_classes), np.float32)
    for number in range(FOLDS):
        held = fold == number
        if not held.any() or held.all():
            continue
        known = x[~held]
        gram = known.T @ known + RIDGE * len(known) * np.eye(x.shape[1])
        solved = np.linalg.solve(gram, known.T).T.astype(np.float32)
        mean, around = solved.sum(axis=0), x[held].T.astype(np.float32)
        for k in range(1 if num_classes == 2 else 0, num_classes):
            indicator = (labels[:, ~held] == k).astype(np.float32)
            weights = (indicator @ solved - share[k] * mean) / np.sqrt(share[k] * (1 - share[k]))
            scores[:, held, k] = weights @ around
    if num_classes == 2:
        scores[:, :, 0] = -scores[:, :, 1]
    back = np.argsort(order)
    scores, labels = scores[:, back], labels[:, back]
    return Scores(scores[0], scores[1:], labels[0], labels[1:])


def balanced_accuracy(scores: Scores, units: np.ndarray) -> PermutationTest:
    """How often the class of highest score is the right one, as a mean over the classes."""
    number = scores.own.shape[1]
    weight = 1 / np.bincount(scores.classes, minlength=number) / number
    guessed = scores.own.argmax(axis=1) == scores.classes
    value = float((guessed * weight[scores.classes]).sum())
    right = scores.permuted.argmax(axis=2) == scores.permuted_classes
    null = (right * weight[scores.permuted_classes]).sum(axis=1)
    low, high = _interval(guessed, scores.classes, number, units)
    return PermutationTest(value, low, high, 1 / number, p=_p(value, null))


def area_under_curve(scores: Scores, units: np.ndarray) -> PermutationTest:
    """How often a sample of class 1 has a higher score than one of class 0; a tie is half."""
    every = np.concatenate([scores.own[None, :, 1], scores.permuted[:, :, 1]])
    labels = np.concatenate([scores.classes[None], scores.permuted_classes])
    ranks = np.stack([_midranks(row) for row in every])
    ones = int(scores.classes.sum())
    zeros = len(scores.classes) - ones
    areas = ((ranks * (labels == 1)).sum(axis=1) - ones * (ones + 1) / 2) / (ones * zeros)
    value = float(areas[0])
    half = 1.96 * _area_error(scores.own[:, 1], scores.classes, units)
    return PermutationTest(
        value, max(0.0, value - half), min(1.0, value + half), 0.5, p=_p(value, areas[1:])
    )


def confusion(scores: Scores) -> np.ndarray:
    """(K, K) int64: rows the true classes, columns those of highest score."""
    number = scores.own.shape[1]
    pairs = scores.classes * number + scores.own.argmax(axis=1)
    return np.bincount(pairs, minlength=number**2).reshape(number, number)


def _standardised(features: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over all samples; features that do not vary are 0."""
    x = np.asarray(features, np.float64)
    x = x - x.mean(axis=0)
    spread = x.std(axis=0)
    return x / np.where(spread > 1e-9, spread, np.inf)


def _midranks(score: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal scores share the mean of theirs, so that their order says nothing."""
    return _share_below(np.sort(score), score) * len(score) + 0.5


def _share_below(ordered: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The share of ordered values that is below each score, equal ones counted half."""
    below = np.searchsorted(ordered, score) + np.searchsorted(ordered, score, side="right")
    return below / (2 * len(ordered))


def _p(value: float, null: np.ndarray) -> float:
    return float((1 + (null >= value - 1e-9).sum()) / (1 + len(null)))


def _interval(
    right: np.ndarray, classes: np.ndarray, number: int, units: np.ndarray
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over classes, drawing units with replacement."""
    _, units = np.unique(units, return_inverse=True)
    totals = np.zeros((units.max() + 1, 2 * number))
    np.add.at(totals, (units, classes), 1)
    np.add.at(totals, (units, number + classes), right)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), DRAWS) @ totals
    with np.errstate(invalid="ignore"):
        shares = draws[:, number:] / draws[:, :number]
    low, high = np.quantile(np.nanmean(shares, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _area_error(score: np.ndarray, classes: np.ndarray, units: np.ndarray) -> float:
    """The standard error of an area, units drawn as a whole.

    Placements of DeLong, DeLong, Clarke-Pearson, 1988, summed by unit as in Obuchowski, 1997.
    """
    ones, zeros = np.sort(score[classes == 1]), np.sort(score[classes == 0])
    place = np.where(classes == 1, _share_below(zeros, score), 1 - _share_below(ones, score))
    middle = np.where(classes == 1, place[classes == 1].mean(), place[classes == 0].mean())
    part = (place - middle) / np.where(classes == 1, len(ones), len(zeros))
    _, units = np.unique(units, return_inverse=True)
    return float(np.sqrt((np.bincount(units, weights=part) ** 2).sum()))
