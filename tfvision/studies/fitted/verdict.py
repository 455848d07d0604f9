"""Which fitted rules really help: nested gains, their intervals, and a verdict. NumPy only."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tfvision.metrics.contract import Contract
from tfvision.metrics.ratios import PLAIN
from tfvision.postprocess.candidates import Rule
from tfvision.postprocess.fit import Predictions, fit, nested
from tfvision.stats import bootstrap
from tfvision.stats.bootstrap import Difference, holm
from tfvision.stats.evidence import Evidence
from tfvision.text import finite

LEVEL = 0.05
RESAMPLES, SEED = 10_000, 0
_NOT_SHOWN = ("resampled", "errors", "span", "larger_is_better")


@dataclass(frozen=True)
class Gain:
    """What going from one evidence to another brings, in score.

    Attributes:
        declared: Under the metric contract of the runs, with its interval.
        plain: The same score of the same evidence over all classes, with no label ignored.
    """

    declared: Difference
    plain: Difference

    @property
    def contract_effect(self) -> float:
        """The part of the gain that is there only under the declared contract."""
        return self.declared.difference - self.plain.difference

    def to_json(self) -> dict[str, Any]:
        return {
            "declared": _plain(self.declared),
            "plain": _plain(self.plain),
            "contract_effect": finite(self.contract_effect),
        }


@dataclass
class Tried:
    """One candidate.

    Attributes:
        name: Its rule.
        rule: As fitted alone on all images; None: no setting scored higher than going without.
        by_part: The same, fitted without each part.
        apparent: Gain of `rule` on the very images it was fitted on: too high.
        gain: Nested.
        p_adjusted: Of `gain.declared`, Holm over all candidates.
        verdict: `applied` or `refused`.
        reason: Of a refusal, with figures.
        on_top_of: The candidates applied before it was tried together with them.
        added: What it then gains, nested; None where it was not tried so.
    """

    name: str
    rule: Rule | None
    by_part: list[Rule | None]
    apparent: float
    gain: Gain
    p_adjusted: float = math.nan
    verdict: str = "refused"
    reason: str = ""
    on_top_of: list[str] = field(default_factory=list)
    added: Gain | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "rule": self.rule,
            "rule_by_part": self.by_part,
            "gain": self.gain.to_json(),
            "apparent_gain": finite(self.apparent),
            "p_adjusted": finite(self.p_adjusted),
            "on_top_of": self.on_top_of,
            "added": self.added and self.added.to_json(),
        }


@dataclass
class Judgement:
    """What `judge` finds.

    Attributes:
        tried: In the order of `CANDIDATES`.
        rules: Those applied, fitted on all images on top of each other.
        together: Nested gain of all of these over going without; None where none is applied.
    """

    tried: list[Tried]
    rules: list[Rule] = field(default_factory=list)
    together: Gain | None = None


def judge(
    names: Sequence[str],
    predictions: Predictions,
    *,
    parts: Sequence[np.ndarray],
    units: Sequence[str],
    contract: Contract,
    score: str,
    folds: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
) -> Judgement:
    """Fits every candidate alone, scores it nested, and says which to apply.

    A candidate is applied only when the 95 % interval of its nested gain lies above 0 and
    Holm's p over all candidates is at most 0.05. Where several pass, the one that gains most
    comes first, and each further one must gain as surely on top of those before it, at a p
    times the number of candidates: two that mend the same fault are not both applied.

    Args:
        names: Candidates.
        predictions: N images.
        parts: From `assign_parts`.
        units: The unit of each image, for the bootstrap.
        contract, score: What is to gain, as `Evidence.measure` has them.
        folds: The fold of each image, whose model predicted it; None: one model did.
        resamples: Of the bootstrap.
    """
    objective = predictions.objective(contract, score)
    scoring = {"contract": contract, "score": score, "folds": folds}

    def gain(before: Evidence, after: Evidence) -> Gain:
        return gain_of(before, after, **scoring, units=units, resamples=resamples)

    def value(evidence: Evidence) -> float:
        return evidence.over_folds(score, contract, folds=folds).value()

    everything = range(len(predictions))
    base = predictions.evidence([])
    alone, tried = {}, []
    for name in names:
        alone[name], by_part = nested([name], predictions, parts, objective)
        rule = next(iter(fit([name], predictions, everything, objective)), None)
        apparent = value(predictions.evidence([rule] if rule else [])) - value(base)
        firsts = [next(iter(rules), None) for rules in by_part]
        tried.append(Tried(name, rule, firsts, apparent, gain=gain(base, alone[name])))
    for one, p in zip(tried, holm([t.gain.declared.p_value for t in tried]), strict=True):
        one.p_adjusted = p
        one.reason = _refusal(one, len(tried))
    judgement = Judgement(tried)
    kept, reached = [], base
    for one in sorted(tried, key=lambda t: -np.nan_to_num(t.gain.declared.gain)):
        if one.reason:
            continue
        together = [*kept, one.name]
        after = alone[one.name] if not kept else nested(together, predictions, parts, objective)[0]
        rules = fit(together, predictions, everything, objective)
        if kept:
            one.on_top_of, one.added = kept, gain(reached, after)
            one.reason = _surplus(one.added, kept, len(tried), len(rules), name=one.name)
        if not one.reason:
            one.verdict, kept, reached, judgement.rules = "applied", together, after, rules
    if kept:
        judgement.together = gain(base, reached)
    return judgement


def gain_of(
    before: Evidence,
    after: Evidence,
    *,
    contract: Contract,
    score: str,
    units: Sequence[str],
    folds: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
) -> Gain:
    """The gain from one evidence to another of the same images, paired over units."""
    contracts = [contract] if contract == PLAIN else [contract, PLAIN]
    pairs = [
        tuple(e.over_folds(score, c, folds=folds, groups=units) for e in (before, after))
        for c in contracts
    ]
    found = bootstrap.compare(pairs, resamples=resamples, seed=SEED)
    return Gain(found[0], found[-1])


def _refusal(one: Tried, num_tried: int) -> str:
    """Why a candidate by itself is not to be applied, or ""."""
    if one.rule is None:
        return "fitted on all images, no setting scores higher than going without"
    return refusal(one.gain.declared, one.p_adjusted, num_tried)


def refusal(found: Difference, p_adjusted: float, num_tried: int) -> str:
    """Why what gains so much is not to be applied, or "".

    Args:
        found: The nested gain, with its 95 % interval.
        p_adjusted: Its p-value, by Holm over all that was tried.
        num_tried: How many that is.
    """
    if not np.isfinite(found.difference):
        return "nothing is counted under the metric contract"
    if found.num_differing == 0:
        return "it changes no held-out image"
    if not found.better:
        return f"its nested gain is {_text(found)}, and that interval is not {found.better_side} 0"
    if p_adjusted > LEVEL:
        return (
            f"its nested gain is {_text(found)}, but of {num_tried} candidates tried: Holm's p is "
            f"{p_adjusted:.3f}, above {LEVEL}"
        )
    return ""


def _surplus(added: Gain, kept: list[str], num_tried: int, num_rules: int, name: str) -> str:
    """Why a candidate that passes alone is not to come on top of others, or ""."""
    found, others = added.declared, " and ".join(kept)
    if num_rules <= len(kept):
        return f"fitted on top of {others}, {name} finds nothing more to gain"
    sure = found.better and found.p_value * num_tried <= LEVEL
    if sure:
        return ""
    return (
        f"on top of {others} it adds {_text(found)} (p times {num_tried} candidates: "
        f"{min(1.0, found.p_value * num_tried):.3f}), which is not surely {found.better_side} 0"
    )


def _text(found: Difference) -> str:
    return f"{found.difference:+.4f} (95 % interval {found.low:+.4f} to {found.high:+.4f})"


def _plain(found: Difference) -> dict[str, Any]:
    """Without the resamples and what is known of the score, ready for JSON."""
    figures = {key: value for key, value in asdict(found).items() if key not in _NOT_SHOWN}
    return {
        key: value if isinstance(value, int) else finite(value) for key, value in figures.items()
    }
