"""Encoders from elsewhere: any Keras model whose strides can be found, under a decoder of ours.

An encoder is named in the section `encoder` of a model:

    {name: MobileNetV2}                     a builder of `keras.applications`
    {path: FILE.keras, preprocessing: ...}  a file; its architecture alone is read here
    {architecture: {...}, preprocessing: ...}   what `model.to_json()` holds

and its maps at strides 2, 4, 8, ... take the place of the model's own encoder. No weight is
read while a model is built: they enter once, by `load_encoder`, when a training begins.
"""

import inspect
import math
from dataclasses import dataclass, fields
from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import conv_block
from tfvision.models.encoder_graph import (
    feature_maps,
    input_channels,
    strides_of,
    without_layers,
)
from tfvision.models.encoder_json import architecture_of, check_architecture, read_architecture
from tfvision.models.encoder_pixels import pixels, prepare
from tfvision.registry import brief, parse_call, unknown


@dataclass(frozen=True)
class Encoder:
    """The section `encoder` of a model.

    Attributes:
        name: Of a builder of `keras.applications`.
        path: A `.keras` file, or a `.json` file with the text of `model.to_json()`.
        architecture: What that text holds, in place of a path.
        weights: What `load_encoder` reads: `auto` (those of a `.keras` path, else none), None,
            `imagenet` (fetched by keras.applications), or a file.
        preprocessing: What the encoder's pixels must be: `none` (0..255, for those with layers
            of their own for it), `tf`, `torch`, `caffe`, or `{scale, subtract, divide}`, numbers
            or one a channel: `(image * scale - subtract) / divide` of images in [0, 1]. None:
            as the family of `name` has it.
        arguments: More arguments of that builder, such as `{alpha: 0.35}`.
        taps: Names of the layers whose maps are used, from the finest on. None: the last one of
            each stride.
        upsample: How many times the image is enlarged (bilinearly) before the encoder, a power
            of two: small images have no pixels left at stride 32.
        stem: Adds a block of the decoder's kind on the image itself as the skip of stride 1,
            where an encoder that begins with a stride of 2 has none.
        trainable: False keeps weights and statistics of the encoder as they are.
        batch_norm: `train`, or `frozen`: the encoder's batch normalisations keep weights and
            statistics, while the rest learns. What they were pretrained with is better than the
            statistics of small batches, and a training step is cheaper.
    """

    name: str | None = None
    path: str | None = None
    architecture: dict[str, Any] | None = None
    weights: str | None = "auto"
    preprocessing: str | dict[str, Any] | None = None
    arguments: dict[str, Any] | None = None
    taps: list[str] | None = None
    upsample: int = 1
    stem: bool = False
    trainable: bool = True
    batch_norm: str = "train"

    @property
    def frozen(self) -> tuple[str, ...]:
        """Classes of layers that do not learn."""
        return ("BatchNormalization",) if self.batch_norm == "frozen" else ()

    @property
    def source(self) -> str | None:
        """Where weights come from: `imagenet`, a file, or None."""
        if self.weights != "auto":
            return self.weights
        return self.path if self.path and not self.path.endswith(".json") else None

    @property
    def halvings(self) -> int:
        """Strides of the encoder that are finer than the image."""
        return int(math.log2(self.upsample))


def parse_encoder(section: "str | dict[str, Any] | Encoder", *, called: str = "encoder") -> Encoder:
    """The section `encoder` of a model, checked.

    Args:
        section: What the config says.
        called: The section's name, for messages: that of a classifier is `backbone`.

    Raises:
        InputError: A key or a name is unknown, an argument has the wrong kind, there is not
            exactly one of name, path and architecture.
    """
    if isinstance(section, Encoder):
        return section
    section = parse_call(section) if isinstance(section, str) else section
    if not isinstance(section, dict):
        raise InputError(f"{called} must have keys and values. Received: {brief(section)}.")
    keys = [field.name for field in fields(Encoder)]
    for key in section:
        if key not in keys:
            raise InputError(unknown(f"key of {called}", key, keys))
    given = [k for k in ("name", "path", "architecture") if section.get(k) is not None]
    if not given and "path" in section:
        raise InputError(
            f"{called}.path is missing: give the .keras file of the {called}, with --set "
            f"model.{called}.path=FILE."
        )
    if len(given) != 1:
        raise InputError(
            f"{called} needs a name of keras.applications or the path of a .keras file, one of "
            f"them. Received: {', '.join(given) or 'neither'}."
        )
    encoder = Encoder(**section)
    _check_kinds(encoder, called)
    return encoder


def _check_kinds(encoder: Encoder, called: str) -> None:
    upsample = encoder.upsample
    if isinstance(upsample, bool) or upsample not in (1, 2, 4, 8):
        raise InputError(f"{called}.upsample must be 1, 2, 4 or 8. Received: {brief(upsample)}.")
    for key in ("stem", "trainable"):
        if not isinstance(getattr(encoder, key), bool):
            raise InputError(
                f"{called}.{key} must be true or false, not {getattr(encoder, key)!r}."
            )
    if encoder.batch_norm not in ("train", "frozen"):
        raise InputError(
            f"{called}.batch_norm must be train or frozen. Received: {brief(encoder.batch_norm)}."
        )
    for key in ("name", "path", "weights"):
        if not isinstance(getattr(encoder, key), str | None):
            raise InputError(f"{called}.{key} must be text, not {brief(getattr(encoder, key))}.")
    taps = encoder.taps
    if taps is not None and not (isinstance(taps, list | tuple) and taps):
        raise InputError(f"{called}.taps must list names of layers. Received: {brief(taps)}.")
    if encoder.arguments and encoder.name is None:
        raise InputError(
            f"{called}.arguments go to a builder of keras.applications: give its name."
        )
    if encoder.name is not None and encoder.name not in applications():
        raise InputError(unknown(f"{called} of keras.applications", encoder.name, applications()))
    pixels(encoder.name, encoder.preprocessing, called=called)


