"""What a folder of folds predicted out of fold, with the truth: what is fitted is fitted on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.data.truth.base import label_map
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.recipe import Recipe
from tfvision.registry import brief
from tfvision.studies.folds.folder import (
    fold_folder,
    load_folds_config,
    read_folds,
    targets_of,
)
from tfvision.tasks.facts import facts_of
from tfvision.tasks.task import task_of

FEW = 30  # units below which an interval is rough itself


@dataclass(frozen=True)
class FoldPredictions:
    """What a folder of folds holds.

    Attributes:
        recipe: What its config means for the data.
        store: N probabilities, each by the run that did not train on the image.
        folds: N numbers, the fold of each.
        units: N names; images that belong together have one.
        truths: The truth of each, arrays by name.
    """

    recipe: Recipe
    store: Shards
    folds: list[int]
    units: list[str]
    truths: list[dict[str, np.ndarray]]

    @property
    def masks(self) -> list[np.ndarray]:
        """The label map (H, W) of each."""
        return [label_map(targets) for targets in self.truths]


def read_predictions(folder: Path) -> FoldPredictions:
    """The out-of-fold predictions of a complete folder of folds.

    Raises:
        InputError: It is none, it has one fold, its runs or predictions do not fit together, or
            its data has changed.
    """
    record = read_folds(folder)
    samples = record["samples"]
    number = len(set(samples["folds"]))
    if number < 2:
        raise InputError(
            f"{folder} has out-of-fold predictions of {number} fold; what is fitted on some folds "
            "is scored on others, so those of 2 or more are needed."
        )
    recipe, class_names = recipe_of(folder, record["folds"])
    store = open_store(folder, samples["ids"], class_names)
    return FoldPredictions(
        recipe, store, samples["folds"], samples["units"], truths=truths_of(folder)
    )


def recipe_of(folder: Path, folds: int) -> tuple[Recipe, list[str]]:
    """What the config of the folds means for their data, and the classes all runs have."""
    runs = [RunFolder.existing(fold_folder(folder, fold)) for fold in range(folds)]
    records = [run.read_json("data.json") for run in runs]
    first = records[0]
    for run, data in zip(runs, records, strict=True):
        if data["class_names"] != first["class_names"]:
            raise InputError(
                f"{run.path} has other classes than {runs[0].path}: {data['class_names']} against "
                f"{first['class_names']}. Train all folds on one data set."
            )
    config = load_folds_config(folder)
    recipe = task_of(config.task).recorded_recipe(config, first)
    score = recipe.config.metrics[0].name
    known = facts_of(recipe.config.task).evidence_class().scores
    if score not in known:
        raise InputError(
            f"Rules are fitted for {', '.join(known)}; the runs of {folder} declare {score} first."
        )
    return recipe, list(first["class_names"])


def open_store(folder: Path, ids: list[str], class_names: list[str]) -> Shards:
    """The store of a folder of folds, which must be of these samples and classes."""
    again = f"Write the out-of-fold predictions again with --resume {folder}."
    if not (folder / "out_of_fold").is_dir():
        raise InputError(f"{folder} has no out-of-fold predictions (out_of_fold/). {again}")
    store = Shards.open(folder / "out_of_fold")
    for what, theirs, ours in (
        ("classes", store.class_names, class_names),
        ("ids", store.ids, ids),
    ):
        if theirs != ours:
            raise InputError(
                f"{folder / 'out_of_fold'} has other {what} than the runs: {brief(theirs)} against "
                f"{brief(ours)}. {again}"
            )
    return store


def truths_of(folder: Path) -> list[dict[str, np.ndarray]]:
    """The truth of each image, in the order of the store; masks as int16 where that holds them."""
    truths = []
    for _, targets in targets_of(folder):
        mask = targets.get("mask")
        if mask is not None and mask.min() >= -(2**15) and mask.max() < 2**15:
            targets = {**targets, "mask": mask.astype(np.int16)}
        truths.append(targets)
    return truths
