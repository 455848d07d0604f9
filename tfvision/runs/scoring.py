"""Scoring the splits of a run, and keeping what was scored."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.scored import Scored
from tfvision.tasks.task import Task


def score_splits(
    task: Task, recipe: Recipe, prepared: Prepared, predictor: Any, splits: Sequence[str]
) -> dict[str, Scored]:
    """Scores the labelled samples of these splits, at their own sizes; of those that have any."""
    return {
        split: task.score(recipe, predictor, prepared.samples(split))
        for split in splits
        if prepared.indices(split)
    }


def save_scored(
    run: RunFolder, task: Task, split: str, scored: Scored, data: dict[str, Any]
) -> None:
    """Predictions of a split, and its confusion matrices image by image.

    Args:
        run: The run folder.
        task: Of the run.
        split: Of it.
        scored: Its predictions.
        data: `data.json` of the run.
    """
    arrays = {"ids": np.array(scored.ids), "plain": scored.plain}
    if scored.processed is not None:
        arrays["processed"] = scored.processed
    run.predictions.mkdir(parents=True, exist_ok=True)
    task.write_scored(run.predictions / split, scored, data)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(run.predictions / f"{split}_confusion.npz", content.getvalue())
