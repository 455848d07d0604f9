"""What a search found: as JSON, as a table in text and CSV, and what it does not say."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tfvision.registry import plain
from tfvision.report import tables
from tfvision.report.tables import decimals
from tfvision.stats.race import FoldEvidence, Race, nested_choice, score_interval
from tfvision.studies.study.schema import Study
from tfvision.text import finite

FEW = 30  # units below which an interval is rough
DIFFERENCE = ("difference", "low", "high", "p_adjusted")
OF_DROPPED = (
    "The score of a dropped candidate is of its own folds only, its difference of the folds that "
    "both had."
)
OF_HOLDOUT = (
    "The candidates were compared on one hold-out. No score here is free of that choice; one on "
    "images that had no part in it is."
)
OF_NESTED = (
    "The nested score chooses among the survivors. The race that dropped the others saw all folds; "
    "as it drops only what is worse beyond chance, little of that can be in it."
)
COLUMNS = ("place", "candidate", "state", "folds", "score", "against", *DIFFERENCE, "folder")


def folder_name(number: int, name: str) -> str:
    """A folder for a candidate: its number and what of its name fits a file system."""
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-')[:60]}"


def result_of(study: Study, done: Race, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """What `search.json` holds.

    Args:
        study: The search.
        done: Its race, to the end.
        warnings: What is to be said of the folds.
    """
    nested = None
    if not study.holdout:
        choices, chosen = nested_choice({name: done.evidence[name] for name in done.survivors})
        nested = {**_interval(chosen), "choices": choices}
    winner = done.evidence[done.winner]
    units = {unit for fold in winner for unit in fold.units}
    return {
        "search": study.name,
        "score": winner[0].score,
        "contract": plain(asdict(winner[0].contract)),
        "folds": study.folds,
        "drop": study.drop.model_dump(),
        "units": study.units,
        "num_units": len(units),
        "trainings": sum(len(folds) for folds in done.evidence.values()),
        "trainings_of_all": (1 if study.holdout else study.folds) * len(study.rungs),
        "winner": done.winner,
        "best_of": {"candidates": len(study.rungs), **_interval(winner)},
        "nested": nested,
        "candidates": _rows(study, done),
        "rounds": [_round(each) for each in done.rounds],
        "cautions": [*warnings, *_cautions(study, len(units))],
    }


def text_of(result: dict[str, Any]) -> str:
    """The table on standard output."""
    best, nested = result["best_of"], result["nested"]
    rows = [["candidate", "folds", result["score"], "to the leader [95 % interval]"]]
    for row in result["candidates"]:
        state = row["state"]
        if row["against"]:
            state = f"{decimals(row['difference'], sign='+')} {_ends(row, sign='+')}  {state}"
        rows.append([row["candidate"], str(row["folds"]), decimals(row["score"]), state])
    lines = [
        "",
        *tables.text_lines(rows, right=(1, 2)),
        *([] if nested is None else [OF_DROPPED]),
        f"winner: {result['winner']}",
        *_scores_of_winner(best, nested),
        f"trainings: {result['trainings']} of {result['trainings_of_all']}",
        *[f"note: {line}" for line in result["cautions"]],
    ]
    return "\n".join(lines)


def _scores_of_winner(best: dict[str, Any], nested: dict[str, Any] | None) -> list[str]:
    """What the winner scored where it was chosen, and what is free of that choice."""
    own = (
        f"{decimals(best['score'])} {_ends(best)}, the best of {best['candidates']}, so optimistic"
    )
    if nested is None:
        return [f"  its score on the hold-out: {own}"]
    return [
        f"  its pooled out-of-fold score: {own}",
        f"  unbiased by that choice:      {decimals(nested['score'])} {_ends(nested)} (for each "
        "fold, the survivor that is best on the other folds, scored on this one)",
    ]


def csv_of(result: dict[str, Any]) -> str:
    """`search.csv`: a row a candidate, best first; empty cells for the winner's difference."""
    return tables.csv_of(result["candidates"], COLUMNS)


def _rows(study: Study, done: Race) -> list[dict[str, Any]]:
    """A row a candidate: the winner, the other survivors, then those dropped, last first."""
    rows = []
    looks = max(study.folds - study.drop.least, 1)
    for number, candidate in enumerate(study.rungs):
        name = candidate.name
        last = done.rounds[len(done.evidence[name]) - 1]
        verdict, dropped = last.verdicts.get(name), done.dropped_after(name)
        if dropped is not None:
            state = f"dropped after fold {dropped}"
        elif verdict is None:
            state = "winner"
        else:
            worse = verdict.p_adjusted <= study.drop.alpha / looks and verdict.difference < 0
            state = "worse" if worse else "cannot tell"
        rows.append(
            {
                "candidate": name,
                "folds": len(done.evidence[name]),
                "score": finite(last.scores[name]),
                "state": state,
                "against": None if verdict is None else last.leader,
                "folder": folder_name(number, name),
                **{key: verdict and finite(getattr(verdict, key)) for key in DIFFERENCE},
            }
        )
    rows.sort(key=_order)
    return [{"place": place, **row} for place, row in enumerate(rows, 1)]


def _order(row: dict[str, Any]) -> tuple[int, float]:
    """More folds first, then the better; a leader before all, an unknown difference last."""
    unknown = -2.0 if row["against"] else 0.0
    return -row["folds"], -(unknown if row["difference"] is None else row["difference"])


def _round(each) -> dict[str, Any]:
    return {
        "fold": each.fold,
        "leader": each.leader,
        "scores": {name: finite(score) for name, score in each.scores.items()},
        "verdicts": {
            name: {k: v if isinstance(v, bool) else finite(v) for k, v in asdict(verdict).items()}
            for name, verdict in each.verdicts.items()
        },
    }


def _interval(evidence: Sequence[FoldEvidence]) -> dict[str, float | None]:
    return dict(zip(("score", "low", "high"), map(finite, score_interval(evidence)), strict=True))


def _cautions(study: Study, units: int) -> list[str]:
    lines = [
        "The best epoch of each training was chosen on the fold it is scored on, which raises "
        "all scores here a little, alike for all candidates; a test split has no such gain.",
        OF_HOLDOUT if study.holdout else OF_NESTED,
    ]
    if not study.drop.luck:
        lines.append(
            "The intervals know the choice of images, not the luck of a training. drop.luck, the "
            "standard deviation of a fold's score between seeds, puts it in."
        )
    if units < FEW:
        lines.append(f"Only {units} units to resample: the intervals are rough themselves.")
    if study.units == "images":
        lines.append(
            "Images count as independent (units: images). Where they are not, as frames of one "
            "video, the true intervals are wider."
        )
    return lines


def _ends(row: dict[str, Any], *, sign: str = "") -> str:
    return f"[{decimals(row['low'], sign=sign)}, {decimals(row['high'], sign=sign)}]"
