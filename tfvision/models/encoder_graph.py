"""The graph of a Keras model as its JSON gives it: measured, and built again on a tensor.

A `.keras` file and `model.to_json()` hold a list of layers and, for each, the tensors it was
called on. From that list any part of a model can be built anew: at another size, under other
names, up to a stride. No weight is read here.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from tfvision.errors import InputError
from tfvision.models.encoder_json import renamed
from tfvision.registry import unknown

PREFIX = "encoder_"  # of the name of every layer that comes from an encoder
PROBE = 256  # pixels; a multiple of every stride an encoder can have


class Call(NamedTuple):
    """One call of a layer: `tensors[layer, index]` are its outputs."""

    layer: str
    index: int
    arguments: dict[str, Any]
    inputs: list[tuple[str, int]]


def without_layers(architecture: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The architecture without these layers of one input; what took theirs takes that."""
    instead: dict[str, str] = {}
    for call in calls_of(architecture):
        if call.layer in names:
            before = call.inputs[0][0]
            instead[call.layer] = instead.get(before, before)
    config = architecture["config"]
    kept = [
        {**layer, "inbound_nodes": renamed(layer.get("inbound_nodes", []), instead)}
        for layer in config["layers"]
        if layer["config"]["name"] not in names
    ]
    return {**architecture, "config": {**config, "layers": kept}}


def input_channels(architecture: dict[str, Any]) -> int | None:
    """Channels of the images that a model takes; None where any number will do."""
    first = _input_layer(architecture)["config"]
    shape = first.get("batch_shape") or first.get("batch_input_shape")
    if not shape or len(shape) != 4:
        raise InputError(f"An encoder takes images (B, H, W, C); this one takes {shape}.")
    return shape[-1]


def _input_layer(architecture: dict[str, Any]) -> dict[str, Any]:
    inputs = [y for y in architecture["config"]["layers"] if y["class_name"] == "InputLayer"]
    if len(inputs) != 1:
        raise InputError(f"An encoder must have one input; this one has {len(inputs)}.")
    return inputs[0]


def calls_of(architecture: dict[str, Any]) -> list[Call]:
    """Every call of a layer, each after those whose tensors it takes."""
    layers = architecture["config"]["layers"]
    first = _input_layer(architecture)["config"]["name"]
    pending, previous = [], first
    for layer in layers:
        name = layer["config"]["name"]
        if name == first:
            continue
        nodes = layer.get("inbound_nodes")
        if architecture["class_name"] == "Sequential":
            nodes = [{"args": [_tensor(previous)], "kwargs": {}}]
            previous = name
        for index, node in enumerate(nodes or []):
            pending.append(Call(name, index, node, [h[:2] for h in _inputs(node)]))
    known, ordered = {(first, 0)}, []
    while pending:
        ready = [call for call in pending if all(i in known for i in call.inputs)]
        if not ready:
            raise InputError(f"An encoder's layer {pending[0].layer} is called on nothing known.")
        # In the order of the file as far as that goes: one pass for nearly every model.
        waiting = []
        for call in pending:
            if all(i in known for i in call.inputs):
                known.add((call.layer, call.index))
                ordered.append(call)
            else:
                waiting.append(call)
        pending = waiting
    return ordered


def _tensor(layer: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, 0]}}


def _inputs(value: Any) -> list[tuple[str, int, int]]:
    """(layer, call, output) of every tensor in the arguments of a call."""
    if isinstance(value, list):
        return [h for item in value for h in _inputs(item)]
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [tuple(value["config"]["keras_history"])]
        return [h for item in value.values() for h in _inputs(item)]
    return []


def strides_of(architecture: dict[str, Any]) -> dict[str, int]:
    """Stride of each layer that gives a feature map (B, H, W, C), in the order of calls.

    Found by shapes: an image of 256x256 is thought through the model. Only powers of two
    count. What no convolution or dense layer stands before, such as a rescaling, gives no
    features.
    """
    strides = {name: _stride(shape) for name, shape in _feature_shapes(architecture).items()}
    return {name: stride for name, stride in strides.items() if stride}


def last_map(architecture: dict[str, Any]) -> str:
    """Name of the last layer that gives a feature map (B, H, W, C), before means and classifier.

    Raises:
        InputError: There is none.
    """
    shapes = _feature_shapes(architecture)
    maps = [n for n, shape in shapes.items() if len(shape) == 4 and min(shape[1:3]) > 1]
    if not maps:
        raise InputError(
            "The architecture has no feature map (B, H, W, C) for an image of "
            f"{PROBE}x{PROBE}, so there is nothing to classify by. Name a layer in taps."
        )
    return maps[-1]


def _feature_shapes(architecture: dict[str, Any]) -> dict[str, tuple]:
    """Shape of each layer's one output for an image of 256x256, where features are in it."""
    channels = input_channels(architecture)
    first = _input_layer(architecture)["config"]["name"]
    tensors = {(first, 0): [keras.KerasTensor((None, PROBE, PROBE, channels or 3))]}
    layers: dict[str, Any] = {}
    features: set[str] = set()
    shapes: dict[str, tuple] = {}
    for call in calls_of(architecture):
        layer = layers.get(call.layer)
        if layer is None:
            layer = layers[call.layer] = _layer(architecture, call.layer)
        if any(i not in tensors for i in call.inputs):
            continue
        args, kwargs = _revive(call.arguments, tensors)
        found = _measured(layer, args, kwargs)
        if found is None:
            continue
        tensors[call.layer, call.index] = outputs = keras.tree.flatten(found)
        if _makes_features(layer) or any(i[0] in features for i in call.inputs):
            features.add(call.layer)
        if call.layer in features and len(outputs) == 1:
            shapes[call.layer] = tuple(outputs[0].shape)
    return shapes


