"""The architecture of a Keras model as JSON: read from a file, checked, named.

No weight is read here, and nothing of a file is run.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tfvision.errors import InputError
from tfvision.registry import brief


def read_architecture(path: str | Path) -> dict[str, Any]:
    """What `model.to_json()` holds, of a `.keras` file or of a `.json` file with that text.

    Raises:
        InputError: The file is not there, or is neither.
    """
    path = Path(path)
    try:
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8")
        else:
            with zipfile.ZipFile(path) as file:
                text = file.read("config.json").decode("utf-8")
        found = json.loads(text)
    except FileNotFoundError as error:
        raise InputError(f"The encoder: there is no file {path}.") from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The encoder {path} is no Keras model: give a .keras file, or the text of "
            f"model.to_json() in a .json file. ({error})"
        ) from error
    check_architecture(found, str(path))
    return _of_any_version(found)


def _of_any_version(value: Any) -> Any:
    """Without what an older Keras does not know and what has no effect in this model.

    That is arguments of initializers that are None, and those of a batch renormalisation that is
    not in use.
    """
    if isinstance(value, list):
        return [_of_any_version(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _of_any_version(item) for key, item in value.items()}
    if value.get("module") == "keras.initializers":
        value["config"] = {k: v for k, v in value["config"].items() if v is not None}
    if value.get("class_name") == "BatchNormalization" and not value["config"].get("renorm"):
        value["config"] = {k: v for k, v in value["config"].items() if not k.startswith("renorm")}
    return value


def check_architecture(found: Any, where: str) -> None:
    """Raises an `InputError` unless `found` is a functional model of stock Keras layers."""
    kind = found.get("class_name") if isinstance(found, dict) else None
    config = found.get("config") if isinstance(found, dict) else None
    if kind not in ("Functional", "Sequential", "Model") or "layers" not in (config or {}):
        raise InputError(
            f"The encoder {where} must be a functional or sequential Keras model, since its layers "
            f"are built anew. Received: {kind or brief(found)}."
        )
    for module, name in _classes(config["layers"]):
        if not f"{module}.".startswith("keras.") or name == "Lambda":
            raise InputError(
                f"The encoder {where} has a {name} of {module}: only Keras' own layers are "
                "loaded, since others would run code of the file."
            )


def _classes(value: Any) -> Iterator[tuple[str, str]]:
    """(module, class) of every object in a config."""
    if isinstance(value, dict):
        if value.get("module") is not None:
            yield value["module"], str(value.get("class_name"))
        for item in value.values():
            yield from _classes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _classes(item)


def architecture_of(model: keras.Model) -> dict[str, Any]:
    """`model.to_json()`, its layers named as in a fresh session.

    Keras numbers layers without a name over the whole session: `re_lu_33` of the second model
    is `re_lu` of the first. A run that goes on must find the names it began with.
    """
    found = json.loads(model.to_json())
    names = fresh_names(model)

    config = found["config"]
    for layer in config["layers"]:
        layer["inbound_nodes"] = renamed(layer.get("inbound_nodes", []), names)
        layer["config"]["name"] = names[layer["config"]["name"]]
        layer["name"] = layer["config"]["name"]
    for key in ("input_layers", "output_layers"):
        config[key] = renamed(config[key], names)
    return found


def renamed(value: Any, names: dict[str, str]) -> Any:
    """`value` with other layers in every tensor's [layer, call, output]."""
    if isinstance(value, dict):
        return {key: renamed(item, names) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 3 and isinstance(value[0], str) and value[0] in names:
        return [names[value[0]], *value[1:]]
    return [renamed(item, names) for item in value]


def fresh_names(model: keras.Model) -> dict[str, str]:
    """Name of each operation to the one it would have as the first model of a session."""
    names = {layer.name: layer.name for layer in model.operations}
    numbered: dict[str, list[tuple[int, str]]] = {}
    for layer in model.operations:
        base = fresh_base(layer)
        match = re.fullmatch(rf"{base}(?:_(\d+))?", layer.name)
        if match:
            numbered.setdefault(base, []).append((int(match[1] or 0), layer.name))
    for base, found in numbered.items():
        for rank, (_, name) in enumerate(sorted(found)):
            names[name] = f"{base}_{rank}" if rank else base
    return names


def fresh_base(layer) -> str:
    """The name Keras gives a layer without one, before its number: `ReLU` -> `re_lu`."""
    base = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", base).lower()
