r"""PAN and FPN: an encoder, context at its end, and a decoder that only adds or stacks.

Variant `pan`: Li et al., "Pyramid Attention Network for Semantic Segmentation", 2018.
https://arxiv.org/abs/1805.10180. Feature Pyramid Attention (FPA) on the deepest map, Global
Attention Upsample (GAU) at every finer one (Figure 2), read by stride `2**i`:

    encoder_0 ----------------------> gau_0 - logits       stride 1
        \ down_1                       /
        encoder_1 ----------> gau_1 --                     stride 2
            \ down_2           /
            encoder_2 - fpa --                             stride 4

    fpa, Figure 3b, here with three levels:
        x - fpa_main: 1x1 ------------------------------------- (*) - (+) -> fpa
        |\                                                       |     |
        | pool - 7x7_down -- 7x7_side -- (+) - up ---------------+     |
        |          \ pool                 | up                         |
        |          5x5_down - 5x5_side - (+)                           |
        |            \ pool               | up                         |
        |            3x3_down - 3x3_side -+                            |
        + mean - fpa_global: 1x1 --------------------------------------+

    gau_i, Figure 4:
        high ---- mean - context: 1x1 --+         + up -- (+) -> gau_i
        low  ---- low: 3x3 ----------- (*) weight ---------+

Variant `fpn`: Seferbekov et al., "Feature Pyramid Network for Multi-Class Land
Segmentation", 2018. https://arxiv.org/abs/1806.03510, Figure 1, after Lin et al., 2016:

    encoder_0 - lateral_0 - pyramid_0 - smooth ------- merge - head - logits   stride 1
        \ down_1               / up_0                   |
        encoder_1 - lateral_1 - pyramid_1 - smooth - whole_1                   stride 2
            \ down_2               / up_1               |
            encoder_2 - lateral_2 ------- smooth - whole_2                     stride 4

Unlike the papers', the encoder is a small one made from scratch, with no dilation, which
starts at stride 1, as the decoder ends there: these images are small. With an `encoder` from
elsewhere its maps take the place of `encoder_0`, `encoder_1`, ...; where it has none at stride 1,
the last stage only doubles.
"""

from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import (
    as_model,
    check_builder,
    check_counts,
    conv_unit,
    crop_to,
    enlarge,
    global_context,
    pad_to_stride,
    small_encoder,
    squeeze_excite,
    squeeze_ratio,
)
from tfvision.models.encoders import encoder_levels, encoder_maps
from tfvision.registry import unknown

VARIANTS = ("pan", "fpn")


def PAN(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    variant: str = "pan",
    width: int = 64,
    depth: int = 3,
    encoder: str | dict[str, Any] | None = None,
    features: int | None = None,
    levels: int | None = None,
    squeeze_excitation: bool | int = False,
    dropout: float = 0.0,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "pan",
) -> keras.Model:
    """Builds a Pyramid Attention Network, or the Feature Pyramid Network it is set beside.

    The pyramid of `pan` halves the deepest map `levels` times more: 64x128 images have 8x16
    pixels at stride 8, and 4x8, 2x4, 1x2 in the pyramid. So the stride of the model is
    `2**(depth + levels)`, 64 by default, and an image whose sides are no multiples of it is
    padded with zeros, which the means over the whole map count. On smaller images lower
    `levels` or `depth`.

    Args:
        input_shape: (height, width, channels) of one image. Any height and width: they
            are padded to a multiple of the stride and cropped back. Where they are
            None, the caller feeds multiples of `model.stride`.
        num_classes: Number of classes, background included.
        variant: `pan` or `fpn`.
        width: Filters at stride 1; doubled at every coarser stride.
        depth: Number of 2x downsamplings of the encoder.
        encoder: One from elsewhere in place of this one, as `models.encoders.Encoder` has it;
            `depth` then counts the strides of it that are used. None: one from scratch.
        features: Channels of the decoder, the same at every stride; None is `2 * width`.
        levels: Levels of the pyramid of `pan`, with kernels 3, 5, 7, ... from the deepest
            up; None is the paper's 3. `fpn` has none.
        squeeze_excitation: Weigh the channels of each block of the encoder, or of each map of
            one from elsewhere; true reduces 16-fold, a number that many times.
        dropout: Rate of the spatial dropout inside every block of the encoder, or on each map
            of one from elsewhere, and, of `fpn`, before the logits, in [0, 1).
        normalization: `batch`, `sync_batch` (over all replicas), `group` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits
        (B, H, W, num_classes).

    Raises:
        InputError: A width, depth, number of features or levels below 1, levels of an
            `fpn`, a dropout outside [0, 1), an unknown variant or normalization, an encoder
            that cannot be had.
    """
    check_builder(width, depth, dropout, num_classes)
    if variant not in VARIANTS:
        raise InputError(unknown("variant", variant, VARIANTS))
    if variant == "fpn" and levels is not None:
        raise InputError(f"levels belongs to the variant pan; fpn has none. Received: {levels!r}.")
    levels = 3 if levels is None else levels
    features = 2 * width if features is None else features
    check_counts(features=features, levels=levels)
    ratio = squeeze_ratio(squeeze_excitation)
    unit = {"normalization": normalization, "activation": activation}
    halvings = depth if encoder is None else encoder_levels(encoder, depth)
    stride = 2 ** (halvings + levels if variant == "pan" else halvings)
    image = keras.Input(input_shape, name="image")

    x = pad_to_stride(image, stride)
    style = {"dropout": dropout, **unit}
    if encoder is None:
        maps = small_encoder(x, width, depth, ratio=ratio, **style)
    else:
        maps = encoder_maps(x, encoder, depth=depth, width=width, style=style)
        maps = _weighed(maps, ratio, style)

    if variant == "pan":
        x = _feature_pyramid_attention(maps[-1], features, levels, unit)
        for i in reversed(range(halvings)):
            x = _global_attention_upsample(maps[i], x, unit, name=f"gau_{i}")
    else:
        x = _feature_pyramid(maps, features, unit)
        x = layers.SpatialDropout2D(dropout, name="head_drop")(x) if dropout else x

    # Logits stay float32 under mixed precision: softmax of float16 is unsafe.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    return as_model(image, crop_to(logits, input_shape[:2]), stride=stride, name=name)


