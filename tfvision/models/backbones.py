"""Backbones: from an image to feature maps by stride, on which detectors stand.

A backbone is named in the argument `backbone` of a detector:

    slim_resnet, resnet(depth=50)           one of the table `BACKBONES`, below
    {name: MobileNetV2, weights: imagenet}          a builder of `keras.applications`
    {path: FILE.keras, preprocessing: ..., taps: [...]}   a file

The last two are what `models.encoders.Encoder` describes, and get their weights as it says.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers

from tfvision.errors import InputError
from tfvision.models import BACKBONES, blocks
from tfvision.models.encoder_pixels import prepare
from tfvision.models.encoders import Encoder, applications, encoder_maps, parse_encoder
from tfvision.models.resnet import residual_stages, unit
from tfvision.registry import Spec, parse_call, unknown

STRIDES = (4, 8, 16, 32)  # of the maps that every residual net here gives
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def own_backbone(section: "str | dict[str, Any] | Encoder") -> Spec | None:
    """The section `backbone` where it names one of `BACKBONES`, None where it is an encoder.

    Raises:
        InputError: The name is neither one of these nor of `keras.applications`.
    """
    if isinstance(section, str):
        section = parse_call(section)
    name = section.get("name") if isinstance(section, dict) else None
    if name is None or name in applications():
        return None
    if name not in BACKBONES:
        raise InputError(unknown("backbone", name, [*BACKBONES, *applications()]))
    return Spec(**section)


def backbone_maps(
    image, backbone: "str | dict[str, Any] | Encoder", strides: Sequence[int]
) -> dict[int, Any]:
    """Feature maps of an image by stride.

    Args:
        image: (B, H, W, C) in [0, 1]; H and W multiples of the largest of `strides`, or open.
        backbone: See the module.
        strides: Those wanted, powers of two.

    Returns:
        Stride `s` -> (B, H/s, W/s, channels of that map), for each of `strides`.

    Raises:
        InputError: The backbone is unknown, cannot be made, or has no map at one of `strides`.
    """
    own = own_backbone(backbone)
    if own is not None:
        maps = BACKBONES.build(own, image=image)
    else:
        encoder = parse_encoder(backbone, called="backbone")
        depth = max(strides).bit_length() - 1 + encoder.halvings
        # The stem is a skip of a decoder, and has its style; no detector asks for stride 1.
        style = {"dropout": 0.0, "normalization": "group", "activation": "relu"}
        found = encoder_maps(image, encoder, depth=depth, width=32, style=style)
        maps = {2**i: x for i, x in enumerate(found) if x is not None}
    missing = [stride for stride in strides if stride not in maps]
    if missing:
        raise InputError(
            f"The backbone has no map of stride {missing[0]}; it has "
            f"{', '.join(map(str, sorted(maps)))}."
        )
    return {stride: maps[stride] for stride in strides}


def _prepared(image, preprocessing: str | dict[str, Any] | None):
    """Pixels as weights from elsewhere want them, three channels where that is said."""
    return prepare(image, preprocessing=preprocessing, channels=3) if preprocessing else image


def slim_resnet(
    image,
    *,
    width: int = 32,
    normalization: str = "group",
    activation: str = "relu",
    preprocessing: str | dict[str, Any] | None = None,
) -> dict[int, Any]:
    """Residual net of eight basic blocks, thin enough to train from scratch on a processor.

    Its stem is two convolutions of stride 2 in place of a 7x7 and a maximum: small objects keep
    more of their pixels.

    Args:
        image: (B, H, W, C) in [0, 1].
        width: Filters of stride 4; doubled at each later one. 64 is as wide as a ResNet-18.
        normalization: `group`, `batch`, `sync_batch`, `frozen` or `none`.
        activation: Name of a Keras activation.
        preprocessing: See `resnet`.

    Returns:
        Maps of `width`, 2, 4 and 8 times as many channels at strides 4, 8, 16, 32.
    """
    blocks.check_counts(width=width)
    style = {"normalization": normalization, "activation": activation, "padding": "symmetric"}
    x = _prepared(image, preprocessing)
    x = unit(x, max(1, width // 2), 3, 2, **style, name="stem_1")
    x = unit(x, width, 3, 2, **style, name="stem_2")
    return dict(zip(STRIDES, residual_stages(x, width, (2, 2, 2, 2), **style), strict=True))


def resnet(
    image,
    *,
    depth: int = 50,
    width: int = 64,
    normalization: str = "group",
    activation: str = "relu",
    preprocessing: str | dict[str, Any] | None = None,
) -> dict[int, Any]:
    """ResNet-18, 34, 50 or 101 as torchvision builds it (v1.5): see `models.resnet`.

    Convolutions of stride 2 and the maximum pad as many pixels before as behind.

    Args:
        image: (B, H, W, C) in [0, 1].
        depth: 18, 34, 50 or 101.
        width: Filters of the first stage.
        normalization: `group`, `batch`, `sync_batch`, `frozen` (for weights from elsewhere) or
            `none`.
        activation: Name of a Keras activation.
        preprocessing: As `Encoder` has it, `torch` for torchvision's weights: grey then becomes
            three channels. None leaves images as they are.

    Returns:
        Maps of `width`, 2, 4 and 8 times as many channels at strides 4, 8, 16, 32; four times as
        many with bottlenecks, from 50 on.

    Raises:
        InputError: An unknown depth, an argument that `blocks.normalize` or `prepare` refuses.
    """
    if depth not in DEPTHS:
        raise InputError(
            f"resnet: depth must be one of {', '.join(map(str, DEPTHS))}. Received: {depth!r}."
        )
    blocks.check_counts(width=width)
    style = {"normalization": normalization, "activation": activation, "padding": "symmetric"}
    x = _prepared(image, preprocessing)
    x = unit(x, width, 7, 2, **style, name="stem")
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    maps = residual_stages(x, width, DEPTHS[depth], bottleneck=depth >= 50, **style)
    return dict(zip(STRIDES, maps, strict=True))


def vgg16(
    image,
    *,
    normalization: str = "group",
    activation: str = "relu",
    preprocessing: str | dict[str, Any] | None = None,
) -> dict[int, Any]:
    """VGG-16 as SSD has it: its fully connected layers are convolutions, the first dilated.

    Simonyan, Zisserman 2014, arXiv 1409.1556, configuration D; Liu et al. 2016, arXiv 1512.02325,
    section 3.1. Sizes are rounded up at each stride.

    Args:
        image: (B, H, W, C) in [0, 1].
        normalization: `none` as in the paper, which from scratch learns badly; `group`, ...
        activation: Name of a Keras activation.
        preprocessing: See `resnet`.

    Returns:
        Maps of 64, 128, 256, 512, 1024 channels at strides 1, 2, 4, 8, 16.
    """
    style = {"normalization": normalization, "activation": activation}
    x = _prepared(image, preprocessing)
    maps = []
    for i, (filters, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        if i:
            x = layers.MaxPooling2D(2, padding="same", name=f"pool_{i}")(x)
        for j in range(count):
            x = unit(x, filters, 3, 1, **style, name=f"conv{i + 1}_{j + 1}")
        maps.append(x)
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="pool_5")(x)
    x = unit(x, 1024, 3, 1, **style, dilation=6, name="fc6")
    maps[-1] = unit(x, 1024, 1, 1, **style, name="fc7")
    return {2**i: x for i, x in enumerate(maps)}
