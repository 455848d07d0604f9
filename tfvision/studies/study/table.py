"""The table of a ladder: scores, intervals against the rung below, verdicts. NumPy only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.stats.bootstrap import holm
from tfvision.stats.measure import Measure
from tfvision.stats.seeds import compare_seeds
from tfvision.studies.compare.compare import verdict
from tfvision.studies.study.cautions import cautions, what_is_resampled, what_was_scored
from tfvision.studies.study.plan import StudyPlan
from tfvision.studies.study.rung_facts import (
    alarms_of,
    by_epoch,
    nothing_learnt,
    predicting_speed,
    search_of,
)
from tfvision.studies.study.schema import DECLARED, Rung
from tfvision.studies.study.scores import RungScores, common
from tfvision.text import finite

RESAMPLES, SEED = 10_000, 0


def make_table(
    plan: StudyPlan,
    scores: Mapping[str, RungScores],
    *,
    seeds: Sequence[int],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """What `ladder.json` holds.

    A rung's own score is on all its images; two rungs are compared on the images both have.

    Args:
        plan: The ladder, and what was planned.
        scores: What each rung that has runs is scored by.
        seeds: Those of `scores`, in order.
        failed: Why a rung has no runs.
    """
    study = plan.study
    pairs = [rung for rung in study.rungs if rung.name in scores and rung.against in scores]
    shared = {rung.name: common(scores[rung.against], scores[rung.name]) for rung in pairs}
    compared = {metric: _compared(pairs, scores, shared, metric) for metric in study.metrics}
    reported = {rung.name: rung.reported for rung in study.rungs}
    rows = []
    for rung in study.rungs:
        row = _row(plan, rung, scores.get(rung.name), failed.get(rung.name))
        if None not in (rung.reported, below := reported.get(rung.against)):
            row["reported_difference"] = round(rung.reported - below, 6)
        own = {metric: each[rung.name] for metric, each in compared.items() if rung.name in each}
        rows.append({**row, "compared": own})
    intervals = {metric: _intervals(scores, metric) for metric in study.metrics}
    for row in rows:
        for metric, own in row["scores"].items():
            own |= intervals[metric][row["name"]]
    most = max(scores.values(), key=lambda own: len(own.ids))
    table = {
        "name": study.name,
        "task": study.task,
        "scored": study.scored,
        "what": what_was_scored(study),
        "length": {"steps": study.steps} if study.epochs is None else {"epochs": study.epochs},
        "metrics": list(study.metrics),
        "seeds": list(seeds),
        "planned_seeds": list(study.seeds),
        "num_images": len(most.ids),
        "num_units": len(set(most.units)),
        "units": what_is_resampled(study),
        "comparisons": len(pairs),
        "data": plan.said_of_data,
        "rungs": rows,
    }
    return {**table, "cautions": cautions(study, table, plan.notes)}


def _scoring(metric: str, own: RungScores):
    """The score and the contract a metric of the ladder stands for."""
    if metric == DECLARED:
        return own.score, own.contract
    conventions = own.evidence[0].conventions
    if metric not in conventions:
        return metric, own.contract
    score, contract = conventions[metric]
    contract.check_classes(own.runs[0].data["num_classes"])
    return score, contract


def _intervals(scores: Mapping[str, RungScores], metric: str) -> dict[str, dict[str, Any]]:
    """Rung name -> the 95 % interval of its own mean score: that of its difference to 0."""
    sides = []
    for own in scores.values():
        measures = own.measures(*_scoring(metric, own), units=own.units)
        sides.append([(measure.zero(), measure) for measure in measures])
    found = compare_seeds(sides, resamples=RESAMPLES, seed=SEED)
    ends = [(measures[0][1], one) for measures, one in zip(sides, found, strict=True)]
    return {
        name: {"low": finite(max(one.low, m.low)), "high": finite(min(one.high, m.high))}
        for name, (m, one) in zip(scores, ends, strict=True)
    }


def _compared(pairs: Sequence[Rung], scores, shared, metric: str) -> dict[str, dict[str, Any]]:
    """Rung name -> its comparison, the verdicts corrected for their number."""
    sides = []
    for rung in pairs:
        names, units = shared[rung.name]
        both = (scores[rung.against], scores[rung.name])
        score, contract = _scoring(metric, both[0])
        measures = [own.measures(score, contract, names=names, units=units) for own in both]
        sides.append(list(zip(*measures, strict=True)))
    differences = compare_seeds(sides, resamples=RESAMPLES, seed=SEED)
    adjusted = holm([one.p_value for one in differences])
    return {
        rung.name: {
            **{key: finite(getattr(one, key)) for key in _SHOWN},
            "p_adjusted": finite(p),
            "verdict": verdict(one, p),
            "num_images": len(shared[rung.name][0]),
            "num_units": len(set(shared[rung.name][1])),
            "seed_differences": [finite(b - a) for a, b in zip(one.first, one.second, strict=True)],
        }
        for rung, one, p in zip(pairs, differences, adjusted, strict=True)
    }


_SHOWN = (
    *("difference", "low", "high", "p_value", "standard_error"),
    *("units_error", "seeds_error", "freedom"),
)


def _row(plan: StudyPlan, rung: Rung, own: RungScores | None, failed: str | None) -> dict[str, Any]:
    """What there is to say of a rung alone; `own` is None where it failed."""
    metrics = plan.study.metrics
    summaries = [] if own is None else own.summaries
    steps = [summary["steps"] for summary in summaries] or plan.lengths[rung.name].steps
    scores = {} if own is None else {m: own.measures(*_scoring(m, own)) for m in metrics}
    validation = None
    if own is not None and own.validation is not None:
        validation = [each.measure(*_scoring(metrics[0], own)) for each in own.validation]
    over = {metric: _over_seeds(measures) for metric, measures in scores.items()}
    runs = [] if own is None else own.runs
    return {
        "name": rung.name,
        "about": rung.about,
        "against": rung.against,
        "reported": rung.reported,
        "reported_difference": None,
        "failed": failed,
        "arch": rung.config.model.name,
        "parameters": summaries[0]["num_parameters"] if summaries else None,
        "num_images": None if own is None else len(own.ids),
        "steps": round(sum(steps) / len(steps)),  # of a fold's run under folds, their mean
        "epochs": plan.lengths[rung.name].epochs,
        "own_epochs": rung.epochs is not None,
        "wall_seconds": [summary["wall_seconds"] for summary in summaries],
        "post_processed": bool(rung.config.postprocess),
        "validation": validation and _over_seeds(validation),
        "scores": over,
        "by_epoch": by_epoch(runs) if runs else None,
        "search": search_of(plan, rung),
        "alarms": alarms_of(runs),
        "nothing_learnt": nothing_learnt(runs, over[metrics[0]]["mean"]) if runs else None,
        "predicted_per_second": predicting_speed(runs),
    }


def _over_seeds(measures: Sequence[Measure]) -> dict[str, Any]:
    """A score of each seed, their mean and deviation (n - 1)."""
    each = [finite(measure.value()) for measure in measures]
    known = np.array([v for v in each if v is not None])
    whole = known.size == len(each)
    return {
        "each": each,
        "mean": float(known.mean()) if whole else None,
        "deviation": float(known.std(ddof=1)) if whole and len(each) > 1 else None,
    }