def applications() -> list[str]:
    """Names of the builders of `keras.applications`."""
    found = vars(keras.applications).items()
    return sorted(name for name, value in found if inspect.isfunction(value))


def application(encoder: Encoder, weights: str | None = None) -> keras.Model:
    """The model of `keras.applications`, for images of any size, without its classifier.

    Raises:
        InputError: It does not take these arguments, or no open size.
    """
    build = getattr(keras.applications, str(encoder.name))
    given = {"include_top": False, "input_shape": (None, None, 3), "weights": weights}
    options = inspect.signature(build).parameters
    for key in encoder.arguments or {}:
        if key not in options or key in given:
            raise InputError(unknown(f"argument of {encoder.name}", key, set(options) - set(given)))
    try:
        return build(**{**given, **(encoder.arguments or {})})
    except (TypeError, ValueError) as error:
        raise InputError(f"encoder {encoder.name}: {str(error).splitlines()[0]}") from error


def resolve_architecture(encoder: Encoder) -> dict[str, Any]:
    """What `model.to_json()` of the encoder holds, wherever it comes from."""
    if encoder.architecture is not None:
        check_architecture(encoder.architecture, "architecture")
        return encoder.architecture
    if encoder.path is not None:
        return read_architecture(encoder.path)
    found = architecture_of(application(encoder))
    if str(encoder.name).startswith("EfficientNetB"):
        return without_layers(found, ("rescaling", "normalization"))
    return found


def encoder_levels(encoder: "str | dict[str, Any] | Encoder", depth: int) -> int:
    """Halvings from the image to the deepest of `depth` strides of an encoder.

    Raises:
        InputError: The encoder enlarges the image as often as it halves it, or more.
    """
    encoder = parse_encoder(encoder)
    if depth <= encoder.halvings:
        raise InputError(
            f"encoder.upsample {encoder.upsample} needs a depth of at least "
            f"{encoder.halvings + 1}, or the deepest map is no coarser than the image. Received: "
            f"depth {depth}."
        )
    return depth - encoder.halvings


def encoder_maps(
    image,
    encoder: "str | dict[str, Any] | Encoder",
    *,
    depth: int,
    width: int,
    style: dict[str, Any],
) -> list:
    """Maps of an encoder for an image, by stride: item `i` has stride `2**i`.

    Args:
        image: (B, H, W, C) in [0, 1], H and W multiples of `2**encoder_levels(...)`.
        encoder: The section `encoder` of a model.
        depth: How many strides of the encoder are used: 2, 4, ..., `2**depth`, of the enlarged
            image where `upsample` is more than 1. Deeper layers are not built.
        width: Filters of the stem.
        style: `dropout`, `normalization` and `activation` of the stem.

    Returns:
        `encoder_levels(...) + 1` maps. The first are None where the encoder has none as fine;
        a stem is always one of stride 1.

    Raises:
        InputError: The encoder has no such strides, taps or channels, or cannot be made.
    """
    encoder = parse_encoder(encoder)
    levels = encoder_levels(encoder, depth)
    architecture = resolve_architecture(encoder)
    taps = find_taps(architecture, encoder, depth)
    wanted = [2**i for i in range(encoder.halvings, depth + 1)]
    x = prepare(
        image,
        name=encoder.name,
        preprocessing=encoder.preprocessing,
        channels=input_channels(architecture),
        upsample=encoder.upsample,
    )
    used = [stride for stride in wanted if stride in taps]
    maps = feature_maps(
        architecture,
        x,
        [taps[stride] for stride in used],
        trainable=encoder.trainable,
        frozen=encoder.frozen,
    )
    found = dict(zip(used, maps, strict=True))
    maps = [found.get(stride) for stride in wanted]
    if encoder.stem:
        stem = conv_block(image, width, **style, name="stem")
        maps[0] = stem if maps[0] is None else layers.Concatenate(name="skip_0")([maps[0], stem])
    assert len(maps) == levels + 1
    return maps


def find_taps(architecture: dict[str, Any], encoder: Encoder, depth: int) -> dict[int, str]:
    """Stride to the name of the layer whose map is used, up to `2**depth`, from the finest on.

    Raises:
        InputError: A named layer is not there or gives no map, two have one stride, a stride
            is missing that is not finer than all there are.
    """
    strides = strides_of(architecture)
    what = encoder.name or encoder.path or "architecture"
    if encoder.taps is None:
        taps = {stride: name for name, stride in strides.items()}  # the last of each stays
    else:
        taps = {}
        for name in encoder.taps:
            if name not in strides:
                raise InputError(unknown(f"tap of the encoder {what}", name, strides))
            if strides[name] in taps:
                raise InputError(
                    f"encoder.taps: {taps[strides[name]]} and {name} both have stride "
                    f"{strides[name]}; name one layer a stride."
                )
            taps[strides[name]] = name
    wanted = [2**i for i in range(max(1, encoder.halvings), depth + 1)]
    # An encoder that begins with a stride of 4 has no finer map: the decoder then only enlarges.
    missing = [s for s in wanted if s not in taps and (s > min(taps, default=0) or s == wanted[-1])]
    if missing:
        raise InputError(
            f"The encoder {what} has no map at stride {missing[0]}, which depth {depth} needs; "
            f"it has {', '.join(map(str, sorted(taps))) or 'none that can be found'}. An image of "
            "256x256 must give maps of 256 / stride. Lower model.depth, raise encoder.upsample, or "
            "name encoder.taps."
        )
    return taps
