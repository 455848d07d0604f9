r"""Gated UNet: a VGG-style encoder, a transformer at the bottom, gates on the skips.

The net that the Mars report calls "Unet-Vgg16", put together from its parts:

- the encoder of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
  Image Recognition", 2014, https://arxiv.org/abs/1409.1556, configuration D, from scratch:
  stages of 2, 2, 3, 3, ... convolutions, `width` to `8 * width` filters;
- the pre-norm transformer layer of Dosovitskiy et al., "An Image is Worth 16x16 Words",
  2020, https://arxiv.org/abs/2010.11929, Equations 2 to 4, on the pixels of the deepest map;
- the positions of Chu et al., "Conditional Positional Encodings for Vision Transformers",
  2021, https://arxiv.org/abs/2102.10882, Section 3.2: a depth-wise 3x3 convolution, which
  works at any size, and whose zero padding tells the pixels where the border is;
- the gate of Oktay et al., 2018, https://arxiv.org/abs/1804.03999, Figure 2, on every skip.

Read by stride `2**i`:

    encoder_0 -- gate_0 ----------------------> merge_0 - decoder_0 - logits   stride 1
        \ down_1    +------------------------+   / up_0
        encoder_1 -- gate_1 --> merge_1 - decoder_1                            stride 2
            \ down_2    |        / up_1
              bottom - positions - transformer_1 ... transformer_n - tokens    stride 4

Each gate is asked by the map that `up` of its stride starts from.
"""

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import (
    as_model,
    attention_gate,
    check_builder,
    check_counts,
    conv_block,
    conv_unit,
    crop_to,
    pad_to_stride,
    upsample,
)


def GatedUNet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 64,
    depth: int = 4,
    num_layers: int = 2,
    num_heads: int = 4,
    mlp_ratio: int = 4,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "gated_unet",
) -> keras.Model:
    """Builds a UNet with a VGG encoder, a transformer bottom and gated skips.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `2**depth` and cropped back. Where they
            are None, the caller feeds multiples of `2**depth`.
        num_classes: Number of classes, background included.
        width: Filters at stride 1; doubled at every coarser stride, up to 8 times.
        depth: Number of 2x downsamplings. The transformer's memory grows with the square
            of the number of pixels at stride `2**depth`.
        num_layers: Transformer layers.
        num_heads: Attention heads; they share the filters of the bottom equally.
        mlp_ratio: Hidden units of a transformer layer per filter of the bottom.
        dropout: Rate of the spatial dropout inside every block, and of the dropout of the
            transformer's attention and branches, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`, after
            convolutions. The transformer normalises each pixel's channels, as its paper.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes).

    Raises:
        InputError: A width, depth, number of layers or heads or ratio below 1, filters that
            the heads cannot share, a dropout outside [0, 1), an unknown normalization.
    """
    check_builder(width, depth, dropout, num_classes)
    check_counts(num_layers=num_layers, num_heads=num_heads, mlp_ratio=mlp_ratio)
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    filters = [width * 2 ** min(i, 3) for i in range(depth + 1)]
    if filters[depth] % num_heads:
        raise InputError(
            f"num_heads must divide the {filters[depth]} filters of the bottom, width "
            f"{width} times {filters[depth] // width}. Received: {num_heads}."
        )
    image = keras.Input(input_shape, name="image")

    x = pad_to_stride(image, 2**depth)
    skips = []
    for i in range(depth):
        skips.append(_vgg_stage(x, filters[i], i, style, name=f"encoder_{i}"))
        x = layers.MaxPooling2D(name=f"down_{i + 1}")(skips[i])
    x = _vgg_stage(x, filters[depth], depth, style, name="bottom")

    # No bias: the next normalisation has one, and TensorFlow 2.21 gives up optimising the
    # graph of depth-wise convolution, bias, sum on the CPU.
    where = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="positions_conv")(x)
    x = layers.Add(name="positions")([x, where])
    for n in range(1, num_layers + 1):
        x = _transformer_layer(
            x, num_heads, mlp_ratio, dropout, activation=activation, name=f"transformer_{n}"
        )
    x = layers.LayerNormalization(epsilon=1e-6, name="tokens")(x)

    for i in reversed(range(depth)):
        skip = attention_gate(skips[i], x, activation=activation, name=f"gate_{i}")
        up = upsample(x, filters[i], name=f"up_{i}")
        merged = layers.Concatenate(name=f"merge_{i}")([skip, up])
        x = conv_block(merged, filters[i], **style, name=f"decoder_{i}")

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return as_model(image, crop_to(logits, input_shape[:2]), stride=2**depth, name=name)


def _vgg_stage(x, filters: int, i: int, style: dict, *, name: str):
    """Two 3x3 units, from the third stage on three. (B, H, W, C) -> (B, H, W, filters)."""
    x = conv_block(x, filters, **style, name=name)
    if i < 2:
        return x
    units = {key: style[key] for key in ("normalization", "activation")}
    return conv_unit(x, filters, **units, name=f"{name}_3")


def _transformer_layer(x, num_heads, mlp_ratio, dropout, activation, *, name: str):
    """Attention over all pixels, then an MLP on each, both added to what they start from.

    (B, H, W, C) -> (B, H, W, C). Normalised first: Equations 2 and 3 of Dosovitskiy et al.
    """
    filters = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_1")(x)
    y = layers.MultiHeadAttention(
        num_heads,
        filters // num_heads,
        dropout=dropout,
        attention_axes=(1, 2),
        name=f"{name}_attention",
    )(y, y)
    y = _maybe_dropout(y, dropout, name=f"{name}_drop_1")
    x = layers.Add(name=f"{name}_add_1")([x, y])

    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_2")(x)
    y = layers.Dense(mlp_ratio * filters, name=f"{name}_mlp_1")(y)
    y = layers.Activation(activation, name=f"{name}_act")(y)
    y = layers.Dense(filters, name=f"{name}_mlp_2")(y)
    y = _maybe_dropout(y, dropout, name=f"{name}_drop_2")
    return layers.Add(name=f"{name}_add_2")([x, y])


def _maybe_dropout(x, rate: float, *, name: str):
    return layers.Dropout(rate, name=name)(x) if rate else x
