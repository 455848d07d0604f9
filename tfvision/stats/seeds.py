"""Differences between methods that were trained several times: images and luck in one interval.

A difference of scores has two sources of chance: which images (or groups of them) were in
the test part, and how each training happened to go. `bootstrap.compare` has the first alone,
for trained models as they are. Here a method is a set of trainings with different seeds, and
both sources are in the interval. NumPy and SciPy, float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtr, stdtrit

from tfvision.errors import InputError
from tfvision.stats.bootstrap import Difference, Directed, compare_means, influences, t_values
from tfvision.stats.measure import Measure

MOST = 1e6  # degrees of freedom: the normal distribution


@dataclass(frozen=True)
class SeedDifference(Directed):
    """Mean score of the second method minus that of the first.

    Attributes:
        first, second: Scores of each training, in the order of the seeds.
        difference: Of their means, second minus first.
        low, high: The 95 % interval, cut to -span..span.
        p_value: Two-sided; 1 minus the largest confidence whose interval leaves 0 out.
        standard_error: Of the difference, both sources of chance.
        units_error: Its part that comes from the choice of units, by the delta method.
        seeds_error: Its part that comes from the luck of training; NaN with one seed.
        freedom: Degrees of freedom of the t interval; NaN with one seed, whose interval is
            the bootstrap's.
        num_units: Units.
        span: The largest difference there can be.
        larger_is_better: The direction of the score.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: float
    low: float
    high: float
    p_value: float
    standard_error: float
    units_error: float
    seeds_error: float
    freedom: float
    num_units: int
    span: float = 1.0
    larger_is_better: bool = True


