r"""UNet++: a UNet whose skip connections are nested, dense paths.

Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image
Segmentation", 2018. https://arxiv.org/abs/1807.10165

Names follow Figure 1a of the paper. Node `x_i_j` works at stride `2**i` and is the
j-th node along the skip path of that stride:

    x_0_0 ---- x_0_1 ---- x_0_2 ---- x_0_3      stride 1
         \    /     \    /     \    /
          x_1_0 ---- x_1_1 ---- x_1_2           stride 2
               \    /     \    /
                x_2_0 ---- x_2_1                stride 4
                     \    /
                      x_3_0                     stride 8

With an `encoder` from elsewhere its maps are the left edge, `x_0_0`, `x_1_0`, ...; where it has
none at stride 1, nothing stands for `x_0_0`.
"""

from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import (
    as_model,
    check_builder,
    conv_block,
    crop_to,
    pad_to_stride,
    upsample,
)
from tfvision.models.encoders import encoder_levels, encoder_maps


def UNetPlusPlus(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 32,
    depth: int = 4,
    encoder: str | dict[str, Any] | None = None,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    deep_supervision: bool = False,
    name: str = "unetpp",
) -> keras.Model:
    """Builds a UNet++ that labels every pixel of an image.

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
        deep_supervision: Return the logits of x_0_1 ... x_0_depth, each to be given
            a loss, instead of those of x_0_depth alone; `prune` then cuts the model
            down to any of them.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes), or to one for each column, `depth` in all, shallowest first.

    Raises:
        InputError: A width or depth below 1, a dropout outside [0, 1), an unknown
            normalization, an encoder that cannot be had or lacks a stride.
    """
    check_builder(width, depth, dropout, num_classes)
    style = {"dropout": dropout, "normalization": normalization, "activation": activation}
    levels = depth if encoder is None else encoder_levels(encoder, depth)
    filters = [width * 2**i for i in range(levels + 1)]
    image = keras.Input(input_shape, name="image")
    padded = pad_to_stride(image, 2**levels)
    if encoder is None:
        edge = _encode(padded, filters, style)
    else:
        edge = encoder_maps(padded, encoder, depth=depth, width=width, style=style)
        missing = [2**i for i in range(1, levels) if edge[i] is None]
        if missing:
            raise InputError(
                "UNet++ needs a map of its encoder at every stride but the image's own; this one "
                f"has none at stride {missing[0]}. Take unet, pan or deeplab_v3plus."
            )
    x = {(i, 0): y for i, y in enumerate(edge)}  # x[i, j] is the output of node x_i_j.

    # Nested skips, column by column: a node sees every earlier node of its own
    # stride, and the node below its left neighbour.
    for j in range(1, levels + 1):
        for i in range(levels + 1 - j):
            y = upsample(x[i + 1, j - 1], filters[i], name=f"up_{i}_{j}")
            skips = [x[i, k] for k in range(j) if x[i, k] is not None]
            if skips:
                y = layers.Concatenate(name=f"merge_{i}_{j}")([*skips, y])
            x[i, j] = conv_block(y, filters[i], **style, name=f"x_{i}_{j}")

    # Head. Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    columns = range(1, levels + 1) if deep_supervision else [levels]
    logits = [
        layers.Conv2D(num_classes, 1, dtype="float32", name=f"logits_{j}")(x[0, j]) for j in columns
    ]
    logits = [crop_to(y, input_shape[:2]) for y in logits]
    outputs = logits if deep_supervision else logits[0]
    return as_model(image, outputs, stride=2**levels, name=name)


def _encode(x, filters: list[int], style: dict[str, Any]) -> list:
    """The left edge of the triangle, `x_0_0` to the deepest node."""
    edge = [conv_block(x, filters[0], **style, name="x_0_0")]
    for i in range(1, len(filters)):
        down = layers.MaxPooling2D(name=f"down_{i}")(edge[i - 1])
        edge.append(conv_block(down, filters[i], **style, name=f"x_{i}_0"))
    return edge


def is_nested(model: keras.Model) -> bool:
    """Whether a model has the nodes of a UNet++."""
    return any(layer.name == "up_0_1" for layer in model.layers)


def prune(model: keras.Model, depth: int) -> keras.Model:
    """Cuts a deeply supervised UNet++ down to its first `depth` columns (section 3.3).

    The nodes that x_0_depth does not see are gone; the weights are shared with `model`.

    Args:
        model: A UNet++ built with `deep_supervision=True`.
        depth: Which output to keep, 1 (the shallowest) to the model's depth.

    Returns:
        A `keras.Model` with one output, the logits of x_0_depth.

    Raises:
        InputError: The model is no UNet++, has one output only, or no such depth.
    """
    if not is_nested(model):
        raise InputError(f"Only a UNet++ can be pruned to a depth; `{model.name}` is none.")
    if len(model.outputs) < 2:
        raise InputError(
            f"Only a model trained with deep_supervision=True can be pruned; `{model.name}` "
            "has one output. Train it with --set model.deep_supervision=true."
        )
    if not 1 <= depth <= len(model.outputs):
        raise InputError(f"depth must be 1 to {len(model.outputs)}. Received: {depth}.")
    return as_model(
        model.input, model.outputs[depth - 1], stride=2**depth, name=f"{model.name}_{depth}"
    )
