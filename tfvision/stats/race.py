"""A race of candidates over folds: those that are worse beyond doubt stop early.

A candidate that is dropped because one fold's score misses a fixed threshold is dropped by the
difficulty of that fold and by chance, and how often nobody knows. Here a candidate is only
compared with others on the same images, and is dropped when the difference to the leader is
more than chance explains (Maron and Moore, "Hoeffding Races", NIPS 1994; Birattari et al., "A
Racing Algorithm for Configuring Metaheuristics", GECCO 2002, with the paired bootstrap in
place of Hoeffding's bound and of Friedman's test). NumPy only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfvision.metrics.contract import Contract
from tfvision.stats.bootstrap import Parts, compare, holm, score_parts, t_values, value


@dataclass(frozen=True)
class FoldCounts:
    """What a candidate did on one fold.

    Attributes:
        cms: (N, K, K) counts, one an image, rows the truth.
        units: N names; images of one name belong together and are resampled as one.
    """

    cms: np.ndarray
    units: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """A candidate against the leader of a round, on the folds of all rounds so far.

    Attributes:
        difference: Its score minus the leader's.
        low, high: The 95 % interval, for itself.
        p_value: Two-sided.
        p_adjusted: By Holm over the comparisons of the round.
        dropped: Whether it is out.
    """

    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    dropped: bool


@dataclass(frozen=True)
class Round:
    """One fold, on which all who were left have been trained.

    Attributes:
        fold: Its number.
        leader: Who is ahead after it.
        scores: Of those who were left, on all folds so far, pooled.
        verdicts: Of all of them but the leader.
    """

    fold: int
    leader: str
    scores: dict[str, float]
    verdicts: dict[str, Verdict]


@dataclass
class Race:
    """A whole race.

    Attributes:
        rounds: One a fold.
        counts: Each candidate's folds, as far as it came.
        survivors: Those with all folds.
    """

    rounds: list[Round] = field(default_factory=list)
    counts: dict[str, list[FoldCounts]] = field(default_factory=dict)
    survivors: list[str] = field(default_factory=list)

    @property
    def winner(self) -> str:
        return self.rounds[-1].leader

    def dropped_after(self, name: str) -> int | None:
        """The fold after which it was dropped, or None."""
        for found in self.rounds:
            if name in found.verdicts and found.verdicts[name].dropped:
                return found.fold
        return None


@dataclass(frozen=True)
class Rule:
    """When a candidate is dropped.

    Attributes:
        alpha: Chance, over the whole race, that a given candidate is dropped though it is as
            good as any: the best one, say. Each of the rounds after which dropping saves anything,
            all but the last, has an equal share of it (Bonferroni), and within a round Holm
            corrects for the number of candidates. That some one of many equals is dropped is
            likelier; another as good as it stays. 0 drops nobody.
        least: Folds before anybody is dropped.
        luck: Standard deviation of the score of one fold between trainings that differ in the
            seed alone. The images cannot tell it: with 0 a training that was unlucky counts
            as a worse candidate.
    """

    alpha: float = 0.05
    least: int = 1
    luck: float = 0.0


def race(
    names: Sequence[str],
    num_folds: int,
    counts_of: Callable[[str, int], FoldCounts],
    *,
    contract: Contract,
    score: str = "mean_iou",
    rule: Rule = Rule(),
    resamples: int | None = None,
    on_round: Callable[[Race], None] = lambda race: None,
) -> Race:
    """Runs a race.

    Args:
        names: Of the candidates; the first is the leader where scores are equal.
        num_folds: Rounds.
        counts_of: `(name, fold) -> counts`, which may train; of one fold the same images in
            the same order for all candidates. Never asked for one that is out.
        contract, score: What is counted, as in `bootstrap.score_parts`.
        rule: When one is dropped.
        resamples: Of the bootstrap; None: 10,000, and more where many comparisons ask for
            smaller p-values.
        on_round: Called after every round.

    Returns:
        The same race for the same counts.
    """
    done = Race(counts={name: [] for name in names}, survivors=list(names))
    looks = max(num_folds - rule.least, 1)
    if resamples is None:
        resamples = max(10_000, math.ceil(10 * len(names) * looks / (rule.alpha or 1)))
    for fold in range(num_folds):
        for name in done.survivors:
            done.counts[name].append(counts_of(name, fold))
        parts = {n: _parts(done.counts[n], contract, score) for n in done.survivors}
        level = rule.alpha / looks if rule.least <= fold + 1 < num_folds else 0.0
        done.rounds.append(_round(fold, parts, level, rule.luck, resamples))
        verdicts = done.rounds[-1].verdicts
        done.survivors = [n for n in done.survivors if n not in verdicts or not verdicts[n].dropped]
        on_round(done)
    return done


def nested_choice(
    counts: Mapping[str, Sequence[FoldCounts]], *, contract: Contract, score: str = "mean_iou"
) -> tuple[list[str], list[FoldCounts]]:
    """The choice of the best, made for each fold without it.

    For each fold the candidate that is best on the other folds is taken, and its counts on
    this fold are kept. None of them had a part in the choice, so their pooled score says what
    choosing by folds is worth: it is not raised by having been the best of many, as the
    winner's own pooled score is.

    Args:
        counts: Each candidate's folds, all of them.
        contract, score: As in `bootstrap.score_parts`.

    Returns:
        The choice for each fold, and the counts of each choice there.
    """
    folds = range(len(next(iter(counts.values()))))
    chosen = []
    for left_out in folds:
        others = {
            name: value(_parts([c for f, c in enumerate(found) if f != left_out], contract, score))
            for name, found in counts.items()
        }
        chosen.append(_best(others))
    return chosen, [counts[name][fold] for fold, name in enumerate(chosen)]


def score_interval(
    counts: Sequence[FoldCounts], *, contract: Contract, score: str = "mean_iou"
) -> tuple[float, float, float]:
    """The pooled score of some folds and its 95 % interval over the units, NaN for one unit."""
    parts = _parts(counts, contract, score)
    if len(parts.above) < 2:
        return value(parts), math.nan, math.nan
    nothing = Parts(np.zeros_like(parts.above), np.ones_like(parts.below))  # a score of 0, always
    (found,) = compare([(nothing, parts)])
    return found.second, max(found.low, 0.0), found.high


def _parts(counts: Sequence[FoldCounts], contract: Contract, score: str) -> Parts:
    cms = np.concatenate([c.cms for c in counts])
    units = [unit for c in counts for unit in c.units]
    return score_parts(cms, contract, score=score, groups=units)


def _best(scores: Mapping[str, float]) -> str:
    """The first of those with the highest score; one without a score is the last choice."""
    return max(scores, key=lambda name: -math.inf if math.isnan(scores[name]) else scores[name])


def _round(
    fold: int, parts: Mapping[str, Parts], level: float, luck: float, resamples: int
) -> Round:
    scores = {name: value(p) for name, p in parts.items()}
    leader = _best(scores)
    others = [name for name in parts if name != leader]
    if len(parts[leader].above) < 2:  # nothing to resample: this fold decides nothing
        unknown = {
            name: Verdict(scores[name] - scores[leader], *[math.nan] * 4, dropped=False)
            for name in others
        }
        return Round(fold, leader, scores, unknown)
    pairs = [(parts[leader], parts[name]) for name in others]
    found = compare(pairs, resamples=resamples, seed=fold) if pairs else []
    # Two trainings a fold; the mean over folds of a difference has so much of their luck.
    lucky = luck * math.sqrt(2 / (fold + 1))
    judged = [_judged(difference, lucky) for difference in found]
    verdicts = {
        name: Verdict(
            difference=d.difference,
            low=low,
            high=high,
            p_value=p,
            p_adjusted=adjusted,
            dropped=bool(d.difference < 0 and adjusted <= level),
        )
        for name, d, (low, high, p), adjusted in zip(
            others, found, judged, holm([p for _, _, p in judged]), strict=True
        )
    }
    return Round(fold, leader, scores, verdicts)


def _judged(found, lucky: float) -> tuple[float, float, float]:
    """Interval and p-value, the luck of the trainings added to the error of the images."""
    if not lucky or not math.isfinite(found.difference):
        return found.low, found.high, found.p_value
    error = math.hypot(found.standard_error, lucky)
    t = t_values(found.difference, np.stack([found.resampled, found.errors]))
    reach = float(np.quantile(t, 0.95, method="inverted_cdf")) * error
    p_value = (1 + (t >= abs(found.difference) / error).sum()) / (1 + len(t))
    low, high = max(found.difference - reach, -1.0), min(found.difference + reach, 1.0)
    return low, high, float(p_value)
