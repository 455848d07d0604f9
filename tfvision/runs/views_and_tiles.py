"""A run that predicts as a request asks: with views, in tiles, with fitted rules."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tfvision.config.file import load_any
from tfvision.engine.tta import make_views
from tfvision.errors import InputError
from tfvision.runs.fitted import with_fitted
from tfvision.runs.fitted_files import as_text, read_aggregate, read_rules, read_temperature
from tfvision.runs.load import LoadedRun
from tfvision.runs.request import UseRequest, parse_views


def as_requested(loaded: LoadedRun, request: UseRequest) -> LoadedRun:
    """A run, or an ensemble, that predicts with the views, tiles and fitted files of a request.

    Tiles are outermost, so that the memory of the views is that of a tile.

    Raises:
        InputError: A view's argument is wrong, a tile does not fit the model, a file that was
            fitted does not fit the run, or the task has no use for one of them.
    """
    if request.postprocess is not None:
        rules = read_rules(request.postprocess, loaded.config.task)
        recipe = loaded.task.with_rules(loaded.recipe, rules)
        loaded = replace(loaded, recipe=recipe, config=recipe.config)
    if request.threshold is not None:
        recipe = loaded.task.with_threshold(loaded.recipe, request.threshold)
        loaded = replace(loaded, recipe=recipe, config=recipe.config)
    if request.aggregate is not None or request.calibrated is not None:
        recipe = with_fitted(
            loaded.recipe,
            loaded.data["class_names"],
            aggregate=request.aggregate,
            calibrated=request.calibrated,
        )
        loaded = replace(loaded, recipe=recipe, config=recipe.config)
    task, recipe, predictor = loaded.task, loaded.recipe, loaded.predictor
    reason = task.facts.supports("tile")
    if request.tile is not None and reason:
        raise InputError(reason)
    chains = parse_views(request.tta)
    views = make_views(chains)
    if views:
        scaled = any(spec.name == "scale" for chain in chains for spec in chain)
        predictor = task.with_views(recipe, predictor, views, scaled=scaled)
    if request.tile is not None:
        predictor = task.with_tiles(recipe, predictor, request.tile, request.overlap)
    return replace(loaded, predictor=predictor)


def how(request: UseRequest) -> dict[str, Any]:
    """What a request asks besides the plain prediction, for records: only what is set."""
    rules = None
    if request.postprocess is not None:
        rules = as_text(read_rules(request.postprocess, load_any(request.run.config).task))
    settings = {
        "tta": request.tta,
        "tile": None if request.tile is None else f"{request.tile[0]}x{request.tile[1]}",
        "overlap": request.overlap,
        "threshold": request.threshold,
        "postprocess": rules,
        "aggregate": request.aggregate and read_aggregate(request.aggregate).aggregate.name,
        "calibrated": request.calibrated and read_temperature(request.calibrated).text,
    }
    return {key: value for key, value in settings.items() if value is not None}


def fitted_files(request: UseRequest) -> dict[str, Path]:
    """Name in an output folder -> the fitted file that a request uses."""
    files = {
        "postprocess.yaml": request.postprocess,
        "aggregate.yaml": request.aggregate,
        "temperature.json": request.calibrated,
    }
    return {name: path for name, path in files.items() if path is not None}
