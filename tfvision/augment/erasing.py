"""Ops that hide parts of the image."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfvision.augment.sample import (
    Op,
    Sample,
    check_fill_label,
    check_integer,
    check_number,
    check_probability,
    draw,
    image_size,
)
from tfvision.errors import InputError


def cutout(
    size: int | Sequence[int] = 16,
    count: int = 1,
    p: float = 0.5,
    *,
    fill: float = 0.0,
    fill_label: int | None = None,
) -> Op:
    """Fills rectangles of the image (DeVries and Taylor, 2017, arXiv:1708.04552).

    A rectangle's middle may be any pixel, so that, as in the paper, it may reach over the
    edge and hide less. Boxes stay: the object is still there.

    Args:
        size: Side of the squares in pixels, or (height, width).
        count: Number of rectangles; they may overlap.
        p: Probability that the op happens.
        fill: Image value in [0, 1].
        fill_label: Mask label under the rectangles, 255 to leave them out of the loss;
            None leaves the mask as it is.
    """
    height, width = _check_size(size)
    count = check_integer("cutout", "count", count, 1)
    p = check_probability("cutout", p)
    fill = check_number("cutout", "fill", fill, 0.0, 1.0)
    if fill_label is not None:
        fill_label = check_fill_label("cutout", fill_label)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        rows, columns = image_size(image)
        u_hit, *places = draw(seed, 1 + 2 * count)
        inside_rows = _spans(places[:count], rows, height) & (u_hit < p)
        inside_columns = _spans(places[count:], columns, width)
        hidden = tf.reduce_any(inside_rows[:, :, None] & inside_columns[:, None, :], axis=0)
        out = {"image": tf.where(hidden[..., None], fill, image)}
        if fill_label is not None and "mask" in sample:
            out["mask"] = tf.where(hidden, fill_label, sample["mask"])
        return {**sample, **out}

    return op


def _check_size(size: Any) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else size
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise InputError(
            f"cutout: size must be a number of pixels or a pair (height, width), got {size!r}."
        )
    return tuple(check_integer("cutout", "size", side, 1) for side in pair)


def _spans(places: Sequence[tf.Tensor], side: int | tf.Tensor, length: int) -> tf.Tensor:
    """(count, side) bool: which of the pixels 0 to side - 1 each span holds.

    Args:
        places: Uniform in [0, 1), the middles.
        side: Of the image, in pixels.
        length: Of a span, in pixels.
    """
    middle = tf.floor(tf.stack(places) * tf.cast(side, tf.float32))
    start = tf.cast(middle, tf.int32)[:, None] - length // 2
    pixels = tf.range(side)[None]
    return (pixels >= start) & (pixels < start + length)
