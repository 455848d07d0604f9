"""Weights of an encoder from elsewhere: they enter a model once, when a training begins."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from tfvision.errors import EnvironmentFault, InputError
from tfvision.models.encoder_graph import PREFIX
from tfvision.models.encoder_json import fresh_base, fresh_names, read_architecture
from tfvision.models.encoder_pixels import pixels
from tfvision.models.encoders import Encoder, application, parse_encoder, resolve_architecture
from tfvision.registry import brief

ENDINGS = (".keras", ".weights.h5", ".h5")


def check_weights(encoder: "str | dict[str, Any] | Encoder", *, called: str = "encoder") -> None:
    """Raises an `InputError` where the weights of an encoder are plainly not to be had.

    Args:
        encoder: The section of the config.
        called: The section's name, for messages.
    """
    encoder = parse_encoder(encoder, called=called)
    source = encoder.source
    if source == "imagenet":
        if encoder.name is None:
            raise InputError(
                f"{called}.weights imagenet is fetched by keras.applications for an encoder of "
                "its own, by name; this one is a path. Give a file, or leave weights out."
            )
        written = pixels(encoder.name, encoder.preprocessing)
        if written != pixels(encoder.name, None):
            raise InputError(
                f"{called}.preprocessing {brief(encoder.preprocessing)} is not what the ImageNet "
                f"weights of {encoder.name} were trained on. Leave it to them: "
                f"--set model.{called}.preprocessing=null."
            )
    elif source is not None:
        if not source.endswith(ENDINGS):
            raise InputError(
                f"{called}.weights must be null, imagenet or a file {', '.join(ENDINGS)}. "
                f"Received: {source!r}."
            )
        if not Path(source).is_file():
            raise InputError(f"The weights of the {called}: there is no file {source}.")


def load_encoder(
    model: keras.Model, encoder: "str | dict[str, Any] | Encoder", *, called: str = "encoder"
) -> dict[str, Any] | None:
    """Gives the encoder's layers of `model` the weights that its section names.

    Args:
        model: Built with this section.
        encoder: The section of the config.
        called: The section's name, for messages.

    Returns:
        {source, sha256, num_variables}, of the file, or of the arrays where they were fetched;
        None where the section names no weights.

    Raises:
        InputError: The file is not there, or does not fit: the first layer that differs.
        EnvironmentFault: Weights cannot be fetched.
    """
    encoder = parse_encoder(encoder, called=called)
    check_weights(encoder, called=called)
    source = encoder.source
    if source is None:
        return None
    if source.endswith(".keras"):
        found, sha = _of_keras_file(source), _hash_of(source)
    elif source == "imagenet":
        found = _fetched(encoder, called)
        sha = _hash_of_arrays(found)
    else:
        found, sha = _of_weights_file(encoder, source), _hash_of(source)
    return {"source": source, "sha256": sha, "num_variables": _assign(model, found, source, called)}


def _assign(
    model: keras.Model, found: dict[str, list[np.ndarray]], source: str, called: str
) -> int:
    """Checks every layer, then writes; returns how many variables were written."""
    pairs = []
    for layer in _encoder_layers(model):
        if not layer.weights:
            continue
        name = layer.name.removeprefix(PREFIX)
        wanted = layer.weights
        values = found.get(name)
        if values is None:
            raise InputError(
                f"{source} does not fit the {called}: it has no layer {name}, which has weights of "
                f"shape {_shapes(wanted)}."
            )
        if _shapes(wanted) != _shapes(values):
            raise InputError(
                f"{source} does not fit the {called}: layer {name} should have weights of shape "
                f"{_shapes(wanted)}; in the file they have {_shapes(values)}."
            )
        pairs += list(zip(wanted, values, strict=True))
    if not pairs:
        raise InputError(f"{source}: the model has no layers of an encoder to give weights to.")
    for variable, value in pairs:
        variable.assign(value)
    return len(pairs)


def _encoder_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of an encoder, wherever in the models that a model consists of."""
    for layer in model.layers:
        if layer.name.startswith(PREFIX):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _encoder_layers(layer)


