"""Scores of predictions that need no network."""

from typing import Any

import numpy as np

from tfvision.data.scan.sketch import read_thumb
from tfvision.metrics import METRICS
from tfvision.metrics.confusion import confusion_matrix
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe


def baseline_scores(recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
    """Scores of predictions that need no network, fitted on the training split.

    They are scores by the run's first metric: of the most frequent class, and of the nearest
    training image, by what the scan kept of each: 32x32 grey levels.
    """
    splits = [split for split in ("val", "test") if prepared.indices(split)]
    pixels = prepared.class_pixels("train").astype(np.float64)
    pixels[:, [k for k in recipe.ignored if 0 <= k < recipe.num_classes]] = 0
    metric = METRICS[recipe.config.metrics[0].name]

    def score(split: str, predicted: np.ndarray) -> float:
        truth = prepared.class_pixels(split).argmax(axis=1)
        counts = confusion_matrix(
            truth[:, None, None], predicted[:, None, None], recipe.num_classes, recipe.void
        )
        return float(metric.from_counts(counts, recipe.contract))

    most = int(pixels.sum(axis=0).argmax())
    counted = np.flatnonzero(pixels.sum(axis=1) > 0)
    known = _thumbs(prepared, "train")[counted]
    labels = pixels[counted].argmax(axis=1)
    return [
        {
            "name": "majority class",
            "explanation": f"{prepared.class_names[most]} for every image",
            **{s: score(s, np.full(len(prepared.indices(s)), most)) for s in splits},
        },
        {
            "name": "nearest image",
            "explanation": "the class of the training image that is most alike at 32x32 grey "
            "levels, brightness and contrast apart",
            **{s: score(s, labels[(_thumbs(prepared, s) @ known.T).argmax(1)]) for s in splits},
        },
    ]


def _thumbs(prepared: Prepared, split: str) -> np.ndarray:
    """(n, 1024) of the labelled images of a split, each of mean 0 and norm 1."""
    facts = [prepared.scan.facts[i] for i in prepared.indices(split)]
    flat = np.stack([read_thumb(fact.sketch.thumb).reshape(-1) for fact in facts])
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