def _weighed(maps: list, ratio: int, style: dict) -> list:
    """Dropout and squeeze-and-excitation on the maps of an encoder from elsewhere."""
    maps = list(maps)
    for i, x in enumerate(maps):
        if x is not None and style["dropout"]:
            x = layers.SpatialDropout2D(style["dropout"], name=f"map_{i}_drop")(x)
        if x is not None and ratio:
            x = squeeze_excite(x, ratio, activation=style["activation"], name=f"map_{i}_se")
        maps[i] = x
    return maps


def _feature_pyramid_attention(x, features: int, levels: int, unit: dict):
    """Figure 3b of PAN. (B, H, W, C) -> (B, H, W, features), H and W multiples of 2**levels."""
    kernels = range(2 * levels + 1, 1, -2)
    down, sides = x, {}
    for k in kernels:
        down = layers.MaxPooling2D(name=f"fpa_{k}x{k}_pool")(down)
        down = conv_unit(down, features, kernel=k, **unit, name=f"fpa_{k}x{k}_down")
        sides[k] = conv_unit(down, features, kernel=k, **unit, name=f"fpa_{k}x{k}_side")

    attention = None
    for k in reversed(kernels):
        if attention is not None:
            sides[k] = layers.Add(name=f"fpa_{k}x{k}")([sides[k], attention])
        attention = enlarge(sides[k], 2, name=f"fpa_{k}x{k}_up")

    main = conv_unit(x, features, kernel=1, **unit, name="fpa_main")
    main = layers.Multiply(name="fpa_attention")([main, attention])
    context = global_context(x, features, activation=unit["activation"], name="fpa_global")
    return layers.Add(name="fpa")([main, context])


def _global_attention_upsample(low, high, unit: dict, *, name: str):
    """Figure 4 of PAN. (B, 2H, 2W, C), (B, H, W, features) -> (B, 2H, 2W, features).

    Without a low map there is nothing to weigh: the high one is doubled.
    """
    if low is None:
        return enlarge(high, 2, name=name)
    features = high.shape[-1]
    low = conv_unit(low, features, **unit, name=f"{name}_low")
    context = global_context(high, features, activation=unit["activation"], name=f"{name}_context")
    low = layers.Multiply(name=f"{name}_weight")([low, context])
    return layers.Add(name=name)([enlarge(high, 2, name=f"{name}_up"), low])


def _feature_pyramid(maps: list, features: int, unit: dict):
    """Figure 1 of the land-segmentation FPN. Maps by stride -> (B, H, W, features).

    The pyramid has `features` channels, as many as the head; smoothed levels have half.
    """
    whole, pyramid = [], None
    for i in reversed(range(len(maps))):
        if maps[i] is None:
            continue
        lateral = layers.Conv2D(features, 1, name=f"lateral_{i}")(maps[i])
        if pyramid is not None:
            up = layers.UpSampling2D(2, name=f"up_{i}")(pyramid)
            lateral = layers.Add(name=f"pyramid_{i}")([lateral, up])
        pyramid = lateral
        smooth = conv_unit(pyramid, max(1, features // 2), **unit, name=f"pyramid_{i}_smooth")
        if i:
            smooth = enlarge(smooth, 2**i, name=f"whole_{i}")
        whole.append(smooth)
    merged = layers.Concatenate(name="merge")(whole[::-1])
    return conv_unit(merged, features, **unit, name="head")