def _shapes(values: list) -> str:
    return ", ".join(str(tuple(int(n) for n in value.shape)) for value in values) or "none"


def _weights_of(original: keras.Model, names: dict[str, str]) -> dict[str, list[np.ndarray]]:
    """Name of each layer, by `names`, to its weights."""
    return {
        names[layer.name]: [keras.ops.convert_to_numpy(w) for w in layer.weights]
        for layer in original.layers
    }


def _of_keras_file(path: str) -> dict[str, list[np.ndarray]]:
    """Both parts of the file by themselves: `load_model` would also need what a head needs."""
    original = _rebuilt(read_architecture(path))
    names = {layer.name: layer.name for layer in original.layers}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with zipfile.ZipFile(path) as file:
                inner = file.extract("model.weights.h5", scratch)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} holds no weights: {_first_line(error)}") from error
        return _read(original, names, inner, path)


def _fetched(encoder: Encoder, called: str) -> dict[str, list[np.ndarray]]:
    try:
        original = application(encoder, weights="imagenet")
        return _weights_of(original, fresh_names(original))
    except InputError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a URL does not answer
        raise EnvironmentFault(
            f"The ImageNet weights of {encoder.name} could not be fetched: {_first_line(error)}. "
            f"Without a network give a file: --set model.{called}.weights=FILE."
        ) from error


def _of_weights_file(encoder: Encoder, path: str) -> dict[str, list[np.ndarray]]:
    """Weights without an architecture: the encoder's own is made to take them."""
    if encoder.name is not None:
        original = application(encoder)
        names = fresh_names(original)
    else:
        original = _rebuilt(resolve_architecture(encoder))
        names = {layer.name: layer.name for layer in original.layers}
    return _read(original, names, path, path)


def _read(
    original: keras.Model, names: dict[str, str], file: str, path: str
) -> dict[str, list[np.ndarray]]:
    """Weights of `original` from a file of weights; messages call it `path`."""
    try:
        original.load_weights(file)
    except (TypeError, ValueError, OSError, KeyError) as error:
        different = _first_difference(original, names, file)
        raise InputError(
            f"{path} does not fit the encoder: {different or _first_line(error)}"
        ) from error
    return _weights_of(original, names)


def _rebuilt(architecture: dict[str, Any]) -> keras.Model:
    """The whole model up to its last map (B, H, W, C): files without a classifier fit it too."""
    model = keras.models.model_from_json(json.dumps(architecture))
    outputs = [getattr(layer, "output", None) for layer in model.layers]
    maps = [y for y in outputs if len(getattr(y, "shape", ())) == 4]
    return keras.Model(model.inputs, maps[-1])


def _first_difference(model: keras.Model, names: dict[str, str], path: str) -> str | None:
    """The first layer whose weights a `.weights.h5` lacks or has in another shape.

    Keras stores them as `layers/<class>[_<number>]/vars/<i>`.
    """
    try:
        with h5py.File(path, "r") as file:
            stored = file.get("layers") or file.get("_layer_checkpoint_dependencies")
            if stored is None:
                return None
            counts: dict[str, int] = {}
            for layer in model.layers:
                base = fresh_base(layer)
                number = counts.get(base, 0)
                counts[base] = number + 1
                wanted = layer.weights
                if not wanted:
                    continue
                group = stored.get(f"{base}_{number}" if number else base)
                values = list(group["vars"].values()) if group and "vars" in group else []
                if _shapes(wanted) != _shapes(values):
                    return (
                        f"layer {names[layer.name]} should have weights of shape "
                        f"{_shapes(wanted)}; in the file they have {_shapes(values)}."
                    )
    except OSError:
        pass
    return None


def _hash_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of_arrays(found: dict[str, list[np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode())
        for value in found[name]:
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
