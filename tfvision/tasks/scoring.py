"""Scoring the splits of a run with its final weights."""

import io
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfvision.engine.evaluate import Scored, score
from tfvision.engine.files import write_bytes
from tfvision.engine.inference import Inference
from tfvision.engine.predictions import write_predictions
from tfvision.metrics import contract
from tfvision.tasks.data import Prepared
from tfvision.tasks.decode import read_scanned
from tfvision.tasks.recipe import Recipe


def open_model(recipe: Recipe, model: keras.Model) -> keras.Model:
    """The float32 model for images of any size, with the weights of `model`."""
    opened = recipe.build((None, None, recipe.channels))
    for target, value in zip(opened.variables, model.variables, strict=True):
        target.assign(keras.ops.convert_to_numpy(value))
    return opened


def native_samples(
    prepared: Prepared, indices: list[int]
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None, float]]:
    """(id, image, mask, scale) at each image's own size."""
    for i in indices:
        yield (prepared.source.records[i].id, *read_scanned(prepared, i))


def score_split(recipe: Recipe, prepared: Prepared, inference: Inference, split: str) -> Scored:
    """Scores the labelled samples of a split, at their own sizes."""
    return score(
        inference,
        native_samples(prepared, prepared.indices(split)),
        num_classes=recipe.num_classes,
        rules=recipe.rules,
        component_rules=recipe.component_rules,
        ignore_labels=recipe.void,
        batch_size=recipe.config.data.batch_size,
    )


def split_metrics(recipe: Recipe, scored: Scored) -> dict[str, Any]:
    """The entry of a split in `summary.json`."""
    metrics = contract.scores(scored.plain, recipe.contract)
    if scored.processed is not None:
        metrics["post_processed"] = contract.scores(scored.processed, recipe.contract)
    metrics["conventions"] = {
        row["name"]: row["mean_iou"]
        for row in contract.conventions(
            scored.final, [str(k) for k in range(recipe.num_classes)], recipe.contract
        )
    }
    return metrics


def save_scored(run, split: str, scored: Scored) -> None:
    """Predictions of a split, and its confusion matrices image by image."""
    arrays = {"ids": np.array(scored.ids), "plain": scored.plain}
    if scored.processed is not None:
        arrays["processed"] = scored.processed
    run.predictions.mkdir(parents=True, exist_ok=True)
    write_predictions(run.predictions / split, scored.ids, scored.labels)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(run.predictions / f"{split}_confusion.npz", content.getvalue())
