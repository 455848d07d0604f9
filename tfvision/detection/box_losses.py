"""Losses that compare a box with the one it should be, pair by pair.

| name | shape | dtype | what it is |
|---|---|---|---|
| boxes, truths | (..., 4) | float32 | predicted, annotated; a truth has an area |
| loss | (...) | float32 | 0 where they are equal |
"""

import math

import tensorflow as tf

from tfvision.detection.boxes import area

TINY = 1e-7


def giou_loss(boxes: tf.Tensor, truths: tf.Tensor) -> tf.Tensor:
    """1 - GIoU, in [0, 2] (Rezatofighi et al. 2019, arXiv 1902.09630, algorithm 1)."""
    iou, union = _iou(boxes, truths)
    sides = _hull_sides(boxes, truths)
    hull = tf.maximum(sides[..., 0] * sides[..., 1], TINY)
    return 1 - iou + (hull - union) / hull


def diou_loss(boxes: tf.Tensor, truths: tf.Tensor) -> tf.Tensor:
    """1 - IoU + squared distance of centres over that of the hull's corners, in [0, 2].

    Zheng et al. 2020, arXiv 1911.08287, equation 7.
    """
    iou, _ = _iou(boxes, truths)
    apart = (boxes[..., :2] + boxes[..., 2:] - truths[..., :2] - truths[..., 2:]) / 2
    diagonal = tf.reduce_sum(_hull_sides(boxes, truths) ** 2, -1)
    return 1 - iou + tf.reduce_sum(apart**2, -1) / tf.maximum(diagonal, TINY)


def ciou_loss(boxes: tf.Tensor, truths: tf.Tensor) -> tf.Tensor:
    """DIoU's loss and a term for the ratio of the sides; equations 8 to 11 of the same paper.

    The trade-off of that term has no gradient, as in the paper's code.
    """
    iou, _ = _iou(boxes, truths)
    angles = [tf.atan2(*tf.unstack(tf.maximum(_sides(b), TINY), axis=-1)) for b in (boxes, truths)]
    aspect = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    share = tf.stop_gradient(aspect / tf.maximum(1 - iou + aspect, TINY))
    return diou_loss(boxes, truths) + share * aspect


def _sides(boxes: tf.Tensor) -> tf.Tensor:
    """(..., 4) -> width, height (..., 2)."""
    return boxes[..., 2:] - boxes[..., :2]


def _iou(boxes: tf.Tensor, truths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """IoU and union of pairs."""
    low = tf.maximum(boxes[..., :2], truths[..., :2])
    sides = tf.maximum(tf.minimum(boxes[..., 2:], truths[..., 2:]) - low, 0.0)
    common = sides[..., 0] * sides[..., 1]
    union = area(boxes) + area(truths) - common
    return common / tf.maximum(union, TINY), union


def _hull_sides(boxes: tf.Tensor, truths: tf.Tensor) -> tf.Tensor:
    """Width, height of the smallest box around both, (..., 2)."""
    low = tf.minimum(boxes[..., :2], truths[..., :2])
    return tf.maximum(boxes[..., 2:], truths[..., 2:]) - low
