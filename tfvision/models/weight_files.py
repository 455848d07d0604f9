"""Weights that were stored elsewhere, by layer: read from a file, given to a model where they fit.

A layer is known by its name: the `weights.h5` of Keras 3, also inside a `.keras` file, keeps the
names of layers; an `.npz` file has `LAYER/VARIABLE` as its keys; the names of torchvision's state
dicts are translated. No code of a file is run.
"""

import tempfile
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from tfvision.errors import InputError
from tfvision.models.torchvision_weights import read_torchvision

Stored = dict[str, dict[str, np.ndarray]]  # layer -> variable -> value
TORCH = (".pth", ".pt")
ENDINGS = (".weights.h5", ".keras", ".npz", *TORCH)


@dataclass(frozen=True)
class Given:
    """What became of stored weights.

    Attributes:
        loaded: Layers that took them.
        anew: Layer -> why it keeps its initial weights.
        unused: Stored layers that no layer took.
    """

    loaded: list[str]
    anew: dict[str, str]
    unused: list[str]


def give_weights(model: keras.Model, stored: Stored, *, anew: Collection[str] = ()) -> Given:
    """Gives each layer of a model the stored weights of its name, where all of them fit.

    Args:
        model: Built.
        stored: Layer -> variable, or its place in the layer as text -> value. Names of models that
            a layer stands in may come before its own, `net/stem_conv`.
        anew: Layers that keep their initial weights in any case.

    Returns:
        What was loaded; the caller judges whether that is enough.
    """
    full = _by_ending(stored)
    loaded, kept, taken = [], {}, set()
    for layer, variables in layers_of(model).items():
        name = full.get(layer)
        if name is None:
            kept[layer] = "not there" if layer not in full else "there more than once"
            continue
        values = [
            stored[name].get(variable, stored[name].get(str(i)))
            for i, variable in enumerate(variables)
        ]
        shapes = [None if value is None else tuple(value.shape) for value in values]
        if len(stored[name]) != len(variables) or shapes != [
            tuple(v.shape) for v in variables.values()
        ]:
            there = ", ".join(str(tuple(v.shape)) for v in stored[name].values())
            here = ", ".join(str(tuple(v.shape)) for v in variables.values())
            kept[layer] = f"{there} there, {here} here"
        elif layer in anew:
            kept[layer] = "of other classes"
        else:
            for variable, value in zip(variables.values(), values, strict=True):
                variable.assign(value)
            loaded.append(layer)
            taken.add(name)
    return Given(loaded, kept, [name for name in stored if name not in taken])


def layers_of(model: keras.Model) -> dict[str, dict[str, keras.Variable]]:
    """Layer -> variable -> its weights and statistics, without states of random numbers."""
    found: dict[str, dict[str, keras.Variable]] = {}
    for variable in model.variables:
        if keras.backend.is_float_dtype(variable.dtype):
            layer, _, name = variable.path.rpartition("/")
            found.setdefault(layer, {})[name] = variable
    return found


def _by_ending(stored: Stored) -> dict[str, str | None]:
    """Each name and each end of it, `b/c` and `c` of `a/b/c`, to the whole; None: of several."""
    found: dict[str, str | None] = {}
    for name in stored:
        parts = name.split("/")
        for i in range(len(parts)):
            end = "/".join(parts[i:])
            found[end] = None if end in found else name
    return {**found, **{name: name for name in stored}}


def read_weights(path: Path) -> Stored:
    """The layers of a file of weights.

    Raises:
        InputError: The file is not there, of another kind, damaged, or without names of layers.
    """
    path = Path(path)
    check_weight_file(path)
    if path.suffix in TORCH:
        return read_torchvision(path)
    try:
        if path.suffix == ".npz":
            return _of_npz(path)
        if path.suffix == ".keras":
            with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(path) as file:
                return _of_h5(Path(file.extract("model.weights.h5", scratch)), path)
        return _of_h5(path, path)
    except InputError:
        raise
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no weights that can be read: {error}") from error


def check_weight_file(path: Path) -> None:
    """Raises an `InputError` where a file is not there or not of a kind that is read."""
    if not path.name.endswith(ENDINGS):
        raise InputError(
            f"Weights are read from the folder of a run or a file {', '.join(ENDINGS)}. Received: "
            f"{path}."
        )
    if not path.is_file():
        raise InputError(f"There is no file {path}.")


def by_layer(named: dict[str, np.ndarray]) -> Stored:
    """`LAYER/VARIABLE` -> value, by layer; states of random numbers are left out."""
    stored: Stored = {}
    for name, value in named.items():
        layer, _, variable = name.rpartition("/")
        if value.dtype.kind == "f":
            stored.setdefault(layer, {})[variable] = value
    return stored


def _of_npz(path: Path) -> Stored:
    with np.load(path, allow_pickle=False) as file:
        if not all("/" in name for name in file.files):
            raise InputError(
                f"{path} must name its arrays LAYER/VARIABLE, such as stem_conv/kernel. Received: "
                f"{', '.join(file.files[:3])}. Of a run, give the folder."
            )
        return by_layer({name: file[name] for name in file.files})


def _of_h5(file: Path, path: Path) -> Stored:
    """Keras puts the variables of a layer into a group `vars`, whose attribute is its name."""
    stored: Stored = {}
    with h5py.File(file, "r") as root:

        def walk(group: h5py.Group, above: tuple[str, ...]) -> None:
            own = group.get("vars")
            names = above
            if group != root and own is not None and "name" in own.attrs:
                names = (*above, str(own.attrs["name"]))
                values = {key: own[key][()] for key in own}
                if values and all(v.dtype.kind == "f" for v in values.values()):
                    stored["/".join(names)] = values
            for key, inner in group.items():
                if key != "vars" and isinstance(inner, h5py.Group):
                    walk(inner, names)

        walk(root, ())
    if not stored:
        raise InputError(
            f"{path} has no names of layers: it is not the weights.h5 of Keras 3. Load it into the "
            "model that it is of, and save that by model.save_weights('NAME.weights.h5')."
        )
    return stored
