"""The export of a run or an ensemble: written, loaded back, compared."""

import sys
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.engine.distribute import make_strategy
from tfvision.engine.export import check_export, write_export
from tfvision.engine.predict import as_float
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.runs.load import LoadedRun, load_run, own_data
from tfvision.runs.request import UseRequest
from tfvision.tasks.facts import task_entry
from tfvision.tasks.task import Task


def export(request: UseRequest) -> dict[str, Any]:
    """Writes the run's `export/` again and loads all of it back."""
    make_strategy(request.device)
    loaded = load_run(request.run, depth=request.depth)
    prepared = own_data(loaded)
    if request.run.is_ensemble:
        rows = export_ensemble(loaded, prepared)
    else:
        rows = export_run(
            request.run,
            loaded.task,
            loaded.recipe,
            prepared,
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
    prepared: Prepared,
    predictor: Any,
    *,
    depth: int | None = None,
) -> list[dict[str, Any]]:
    """Writes `export/` and loads everything in it back.

    Args:
        run: The run folder.
        task: Of the run.
        recipe: What the run's config means.
        prepared: The run's data; a few of its images are what the files are compared on.
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
        "class_names": prepared.class_names,
        "image": "serving_default: uint8 in 0..255; serve_float and model.keras: float32 in [0, 1]",
        **task.describe_export(recipe, prepared, predictor),
    }
    images = example_images(task, recipe, prepared)
    served = task.served(recipe, predictor)
    write_export(run.export, served, fixed, description)
    scale = 1 / 255 if images[0].dtype == np.uint8 else 1.0
    network = tf.image.resize(as_float([images[0]], [scale]), recipe.size).numpy()
    rows = check_export(run.export, served, fixed, images, network_images=network)
    run.write_json("export/export.json", {**description, "checks": rows})
    return rows


def export_ensemble(loaded: LoadedRun, prepared: Prepared) -> list[dict[str, Any]]:
    """Writes the whole ensemble as one SavedModel, and loads it back in a fresh process.

    Returns:
        {file, bytes, loaded_with, max_difference, labels_equal}, one row.
    """
    record, task, recipe = loaded.folder.read_json("ensemble.json"), loaded.task, loaded.recipe
    description = {
        **task_entry(recipe.config.task),
        "members": [{k: entry[k] for k in ("arch", "weight")} for entry in record["members"]],
        "class_names": loaded.data["class_names"],
        "image": "serving_default: uint8 in 0..255; serve_float: float32 in [0, 1]",
        **task.describe_export(recipe, prepared, loaded.predictor),
    }
    folder, served = loaded.folder.export, task.served(recipe, loaded.predictor)
    write_export(folder, served, None, description)
    rows = check_export(folder, served, None, example_images(task, recipe, prepared))
    loaded.folder.write_json("export/export.json", {**description, "checks": rows})
    return rows


def example_images(task: Task, recipe: Recipe, prepared: Prepared) -> list[np.ndarray]:
    """What a model is given of up to four real images, and an odd-sized piece of the first."""
    images = []
    for i in _examples(prepared):
        sample = native_scanned(prepared, i)
        image = task.example_input(recipe, sample)
        byte = image.dtype == np.uint8 and sample.scale == 1 / 255
        images.append(image if byte else image.astype(np.float32) * np.float32(sample.scale))
    return [*images, _odd_part(images[0])]


def _examples(prepared: Prepared) -> list[int]:
    indices = [i for i, split in enumerate(prepared.splits) if split in ("val", "test")]
    indices = indices or prepared.indices("train")
    return indices[:: max(1, len(indices) // 4)][:4]


def _odd_part(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image[: height - height // 3, : width - width // 5]
