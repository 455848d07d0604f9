"""Residual nets to train from scratch, on group normalisation where data are few.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, Table 1 and Figure 5.
https://arxiv.org/abs/1512.03385. As is usual since, the 3x3 convolution of a bottleneck has the
stride, not the 1x1 before it; the number of weights is the same.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models import blocks, heads
from tfvision.registry import unknown

STEMS = ("imagenet", "small")


def ResNet18(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: int = 64,
    stem: str = "imagenet",
    dropout: float = 0.0,
    normalization: str = "group",
    activation: str = "relu",
    name: str = "resnet18",
) -> keras.Model:
    """Builds a ResNet of 18 layers: four stages of two basic blocks.

    Args:
        input_shape: (height, width, channels), each side at least 32 pixels, 8 of a small stem.
        num_classes: Number of classes.
        width: Filters of the first stage; doubled at each later one. The paper's is 64.
        stem: `imagenet`, a 7x7 convolution of stride 2 and a 3x3 maximum of stride 2, or
            `small`, a 3x3 convolution, for images of 100 pixels and less.
        dropout: Before the last layer.
        normalization: `group`, which does not depend on the batch, `batch` as in the paper,
            `sync_batch` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An argument has an impossible value, or the images are too small.
    """
    return _resnet(
        input_shape,
        num_classes,
        (2, 2, 2, 2),
        bottleneck=False,
        width=width,
        stem=stem,
        dropout=dropout,
        style={"normalization": normalization, "activation": activation},
        name=name,
    )


def ResNet50(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: int = 64,
    stem: str = "imagenet",
    dropout: float = 0.0,
    normalization: str = "group",
    activation: str = "relu",
    name: str = "resnet50",
) -> keras.Model:
    """Builds a ResNet of 50 layers: stages of 3, 4, 6 and 3 bottlenecks.

    Args:
        input_shape, num_classes, width, stem, dropout, normalization, activation, name:
            As `ResNet18` has them; a stage gives four times as many maps as its filters.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An argument has an impossible value, or the images are too small.
    """
    return _resnet(
        input_shape,
        num_classes,
        (3, 4, 6, 3),
        bottleneck=True,
        width=width,
        stem=stem,
        dropout=dropout,
        style={"normalization": normalization, "activation": activation},
        name=name,
    )


def _resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    counts: Sequence[int],
    *,
    bottleneck: bool,
    width: int,
    stem: str,
    dropout: float,
    style: dict[str, str],
    name: str,
) -> keras.Model:
    if stem not in STEMS:
        raise InputError(unknown("stem", stem, STEMS))
    blocks.check_counts(width=width)
    halvings = len(counts) - 1 + (2 if stem == "imagenet" else 0)
    heads.check_classifier(input_shape, num_classes, dropout, halvings=halvings, name=name)
    image = keras.Input(input_shape, name="image")
    kernel, strides = (7, 2) if stem == "imagenet" else (3, 1)
    x = unit(image, width, kernel, strides, **style, name="stem")
    if stem == "imagenet":
        x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    x = residual_stages(x, width, counts, bottleneck=bottleneck, **style)[-1]
    logits = heads.logits_from(heads.pool(x), num_classes, dropout=dropout)
    return blocks.as_model(image, logits, stride=1, name=name)


def residual_stages(
    x,
    width: int,
    counts: Sequence[int],
    *,
    bottleneck: bool = False,
    padding: str = "same",
    normalization: str,
    activation: str,
) -> list:
    """The stages of a ResNet behind its stem. (B, H, W, C) -> maps at H, H/2, H/4, ...

    Args:
        x: (B, H, W, C).
        width: Filters of the first stage; doubled at each later one.
        counts: Blocks of each stage.
        bottleneck: Three convolutions a block, and four times as many maps.
        padding, normalization, activation: See `unit`.
    """
    block = _bottleneck if bottleneck else _basic
    style = {"normalization": normalization, "activation": activation, "padding": padding}
    maps = []
    for i, count in enumerate(counts):
        for j in range(count):
            strides = 2 if i and not j else 1
            x = block(x, width * 2**i, strides, style, name=f"stage{i + 1}_block{j + 1}")
        maps.append(x)
    return maps


def _basic(x, filters: int, strides: int, style: dict[str, Any], *, name: str):
    """Two 3x3 convolutions beside a shortcut. (B, H, W, C) -> (B, H/s, W/s, filters)."""
    linear = {**style, "activation": None}
    y = unit(x, filters, 3, strides, **style, name=f"{name}_1")
    y = unit(y, filters, 3, 1, **linear, name=f"{name}_2")
    return _joined(x, y, strides, style, name=name)


def _bottleneck(x, filters: int, strides: int, style: dict[str, Any], *, name: str):
    """1x1, 3x3 and 1x1 beside a shortcut. (B, H, W, C) -> (B, H/s, W/s, 4 * filters)."""
    linear = {**style, "activation": None}
    y = unit(x, filters, 1, 1, **style, name=f"{name}_1")
    y = unit(y, filters, 3, strides, **style, name=f"{name}_2")
    y = unit(y, 4 * filters, 1, 1, **linear, name=f"{name}_3")
    return _joined(x, y, strides, style, name=name)


def _joined(x, y, strides: int, style: dict[str, Any], *, name: str):
    """Shortcut plus branch, a projection (option B of the paper) where their shapes differ."""
    if x.shape[-1] != y.shape[-1] or strides > 1:
        linear = {**style, "activation": None}
        if strides > 1 and style.get("padding") == "symmetric":
            # Every second pixel first: oneDNN's filter gradient of a strided 1x1 convolution
            # writes beyond its memory for 4 or 8 channels and odd batches (TensorFlow 2.21).
            x, strides = layers.MaxPooling2D(1, strides, name=f"{name}_skip")(x), 1
        x = unit(x, y.shape[-1], 1, strides, **linear, name=f"{name}_0")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation(style["activation"], name=f"{name}_act")(x)


def unit(
    x,
    filters: int,
    kernel: int,
    strides: int,
    *,
    normalization: str,
    activation: str | None,
    padding: str = "same",
    dilation: int = 1,
    kernel_initializer="he_normal",
    name: str,
):
    """Convolution, normalisation, activation. (B, H, W, C) -> (B, H/s, W/s, filters).

    Args:
        x: (B, H, W, C).
        filters, kernel, strides: Of the convolution.
        normalization, activation: As `blocks.conv_unit` has them; no activation: None.
        padding: `symmetric`, as many zeros before as behind whatever the size of the map, as
            PyTorch does; Keras' `same`, which at a stride of 2 and an even size pads less before;
            or `valid`, none.
        dilation, kernel_initializer: Of the convolution.
        name: Of the unit.
    """
    if padding == "symmetric" and (strides == 1 or kernel == 1):
        padding = "same"  # is symmetric then
    if padding == "symmetric":
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="valid" if padding == "symmetric" else padding,
        dilation_rate=dilation,
        use_bias=normalization == "none",
        kernel_initializer=kernel_initializer,
        name=f"{name}_conv",
    )(x)
    x = blocks.normalize(x, normalization, name=f"{name}_norm")
    return x if activation is None else layers.Activation(activation, name=f"{name}_act")(x)
