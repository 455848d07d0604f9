"""Classes and probabilities of images, with views, by several runs, and files of them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.sources.source import Source
from tfvision.data.sources.tables.labels_given_later import Relabelled, read_labels_table
from tfvision.engine.predictions import write_class_predictions
from tfvision.engine.tta import View
from tfvision.errors import InputError
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, native
from tfvision.tasks.classification.inference import Views
from tfvision.tasks.classification.recipe import ClassRecipe
from tfvision.tasks.classification.two_stage import TwoStage


def with_views(predictor: Any, views: list[View], scaled: bool) -> Views | TwoStage:
    """The mean over views of each piece; of two stages, of what was found.

    Raises:
        InputError: A scale before a member of an ensemble brings the piece to its own size.
    """
    if isinstance(predictor, TwoStage):
        return predictor.with_classifier(with_views(predictor.classifier, views, scaled))
    if scaled and predictor.members != [predictor]:
        raise InputError(
            "--tta scale(...) means nothing to an ensemble of classifiers, which bring every image "
            "to the size they were trained at. Leave the scale out."
        )
    return Views(predictor, views)


def write_predictions(
    target: Path,
    ids: Sequence[str],
    predictions: Iterable[dict[str, np.ndarray]],
    recipe: ClassRecipe,
    class_labels: Sequence[str],
) -> Path:
    """Writes `<target>.csv`: labels after all rules, probabilities before them, calibrated where
    the recipe has a temperature."""
    each = [one["probabilities"][0, 0] for one in predictions]
    probabilities = np.array(each, np.float32).reshape(-1, recipe.num_classes)
    labels = np.asarray(decode(recipe.rules)(probabilities))
    return write_class_predictions(
        target, ids, labels, recipe.calibrated(probabilities), names=class_labels
    )


def labelled_in(path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
    """Those of some records that a table has a label for.

    Raises:
        InputError: The table names other classes or images.
    """
    records = prepared.source.records
    table = read_labels_table(
        path,
        [records[i].id for i in indices],
        prepared.class_names,
        class_labels=prepared.source.class_labels or prepared.class_names,
        category_ids=prepared.source.coco_ids and prepared.source.coco_ids.categories,
    )
    return [i for i, number in zip(indices, table.numbers, strict=True) if number >= 0]


def samples_with_labels(
    path: Path,
    source: Source,
    indices: list[int],
    recipe: ClassRecipe,
    data: dict[str, Any],
) -> tuple[Iterator[tuple[str, Native]], list[str]]:
    """(id, sample) of those records that a table has a label for, and notes on the table.

    Raises:
        InputError: The table names other classes or images.
    """
    table = read_labels_table(
        path,
        [source.records[i].id for i in indices],
        data["class_names"],
        class_labels=data["class_labels"],
        category_ids=data.get("category_ids"),
    )
    labelled = Relabelled(source, indices, table, class_names=data["class_names"])
    samples = (
        (labelled.records[i].id, native(labelled, i, recipe.channels))
        for i in indices
        if labelled.records[i].labelled
    )
    return samples, table.notes
