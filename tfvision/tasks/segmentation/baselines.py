"""Scores of predictions that need no network."""

from typing import Any

import numpy as np

from tfvision.data.pipeline import Samples
from tfvision.metrics import contract
from tfvision.metrics.baselines import IntensityLookup, level_counts, majority
from tfvision.metrics.confusion import confusion_matrix
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import decoded
from tfvision.recipe.recipe import Recipe


def baseline_scores(recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
    """Scores of predictions that need no network, fitted on the training split."""
    splits = [s for s in ("val", "test") if prepared.indices(s)]
    void = recipe.void
    ignored = tuple({*void, *recipe.contract.ignore_labels})
    if not splits:
        return []
    by_split = {split: decoded(prepared, split) for split in ("train", *splits)}
    counts = sum(
        level_counts(
            _floats(by_split["train"], rows),
            by_split["train"].targets["mask"][rows],
            recipe.num_classes,
            ignored,
        )
        for rows in _chunks(len(by_split["train"]))
    )

    def scores(predict) -> dict[str, float]:
        found = {}
        for split in splits:
            samples = by_split[split]
            matrices = [predict(samples, rows) for rows in _chunks(len(samples))]
            found[split] = contract.mean_iou(np.concatenate(matrices), recipe.contract)
        return found

    pixels = prepared.class_pixels("train").sum(axis=0).astype(np.float64)
    pixels[[k for k in ignored if k < len(pixels)]] = 0

    def most_frequent(samples, rows):
        return majority(pixels, samples.targets["mask"][rows], recipe.num_classes, void)

    def lookup(table):
        return lambda samples, rows: confusion_matrix(
            samples.targets["mask"][rows],
            table.predict(_floats(samples, rows)),
            recipe.num_classes,
            void,
        )

    tables = [IntensityLookup.fit(counts, balanced=balanced) for balanced in (False, True)]
    best = max((scores(lookup(table)) for table in tables), key=lambda found: found[splits[0]])
    return [
        {
            "name": "majority class",
            "explanation": f"{prepared.class_names[int(np.argmax(pixels))]} everywhere",
            **scores(most_frequent),
        },
        {
            "name": "intensity lookup",
            "explanation": "each pixel by its grey level alone, the best thresholds of the "
            "training split",
            **best,
        },
    ]


def _floats(samples: Samples, rows: slice) -> np.ndarray:
    return samples.images[rows].astype(np.float32) * np.float32(samples.scale)


def _chunks(count: int, size: int = 64) -> list[slice]:
    return [slice(i, i + size) for i in range(0, count, size)]