def compare_seeds(
    comparisons: Sequence[Sequence[tuple[Measure, Measure]]],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[SeedDifference]:
    """Intervals of mean differences over S seeds, for a whole family of comparisons.

    The variance of the mean difference d is V = V_u + (s^2 - V_e) / S, at least V_u:

    - V_u: that of the choice of units for the mean of these trainings, by the delta method;
    - s^2: that of the S differences of trainings with equal seeds (pairs: what both methods
      share, such as the order of the data, falls out);
    - V_e: the share of s^2 that V_u holds already, how far the units treat the S differences
      differently, by the delta method.

    With S = 2 or 3, s^2 of one comparison is hardly known (S - 1 degrees of freedom), so it is
    moderated over the family: drawn towards what the others have, the more the more alike they
    are (Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential
    Expression in Microarray Experiments", Statistical Applications in Genetics and Molecular
    Biology 3, 2004, section 6.2). The interval is d +- t sqrt(V), with degrees of freedom after
    Satterthwaite ("An Approximate Distribution of Estimates of Variance Components", Biometrics
    Bulletin 2, 1946); those of V_u are what Student's t needs to reach the bootstrap-t quantile
    of the units, at most their number less 1. experiments/ladder_coverage.py measures coverage.

    With one seed it is `bootstrap.compare_means`: the luck of training is not in it.

    Args:
        comparisons: For each, a pair (first, second) of scores a seed, of the same units; two
            comparisons may have different ones.
        resamples, confidence, seed: As `bootstrap.compare` has them.

    Raises:
        InputError: Comparisons of different numbers of seeds, or a pair of different units.
    """
    counts = {len(pairs) for pairs in comparisons}
    if len(counts) > 1 or 0 in counts:
        raise InputError(
            f"All comparisons need the same number of seeds, at least 1; received {sorted(counts)}."
        )
    if not comparisons:
        return []
    over_units = _over_units(comparisons, resamples=resamples, confidence=confidence, seed=seed)
    (num_seeds,) = counts
    scores = [
        (tuple(a.value() for a, _ in pairs), tuple(b.value() for _, b in pairs))
        for pairs in comparisons
    ]
    if num_seeds == 1:
        return [
            SeedDifference(
                *both,
                *(found.difference, found.low, found.high, found.p_value),
                *(found.standard_error, found.standard_error, math.nan, math.nan),
                *(found.num_units, found.span, found.larger_is_better),
            )
            for both, found in zip(scores, over_units, strict=True)
        ]
    own = np.array([np.var(np.subtract(b, a), ddof=1) for a, b in scores])
    luck, freedom = moderate(own, num_seeds - 1)
    return [
        _joined(both, found, s2, freedom, twice=_held_twice(pairs), confidence=confidence)
        for both, found, s2, pairs in zip(scores, over_units, luck, comparisons, strict=True)
    ]


def _over_units(comparisons, **options) -> list[Difference]:
    """`compare_means`, those with equally many units together: they see the same resamples."""
    sizes = [pairs[0][0].num_units for pairs in comparisons]
    found: dict[int, Difference] = {}
    for size in dict.fromkeys(sizes):
        places = [place for place, own in enumerate(sizes) if own == size]
        differences = compare_means([comparisons[place] for place in places], **options)
        found.update(zip(places, differences, strict=True))
    return [found[place] for place in range(len(sizes))]


def moderate(variances: np.ndarray, freedom: int) -> tuple[np.ndarray, float]:
    """Variances (G,) drawn towards their common value, and the degrees of freedom they then have.

    Smyth, 2004, section 6.2: with s_g^2 of d degrees of freedom, z_g = log s_g^2 and the digamma
    function psi, the prior's d0 solves psi'(d0 / 2) = var(z) - psi'(d / 2), and its s0^2 is
    exp(mean(z) - psi(d / 2) + log(d / 2) + psi(d0 / 2) - log(d0 / 2)). A result is
    (d0 s0^2 + d s_g^2) / (d0 + d), of d0 + d degrees of freedom.

    Two things are stricter than there. A variance is never drawn below itself: a method whose
    trainings vary more than the others' keeps its own. And neighbours on a ladder share a rung,
    by which their variances are correlated (1/4 for equal rungs), so that G of them count as
    two thirds: the degrees of freedom are at most 2/3 G d. Fewer than 3 variances are left as
    they are.
    """
    variances = np.asarray(variances, np.float64)
    known = variances[np.isfinite(variances)]
    middle = float(np.median(known)) if known.size else 0.0
    if known.size < 3 or middle <= 0:
        return variances, float(freedom)
    z = np.log(np.maximum(known, 1e-5 * middle))  # equal trainings have none: limma's bound
    spread = float(z.var(ddof=1) - polygamma(1, freedom / 2))
    centre = float(z.mean() - digamma(freedom / 2)) + math.log(freedom / 2)
    most = max(known.size * freedom * 2 / 3, float(freedom))
    if spread <= 0:
        return np.maximum(variances, known.mean()), most
    prior = 2 * _root(lambda x: spread - polygamma(1, x), 1e-3, MOST)
    common = math.exp(centre + digamma(prior / 2) - math.log(prior / 2))
    drawn = (prior * common + freedom * variances) / (prior + freedom)
    return np.maximum(variances, drawn), min(prior + freedom, most)


def _joined(scores, found, luck: float, freedom: float, twice: float, confidence: float):
    """One comparison's interval, from the units' and the seeds' variance."""
    num_seeds = len(scores[0])
    units = found.standard_error**2
    seeds = max(luck - twice, 0.0) / num_seeds
    variance = units + seeds
    of_units = _freedom_of_units(found, confidence)
    share = (units**2 / of_units if units > 0 else 0.0) + (luck / num_seeds) ** 2 / freedom
    error = math.sqrt(variance) if np.isfinite(variance) else math.nan
    low = high = p_value = math.nan
    degrees = variance**2 / share if share > 0 else math.inf
    if error == 0:
        low = high = found.difference
        p_value = 1.0
    elif np.isfinite(error):
        degrees = max(degrees, 1.0)
        # Beyond MOST it is the normal distribution.
        reach = stdtrit(min(degrees, MOST), (1 + confidence) / 2) * error
        low, high = found.difference - reach, found.difference + reach
        low, high = max(low, -found.span), min(high, found.span)
        p_value = 2 * stdtr(min(degrees, MOST), -abs(found.difference) / error)
    return SeedDifference(
        *scores,
        *(found.difference, float(low), float(high), float(p_value), error),
        *(found.standard_error, math.sqrt(seeds), degrees, found.num_units),
        *(found.span, found.larger_is_better),
    )


def _freedom_of_units(found, confidence: float) -> float:
    """Degrees of freedom at which Student's quantile is the bootstrap-t's, 1..U - 1."""
    if not np.isfinite(found.difference):
        return 1.0
    t = t_values(found.difference, np.stack([found.resampled, found.errors]))
    most = float(found.num_units - 1)
    quantile = float(np.quantile(t, confidence, method="inverted_cdf")) if t.size else math.inf
    if not math.isfinite(quantile):
        return 1.0
    return _root(lambda freedom: stdtr(freedom, quantile) - (1 + confidence) / 2, 1.0, most)


def _held_twice(pairs: Sequence[tuple[Measure, Measure]]) -> float:
    """How far the units treat the S differences differently: a variance in `s^2` and in `V_u`."""
    each = np.stack([influences(*pair) for pair in pairs])  # (S, U)
    size = each.shape[1]
    apart = each - each.mean(axis=0)
    return float((apart**2).sum() * size / (size - 1) / (len(pairs) - 1))


def _root(rising, low: float, high: float) -> float:
    """Where a rising function is 0, sought on the logarithm; an end where it is 0 beyond that."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return math.exp(
        brentq(lambda x: rising(math.exp(x)), math.log(low), math.log(high), xtol=1e-13)
    )
