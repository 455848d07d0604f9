"""Scoring the splits of a run with its final weights."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tfvision.engine.evaluate import Scored, score
from tfvision.engine.files import write_bytes
from tfvision.engine.inference import Inference
from tfvision.engine.predictions import write_class_predictions, write_predictions
from tfvision.metrics import classification, contract
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned, read_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.classification.pieces import score_images


def open_model(recipe: Recipe, model: keras.Model) -> keras.Model:
    """The float32 model for what is predicted, with the weights of `model`."""
    opened = recipe.build(recipe.open_shape)
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
    indices = prepared.indices(split)
    if recipe.is_classification:
        read = ((prepared.source.records[i].id, native_scanned(prepared, i)) for i in indices)
        return score_images(recipe, inference, ((name, one, one.mask) for name, one in read))
    return score(
        inference,
        native_samples(prepared, indices),
        num_classes=recipe.num_classes,
        rules=recipe.rules,
        component_rules=recipe.component_rules,
        ignore_labels=recipe.void,
        batch_size=recipe.config.data.batch_size,
    )


def split_metrics(recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
    """The entry of a split in `summary.json`."""
    if recipe.is_classification:
        return _class_metrics(recipe, scored, class_names)
    metrics = contract.scores(scored.plain, recipe.contract)
    if scored.processed is not None:
        metrics["post_processed"] = contract.scores(scored.processed, recipe.contract)
    metrics["conventions"] = {
        row["name"]: row["mean_iou"]
        for row in contract.conventions(scored.final, class_names, recipe.contract)
    }
    return metrics


def save_scored(run, split: str, scored: Scored, data: dict[str, Any]) -> None:
    """Predictions of a split, and its confusion matrices image by image.

    Args:
        run: The run folder.
        split: Of it.
        scored: Its predictions.
        data: `data.json` of the run.
    """
    arrays = {"ids": np.array(scored.ids), "plain": scored.plain}
    if scored.processed is not None:
        arrays["processed"] = scored.processed
    run.predictions.mkdir(parents=True, exist_ok=True)
    target = run.predictions / split
    if scored.probabilities is None:
        write_predictions(target, scored.ids, scored.labels)
    else:
        write_class_predictions(
            target,
            scored.ids,
            np.array(scored.labels).reshape(-1),
            scored.probabilities,
            data["class_labels"],
            truth=scored.truth,
        )
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(run.predictions / f"{split}_confusion.npz", content.getvalue())


def _class_metrics(recipe: Recipe, scored: Scored, names: Sequence[str]) -> dict[str, Any]:
    agreed, labels = recipe.contract, scored.truth
    metrics = classification.scores(scored.plain, scored.probabilities, labels, agreed, names)
    if scored.processed is not None:
        # Rules give scores that are no probabilities; those that need some stand above.
        metrics["post_processed"] = classification.scores(
            scored.processed, None, None, agreed, names
        )
    return metrics
