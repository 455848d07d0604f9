"""The table of a ladder: scores, intervals against the rung below, verdicts. NumPy only."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics.bootstrap import holm, score_parts, value
from tfvision.metrics.contract import CONVENTIONS
from tfvision.metrics.seeds import compare_seeds
from tfvision.tasks.compare import verdict
from tfvision.tasks.ladder_file import DECLARED, Ladder, Rung
from tfvision.tasks.scored_run import ScoredRun, check_comparable, load_counts, load_runs

SPLIT = "test"
RESAMPLES, SEED = 10_000, 0
FEW = 15  # units below which the interval itself is rough


def make_table(
    ladder: Ladder,
    runs: Mapping[str, Sequence[Path]],
    units: Sequence[str],
    *,
    steps: Mapping[str, int],
    seeds: Sequence[int],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """What `ladder.json` holds.

    Args:
        ladder: The ladder.
        runs: Finished runs of each rung that has them, one a seed.
        units: The unit of each test image, in the order of the data.
        steps: Gradient steps of each rung.
        seeds: Those of `runs`, in order.
        failed: Why a rung has no runs.

    Raises:
        InputError: Runs that were not scored alike on the same images, and on those of `units`.
    """
    listed = [(name, Path(path)) for name, paths in runs.items() for path in paths]
    loaded = load_runs([path for _, path in listed])
    check_comparable(loaded, SPLIT, contracts=DECLARED in ladder.metrics)
    counts = load_counts(loaded, SPLIT)
    if len(counts[0].ids) != len(units):
        raise InputError(
            f"{loaded[0].folder.path} was scored on {len(counts[0].ids)} test images; the data has "
            f"{len(units)} now. Give the data set of this ladder, or choose another --out."
        )
    found: dict[str, list] = {name: [] for name in runs}
    of_rung: dict[str, list[ScoredRun]] = {name: [] for name in runs}
    for (name, _), run, its in zip(listed, loaded, counts, strict=True):
        found[name].append(its.cms)
        of_rung[name].append(run)
    rungs = [rung for rung in ladder.rungs if rung.name in runs]
    pairs = [rung for rung in rungs if rung.against in runs]
    parts, compared = {}, {}
    for metric in ladder.metrics:
        score, contract = _scoring(metric, loaded[0])
        parts[metric] = {
            name: [score_parts(cms, contract, score=score, groups=units) for cms in each]
            for name, each in found.items()
        }
        compared[metric] = _compared(pairs, parts[metric])
    by_name = {rung.name: rung for rung in ladder.rungs}
    rows = [
        _row(rung, by_name, of_rung.get(rung.name, []), parts, compared, steps, failed)
        for rung in ladder.rungs
    ]
    num_units = len(set(units))
    return {
        "name": ladder.name,
        "metrics": list(ladder.metrics),
        "seeds": list(seeds),
        "planned_seeds": list(ladder.seeds),
        "num_images": len(units),
        "num_units": num_units,
        "units": _said(ladder.units),
        "comparisons": len(pairs),
        "rungs": rows,
        "cautions": _cautions(ladder, rows, seeds, num_units, len(pairs)),
    }


def _scoring(metric: str, run: ScoredRun):
    """The score and the contract a metric of the ladder stands for."""
    if metric == DECLARED:
        return run.score, run.contract
    contract = {name: agreed for name, _, agreed in CONVENTIONS}[metric]
    contract.check_classes(run.data["num_classes"])
    return "mean_iou", contract


def _compared(pairs: Sequence[Rung], parts) -> dict[str, dict[str, Any]]:
    """Rung name -> its comparison, the verdicts corrected for their number."""
    differences = compare_seeds(
        [list(zip(parts[r.against], parts[r.name], strict=True)) for r in pairs],
        resamples=RESAMPLES,
        seed=SEED,
    )
    adjusted = holm([one.p_value for one in differences])
    return {
        rung.name: {
            **{key: _number(getattr(one, key)) for key in _SHOWN},
            "p_adjusted": _number(p),
            "verdict": verdict(one, p),
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


def _row(rung: Rung, by_name, runs, parts, compared, steps, failed) -> dict[str, Any]:
    below = by_name.get(rung.against)
    moved = None
    if below is not None and None not in (rung.reported, below.reported):
        moved = round(rung.reported - below.reported, 6)
    summaries = [run.summary for run in runs]
    row = {
        "name": rung.name,
        "about": rung.about,
        "against": rung.against,
        "reported": rung.reported,
        "reported_difference": moved,
        "failed": failed.get(rung.name),
        "arch": rung.config.model.name,
        "parameters": summaries[0]["num_parameters"] if summaries else None,
        "steps": summaries[0]["steps"] if summaries else steps[rung.name],
        "wall_seconds": [summary["wall_seconds"] for summary in summaries],
        "post_processed": bool(rung.config.postprocess),
        "scores": {},
        "compared": {},
    }
    for metric, of_rung in parts.items():
        if rung.name in of_rung:
            each = [_number(value(p)) for p in of_rung[rung.name]]
            known = np.array([v for v in each if v is not None])
            row["scores"][metric] = {
                "each": each,
                "mean": float(known.mean()) if known.size == len(each) else None,
                "deviation": float(known.std(ddof=1)) if known.size == len(each) > 1 else None,
            }
        if rung.name in compared[metric]:
            row["compared"][metric] = compared[metric][rung.name]
    return row


def _said(units) -> str:
    if isinstance(units, int):
        return f"blocks of {units} consecutive images" if units > 1 else "images"
    return {"chains": "images, near-duplicates as one"}.get(units, units)


def _cautions(ladder: Ladder, rows, seeds, num_units: int, pairs: int) -> list[str]:
    """What a reader must know before the numbers."""
    lines = []
    if len(seeds) < len(ladder.seeds):
        lines.append(f"Not finished: {len(seeds)} of {len(ladder.seeds)} seeds so far.")
    for row in rows:
        if row["failed"]:
            lines.append(f"{row['name']} failed and is not compared: {row['failed']}")
    if len(seeds) == 1:
        lines.append(
            "One seed: the intervals know the choice of test images and nothing of the luck of "
            "training. Another seed gives other models, and can turn a verdict round."
        )
    else:
        lines.append(
            f"The intervals hold both the choice of test images and the luck of training, as far "
            f"as {len(seeds)} seeds show it; their spread is drawn towards that of all rungs."
        )
    if num_units < FEW:
        lines.append(
            f"Only {num_units} units of test images: the intervals are rough themselves, and only "
            "large differences can be told."
        )
    if pairs > 1:
        lines.append(
            f"{pairs} differences are a family: a verdict needs its interval to leave out 0 and "
            "Holm's adjusted p of at most 0.05; each interval is for its own difference alone."
        )
    lines += _contract_effects(ladder, rows)
    taken = sorted({row["steps"] for row in rows})
    if len(taken) > 1:
        lines.append(
            f"Gradient steps differ: {taken[0]} to {taken[-1]}; epochs are whole, and some rungs "
            "are about longer training."
        )
    return lines


def _contract_effects(ladder: Ladder, rows) -> list[str]:
    """Rungs that one convention moves one way and another convention otherwise."""
    lines = []
    first = ladder.metrics[0]
    for row in rows:
        for metric in ladder.metrics[1:]:
            one, other = row["compared"].get(first), row["compared"].get(metric)
            if one is None or one["verdict"] == other["verdict"] == "cannot tell":
                continue
            if one["verdict"] != other["verdict"] and one["difference"] * other["difference"] < 0:
                lines.append(
                    f"{row['name']} against {row['against']}: {one['difference']:+.4f} under "
                    f"{first}, {other['difference']:+.4f} under {metric}. What is won lies in how "
                    "the score is counted, not in what the model sees."
                )
    return lines


def _number(number: float | None) -> float | None:
    """For JSON, which has no NaN and no infinity."""
    return float(number) if number is not None and math.isfinite(number) else None