def _makes_features(layer) -> bool:
    if isinstance(layer, keras.Model):
        return any(_makes_features(inner) for inner in layer.layers)
    return "Conv" in type(layer).__name__ or "Dense" in type(layer).__name__


def _measured(layer, args: list, kwargs: dict):
    """What a layer gives for tensors that are thought; None for a head that takes one size only,
    whose maps are of no use here."""
    for think in (layer.compute_output_spec, layer):  # some have to be built first
        try:
            return think(*args, **kwargs)
        except Exception:
            continue
    return None


def _stride(shape: tuple) -> int | None:
    if len(shape) != 4 or not shape[1] or shape[1] != shape[2] or PROBE % shape[1]:
        return None
    stride = PROBE // shape[1]
    return stride if shape[1] > 1 else None  # 1x1 is a mean over the map, not a map


def feature_maps(
    architecture: dict[str, Any],
    image,
    taps: list[str],
    *,
    trainable: bool = True,
    frozen: tuple[str, ...] = (),
    stem: Callable | None = None,
) -> list:
    """Outputs of the layers `taps` for `image`; only what they need is built.

    Layers are named `encoder_` and their name, and work under the present dtype policy.

    Args:
        architecture: As `read_architecture` returns it.
        image: (B, H, W, C), preprocessed.
        taps: Names of layers, without the prefix.
        trainable: Of every layer; a frozen BatchNormalization keeps its statistics.
        frozen: Classes of layers, by name, that are not trainable in any case.
        stem: Makes of the first layer's map that of the same shape that takes its place; the
            first layer is the first with a convolution.

    Raises:
        InputError: A layer is not there.
    """
    calls = calls_of(architecture)
    names = dict.fromkeys(call.layer for call in calls)
    for tap in taps:
        if tap not in names:
            raise InputError(unknown("tap of the encoder", tap, names))
    needed = {(tap, 0) for tap in taps}
    for call in reversed(calls):
        if (call.layer, call.index) in needed:
            needed.update(call.inputs)
    tensors = {(_input_layer(architecture)["config"]["name"], 0): [image]}
    layers: dict[str, Any] = {}
    for call in calls:
        if (call.layer, call.index) not in needed:
            continue
        layer = layers.get(call.layer)
        if layer is None:
            layer = _layer(
                architecture, call.layer, prefix=PREFIX, trainable=trainable, frozen=frozen
            )
            layers[call.layer] = layer
        args, kwargs = _revive(call.arguments, tensors)
        outputs = keras.tree.flatten(layer(*args, **kwargs))
        if stem is not None and _makes_features(layer):
            outputs, stem = [stem(outputs[0])], None
        tensors[call.layer, call.index] = outputs
    return [tensors[tap, 0][0] for tap in taps]


def _layer(
    architecture,
    name: str,
    *,
    prefix: str = "",
    trainable: bool = True,
    frozen: tuple[str, ...] = (),
):
    """A new layer, not yet built, of the one called `name`."""
    data = next(y for y in architecture["config"]["layers"] if y["config"]["name"] == name)
    data = copy.deepcopy({k: v for k, v in data.items() if k not in ("build_config", "name")})
    _open_size(data)
    config = data["config"]
    config["name"] = prefix + name
    if "dtype" in config:
        config["dtype"] = keras.config.dtype_policy().name
    if prefix and data["class_name"] == "Normalization" and config.get("mean") is None:
        raise InputError(
            f"The encoder's layer {name} is a Normalization that was adapted to data: a run "
            "could not rebuild what it learnt. Make it with mean and variance, or leave it out "
            "and set encoder.preprocessing."
        )
    if not trainable and "trainable" in config:
        config["trainable"] = False
    _freeze(data, frozen)
    try:
        return keras.saving.deserialize_keras_object(data, safe_mode=True)
    except (TypeError, ValueError, AttributeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"The encoder's layer {name} cannot be made here: {first}") from error


def _freeze(value: Any, classes: tuple[str, ...]) -> None:
    """Makes the layers of some classes untrainable, those of models in a layer too."""
    if isinstance(value, list):
        for item in value:
            _freeze(item, classes)
    elif isinstance(value, dict):
        if value.get("class_name") in classes:
            value["config"]["trainable"] = False
        for item in value.values():
            _freeze(item, classes)


def _open_size(value: Any) -> None:
    """Takes height and width, those of another image, from the inputs of models in a layer."""
    if isinstance(value, list):
        for item in value:
            _open_size(item)
    elif isinstance(value, dict):
        for key in ("batch_shape", "build_input_shape"):
            shape = value.get(key)
            if isinstance(shape, list) and len(shape) == 4:
                value[key] = [shape[0], None, None, shape[3]]
        for item in value.values():
            _open_size(item)


def _revive(node: dict[str, Any], tensors: dict) -> tuple[list, dict]:
    """The arguments of a call, with tensors for their names."""

    def revive(value: Any) -> Any:
        if isinstance(value, list):
            return [revive(item) for item in value]
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                layer, index, output = value["config"]["keras_history"]
                return tensors[layer, index][output]
            if "class_name" in value:
                return keras.saving.deserialize_keras_object(value, safe_mode=True)
            return {key: revive(item) for key, item in value.items()}
        return value

    return revive(node.get("args", [])), revive(node.get("kwargs", {}))
