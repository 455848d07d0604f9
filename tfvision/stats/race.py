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
from typing import Any

import numpy as np

from tfvision.stats.bootstrap import compare, holm, interval, t_values
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Measure


@dataclass(frozen=True)
class FoldEvidence:
    """What a candidate did on one fold.

    Attributes:
        evidence: Of its N images.
        units: N names; images of one name belong together and are resampled as one.
        score, contract: What is counted, as in `Evidence.measure`; the same for all.
    """

    evidence: Evidence
    units: Sequence[str]
    score: str
    contract: Any


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
        evidence: Each candidate's folds, as far as it came.
        survivors: Those with all folds.
    """

    rounds: list[Round] = field(default_factory=list)
    evidence: dict[str, list[FoldEvidence]] = field(default_factory=dict)
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


def race(
    names: Sequence[str],
    num_folds: int,
    evidence_of: Callable[[str, int], FoldEvidence],
    *,
    alpha: float = 0.05,
    least: int = 1,
    luck: float = 0.0,
    resamples: int | None = None,
    on_round: Callable[[Race], None] = lambda race: None,
) -> Race:
    """Runs a race.

    Args:
        names: Of the candidates; the first is the leader where scores are equal.
        num_folds: Rounds.
        evidence_of: `(name, fold) -> evidence`, which may train; of one fold the same images in
            the same order for all candidates. Never asked for one that is out.
        alpha: Chance, over the whole race, that a given candidate is dropped though it is as
            good as any: the best one, say. Each of the rounds after which dropping saves anything,
            all but the last, has an equal share of it (Bonferroni), and within a round Holm
            corrects for the number of candidates. That some one of many equals is dropped is
            likelier; another as good as it stays. 0 drops nobody.
        least: Folds before anybody is dropped.
        luck: Standard deviation of the score of one fold between trainings that differ in the
            seed alone. The images cannot tell it: with 0 a training that was unlucky counts
            as a worse candidate.
        resamples: Of the bootstrap; None: 10,000, and more where many comparisons ask for
            smaller p-values.
        on_round: Called after every round.

    Returns:
        The same race for the same evidence.
    """
    done = Race(evidence={name: [] for name in names}, survivors=list(names))
    looks = max(num_folds - least, 1)
    if resamples is None:
        resamples = max(10_000, math.ceil(10 * len(names) * looks / (alpha or 1)))
    for fold in range(num_folds):
        for name in done.survivors:
            done.evidence[name].append(evidence_of(name, fold))
        measures = {name: _measure(done.evidence[name]) for name in done.survivors}
        level = alpha / looks if least <= fold + 1 < num_folds else 0.0
        done.rounds.append(_round(fold, measures, level, luck, resamples=resamples))
        verdicts = done.rounds[-1].verdicts
        done.survivors = [n for n in done.survivors if n not in verdicts or not verdicts[n].dropped]
        on_round(done)
    return done


def nested_choice(
    evidence: Mapping[str, Sequence[FoldEvidence]],
) -> tuple[list[str], list[FoldEvidence]]:
    """The choice of the best, made for each fold without it.

    For each fold the candidate that is best on the other folds is taken, with what
    it did on this fold. None of them had a part in the choice, so their pooled score says what
    choosing by folds is worth: it is not raised by having been the best of many, as the
    winner's own pooled score is.

    Args:
        evidence: Each candidate's folds, all of them.

    Returns:
        The choice for each fold, and what each choice did there.
    """
    folds = range(len(next(iter(evidence.values()))))
    chosen = []
    for left_out in folds:
        others = {
            name: _measure([e for f, e in enumerate(each) if f != left_out])
            for name, each in evidence.items()
        }
        chosen.append(_best(others))
    return chosen, [evidence[name][fold] for fold, name in enumerate(chosen)]


def score_interval(evidence: Sequence[FoldEvidence]) -> tuple[float, float, float]:
    """The pooled score of some folds and its 95 % interval over the units, NaN for one unit."""
    measure = _measure(evidence)
    if measure.num_units < 2:
        return measure.value(), math.nan, math.nan
    return measure.value(), *interval(measure)


def _measure(evidence: Sequence[FoldEvidence]) -> Measure:
    first = evidence[0]
    joined = type(first.evidence).join([e.evidence for e in evidence])
    folds = np.repeat(np.arange(len(evidence)), [len(e.evidence) for e in evidence])
    units = [unit for e in evidence for unit in e.units]
    return joined.over_folds(first.score, first.contract, folds=folds, groups=units)


def _best(measures: Mapping[str, Measure]) -> str:
    """The first of those with the best score; one without a score is the last choice."""
    values = {name: measure.value() for name, measure in measures.items()}
    sign = {name: 1 if m.larger_is_better else -1 for name, m in measures.items()}
    return max(values, key=lambda n: -math.inf if math.isnan(values[n]) else sign[n] * values[n])


def _round(
    fold: int, measures: Mapping[str, Measure], level: float, luck: float, resamples: int
) -> Round:
    scores = {name: measure.value() for name, measure in measures.items()}
    leader = _best(measures)
    others = [name for name in measures if name != leader]
    if measures[leader].num_units < 2:  # nothing to resample: this fold decides nothing
        unknown = {
            name: Verdict(scores[name] - scores[leader], *[math.nan] * 4, dropped=False)
            for name in others
        }
        return Round(fold, leader, scores, unknown)
    pairs = [(measures[leader], measures[name]) for name in others]
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
            dropped=bool(d.gain < 0 and adjusted <= level),
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
    low = max(found.difference - reach, -found.span)
    high = min(found.difference + reach, found.span)
    return low, high, float(p_value)
