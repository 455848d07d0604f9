"""RetinaNet: a pyramid, two heads shared by its levels, a sigmoid for each class.

Lin et al., "Focal Loss for Dense Object Detection", 2017. https://arxiv.org/abs/1708.02002.
Thresholds and initial values are torchvision's.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from tfvision.detection import grids
from tfvision.detection.matching import match
from tfvision.errors import InputError
from tfvision.models import blocks
from tfvision.models.backbones import backbone_maps
from tfvision.models.detector import DetectionSettings
from tfvision.models.encoders import Encoder
from tfvision.models.fpn import feature_pyramid
from tfvision.models.one_stage import OneStageDetector, head_layer
from tfvision.models.resnet import unit

# As a dict: Keras gives one initializer that is used twice the same seed, and so the same numbers.
INITIAL = {"class_name": "RandomNormal", "config": {"stddev": 0.01}}


def RetinaNet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    backbone: str | dict[str, Any] | Encoder = "slim_resnet",
    levels: Sequence[int] = (3, 4, 5),
    channels: int = 96,
    head_depth: int = 2,
    head_width: int | None = None,
    normalization: str = "group",
    anchor_sizes: Sequence[Sequence[float]] | None = None,
    ratios_hw: Sequence[float] = (0.5, 1.0, 2.0),
    anchor_offset: float = 0.5,
    whole_anchors: bool = False,
    high: float = 0.5,
    low: float = 0.4,
    prior: float = 0.01,
    score_threshold: float = 0.05,
    nms: float = 0.5,
    max_detections: int = 100,
    candidates: int = 1000,
    name: str = "retinanet",
) -> OneStageDetector:
    """Builds a RetinaNet. Its class term is `focal`. The paper's has a ResNet-50, levels 3 to 7
    of 256 channels, heads of depth 4 without normalisation, and anchors from 4 strides on.

    Args:
        input_shape: (height, width, channels); multiples of `stride`, or None.
        num_classes: K.
        backbone: See `models.backbones`.
        levels: Of the pyramid, one after the other; level l has stride 2^l. Those from 6 on are
            made by convolutions of stride 2.
        channels: Of every level.
        head_depth, head_width: 3x3 convolutions before the last one of a head, and their
            filters; None: `channels`.
        normalization: Of pyramid and heads; see `blocks.normalize`.
        anchor_sizes: A list for each level of square roots of anchor areas, in pixels. None: 3
            strides, times 1, 2^(1/3) and 2^(2/3).
        ratios_hw: Height over width of anchors of each size.
        anchor_offset: See `AnchorGrid`.
        whole_anchors: Rounds half sides of anchors and steps between them to whole pixels, as
            torchvision does.
        high, low: IoU from which on an anchor is matched, and below which it is background;
            the anchors that overlap a box most are matched in any case.
        prior: Probability of a class that all anchors begin with.
        score_threshold, nms, max_detections: See `DetectionSettings`.
        candidates: Boxes of a level that go into suppression.
        name: Of the model.

    Returns:
        A `Detector` with one head, `head`, of sigmoids.

    Raises:
        InputError: An argument has an impossible value, or the backbone cannot be made.
    """
    blocks.check_counts(num_classes=num_classes, head_depth=head_depth)
    if not 0 < prior < 1:
        raise InputError(f"prior must be between 0 and 1. Received: {prior}.")
    if not 0 <= low <= high <= 1:
        raise InputError(f"0 <= low <= high <= 1 must hold. Received: low {low}, high {high}.")
    image = keras.Input(input_shape, name="image")
    grid, coarsest = grids.retinanet(levels, anchor_sizes, ratios_hw, anchor_offset, whole_anchors)
    own = [stride for stride in grid.strides if stride <= coarsest]
    pyramid = feature_pyramid(
        backbone_maps(image, backbone, own),
        channels,
        extra="conv",
        extra_levels=len(grid.strides) - len(own),
        normalization=normalization,
    )
    anchors = grid.at_a_place()

    width = head_width or channels
    tower = {"depth": head_depth, "width": width, "normalization": normalization}
    bias = -math.log((1 - prior) / prior)
    classes = _head(channels, anchors * num_classes, **tower, bias=bias, name="class")
    moves = _head(channels, anchors * 4, **tower, name="box")
    maps = list(pyramid.values())
    net = keras.Model(image, [*map(classes, maps), *map(moves, maps)], name="net")
    return OneStageDetector(
        net,
        grid,
        num_classes,
        DetectionSettings(score_threshold, nms, max_detections),
        stride=coarsest,
        kind="sigmoid",
        matching=partial(match, high=high, low=low, low_quality=True),
        candidates=candidates,
        name=name,
    )


def _head(
    channels: int,
    filters: int,
    *,
    depth: int,
    width: int,
    normalization: str,
    bias: float = 0.0,
    name: str,
) -> keras.Model:
    """A tower of 3x3 convolutions and the last one. (B, h, w, channels) -> (B, h, w, filters)."""
    level = x = keras.Input((None, None, channels), name="level")
    for i in range(depth):
        x = unit(
            x,
            width,
            3,
            1,
            normalization=normalization,
            activation="relu",
            kernel_initializer=INITIAL,
            name=f"{name}_tower_{i + 1}",
        )
    x = head_layer(filters, kernel_initializer=INITIAL, bias=bias, name=f"{name}_last")(x)
    return keras.Model(level, x, name=f"{name}_head")
