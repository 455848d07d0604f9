"""Scoring the splits of a run, and keeping what was scored."""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tfvision.engine.evidence_file import evidence_path, write_evidence
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, samples_of_split
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.scored import Scored
from tfvision.tasks.task import Task

TIMED = 16  # images


def score_splits(
    task: Task, recipe: Recipe, prepared: Prepared, predictor: Any, splits: Sequence[str]
) -> dict[str, Scored]:
    """Scores the labelled samples of these splits, at their own sizes; of those that have any."""
    return {
        split: task.score(recipe, predictor, samples_of_split(prepared, split))
        for split in splits
        if prepared.indices(split)
    }


def predicting_speed(
    task: Task, recipe: Recipe, prepared: Prepared, predictor: Any
) -> float | None:
    """Images a second that are predicted at their own sizes in batches of the config, without the
    time to read them.

    Of the first `TIMED` images that `score_splits` has predicted already, so that nothing is
    traced in that time; None without any.
    """
    split = next((name for name in ("test", "val") if prepared.indices(name)), None)
    if split is None:
        return None
    samples, reading = itertools.islice(samples_of_split(prepared, split), TIMED), 0.0

    def images() -> Iterator[Native]:
        nonlocal reading
        began = time.perf_counter()
        for _, one in samples:
            reading += time.perf_counter() - began
            yield one
            began = time.perf_counter()

    began = time.perf_counter()
    count = sum(1 for _ in task.predictions(recipe, predictor, images()))
    return count / (time.perf_counter() - began - reading)


def save_scored(
    run: RunFolder, task: Task, split: str, scored: Scored, data: dict[str, Any]
) -> None:
    """Predictions of a split, and what its scores are computed from, image by image.

    Args:
        run: The run folder.
        task: Of the run.
        split: Of it.
        scored: Its predictions.
        data: `data.json` of the run.
    """
    run.predictions.mkdir(parents=True, exist_ok=True)
    task.write_scored(run.predictions / split, scored, data)
    path = evidence_path(run.predictions, split, type(scored.evidence))
    write_evidence(path, scored.evidence)
