"""Boxes `x1 y1 x2 y2` in pixels: area, overlap, clipping, and deltas to other boxes.

| name | shape | dtype | what it is |
|---|---|---|---|
| boxes, references | (..., N, 4) | float32 | `x1 y1 x2 y2`, far edges exclusive |
| deltas | (..., N, 4) | float32 | `dx dy dw dh` of a box to its reference |
| size | (2,) or (B, 2) | any | height, width of the images |
"""

import math

import tensorflow as tf

MOST_LOG = math.log(1000 / 16)  # of a side over its reference's, as torchvision and detectron2
LEAST_SIDE = 1e-3  # what a side is taken for where it divides or goes into a logarithm


def area(boxes: tf.Tensor) -> tf.Tensor:
    """(..., 4) -> (...) square pixels; 0 where a box is empty or turned over."""
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def iou(boxes: tf.Tensor, others: tf.Tensor, crowd: tf.Tensor | None = None) -> tf.Tensor:
    """(..., N, 4), (..., M, 4) -> (..., N, M): intersection over union in [0, 1], of every pair.

    0 where a box has no area. Where `crowd` (..., N) bool holds, it is over the area of the other
    box, as COCO has it: the share of that which lies in the crowd.

    Example:
        Of `[[0, 0, 2, 2]]` and `[[1, 0, 3, 2]]` it is `[[1 / 3]]`.
    """
    a, b = boxes[..., :, None, :], others[..., None, :, :]
    width = tf.minimum(a[..., 2], b[..., 2]) - tf.maximum(a[..., 0], b[..., 0])
    height = tf.minimum(a[..., 3], b[..., 3]) - tf.maximum(a[..., 1], b[..., 1])
    common = tf.maximum(width, 0.0) * tf.maximum(height, 0.0)
    own = area(others)[..., None, :]
    union = area(boxes)[..., :, None] + own - common
    if crowd is not None:
        union = tf.where(crowd[..., None], own, union)
    return tf.math.divide_no_nan(common, union)


def clip(boxes: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The part of boxes (B, ..., 4) that lies within the images; one outside has no area.

    Args:
        boxes: float32 pixels.
        size: (2,) of all images, or (B, 2) of each: height, width.
    """
    size = tf.cast(size, tf.float32)
    bounds = tf.stack([size[..., 1], size[..., 0]] * 2, -1)
    if len(bounds.shape) == 2:  # one an image
        middle = [1] * (len(boxes.shape) - 2)
        bounds = tf.reshape(bounds, [-1, *middle, 4])
    return tf.maximum(tf.minimum(boxes, bounds), 0.0)


def has_sides(boxes: tf.Tensor, least: float) -> tf.Tensor:
    """(..., 4) -> (...) bool: whether both sides are at least `least` pixels."""
    return tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= least, -1)


def encode(boxes: tf.Tensor, references: tf.Tensor, weights=(1.0, 1.0, 1.0, 1.0)) -> tf.Tensor:
    """Deltas that lead from `references` to `boxes`, (..., 4) both; finite for any boxes.

    Ren et al. 2015, arXiv 1506.01497, equation 2: shift of the centre in sides of the reference,
    logarithm of the sides' ratio; each times its weight.

    Example:
        From `[0, 0, 8, 8]` to `[4, 4, 8, 8]` they are `[0.25, 0.25, -0.69, -0.69]`.
    """
    centre, sides = centre_and_sides(boxes)
    start, lengths = centre_and_sides(references)
    sides, lengths = tf.maximum(sides, LEAST_SIDE), tf.maximum(lengths, LEAST_SIDE)
    shift = (centre - start) / lengths
    return tf.concat([shift, tf.math.log(sides / lengths)], -1) * tf.constant(weights)


def decode(deltas: tf.Tensor, references: tf.Tensor, weights=(1.0, 1.0, 1.0, 1.0)) -> tf.Tensor:
    """Boxes (..., 4) that `deltas` lead to from `references`; the inverse of `encode`.

    No side is more than 62.5 times its reference's: an exponent is not left to overflow.
    """
    deltas = tf.cast(deltas, tf.float32) / tf.constant(weights)
    start, lengths = centre_and_sides(references)
    centre = start + deltas[..., :2] * lengths
    half = lengths * tf.exp(tf.minimum(deltas[..., 2:], MOST_LOG)) / 2
    return tf.concat([centre - half, centre + half], -1)


def centre_and_sides(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(..., 4) -> `x y` and `width height`, (..., 2) each."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
