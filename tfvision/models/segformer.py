r"""SegFormer: a pyramid of transformers, and a decoder of nothing but 1x1 layers.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", 2021, Figure 2. https://arxiv.org/abs/2105.15203

By stride, for `depth=5`, `first_stride=4`, the paper's:

    image - patches_0 - layer_0_1 ... tokens_0 - unify_0 ------------+            stride 4
                \                                                     |
              patches_1 - layer_1_1 ... tokens_1 - unify_1 - up_1 -- stack - fuse - logits
                  \                                                   |               |
                patches_2 - ...         tokens_2 - unify_2 - up_2 ----+             enlarge
                    \                                                 |               |
                  patches_3 - ...       tokens_3 - unify_3 - up_3 ----+            stride 1

A layer (Section 3.1) is attention, then Mix-FFN, each normalised first and added to what it
starts from. Every pixel of a stage asks the map shrunk to stride `2**depth` (Equation 2), so
the cost of attention stays in bounds. There is no code of positions: the depth-wise 3x3
convolution of Mix-FFN (Equation 3) tells them by its zero padding, at any size.
"""

import math

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import (
    as_model,
    check_builder,
    check_counts,
    crop_to,
    enlarge,
    normalize,
    pad_to_stride,
)

HEADS = (1, 2, 5, 8)  # of the stages, and their filters in units of `width` (Table 6)


def SegFormer(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 32,
    depth: int = 5,
    first_stride: int = 4,
    num_layers: int = 2,
    mlp_ratio: int = 4,
    decoder_width: int = 256,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "gelu",
    name: str = "segformer",
) -> keras.Model:
    """Builds a SegFormer; the defaults are its B0, 64 for `width` its B1.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `2**depth` and cropped back. Where they
            are None, the caller feeds multiples of `2**depth`.
        num_classes: Number of classes, background included.
        width: Filters of the first stage and of every attention head; the later stages have
            2, 5 and 8 times as many of both.
        depth: Number of 2x downsamplings, those of the first stage among them.
        first_stride: Pixels between two patches of the first stage, 2, 4 or 8. Small images
            need a small one: the logits have this stride before they are enlarged.
        num_layers: Transformer layers of each stage.
        mlp_ratio: Hidden units of Mix-FFN per filter.
        decoder_width: Filters of the decoder.
        dropout: Rate of the dropout of attention and branches, and of the spatial dropout
            before the logits, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`, of the
            decoder. The transformer normalises each pixel's channels, as its paper.
        activation: Name of a Keras activation, of Mix-FFN and of the decoder.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes).

    Raises:
        InputError: A width, depth, ratio or number of layers below 1, a first stride that is
            none of the three or beyond `2**depth`, a dropout outside [0, 1), an unknown
            normalization.
    """
    check_builder(width, depth, dropout, num_classes)
    check_counts(num_layers=num_layers, mlp_ratio=mlp_ratio, decoder_width=decoder_width)
    if first_stride not in (2, 4, 8) or first_stride > 2**depth:
        raise InputError(
            "first_stride must be 2, 4 or 8 and at most 2**depth. Received: "
            f"{first_stride!r} with depth {depth}."
        )
    style = {"dropout": dropout, "mlp_ratio": mlp_ratio, "activation": activation}
    stride = 2**depth
    image = keras.Input(input_shape, name="image")

    x = pad_to_stride(image, stride)
    maps = []
    for i in range(int(math.log2(stride // first_stride)) + 1):
        step = first_stride if i == 0 else 2
        heads = HEADS[min(i, len(HEADS) - 1)]
        x = _patches(x, width * heads, step, name=f"patches_{i}")
        shrink = stride // (first_stride * 2**i)
        for n in range(1, num_layers + 1):
            x = _layer(x, heads, shrink, **style, name=f"layer_{i}_{n}")
        x = layers.LayerNormalization(epsilon=1e-6, name=f"tokens_{i}")(x)
        maps.append(x)

    unified = []
    for i, tokens in enumerate(maps):
        y = layers.Dense(decoder_width, name=f"unify_{i}")(tokens)
        if i:
            y = enlarge(y, 2**i, name=f"up_{i}")
        unified.append(y)
    y = layers.Concatenate(name="stack")(unified) if len(unified) > 1 else unified[0]
    y = layers.Conv2D(decoder_width, 1, use_bias=normalization == "none", name="fuse_conv")(y)
    y = normalize(y, normalization, name="fuse_norm")
    y = layers.Activation(activation, name="fuse_act")(y)
    if dropout:
        y = layers.SpatialDropout2D(dropout, name="fuse_drop")(y)

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    y = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(y)
    y = enlarge(y, first_stride, dtype="float32", name="enlarge")
    return as_model(image, crop_to(y, input_shape[:2]), stride=stride, name=name)


def _patches(x, filters: int, stride: int, *, name: str):
    """Patches that overlap. (B, H, W, C) -> (B, H / stride, W / stride, filters)."""
    x = layers.Conv2D(filters, 2 * stride - 1, strides=stride, padding="same", name=name)(x)
    return layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)


def _layer(x, heads: int, shrink: int, *, dropout, mlp_ratio, activation, name: str):
    """Attention to the shrunken map, then Mix-FFN. (B, H, W, C) -> (B, H, W, C)."""
    filters = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_1")(x)
    asked = y
    if shrink > 1:
        asked = layers.Conv2D(filters, shrink, strides=shrink, name=f"{name}_shrink")(y)
        asked = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_shrink_norm")(asked)
    y = layers.MultiHeadAttention(
        heads,
        filters // heads,
        dropout=dropout,
        attention_axes=(1, 2),
        name=f"{name}_attention",
    )(y, asked)
    y = _maybe_dropout(y, dropout, name=f"{name}_drop_1")
    x = layers.Add(name=f"{name}_add_1")([x, y])

    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_2")(x)
    y = layers.Dense(mlp_ratio * filters, name=f"{name}_mlp_1")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_mix")(y)
    y = layers.Activation(activation, name=f"{name}_act")(y)
    y = layers.Dense(filters, name=f"{name}_mlp_2")(y)
    y = _maybe_dropout(y, dropout, name=f"{name}_drop_2")
    return layers.Add(name=f"{name}_add_2")([x, y])


def _maybe_dropout(x, rate: float, *, name: str):
    return layers.Dropout(rate, name=name)(x) if rate else x
