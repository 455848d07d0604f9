"""SSD: default boxes of each map classified with background by a convolution of its own.

Liu et al., "SSD: Single Shot MultiBox Detector", 2016. https://arxiv.org/abs/1512.02325. Thresholds
and default boxes are torchvision's.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from tfvision.detection import grids
from tfvision.detection.boxes import iou
from tfvision.detection.matching import MOST_AT_ONCE, match
from tfvision.errors import InputError
from tfvision.models import blocks
from tfvision.models.backbones import backbone_maps
from tfvision.models.detector import DetectionSettings
from tfvision.models.encoders import Encoder
from tfvision.models.fpn import feature_pyramid
from tfvision.models.one_stage import OneStageDetector, head_layer
from tfvision.models.resnet import unit

CODER = (10.0, 10.0, 5.0, 5.0)


def SSD(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    backbone: str | dict[str, Any] | Encoder = "slim_resnet",
    levels: Sequence[int] = (3, 4, 5),
    pyramid: int | None = 96,
    extras: Sequence[Sequence[int]] = ((128, 2),),
    normalization: str = "group",
    l2_scale: float | None = None,
    anchor_sizes: Sequence[float] | None = None,
    ratios: Sequence[Sequence[float]] | None = None,
    anchor_steps: Sequence[float] | None = None,
    longest: float | None = None,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.01,
    nms: float = 0.45,
    max_detections: int = 200,
    candidates: int = 400,
    name: str = "ssd",
) -> OneStageDetector:
    """Builds an SSD. Its class term is `cross_entropy(hard_negatives=3)`.

    The SSD300 of the paper, as torchvision has it:

        backbone: vgg16(normalization=none), levels: [3, 4], pyramid: null, l2_scale: 20
        extras: [[512, 2], [256, 2], [256, 1], [256, 1]], normalization: none
        anchor_sizes: [21, 45, 99, 153, 207, 261, 315], anchor_steps: [8, 16, 32, 64, 100, 300]
        ratios: [[2], [2, 3], [2, 3], [2, 3], [2], [2]], longest: 300

    Args:
        input_shape: (height, width, channels); multiples of `stride`, or None.
        num_classes: K.
        backbone: See `models.backbones`.
        levels: Of the backbone's maps, one after the other; level l has stride 2^l.
        pyramid: Channels of a feature pyramid on the backbone's maps: a fine map of a small net
            that is trained from scratch knows too little of classes. None: none, as in the paper.
        extras: (filters, stride) of each level behind the backbone, a 1x1 convolution of half as
            many filters and a 3x3 one. Of stride 2 it halves the map; of stride 1 it has no
            padding, so that the map shrinks by 2.
        normalization: Of pyramid and extras; see `blocks.normalize`.
        l2_scale: Divides the finest map by its norm at each place and multiplies it with a weight
            a channel that begins with this; None: not (section 3.1).
        anchor_sizes: Sides s of squares in pixels, one for each level and one more. A level has a
            square of its own s and one of the geometric mean of its s and the next. None: 3
            strides.
        ratios: For each level r of boxes of the area of s^2 whose sides are as r : 1 and 1 : r.
            None: 2 on all levels.
        anchor_steps: Pixels from one place of a level to the next; None: its stride.
        longest: No default box has longer sides, in pixels; None: any.
        iou_threshold: IoU from which on a default box is matched, else it is background. The one
            that overlaps a box most is matched with it in any case.
        score_threshold, nms, max_detections: See `DetectionSettings`.
        candidates: Boxes of a class that go into suppression.
        name: Of the model.

    Returns:
        A `Detector` with one head, `head`, of softmax.

    Raises:
        InputError: An argument has an impossible value, the backbone cannot be made, or the
            images are too small for an extra level.
    """
    blocks.check_counts(num_classes=num_classes)
    image = keras.Input(input_shape, name="image")
    grid, coarsest = grids.ssd(levels, extras, anchor_sizes, ratios, anchor_steps, longest)
    strides = grids.strides_of(levels)
    found = backbone_maps(image, backbone, strides)
    if pyramid is not None:
        found = feature_pyramid(found, pyramid, extra_levels=0, normalization=normalization)
    maps = list(found.values())
    last = maps[-1]
    if l2_scale is not None:
        maps[0] = _scaled(maps[0], l2_scale)
    for i, (filters, stride) in enumerate(extras):
        last = _extra(last, filters, stride, normalization, name=f"extra_{i + 1}")
        maps.append(last)

    outputs = [
        head_layer(
            len(level) * columns, kernel_initializer="glorot_uniform", name=f"{word}_{i + 1}"
        )(x)
        for word, columns in (("class_head", num_classes + 1), ("box_head", 4))
        for i, (x, level) in enumerate(zip(maps, grid.shapes, strict=True))
    ]
    return OneStageDetector(
        keras.Model(image, outputs, name="net"),
        grid,
        num_classes,
        DetectionSettings(score_threshold, nms, max_detections),
        stride=coarsest,
        kind="softmax",
        coder=CODER,
        matching=partial(match_default_boxes, threshold=iou_threshold),
        candidates=candidates,
        name=name,
    )


def match_default_boxes(anchors, boxes, classes, *, threshold: float) -> tf.Tensor:
    """As `detection.matching.match`, and each box gets the anchor that overlaps it most.

    Where two boxes want one anchor, the later has it, as in torchvision.

    Args:
        anchors: (N, 4).
        boxes, classes: (B, M, 4), (B, M), padded.
        threshold: IoU from which on an anchor is matched with the box that it overlaps most.

    Returns:
        (B, N) int32, row of the matched box or `BACKGROUND`.
    """
    found = match(anchors, boxes, classes, high=threshold, low=threshold)
    if boxes.shape[1] == 0:
        return found

    def best(boxes):
        overlap = iou(boxes, tf.cast(anchors, tf.float32))  # (..., M, N)
        return tf.argmax(overlap, -1, output_type=tf.int32), tf.reduce_max(overlap, -1)

    if (boxes.shape[1] or math.inf) <= MOST_AT_ONCE:
        anchor, overlap = best(boxes)
    else:
        kinds = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32))
        anchor, overlap = tf.map_fn(best, boxes, fn_output_signature=kinds)
    wanted = tf.where((classes >= 0) & (overlap > 0), tf.range(tf.shape(boxes)[1]), -1)
    image = tf.broadcast_to(tf.range(tf.shape(boxes)[0])[:, None], tf.shape(anchor))
    forced = tf.tensor_scatter_nd_max(
        tf.fill(tf.shape(found), -1), tf.stack([image, anchor], -1), wanted
    )
    return tf.where(forced >= 0, forced, found)


def _scaled(x, scale: float):
    """ParseNet's normalisation of a map at each place, float32; the shape stays."""
    x = layers.UnitNormalization(dtype="float32", name="l2_norm")(x)
    return layers.DepthwiseConv2D(
        1,
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(scale),
        name="l2_scale",
    )(x)


def _extra(x, filters: int, stride: int, normalization: str, *, name: str):
    """A 1x1 and a 3x3 convolution. (B, H, W, C) -> (B, H/2, W/2 or H - 2, W - 2, filters)."""
    blocks.check_counts(filters=filters)
    if stride not in (1, 2):
        raise InputError(f"The stride of an extra level must be 1 or 2. Received: {stride!r}.")
    if stride == 1 and min(side or 3 for side in x.shape[1:3]) < 3:
        raise InputError(
            f"Level {name} needs a map of at least 3x3, as it has no padding. Received: "
            f"{x.shape[1]}x{x.shape[2]}. Give larger images, fewer extras, or a stride of 2."
        )
    style = {"normalization": normalization, "activation": "relu"}
    x = unit(x, max(1, filters // 2), 1, 1, **style, name=f"{name}_1")
    padding = "symmetric" if stride == 2 else "valid"
    return unit(x, filters, 3, stride, **style, padding=padding, name=f"{name}_2")
