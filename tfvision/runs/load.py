"""A run that is there, or an ensemble of runs, with its weights and its data."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config.file import load_any
from tfvision.config.schema import RunConfig
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Source
from tfvision.engine.checkpoint import best_weights, newest_checkpoint
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.opening import open_beside, open_source
from tfvision.recipe.pretrained import outside_architecture
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.recorded import as_recorded, at
from tfvision.tasks.task import Task, task_of

VERSION = 1  # of ensemble.json, and of two_stage.json


@dataclass(frozen=True)
class LoadedRun:
    """A run with its best weights.

    Attributes:
        folder: Where it is.
        task: Of its config.
        config: Its config.
        data: Its `data.json`.
        recipe: What the config means for that data.
        predictor: What predicts images of any size.
    """

    folder: RunFolder
    task: Task
    config: RunConfig
    data: dict[str, Any]
    recipe: Recipe
    predictor: Any


def load_run(folder: RunFolder, *, depth: int | None = None) -> LoadedRun:
    """Rebuilds a run's model from its config and gives it the best weights.

    Args:
        folder: The run, or an ensemble of runs.
        depth: Column of a deeply supervised UNet++ to cut the model to; None: all of it.

    Raises:
        InputError: The run has no weights yet, or cannot be pruned.
    """
    if folder.is_ensemble:
        return _load_ensemble(folder, depth=depth)
    if folder.is_two_stage:
        return _load_two_stage(folder, depth=depth)
    config = load_any(folder.config)
    task, data = task_of(config.task), folder.read_json("data.json")
    recipe = task.recorded_recipe(config, data, outside_architecture(config.model, folder))
    recipe = task.as_trained(recipe, folder)
    newest, _ = newest_checkpoint(folder.checkpoints, tidy=False)
    if newest is None:
        raise InputError(f"{folder.path} has no checkpoint yet. Train it first.")
    weights, problem = best_weights(folder.checkpoints, newest)
    if problem:
        print(problem, file=sys.stderr)
    model = recipe.build(task.open_shape(recipe))
    for variable, value in zip(recipe.trained(model).variables, weights, strict=True):
        variable.assign(value)
    task.restore(folder, model)
    if depth is not None:
        model = task.prune(model, depth, folder.path)
    return LoadedRun(
        folder, task, config, data, recipe=recipe, predictor=task.predictor(recipe, model)
    )


def _load_ensemble(folder: RunFolder, *, depth: int | None) -> LoadedRun:
    """An ensemble with all its members' weights, to be used like a run.

    Its config is that of the first member: it says how data is read and scored.

    Raises:
        InputError: A member is gone, or predicts otherwise than when the ensemble was made.
    """
    if depth is not None:
        raise InputError(f"--depth prunes one UNet++; {folder.path} is an ensemble of runs.")
    members, record = _members_of(folder, "ensemble.json")
    task, config, data, recipe = _recorded(folder)
    shares = [entry["weight"] for entry in record["members"]]
    ensemble = task.ensemble(recipe, [member.predictor for member in members], shares)
    return LoadedRun(folder, task, config, data, recipe=recipe, predictor=ensemble)


def _load_two_stage(folder: RunFolder, *, depth: int | None) -> LoadedRun:
    """A detector with a classifier behind it, to be used like a run of the classifier.

    Raises:
        InputError: As `_load_ensemble`.
    """
    if depth is not None:
        raise InputError(f"--depth prunes one UNet++; {folder.path} is a run of two stages.")
    members, record = _members_of(folder, "two_stage.json")
    task, config, data, recipe = _recorded(folder)
    predictor = task.two_stage(
        recipe,
        *(member.predictor for member in members),
        keep=record["keep"],
        fallback=record["fallback"],
    )
    return LoadedRun(folder, task, config, data, recipe=recipe, predictor=predictor)


def _members_of(folder: RunFolder, name: str) -> tuple[list[LoadedRun], dict[str, Any]]:
    """The runs that a record of a folder names, which must be as they were; and the record."""
    record = folder.read_json(name)
    again = "Make it again."
    if record["version"] != VERSION:
        raise InputError(
            f"{folder.path / name} has version {record['version']}; this program reads {VERSION}. "
            + again
        )
    members = []
    for entry in record["members"]:
        run = find_member(entry, folder.path)
        member = load_run(run)
        if weights_sha256(member.predictor.model) != entry["weights_sha256"]:
            raise InputError(
                f"{run.path}, a member of {folder.path}, has other weights than when that was "
                "made: it was trained on since, or replaced, or its best checkpoint is damaged. "
                + again
            )
        members.append(member)
    return members, record


def _recorded(folder: RunFolder) -> tuple[Task, RunConfig, dict[str, Any], Recipe]:
    """Task, config, `data.json` and recipe of a folder that has no weights of its own."""
    config, data = load_any(folder.config), folder.read_json("data.json")
    task = task_of(config.task)
    return task, config, data, task.recorded_recipe(config, data)


def find_member(entry: dict[str, Any], ensemble: Path) -> RunFolder:
    """The run of an entry: where it lay as seen from the ensemble, else where it was.

    Raises:
        InputError: It is in neither place.
    """
    near = Path(os.path.normpath(ensemble.resolve() / entry["run"]))
    for place in (near, Path(entry["place"])):
        if (place / "config.yaml").is_file():
            return RunFolder.existing(place)
    raise InputError(
        f"{ensemble} needs the run {entry['place']}, which is gone (nor is it at {near}). Put it "
        "back, or make what needs it again without it."
    )


def weights_sha256(model) -> str:
    """Over the values of a model's variables, in order: tells whether a run predicts the same."""
    digest = hashlib.sha256()
    for variable in model.variables:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def own_data(loaded: LoadedRun, path: Path | None = None) -> Prepared:
    """The run's own data, which must not have changed, split as the run recorded it.

    Args:
        loaded: The run.
        path: Where the data lies now; None: where it was.

    Raises:
        InputError: It is not there, or is other data.
    """
    config = loaded.config
    return prepare(at(config.data, path), seed=config.seed, known=loaded.data)


def is_own_data(loaded: LoadedRun, path: Path) -> bool:
    """Whether `path` holds the data that the run was trained on, by its fingerprint."""
    if not {"splits", "hashes", "fingerprint"} <= loaded.data.keys():
        return False  # a run of before these were kept: nothing can tell
    config = at(loaded.config.data, path)
    try:
        source = open_source(as_recorded(config, loaded.data))
        if len(source) < sum(map(len, loaded.data["splits"].values())):
            return False
        found = scan(
            source,
            class_names=config.class_names,
            ignore_label=config.ignore_label,
            on_bad_sample=config.on_bad_sample,
        )
    except InputError:
        return False
    return found.fingerprint == loaded.data["fingerprint"]


def data_path(loaded: LoadedRun) -> Path:
    """Where the run's data lies.

    Raises:
        InputError: It is embedded, or no longer there.
    """
    if loaded.data["path"] is None:
        raise InputError("The run was trained on embedded data; its images need --data.")
    as_recorded(loaded.config.data, loaded.data)
    return Path(loaded.data["path"])


def open_like(loaded: LoadedRun, path: Path, *, truth_needed: bool = True) -> Source:
    """A data set read as the run's was: its options, its mask values and its white.

    Args:
        loaded, path: The run and the data set.
        truth_needed: As `open_beside` has it.
    """
    data = loaded.data
    return open_beside(
        loaded.config.data,
        path,
        mask_values=data["mask_values"],
        white=data["white"],
        truth_needed=truth_needed,
    )
