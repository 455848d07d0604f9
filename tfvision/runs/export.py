"""The export of a run or an ensemble: written, loaded back, compared."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.engine.distribute import make_strategy
from tfvision.engine.export import check_export, write_export
from tfvision.engine.predict import as_float
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.recorded import DataAway
from tfvision.runs.keep import kept_samples
from tfvision.runs.load import LoadedRun, find_member, load_run, own_data
from tfvision.runs.request import UseRequest
from tfvision.tasks.facts import task_entry
from tfvision.tasks.task import Task


def export(request: UseRequest) -> dict[str, Any]:
    """Writes the run's `export/` again and loads all of it back.

    Where the run's data is away, the files are compared on samples that the run keeps.

    Raises:
        InputError: The data is other data, or away where the run keeps nothing.
    """
    make_strategy(request.device)
    loaded = load_run(request.run, depth=request.depth)
    examples = _examples_of_run(loaded, request)
    if members_of(request.run):
        rows = export_members(loaded, examples)
    else:
        rows = export_run(
            request.run,
            loaded.task,
            loaded.recipe,
            loaded.data,
            examples,
            predictor=loaded.predictor,
            depth=request.depth,
        )
    summary = request.run.read_json("summary.json")
    summary["exports"] = rows
    request.run.write_json("summary.json", summary)
    if not request.quiet:
        for row in rows:
            same = "same results" if row["labels_equal"] else "OTHER RESULTS"
            print(
                f"{request.run.export / row['file']}: {row['bytes']:,} bytes, {same}, largest "
                f"difference {row['max_difference']:.2g} ({row['loaded_with']})",
                file=sys.stderr,
            )
    return summary


def export_run(
    run: RunFolder,
    task: Task,
    recipe: Recipe,
    data: dict[str, Any],
    examples: list[Native],
    *,
    predictor: Any,
    depth: int | None = None,
) -> list[dict[str, Any]]:
    """Writes `export/` and loads everything in it back.

    Args:
        run: The run folder.
        task: Of the run.
        recipe: What the run's config means.
        data: `data.json` of the run.
        examples: What the files are compared on, from `examples_of`.
        predictor: The live model.
        depth: Column the live model was pruned to, or None.

    Returns:
        {file, bytes, loaded_with, max_difference, labels_equal} for each file.
    """
    shape = (*recipe.size, task.input_channels(recipe))
    fixed = recipe.build(shape)
    if depth is not None:
        fixed = task.prune(fixed, depth, run.path)
    for target, value in zip(fixed.variables, predictor.model.variables, strict=True):
        target.assign(value)
    description = {
        **task_entry(recipe.config.task),
        "model": {"name": recipe.model.name, **recipe.model.kwargs},
        "input_shape": list(shape),
        "depth": depth,
        "class_names": data["class_names"],
        "image": "serving_default: uint8 in 0..255; serve_float and model.keras: float32 in [0, 1]",
        **task.describe_export(recipe, data, predictor),
    }
    images = example_images(task, recipe, predictor, examples)
    served = task.served(recipe, predictor)
    write_export(run.export, served, fixed, description, plain=task.plain_keras)
    scale = 1 / 255 if images[0].dtype == np.uint8 else 1.0
    network = tf.image.resize(as_float([images[0]], [scale]), recipe.size).numpy()
    rows = check_export(run.export, served, fixed, images, network_images=network)
    run.write_json("export/export.json", {**description, "checks": rows})
    return rows


def export_members(loaded: LoadedRun, examples: list[Native]) -> list[dict[str, Any]]:
    """Writes an ensemble, or two stages, as one SavedModel, and loads it back in a fresh process.

    Returns:
        {file, bytes, loaded_with, max_difference, labels_equal}, one row.
    """
    members, task, recipe = members_of(loaded.folder), loaded.task, loaded.recipe
    description = {
        **task_entry(recipe.config.task),
        "members": [{k: entry[k] for k in ("arch", "weight") if k in entry} for entry in members],
        "class_names": loaded.data["class_names"],
        "image": "serving_default: uint8 in 0..255; serve_float: float32 in [0, 1]",
        **task.describe_export(recipe, loaded.data, loaded.predictor),
    }
    folder, served = loaded.folder.export, task.served(recipe, loaded.predictor)
    write_export(folder, served, None, description)
    rows = check_export(
        folder, served, None, example_images(task, recipe, loaded.predictor, examples)
    )
    loaded.folder.write_json("export/export.json", {**description, "checks": rows})
    return rows


def members_of(folder: RunFolder) -> list[dict[str, Any]]:
    """The entries of the runs that a folder is made of; [] of a run of its own."""
    names = {"ensemble.json": folder.is_ensemble, "two_stage.json": folder.is_two_stage}
    return next((folder.read_json(name)["members"] for name, is_it in names.items() if is_it), [])


def examples_of(prepared: Prepared) -> list[Native]:
    """Up to four images of a run's data, those that it did not train on where there are any."""
    indices = [i for i, split in enumerate(prepared.splits) if split in ("val", "test")]
    indices = indices or prepared.indices("train")
    return [native_scanned(prepared, i) for i in _some(indices)]


def _examples_of_run(loaded: LoadedRun, request: UseRequest) -> list[Native]:
    """The same of a run that is there, or of what it keeps where its data is away."""
    try:
        return examples_of(own_data(loaded, request.data))
    except DataAway as error:
        runs = [loaded.folder]
        members = members_of(loaded.folder)
        # The last of two stages is the one that keeps samples as they are read here.
        runs = [find_member(entry, loaded.folder.path) for entry in members[::-1]] or runs
        kept = next(filter(None, map(kept_samples, runs)), [])
        if not kept:
            raise
        if not request.quiet:
            print(f"{error} Compared on samples that the run keeps.", file=sys.stderr)
        return _some(kept)


def example_images(
    task: Task, recipe: Recipe, predictor: Any, samples: Sequence[Native]
) -> list[np.ndarray]:
    """What a model is given of some images, and an odd-sized piece of the first."""
    images = []
    for sample in samples:
        image = task.example_input(recipe, predictor, sample)
        byte = image.dtype == np.uint8 and sample.scale == 1 / 255
        images.append(image if byte else image.astype(np.float32) * np.float32(sample.scale))
    return [*images, _odd_part(images[0])]


def _some(candidates: list) -> list:
    return candidates[:: max(1, len(candidates) // 4)][:4]


def _odd_part(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image[: height - height // 3, : width - width // 5]
