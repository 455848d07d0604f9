"""The parts of keras-cv 0.9 that are right, with the arguments and results of our own.

Our own are used: theirs take seconds to import, know anchors of one static size, no low-quality
matches, and one list of scores in the suppression. A test holds each equal to ours. Its samplers,
`_ROIAligner`, `ROIPooler`, CIoU and forced matching do not run or are wrong, and are not here.
"""

from collections.abc import Sequence

import keras_cv
import tensorflow as tf
from keras_cv import bounding_box

from tfvision.detection.matching import BACKGROUND, IGNORED

CORNERS = "xyxy"


def centre_and_sides(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `boxes.centre_and_sides`."""
    found = bounding_box.convert_format(boxes, source=CORNERS, target="center_xywh")
    return found[..., :2], found[..., 2:]


def iou(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """As `boxes.iou`, of boxes of equal rank, 2 or 3; 1e-7 in the denominator."""
    return bounding_box.compute_iou(boxes, others, CORNERS)


def anchors(
    size: tuple[int, int],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios_hw: Sequence[float],
) -> list[tf.Tensor]:
    """As `AnchorGrid.of` with `anchor_shapes`, for images of one size; all levels have the same
    number of anchors at a place."""
    found = []
    for stride, of_level in zip(strides, sizes, strict=True):
        made = keras_cv.layers.AnchorGenerator(
            bounding_box_format=CORNERS,
            sizes=[1.0],
            scales=list(of_level),
            aspect_ratios=[1 / ratio for ratio in ratios_hw],  # theirs is width over height
            strides=[stride],
            dtype="float32",
        )(image_shape=(*size, 3))[0]
        made = tf.reshape(made, [-1, len(of_level), len(ratios_hw), 4])  # theirs is size by size
        found.append(tf.reshape(tf.transpose(made, [0, 2, 1, 3]), [-1, 4]))
    return found


def match(
    references: tf.Tensor, boxes: tf.Tensor, classes: tf.Tensor, *, high: float, low: float
) -> tf.Tensor:
    """As `matching.match` without low-quality matches."""
    overlap = tf.stack([iou(references, of_image) for of_image in tf.unstack(boxes)])
    overlap = tf.where((classes >= 0)[:, None], overlap, -1.0)
    matcher = keras_cv.layers.BoxMatcher([low, high], [BACKGROUND, IGNORED, 0], dtype="float32")
    rows, values = matcher(overlap)
    return tf.where(values == 0, rows, values)


def suppress(boxes: tf.Tensor, scores: tf.Tensor, *, iou: float, most: int, score: float):
    """As `nms.suppress` by class, of boxes (B, N, 1, 4)."""
    found = keras_cv.layers.MultiClassNonMaxSuppression(
        bounding_box_format=CORNERS,
        from_logits=False,
        iou_threshold=iou,
        confidence_threshold=score,
        max_detections=most,
        max_detections_per_class=most,
        dtype="float32",
    )(boxes[:, :, 0], scores)
    there = found["classes"] >= 0
    return (
        tf.where(there[..., None], found["boxes"], 0.0),
        tf.where(there, found["confidence"], 0.0),
        tf.cast(found["classes"], tf.int32),
    )
