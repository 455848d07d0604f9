"""Ops that hide parts of the image."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfvision.augment.sample import (
    Op,
    Sample,
    between,
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
    p, fill, fill_label = _check_fill("cutout", p, fill, fill_label)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        rows, columns = image_size(sample["image"])
        u_hit, *places = draw(seed, 1 + 2 * count)
        inside_rows = _spans(places[:count], rows, height) & (u_hit < p)
        inside_columns = _spans(places[count:], columns, width)
        hidden = tf.reduce_any(inside_rows[:, :, None] & inside_columns[:, None, :], axis=0)
        return _hide(sample, hidden, fill, fill_label)

    return op


def coarse_dropout(
    min_count: int = 1,
    max_count: int = 8,
    min_size: float = 0.05,
    max_size: float = 0.2,
    p: float = 0.5,
    *,
    fill: float = 0.0,
    fill_label: int | None = None,
) -> Op:
    """Fills rectangles whose number and size vary; each lies wholly inside the image.

    What `cutout` is not: its rectangles have one number and one size in pixels, and may
    reach over the edge. Boxes stay: the object is still there.

    Args:
        min_count: Least number of rectangles, from 1 up; all numbers are as likely.
        max_count: Greatest number; they may overlap.
        min_size: Least height and width, as fractions of the image's, above 0 to 1; both
            uniform, each for itself, at least one pixel.
        max_size: Greatest height and width.
        p: Probability that the op happens.
        fill: Image value in [0, 1].
        fill_label: As `cutout` has it.
    """
    min_count = check_integer("coarse_dropout", "min_count", min_count, 1)
    max_count = check_integer("coarse_dropout", "max_count", max_count, 1)
    min_size = check_number("coarse_dropout", "min_size", min_size, 0.0, high=1.0)
    max_size = check_number("coarse_dropout", "max_size", max_size, 1e-3, high=1.0)
    _check_order("coarse_dropout", "count", min_count, max_count)
    _check_order("coarse_dropout", "size", min_size, max_size)
    p, fill, fill_label = _check_fill("coarse_dropout", p, fill, fill_label)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        rows, columns = image_size(sample["image"])
        u_hit, u_count, *us = draw(seed, 2 + 4 * max_count)
        us = tf.reshape(tf.stack(us), [4, max_count])
        count = min_count + tf.cast(tf.floor(u_count * (max_count - min_count + 1)), tf.int32)
        drawn = (tf.range(max_count) < count) & (u_hit < p)
        inside_rows = _inner_spans(us[0], us[1], rows, min_size, greatest=max_size) & drawn[:, None]
        inside_columns = _inner_spans(us[2], us[3], columns, min_size, greatest=max_size)
        hidden = tf.reduce_any(inside_rows[:, :, None] & inside_columns[:, None, :], axis=0)
        return _hide(sample, hidden, fill, fill_label)

    return op


def grid_dropout(
    ratio: float = 0.5,
    min_unit: int = 16,
    max_unit: int = 48,
    p: float = 0.5,
    *,
    fill: float = 0.0,
    fill_label: int | None = None,
) -> Op:
    """GridMask: fills a regular grid of squares (Chen et al., 2020, arXiv:2001.04086).

    The image is tiled by units of d x d pixels, each with a hidden square of side
    d * (1 - ratio), so that 1 - (1 - ratio)^2 of the image is kept (equation 2 there). d and
    the grid's offset are drawn; the grid is not turned. Boxes stay.

    Args:
        ratio: Share of a unit's side that is kept, above 0 and below 1.
        min_unit: Least d in pixels, from 2 up; all whole numbers are as likely.
        max_unit: Greatest d.
        p: Probability that the op happens.
        fill: Image value in [0, 1].
        fill_label: As `cutout` has it.
    """
    ratio = check_number("grid_dropout", "ratio", ratio, 0.01, high=0.99)
    min_unit = check_integer("grid_dropout", "min_unit", min_unit, 2)
    max_unit = check_integer("grid_dropout", "max_unit", max_unit, 2)
    _check_order("grid_dropout", "unit", min_unit, max_unit)
    p, fill, fill_label = _check_fill("grid_dropout", p, fill, fill_label)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        u_hit, u_unit, u_y, u_x = draw(seed, 4)
        unit = min_unit + tf.cast(tf.floor(u_unit * (max_unit - min_unit + 1)), tf.int32)
        side = tf.cast(unit, tf.float32)
        hole = tf.clip_by_value(tf.cast(tf.round(side * (1 - ratio)), tf.int32), 1, unit - 1)
        inside_rows, inside_columns = (
            (tf.range(length) + tf.cast(tf.floor(u * side), tf.int32)) % unit < hole
            for u, length in zip((u_y, u_x), image_size(sample["image"]), strict=True)
        )
        hidden = inside_rows[:, None] & inside_columns[None] & (u_hit < p)
        return _hide(sample, hidden, fill, fill_label)

    return op


def _hide(sample: Sample, hidden: tf.Tensor, fill: float, fill_label: int | None) -> Sample:
    """Fills the image, and the mask where a label is given, where `hidden` (H, W) holds."""
    out = {"image": tf.where(hidden[..., None], fill, sample["image"])}
    if fill_label is not None and "mask" in sample:
        out["mask"] = tf.where(hidden, fill_label, sample["mask"])
    return {**sample, **out}


def _check_fill(
    op: str, p: float, fill: float, fill_label: int | None
) -> tuple[float, float, int | None]:
    """The arguments that all ops here share, checked."""
    p = check_probability(op, p)
    fill = check_number(op, "fill", fill, 0.0, high=1.0)
    if fill_label is not None:
        fill_label = check_fill_label(op, fill_label)
    return p, fill, fill_label


def _check_order(op: str, what: str, least: float, greatest: float) -> None:
    if least > greatest:
        raise InputError(
            f"{op}: min_{what} must not be above max_{what}, got {least} and {greatest}."
        )


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


def _inner_spans(
    u_length: tf.Tensor, u_place: tf.Tensor, side: int | tf.Tensor, least: float, greatest: float
) -> tf.Tensor:
    """(count, side) bool: spans of `least` to `greatest` of the side, wholly inside it.

    Args:
        u_length, u_place: (count,), uniform in [0, 1).
        side: Of the image, in pixels.
        least, greatest: Fractions of the side.
    """
    whole = tf.cast(side, tf.float32)
    length = tf.maximum(tf.round(between(u_length, least, greatest) * whole), 1.0)
    start = tf.floor(u_place * (whole - length + 1))
    start, length = tf.cast(start, tf.int32)[:, None], tf.cast(length, tf.int32)[:, None]
    pixels = tf.range(side)[None]
    return (pixels >= start) & (pixels < start + length)
