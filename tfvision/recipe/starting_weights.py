"""What a run begins with where `model.weights` names a run or a file."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.checkpoint import best_weights, newest_checkpoint
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.models.torchvision_weights import check_torchvision_model
from tfvision.models.weight_files import (
    TORCH,
    Given,
    Stored,
    by_layer,
    check_weight_file,
    give_weights,
    layers_of,
    read_weights,
)
from tfvision.recipe.recipe import Recipe
from tfvision.text import counted

MOST_NAMED = 5  # layers in a message


def check_starting_weights(config: RunConfig, *, resume: bool) -> None:
    """Checks `model.weights` before any data is opened.

    Raises:
        InputError: It is forbidden, or neither a run that has weights nor such a file.
    """
    source = config.model.weights
    if source is None or resume:  # it has begun already; what it began with may be gone
        return
    if config.model.pretrained == "forbidden":
        raise InputError(
            "model.pretrained is forbidden, but outside weights would enter by model.weights "
            f"({source}). Leave it out, or set model.pretrained=allowed."
        )
    try:
        if Path(source).is_dir():
            _run_of(Path(source))
        else:
            check_weight_file(Path(source))
    except InputError as error:
        raise InputError(f"model.weights: {error}") from error


def start_from(
    model: keras.Model, recipe: Recipe, class_names: Sequence[str], shape: tuple, say
) -> dict[str, Any] | None:
    """Gives a new model what fits of the weights that `model.weights` names.

    A layer takes what a layer of its name had, where all shapes are the same. What depends on the
    classes is made anew where a run had others. A file does not name its classes: there shapes
    alone decide.

    Args:
        model: As `recipe.build(shape)` made it.
        recipe: Of this run.
        class_names: Of this run, in order.
        shape: That of the model.
        say: Takes a line for the terminal.

    Returns:
        What `env.json` records: source, SHA-256 of the values, layers loaded, anew and unused.

    Raises:
        InputError: Nothing fits, or the source cannot be read.
    """
    source = recipe.config.model.weights
    if source is None:
        return None
    anew: set[str] = set()
    if Path(source).is_dir():
        run = _run_of(Path(source))
        stored, problem = _weights_of(run)
        if problem:
            say(f"warning: {problem}")
        of_classes = run.read_json("data.json")["class_names"]
        if list(of_classes) != list(class_names) and len(of_classes) == len(class_names):
            anew = _of_classes(model, recipe, shape)
    else:
        if source.endswith(TORCH):
            check_torchvision_model(model)
        stored = read_weights(Path(source))
    given = give_weights(model, stored, anew=anew)
    if not given.loaded:
        raise InputError(
            f"model.weights: nothing of {source} fits this model. It has the layers "
            f"{_some(stored)}; the model has {_some(given.anew)}, each with a reason: "
            f"{next(iter(given.anew.values()))}. Weights of a backbone from elsewhere enter by "
            "the section of the encoder or backbone."
        )
    say(_sentence(source, given))
    return {
        "source": source,
        "sha256": _sha256(stored),
        "loaded": given.loaded,
        "anew": given.anew,
        "unused": given.unused,
    }


def _run_of(path: Path) -> RunFolder:
    """The run in a folder, which must have weights.

    Raises:
        InputError: There is none, or it is an ensemble.
    """
    run = RunFolder.existing(path)
    if run.is_ensemble:
        raise InputError(f"{path} is an ensemble of runs: give one of them.")
    if run.is_two_stage:
        raise InputError(f"{path} is of two stages: give one of them, {path / 'classifier'} say.")
    if not run.checkpoints.is_dir():
        raise InputError(f"{path} has no checkpoint yet. Train it first.")
    return run


def _weights_of(run: RunFolder) -> tuple[Stored, str | None]:
    """The best weights of a run, and what is wrong with them."""
    newest, _ = newest_checkpoint(run.checkpoints, tidy=False)
    if newest is None:
        raise InputError(f"model.weights: {run.path} has no checkpoint yet. Train it first.")
    values, problem = best_weights(run.checkpoints, newest)
    names = [name.split("/", 2)[2] for name in newest.variables if name.startswith("model/")]
    return by_layer(dict(zip(names, values, strict=True))), problem


def _of_classes(model: keras.Model, recipe: Recipe, shape: tuple) -> set[str]:
    """Layers whose shape depends on the number of classes."""
    larger = layers_of(replace(recipe, num_classes=recipe.num_classes + 1).build(shape))

    def shapes(variables):
        return [tuple(v.shape) for v in variables.values()]

    own = layers_of(model)
    return {name for name in own if shapes(own[name]) != shapes(larger.get(name, {}))}


def _sentence(source: str, given: Given) -> str:
    number = len(given.loaded) + len(given.anew)
    said = f"weights: {len(given.loaded)} of {counted(number, 'layer')} from {source}"
    if given.anew:
        reasons = [f"{name} ({why})" for name, why in given.anew.items()]
        said += f"; made anew: {_some(reasons)}"
    unused = [name for name in given.unused if name not in given.anew]
    if unused:
        said += f"; not used of it: {_some(unused)}"
    return said


def _some(names) -> str:
    names = list(names)
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _sha256(stored: Stored) -> str:
    digest = hashlib.sha256()
    for layer in sorted(stored):
        for name, value in stored[layer].items():
            digest.update(f"{layer}/{name} {value.dtype} {value.shape}\n".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
