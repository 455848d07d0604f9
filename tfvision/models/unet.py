r"""UNet: an encoder that halves, a decoder that doubles, and skips between them.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015. https://arxiv.org/abs/1505.04597

Names follow Figure 1 of the paper, read by stride `2**i`:

    encoder_0 ------------------------------> merge_0 - decoder_0 - logits   stride 1
        \ down_1                               / up_0
        encoder_1 ------------> merge_1 - decoder_1                          stride 2
            \ down_2             / up_1
              bottom ------------                                            stride 4

Unlike the paper's, convolutions are padded, so that the mask has the image's size, and
every convolution is followed by a normalisation. With an `encoder` from elsewhere its maps
take the place of `encoder_0` ... `bottom`; where it has none at stride 1, `decoder_0` follows
`up_0` alone.
"""

from typing import Any

import keras
from keras import layers

from tfvision.models.blocks import (
    as_model,
    check_builder,
    conv_block,
    crop_to,
    pad_to_stride,
    upsample,
)
from tfvision.models.encoders import encoder_levels, encoder_maps


def UNet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 64,
    depth: int = 4,
    encoder: str | dict[str, Any] | None = None,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "unet",
) -> keras.Model:
    """Builds a UNet that labels every pixel of an image.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `model.stride`, `2**depth`, and cropped back.
            Where they are None, the caller feeds multiples of it.
        num_classes: Number of classes, background included.
        width: Filters at stride 1; doubled at every coarser stride.
        depth: Number of 2x downsamplings.
        encoder: One from elsewhere in place of this one, as `models.encoders.Encoder` has it;
            `depth` then counts the strides of it that are used, and `width`, `dropout` and
            `normalization` shape the decoder. None: a plain one from scratch.
        dropout: Rate of the spatial dropout inside every block, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes).

    Raises:
        InputError: A width or depth below 1, a dropout outside [0, 1), an unknown
            normalization, an encoder that cannot be had.
    """
    check_builder(width, depth, dropout, num_classes)
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    image = keras.Input(input_shape, name="image")

    levels = depth if encoder is None else encoder_levels(encoder, depth)
    x = pad_to_stride(image, 2**levels)
    if encoder is None:
        *skips, x = _encode(x, width, depth, style)
    else:
        *skips, x = encoder_maps(x, encoder, depth=depth, width=width, style=style)

    for i in reversed(range(levels)):
        y = upsample(x, width * 2**i, name=f"up_{i}")
        if skips[i] is not None:
            y = layers.Concatenate(name=f"merge_{i}")([skips[i], y])
        x = conv_block(y, width * 2**i, **style, name=f"decoder_{i}")

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return as_model(image, crop_to(logits, input_shape[:2]), stride=2**levels, name=name)


def _encode(x, width: int, depth: int, style: dict[str, Any]) -> list:
    """The encoder of Figure 1: maps at strides 1, 2, ..., `2**depth`."""
    maps = []
    for i in range(depth):
        maps.append(conv_block(x, width * 2**i, **style, name=f"encoder_{i}"))
        x = layers.MaxPooling2D(name=f"down_{i + 1}")(maps[i])
    return [*maps, conv_block(x, width * 2**depth, **style, name="bottom")]
