"""Scoring the splits of a run, and keeping what was scored."""

from collections.abc import Sequence
from typing import Any

from tfvision.engine.evidence_file import evidence_path, write_evidence
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import samples_of_split
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.scored import Scored
from tfvision.tasks.task import Task


def score_splits(
    task: Task, recipe: Recipe, prepared: Prepared, predictor: Any, splits: Sequence[str]
) -> dict[str, Scored]:
    """Scores the labelled samples of these splits, at their own sizes; of those that have any."""
    return {
        split: task.score(recipe, predictor, samples_of_split(prepared, split))
        for split in splits
        if prepared.indices(split)
    }


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
