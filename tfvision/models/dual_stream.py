"""Two pieces of an image side by side, each through a stream; their features meet at the end."""

from typing import Any

import keras
from keras import layers, ops

from tfvision.errors import InputError
from tfvision.models import blocks, heads
from tfvision.models.encoders import Encoder
from tfvision.models.transfer import backbone_map, parse_backbone


def DualStream(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    backbone: str | dict[str, Any] | Encoder | None = None,
    shared: bool = True,
    width: int = 16,
    depth: int = 4,
    units: int = 0,
    dropout: float = 0.3,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "dual_stream",
) -> keras.Model:
    """Builds a classifier of two pieces, stacked in the channels: the first C, then the other C.

    Late fusion: the features of both stand one behind the other before the dense layers.

    Args:
        input_shape: (height, width, 2 * C).
        num_classes: Number of classes.
        backbone: As `Transfer` has it; both pieces go through it. None: own streams of blocks.
        shared: Both streams have the same weights. A backbone is always shared.
        width: Filters of an own stream's first block, doubled at every halving.
        depth: Halvings of an own stream.
        units: Of a hidden dense layer; 0 for none.
        dropout: Before the last layer.
        normalization: Of own streams: `batch`, `sync_batch`, `group` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, 2 * C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An odd number of channels, two backbones, or an impossible value.
    """
    height, side, channels = input_shape
    if channels % 2:
        raise InputError(
            "dual_stream takes two pieces of the same channels, stacked: an even number of "
            f"channels. Received: {channels}. Choose a data.input that gives two pieces."
        )
    if backbone is not None and not shared:
        raise InputError(
            "dual_stream has one backbone for both pieces: leave shared at true, or leave out "
            "backbone."
        )
    blocks.check_builder(width, depth, dropout, num_classes)
    halvings = 0 if backbone is not None else depth
    heads.check_classifier(input_shape, num_classes, dropout, halvings=halvings, name=name)
    if units:
        blocks.check_counts(units=units)
    image = keras.Input(input_shape, name="image")
    style = {"normalization": normalization, "activation": activation}
    if shared:
        # Both pieces of an image one behind the other in the batch, so that all layers, and the
        # statistics of batch normalisation, see both.
        x = ops.reshape(image, (-1, height, side, 2, channels // 2))
        x = ops.reshape(ops.transpose(x, (0, 3, 1, 2, 4)), (-1, height, side, channels // 2))
        if backbone is not None:
            x = backbone_map(x, parse_backbone(backbone))
        else:
            x = _stream(x, width, depth, style, name="stream")
        x = heads.pool(x)
        x = ops.reshape(x, (-1, 2 * x.shape[-1]))
    else:
        pieces = ops.split(image, 2, axis=-1)
        maps = [_stream(x, width, depth, style, name=f"stream{i}") for i, x in enumerate(pieces)]
        x = heads.pool(layers.Concatenate(name="head_join")(maps))
    logits = heads.logits_from(x, num_classes, units=units, dropout=dropout, activation=activation)
    return blocks.as_model(image, logits, stride=1, name=name)


def _stream(x, width: int, depth: int, style: dict[str, str], *, name: str):
    """A block, and another after each halving. (B, H, W, C) -> (B, H/2^d, W/2^d, width * 2^d)."""
    for i in range(depth + 1):
        if i:
            x = layers.MaxPooling2D(name=f"{name}_block{i}_pool")(x)
        x = blocks.conv_block(x, width * 2**i, **style, name=f"{name}_block{i}")
    return x
