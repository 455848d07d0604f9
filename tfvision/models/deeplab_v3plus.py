r"""DeepLabv3+: atrous spatial pyramid pooling, and one skip to sharpen its result.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", 2018, Figure 2. https://arxiv.org/abs/1802.02611

Read by stride `2**i`, for `depth=4`, `skip=2`, the paper's:

    encoder_0                                          enlarge - logits           stride 1
        \ down_1                                          |
        encoder_1                                         |                       stride 2
            \ down_2                                      |
            encoder_2 - reduce ------------> merge - decoder_1 - decoder_2        stride 4
                \ down_3                      /
                encoder_3                   up                                    stride 8
                    \ down_4                /
                    encoder_4 - aspp -- drop                                      stride 16

The dilated convolutions of `aspp` and those of the decoder are separable: depth-wise, then
1x1 (Figure 3). Unlike the paper's, the encoder is a small one made from scratch, without
dilation, or any other by `encoder`; logits are made at stride `2**skip`, as there, and
enlarged bilinearly.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import (
    as_model,
    aspp,
    check_builder,
    check_counts,
    conv_unit,
    crop_to,
    enlarge,
    pad_to_stride,
    separable_unit,
    small_encoder,
)
from tfvision.models.encoders import encoder_levels, encoder_maps


def DeepLabV3Plus(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    width: int = 64,
    depth: int = 4,
    encoder: str | dict[str, Any] | None = None,
    rates: Sequence[int] = (6, 12, 18),
    skip: int = 2,
    features: int = 256,
    reduced: int = 48,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "deeplab_v3plus",
) -> keras.Model:
    """Builds a DeepLabv3+.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width:
            they are padded to a multiple of `model.stride` and cropped back. Where they
            are None, the caller feeds multiples of it.
        num_classes: Number of classes, background included.
        width: Filters at stride 1 of the encoder from scratch; doubled at every coarser stride.
        depth: Number of 2x downsamplings of the encoder; the paper's output stride is 16.
        encoder: One from elsewhere in place of this one, as `models.encoders.Encoder` has it;
            `depth` then counts the strides of it that are used. None: one from scratch.
        rates: Dilations of the pyramid, in pixels at stride `2**depth`. Where they reach beyond
            the map, a branch sees its own pixel only: small images need smaller ones.
        skip: The skip comes from stride `2**skip` of the image, which is the stride of the
            logits before they are enlarged; 0 for the finest detail.
        features: Filters of the pyramid and the decoder.
        reduced: Filters the skip is reduced to.
        dropout: Rate of the spatial dropout inside every block of the encoder from scratch and
            behind the pyramid, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes).

    Raises:
        InputError: A width, depth, number of filters or rate below 1, a skip that is not above
            the deepest map or where an encoder has none, a dropout outside [0, 1), an unknown
            normalization, an encoder that cannot be had.
    """
    check_builder(width, depth, dropout, num_classes)
    check_counts(features=features, reduced=reduced)
    check_counts(**{f"rates[{n}]": rate for n, rate in enumerate(rates)})
    halvings = depth if encoder is None else encoder_levels(encoder, depth)
    if isinstance(skip, bool) or not isinstance(skip, int) or not 0 <= skip < halvings:
        raise InputError(
            f"skip must be a whole number from 0 to {halvings - 1}, halvings above the deepest "
            f"map, which is at stride {2**halvings}. Received: {skip!r}."
        )
    units = {"normalization": normalization, "activation": activation}
    style = {"dropout": dropout, **units}
    image = keras.Input(input_shape, name="image")

    x = pad_to_stride(image, 2**halvings)
    if encoder is None:
        maps = small_encoder(x, width, depth, **style)
    else:
        maps = encoder_maps(x, encoder, depth=depth, width=width, style=style)
    if maps[skip] is None:
        raise InputError(
            f"The encoder has no map at the image's stride {2**skip}, which skip {skip} asks "
            "for. Raise skip, or set encoder.stem."
        )
    x = aspp(maps[-1], features, rates, unit=separable_unit, **units, name="aspp")
    if dropout:
        x = layers.SpatialDropout2D(dropout, name="drop")(x)
    x = enlarge(x, 2 ** (halvings - skip), name="up")
    detail = conv_unit(maps[skip], reduced, kernel=1, **units, name="reduce")
    x = layers.Concatenate(name="merge")([detail, x])
    x = separable_unit(x, features, **units, name="decoder_1")
    x = separable_unit(x, features, **units, name="decoder_2")

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    if skip:
        logits = enlarge(logits, 2**skip, dtype="float32", name="enlarge")
    return as_model(image, crop_to(logits, input_shape[:2]), stride=2**halvings, name=name)
