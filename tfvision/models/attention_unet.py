r"""Attention UNet: a UNet whose skips pass attention gates.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018.
https://arxiv.org/abs/1804.03999

Names follow Figure 1 of the paper, read by stride `2**i`; `gate_i` is Figure 2:

    encoder_0 ------------------------------> merge_0 - decoder_0 - logits   stride 1
        \ down_1                               / up_0
        encoder_1 --- gate_1 -> merge_1 - decoder_1                          stride 2
            \ down_2    |        / up_1
              bottom ---+--------                                            stride 4

The gate of stride `2**i` is asked by what the decoder has made at stride `2**(i + 1)`, here
the bottom. The finest skip has none in the paper: its features are too plain to be asked.

Unlike the paper's, the net is two-dimensional and upsampling is learned; there is no deep
supervision.
"""

import keras
from keras import layers

from tfvision.models.blocks import (
    as_model,
    attention_gate,
    check_builder,
    conv_block,
    crop_to,
    pad_to_stride,
    upsample,
)


def AttentionUNet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 64,
    depth: int = 4,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    gate_finest: bool = False,
    name: str = "attention_unet",
) -> keras.Model:
    """Builds a UNet with attention gates on its skips.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `2**depth` and cropped back. Where they
            are None, the caller feeds multiples of `2**depth`.
        num_classes: Number of classes, background included.
        width: Filters at stride 1; doubled at every coarser stride.
        depth: Number of 2x downsamplings.
        dropout: Rate of the spatial dropout inside every block, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`.
        activation: Name of a Keras activation.
        gate_finest: Gate the skip at stride 1 too.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes). `model.get_layer("gate_1_alpha").output` is the attention
        (B, H/2, W/2, 1) in [0, 1] that `gate_1` multiplies its skip by.

    Raises:
        InputError: A width or depth below 1, a dropout outside [0, 1), an unknown
            normalization.
    """
    check_builder(width, depth, dropout, num_classes)
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    image = keras.Input(input_shape, name="image")

    x = pad_to_stride(image, 2**depth)
    skips = []
    for i in range(depth):
        skips.append(conv_block(x, width * 2**i, **style, name=f"encoder_{i}"))
        x = layers.MaxPooling2D(name=f"down_{i + 1}")(skips[i])
    x = conv_block(x, width * 2**depth, **style, name="bottom")

    for i in reversed(range(depth)):
        skip = skips[i]
        if i or gate_finest:
            skip = attention_gate(skip, x, activation=activation, name=f"gate_{i}")
        up = upsample(x, width * 2**i, name=f"up_{i}")
        merged = layers.Concatenate(name=f"merge_{i}")([skip, up])
        x = conv_block(merged, width * 2**i, **style, name=f"decoder_{i}")

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return as_model(image, crop_to(logits, input_shape[:2]), stride=2**depth, name=name)
