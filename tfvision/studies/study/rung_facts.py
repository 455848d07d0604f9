"""What the runs of a rung say beside its score: epochs, search, alarms, speed. NumPy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.engine.run_folder import RunFolder
from tfvision.report.plots import column
from tfvision.studies.compare.scored_run import ScoredRun
from tfvision.studies.study.plan import StudyPlan
from tfvision.studies.study.schema import Rung
from tfvision.text import finite

NOTHING = 0.05  # of the way from a score's worst to its best: below, nothing was learnt
FALLEN = 0.2  # the share of its first value by which a loss has then fallen


def by_epoch(runs: Sequence[ScoredRun]) -> dict[str, Any] | None:
    """The validation score after each epoch over the runs of a rung, its seeds and folds.

    Returns:
        `score`, its column in `metrics.csv`; `runs`; `mean` and `deviation` (n - 1) of each
        epoch; `best`, the epoch from 1 of the best mean. None where nothing was validated.
    """
    name = f"val_{runs[0].score}"
    columns = [column(run.history, name) for run in runs]
    values = np.array([own[: min(map(len, columns))] for own in columns])
    there = np.isfinite(values).all(axis=0)
    if not there.any():
        return None
    mean = values.mean(axis=0)
    upwards = runs[0].facts.score(runs[0].score).larger_is_better
    worst = -np.inf if upwards else np.inf
    order = np.where(there, mean, worst)
    several = len(runs) > 1
    deviation = values.std(axis=0, ddof=1) if several else np.full(len(mean), np.nan)
    return {
        "score": name,
        "runs": len(runs),
        "mean": [finite(v) for v in mean],
        "deviation": [finite(v) for v in deviation],
        "best": int(np.argmax(order) if upwards else np.argmin(order)) + 1,
    }


def search_of(plan: StudyPlan, rung: Rung) -> dict[str, Any] | None:
    """What the search of a rung chose, of how many, and how it scored; None without one."""
    folder = plan.out / "search" / rung.name
    if rung.search is None or not (folder / "search.json").is_file():
        return None
    found = RunFolder(folder).read_json("search.json")
    kept = ("winner", "score", "trainings", "folds", "best_of", "nested")
    scores = {row["candidate"]: row["score"] for row in found["candidates"]}
    return {**{key: found[key] for key in kept}, "scores": scores}


def alarms_of(runs: Sequence[ScoredRun]) -> list[str]:
    """What the sentinel said of the runs of a rung, each sentence once."""
    said = (text for run in runs for text in run.summary.get("alarms", {}).values())
    return list(dict.fromkeys(said))


def nothing_learnt(runs: Sequence[ScoredRun], score: float | None) -> str | None:
    """Why a score says nothing about the rung's idea: it is near its worst, the loss has fallen."""
    known = runs[0].facts.score(runs[0].score)
    if score is None or not np.isfinite([known.low, known.high]).all():
        return None
    worst, best = (known.low, known.high) if known.larger_is_better else (known.high, known.low)
    if abs(score - worst) > NOTHING * abs(best - worst):
        return None
    losses = [column(run.history, "loss") for run in runs]
    fallen = [1 - own[-1] / own[0] for own in losses if own and own[0] > 0]
    if not fallen or not np.mean(fallen) > FALLEN:
        return None
    return f"its training loss fell by {np.mean(fallen):.0%}, and its {known.title} is {score:.3f}"


def predicting_speed(runs: Sequence[ScoredRun]) -> float | None:
    """Images a second that the runs predicted, their median; None of runs that do not say it."""
    known = [run.summary.get("predicted_per_second") for run in runs]
    known = [value for value in known if value is not None]
    return float(np.median(known)) if known else None
