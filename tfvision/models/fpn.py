"""Feature pyramid: one number of channels at all strides, the fine maps told by the coarse.

Lin et al., "Feature Pyramid Networks for Object Detection", 2017, Section 3.
https://arxiv.org/abs/1612.03144
"""

import itertools
from typing import Any

from keras import layers

from tfvision.errors import InputError
from tfvision.models import blocks
from tfvision.registry import unknown

EXTRAS = ("pool", "conv")


def feature_pyramid(
    maps: dict[int, Any],
    channels: int = 96,
    *,
    extra: str = "pool",
    extra_levels: int = 1,
    normalization: str = "none",
) -> dict[int, Any]:
    """A pyramid on the maps of a backbone.

    A coarser map, doubled by repeating its pixels, is added to a 1x1 convolution (`fpn_lateral_S`
    at stride S) of the finer one; a 3x3 convolution (`fpn_S`) of the sum is the level.

    Args:
        maps: Stride -> (B, H/s, W/s, C_s), strides doubling, sizes too.
        channels: Of every level; 256 in the paper.
        extra: How levels coarser than the backbone's are made: `pool` takes every second pixel of
            the level before (Faster R-CNN), `conv` is a 3x3 convolution of stride 2 on it, behind
            a ReLU from the second on (RetinaNet).
        extra_levels: How many of them.
        normalization: Behind each convolution but the extra ones; see `blocks.normalize`.

    Returns:
        Stride -> (B, ceil(H/s), ceil(W/s), channels), from the finest on.

    Raises:
        InputError: Strides do not double, an impossible number, an unknown `extra`.
    """
    blocks.check_counts(channels=channels)
    if extra not in EXTRAS:
        raise InputError(unknown("extra", extra, EXTRAS))
    strides = sorted(maps)
    if any(fine * 2 != coarse for fine, coarse in itertools.pairwise(strides)):
        raise InputError(f"Strides of a pyramid must double. Received: {strides}.")
    pyramid, above = {}, None
    for stride in reversed(strides):
        x = _conv(maps[stride], channels, 1, normalization, name=f"fpn_lateral_{stride}")
        if above is not None:
            above = layers.UpSampling2D(2, name=f"fpn_up_{stride}")(above)
            x = layers.Add(name=f"fpn_add_{stride}")([x, above])
        above = x
        pyramid[stride] = _conv(x, channels, 3, normalization, name=f"fpn_{stride}")
    pyramid = dict(sorted(pyramid.items()))
    for i in range(extra_levels):
        stride = 2 * max(pyramid)
        x = pyramid[stride // 2]
        if extra == "pool":
            pyramid[stride] = layers.MaxPooling2D(1, strides=2, name=f"fpn_{stride}")(x)
            continue
        if i:
            x = layers.Activation("relu", name=f"fpn_act_{stride}")(x)
        x = layers.ZeroPadding2D(1, name=f"fpn_pad_{stride}")(x)
        pyramid[stride] = layers.Conv2D(
            channels, 3, strides=2, kernel_initializer="lecun_uniform", name=f"fpn_{stride}"
        )(x)
    return pyramid


def _conv(x, channels: int, kernel: int, normalization: str, *, name: str):
    """A convolution and its normalisation, started as torchvision starts those of a pyramid."""
    x = layers.Conv2D(
        channels,
        kernel,
        padding="same",
        use_bias=normalization == "none",
        kernel_initializer="lecun_uniform",
        name=name,
    )(x)
    return blocks.normalize(x, normalization, name=f"{name}_norm")
