"""Boxes (N, 4) float32, x1 y1 x2 y2 in pixels, when the image under them changes."""

import tensorflow as tf

from tfvision.augment.sample import Sample, Size
from tfvision.detection.crowds import is_crowd


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Area in square pixels of boxes (..., 4); 0 where a box is empty or turned over."""
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def clip_to_window(boxes: tf.Tensor, size: Size) -> tf.Tensor:
    """The part of `boxes` (..., 4) within an image of `size` (height, width)."""
    height, width = (tf.cast(side, boxes.dtype) for side in size)
    return tf.clip_by_value(boxes, 0, tf.stack([width, height, width, height]))


def least_seen(classes: tf.Tensor | None, min_visibility: float) -> tf.Tensor | float:
    """The share of its area from which on each box stays; of a crowd (see `detection.crowds`) any,
    or what is left of it would be taken for background."""
    return min_visibility if classes is None else tf.where(is_crowd(classes), 0.0, min_visibility)


def visible(boxes: tf.Tensor, size: Size, min_visibility: tf.Tensor | float) -> tf.Tensor:
    """(...,) bool: whether at least this share of a box's area, and any, is in the image."""
    seen = area(clip_to_window(boxes, size))
    return (seen > 0) & (seen >= min_visibility * area(boxes))


def keep_boxes(sample: Sample, boxes: tf.Tensor, keep: tf.Tensor) -> Sample:
    """The `boxes` (and `classes` where the sample has them) for which `keep` (N,) holds."""
    kept = {"boxes": tf.boolean_mask(boxes, keep)}
    if "classes" in sample:
        kept["classes"] = tf.boolean_mask(sample["classes"], keep)
    return kept
