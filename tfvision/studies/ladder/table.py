"""The table of a ladder: scores, intervals against the rung below, verdicts. NumPy only."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.stats.bootstrap import holm
from tfvision.stats.seeds import compare_seeds
from tfvision.studies.compare.compare import verdict
from tfvision.studies.ladder.cautions import cautions, said, what_was_scored
from tfvision.studies.ladder.plan import Climb
from tfvision.studies.ladder.schema import DECLARED, Rung
from tfvision.studies.ladder.scores import RungScores, common

RESAMPLES, SEED = 10_000, 0


def make_table(
    climb: Climb,
    scores: Mapping[str, RungScores],
    *,
    seeds: Sequence[int],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """What `ladder.json` holds.

    A rung's own score is on all its images; two rungs are compared on the images both have.

    Args:
        climb: The ladder, and what was planned.
        scores: What each rung that has runs is scored by.
        seeds: Those of `scores`, in order.
        failed: Why a rung has no runs.
    """
    ladder = climb.ladder
    rungs = [rung for rung in ladder.rungs if rung.name in scores]
    pairs = [rung for rung in rungs if rung.against in scores]
    shared = {rung.name: common(scores[rung.against], scores[rung.name]) for rung in pairs}
    values, compared = {}, {}
    for metric in ladder.metrics:
        values[metric] = {
            name: [_number(m.value()) for m in own.measures(*_scoring(metric, own))]
            for name, own in scores.items()
        }
        compared[metric] = _compared(pairs, scores, shared, metric)
    first = ladder.metrics[0]
    validation = {
        name: [_number(e.measure(*_scoring(first, own)).value()) for e in own.validation]
        for name, own in scores.items()
        if own.validation is not None
    }
    by_name = {rung.name: rung for rung in ladder.rungs}
    rows = [
        {
            **_row(climb, rung, by_name, scores.get(rung.name), failed),
            "validation": _over_seeds(validation.get(rung.name)),
            "scores": {m: _over_seeds(own.get(rung.name)) for m, own in values.items()},
            "compared": {m: own[rung.name] for m, own in compared.items() if rung.name in own},
        }
        for rung in ladder.rungs
    ]
    for row in rows:
        row["scores"] = {m: found for m, found in row["scores"].items() if found is not None}
    most = max(scores.values(), key=lambda own: len(own.ids))
    table = {
        "name": ladder.name,
        "task": ladder.task,
        "scored": ladder.scored,
        "what": what_was_scored(ladder),
        "length": {"steps": ladder.steps} if ladder.epochs is None else {"epochs": ladder.epochs},
        "metrics": list(ladder.metrics),
        "seeds": list(seeds),
        "planned_seeds": list(ladder.seeds),
        "num_images": len(most.ids),
        "num_units": len(set(most.units)),
        "units": said(ladder),
        "comparisons": len(pairs),
        "rungs": rows,
    }
    return {**table, "cautions": cautions(ladder, table, climb.notes)}


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
            **{key: _number(getattr(one, key)) for key in _SHOWN},
            "p_adjusted": _number(p),
            "verdict": verdict(one, p),
            "num_images": len(shared[rung.name][0]),
            "num_units": len(set(shared[rung.name][1])),
            "seed_differences": [
                _number(b - a) for a, b in zip(one.first, one.second, strict=True)
            ],
        }
        for rung, one, p in zip(pairs, differences, adjusted, strict=True)
    }


_SHOWN = (
    *("difference", "low", "high", "p_value", "standard_error"),
    *("units_error", "seeds_error", "freedom"),
)


def _row(climb: Climb, rung: Rung, by_name, own: RungScores | None, failed) -> dict[str, Any]:
    below = by_name.get(rung.against)
    moved = None
    if below is not None and None not in (rung.reported, below.reported):
        moved = round(rung.reported - below.reported, 6)
    summaries = [] if own is None else own.summaries
    taken = [s["steps"] for s in summaries] or climb.steps[rung.name]
    return {
        "name": rung.name,
        "about": rung.about,
        "against": rung.against,
        "reported": rung.reported,
        "reported_difference": moved,
        "failed": failed.get(rung.name),
        "arch": rung.config.model.name,
        "parameters": summaries[0]["num_parameters"] if summaries else None,
        "num_images": None if own is None else len(own.ids),
        "steps": round(sum(taken) / len(taken)),  # of a fold's run under folds, their mean
        "epochs": climb.epochs[rung.name],
        "own_epochs": rung.epochs is not None,
        "wall_seconds": [summary["wall_seconds"] for summary in summaries],
        "post_processed": bool(rung.config.postprocess),
    }


def _over_seeds(each: list[float | None] | None) -> dict[str, Any] | None:
    """Values of the seeds, their mean and deviation (n - 1); None without any."""
    if each is None:
        return None
    known = np.array([v for v in each if v is not None])
    whole = known.size == len(each)
    return {
        "each": each,
        "mean": float(known.mean()) if whole else None,
        "deviation": float(known.std(ddof=1)) if whole and len(each) > 1 else None,
    }


def _number(number: float | None) -> float | None:
    """For JSON, which has no NaN and no infinity."""
    return float(number) if number is not None and math.isfinite(number) else None
