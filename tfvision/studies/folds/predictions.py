"""What a folder of folds predicted out of fold, with the truth: what is fitted is fitted on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.recipe import Recipe, make_recipe
from tfvision.registry import brief
from tfvision.studies.folds.folder import fold_folder, load_folds_config, read_folds, truth_of
from tfvision.tasks.facts import facts_of

FEW = 30  # units below which an interval is rough itself


@dataclass(frozen=True)
class FoldPredictions:
    """What a folder of folds holds.

    Attributes:
        recipe: What its config means for the data.
        store: N probabilities, each by the run that did not train on the image.
        folds: N numbers, the fold of each.
        units: N names; images that belong together have one.
        masks: The truth of each, (H, W) integers.
    """

    recipe: Recipe
    store: Shards
    folds: list[int]
    units: list[str]
    masks: list[np.ndarray]


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
    return FoldPredictions(recipe, store, samples["folds"], samples["units"], masks_of(folder))


def recipe_of(folder: Path, folds: int) -> tuple[Recipe, list[str]]:
    """What the config of the folds means for their data, and the classes all runs have."""
    runs = [RunFolder.existing(fold_folder(folder, fold)) for fold in range(folds)]
    told = [run.read_json("data.json") for run in runs]
    first = told[0]
    for run, data in zip(runs, told, strict=True):
        if data["class_names"] != first["class_names"]:
            raise InputError(
                f"{run.path} has other classes than {runs[0].path}: {data['class_names']} against "
                f"{first['class_names']}. Train all folds on one data set."
            )
    recipe = make_recipe(
        load_folds_config(folder),
        num_classes=first["num_classes"],
        channels=first["channels"],
        size=tuple(first["image_size"]),
        resized=first["resized"],
    )
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


def masks_of(folder: Path) -> list[np.ndarray]:
    """The truth of each image, in the order of the store; int16 where that holds the labels."""
    found = []
    for _, mask in truth_of(folder):
        small = mask.min() >= -(2**15) and mask.max() < 2**15
        found.append(mask.astype(np.int16 if small else np.int32))
    return found
