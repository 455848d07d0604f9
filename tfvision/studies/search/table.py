"""What a search found: as JSON, as a table in text and CSV, and what it does not say."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tfvision.metrics.contract import Contract
from tfvision.registry import plain
from tfvision.stats.race import Race, nested_choice, score_interval
from tfvision.studies.search.file import Search, folder_name

FEW = 30  # units below which an interval is rough
COLUMNS = (
    "place",
    "candidate",
    "state",
    "folds",
    "score",
    "against",
    "difference",
    "low",
    "high",
    "p_adjusted",
    "folder",
)


def result_of(
    asked: Search, done: Race, *, contract: Contract, score: str, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What `search.json` holds.

    Args:
        asked: The search.
        done: Its race, to the end.
        contract, score: What was counted.
        warnings: What is to be said of the folds.
    """
    complete = {name: done.evidence[name] for name in done.survivors}
    choices, chosen = nested_choice(complete, contract=contract, score=score)
    best = _interval(done.evidence[done.winner], contract, score)
    trained = sum(len(found) for found in done.evidence.values())
    units = {u for found in done.evidence[done.winner] for u in found.units}
    return {
        "search": asked.name,
        "score": score,
        "contract": plain(asdict(contract)),
        "folds": asked.folds,
        "drop": asked.drop.model_dump(),
        "units": asked.units,
        "num_units": len(units),
        "trainings": trained,
        "trainings_of_all": asked.folds * len(asked.candidates),
        "winner": done.winner,
        "best_of": {"candidates": len(asked.candidates), **best},
        "nested": {**_interval(chosen, contract, score), "choices": choices},
        "candidates": _rows(asked, done),
        "rounds": [_round(found) for found in done.rounds],
        "cautions": [*warnings, *_cautions(asked, len(units))],
    }


def text_of(result: dict[str, Any]) -> str:
    """The table on standard output."""
    rows = result["candidates"]
    width = min(max(len(row["candidate"]) for row in rows), 60)
    lines = [
        "",
        f"{'candidate':{width}}  folds  {result['score']:>8}  to the leader [95 % interval]",
    ]
    for row in rows:
        lines.append(
            f"{row['candidate']:{width}}  {row['folds']:5}  {_number(row['score']):>8}  "
            + (
                f"{_number(row['difference'], '+')} [{_number(row['low'], '+')}, "
                f"{_number(row['high'], '+')}]  {row['state']}"
                if row["against"]
                else row["state"]
            )
        )
    best, nested = result["best_of"], result["nested"]
    lines += [
        "The score of a dropped candidate is of its own folds only, its difference of the folds "
        "that both had.",
        f"winner: {result['winner']}",
        f"  its pooled out-of-fold score: {_with_interval(best)}, the best of "
        f"{best['candidates']}, so optimistic",
        f"  unbiased by that choice:      {_with_interval(nested)} (for each fold, the survivor "
        "that is best on the other folds, scored on this one)",
        f"trainings: {result['trainings']} of {result['trainings_of_all']}",
        *[f"note: {line}" for line in result["cautions"]],
    ]
    return "\n".join(lines)


def csv_of(result: dict[str, Any]) -> str:
    """`search.csv`: a row a candidate, best first; empty cells for the winner's difference."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result["candidates"])
    return text.getvalue()


def _rows(asked: Search, done: Race) -> list[dict[str, Any]]:
    """A row a candidate: the winner, the other survivors, then those dropped, last first."""
    rows = []
    for number, name in enumerate(asked.candidates):
        last = done.rounds[len(done.evidence[name]) - 1]
        verdict = last.verdicts.get(name)
        dropped = done.dropped_after(name)
        row = {
            "candidate": name,
            "folds": len(done.evidence[name]),
            "score": _finite(last.scores[name]),
            "state": "winner" if dropped is None else f"dropped after fold {dropped}",
            "against": None if verdict is None else last.leader,
            "folder": folder_name(number, name),
        }
        for key in ("difference", "low", "high", "p_adjusted"):
            row[key] = None if verdict is None else _finite(getattr(verdict, key))
        if verdict is not None and dropped is None:
            looks = max(asked.folds - asked.drop.least, 1)
            worse = verdict.p_adjusted <= asked.drop.alpha / looks and verdict.difference < 0
            row["state"] = "worse" if worse else "cannot tell"
        rows.append(row)
    rows.sort(
        key=lambda r: (-r["folds"], -_or(r["difference"], 0.0 if r["against"] is None else -2))
    )
    return [{"place": place, **row} for place, row in enumerate(rows, 1)]


def _round(found) -> dict[str, Any]:
    return {
        "fold": found.fold,
        "leader": found.leader,
        "scores": {name: _finite(score) for name, score in found.scores.items()},
        "verdicts": {
            name: {k: v if isinstance(v, bool) else _finite(v) for k, v in asdict(verdict).items()}
            for name, verdict in found.verdicts.items()
        },
    }


def _interval(evidence, contract: Contract, score: str) -> dict[str, float | None]:
    numbers = score_interval(evidence, contract=contract, score=score)
    return dict(zip(("score", "low", "high"), map(_finite, numbers), strict=True))


def _cautions(asked: Search, units: int) -> list[str]:
    lines = [
        "The best epoch of each training was chosen on the fold it is scored on, which raises "
        "all scores here a little, alike for all candidates; a test split has no such gain.",
        "The nested score chooses among the survivors. The race that dropped the others saw all "
        "folds; as it drops only what is worse beyond chance, little of that can be in it.",
    ]
    if not asked.drop.luck:
        lines.append(
            "The intervals know the choice of images, not the luck of a training. drop.luck, the "
            "standard deviation of a fold's score between seeds, puts it in."
        )
    if units < FEW:
        lines.append(f"Only {units} units to resample: the intervals are rough themselves.")
    if asked.units == "images":
        lines.append(
            "Images count as independent (units: images). Where they are not, as frames of one "
            "video, the true intervals are wider."
        )
    return lines


def _with_interval(found: dict[str, Any]) -> str:
    return f"{_number(found['score'])} [{_number(found['low'])}, {_number(found['high'])}]"


def _number(number: float | None, sign: str = "") -> str:
    return "–" if number is None else f"{number:{sign}.4f}"


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _or(number: float | None, other: float) -> float:
    return other if number is None else number
