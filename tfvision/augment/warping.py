"""Ops that bend the sample: every output pixel reads from a place of its own.

Unlike the ops of `geometric` they have no matrix, so `compose` does not merge them.
"""

import math

import numpy as np
import tensorflow as tf

from tfvision.augment.affine import Border, make_border
from tfvision.augment.boxes import area, clip_to_window, keep_boxes, least_seen, visible
from tfvision.augment.sample import (
    Op,
    Sample,
    Size,
    between,
    check_integer,
    check_number,
    check_probability,
    draw,
    image_size,
    pixel_maps,
)
from tfvision.augment.smoothing import fixed_gaussian, smooth


def elastic(
    stddev: float = 2.0,
    sigma: float = 6.0,
    p: float = 0.5,
    *,
    mode: str = "constant",
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Op:
    """Elastic deformation: random shifts of the pixels, smoothed (Simard et al., 2003).

    Uniform noise for each axis, smoothed by a Gaussian and scaled. The paper's scale is a
    bare factor; here the shifts have a standard deviation in pixels, whatever the
    smoothing. With `stddev` up to about sigma / 3 the image hardly ever folds over itself.

    A box becomes the hull of the pixels that show the ellipse inscribed in it, in whole pixels;
    it is dropped, with its class, where these are fewer than `min_visibility` of the ellipse.

    Args:
        stddev: Of the shift along each axis, in pixels, 0 to 100.
        sigma: Of the smoothing Gaussian, in pixels, 0.5 to 100.
        p: Probability that the op happens.
        mode, fill, fill_label: What comes in from beyond the border, as in `geometric`.
        min_visibility: As said.
    """
    stddev = check_number("elastic", "stddev", stddev, 0.0, high=100.0)
    sigma = check_number("elastic", "sigma", sigma, 0.5, high=100.0)
    p = check_probability("elastic", p)
    border = make_border(
        "elastic", mode=mode, fill=fill, fill_label=fill_label, min_visibility=min_visibility
    )

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        size = image_size(sample["image"])
        hit = draw(seed, 1)[0] < p
        shifts = tf.where(hit, elastic_shifts(seed, size, stddev, sigma), 0.0)
        rows = tf.range(size[0], dtype=tf.float32)[:, None] + shifts[..., 0]
        columns = tf.range(size[1], dtype=tf.float32)[None] + shifts[..., 1]
        out = warp(sample, rows, columns, border)
        if "boxes" in sample:
            least = least_seen(sample.get("classes"), min_visibility)
            boxes, keep = _boxes_by_pixels(sample["boxes"], rows, columns, least)
            out |= keep_boxes(sample, tf.where(hit, boxes, sample["boxes"]), keep | ~hit)
        return {**sample, **out}

    return op


def elastic_shifts(seed: tf.Tensor, size: Size, stddev: float, sigma: float) -> tf.Tensor:
    """(H, W, 2) float32: down and right, in pixels, from where each pixel is read."""
    weights = fixed_gaussian(sigma)
    reach = len(weights) // 2
    own = tf.random.experimental.stateless_fold_in(seed, 1)
    shape = [size[0] + 2 * reach, size[1] + 2 * reach, 2]  # so that the edge is like the middle
    noise = tf.random.stateless_uniform(shape, own, minval=-1.0, maxval=1.0)
    # The variance of the noise is 1/3; a weighted sum has that times the squared weights.
    spread = math.sqrt(1 / 3) * float(np.sum(np.square(weights)))
    return smooth(noise, weights) * (stddev / spread)


def grid_distortion(steps: int = 5, max_stretch: float = 0.3, p: float = 0.5) -> Op:
    """Stretches and squeezes the columns and the rows of a grid of cells.

    The image is cut into `steps` x `steps` equal cells; every column of cells and every row
    draws a factor for its width, and the factors are scaled so that the cells fill the
    image again. Its edge stays where it is, so nothing comes in from beyond. Boxes keep
    their sides upright and move exactly; one wholly outside the image is dropped.

    Args:
        steps: Cells along each axis, from 2 up.
        max_stretch: Factors are uniform in 1 - max_stretch .. 1 + max_stretch, 0 to 0.9.
        p: Probability that the op happens.
    """
    steps = check_integer("grid_distortion", "steps", steps, 2)
    max_stretch = check_number("grid_distortion", "max_stretch", max_stretch, 0.0, high=0.9)
    p = check_probability("grid_distortion", p)
    # Places lie within half a pixel of the image at most: mirrored, that is its edge pixel.
    border = make_border("grid_distortion", mode="reflect", fill=0, fill_label=0, min_visibility=0)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        size = image_size(sample["image"])
        # float64: what a graph rounds otherwise than eager code is lost in the cast to float32.
        u_hit, *us = draw(seed, 1 + 2 * steps, tf.float64)
        hit = u_hit < p
        factors = between(tf.stack(us), 1 - max_stretch, 1 + max_stretch)
        ends = [
            _cell_ends(f, side)
            for f, side in zip((factors[:steps], factors[steps:]), size, strict=True)
        ]
        rows, columns = (
            tf.where(hit, _stretched(end, side, steps), tf.range(side, dtype=tf.float32))
            for end, side in zip(ends, size, strict=True)
        )
        shape = tf.stack(size)
        rows, columns = (
            tf.broadcast_to(rows[:, None], shape),
            tf.broadcast_to(columns[None], shape),
        )
        out = warp(sample, rows, columns, border)
        if "boxes" in sample:
            boxes = sample["boxes"]
            inner = tf.cast(clip_to_window(boxes, size), tf.float64)
            x1, y1, x2, y2 = tf.unstack(inner, axis=-1)
            y1, y2 = (_squeezed(y, ends[0], size[0], steps) for y in (y1, y2))
            x1, x2 = (_squeezed(x, ends[1], size[1], steps) for x in (x1, x2))
            moved = tf.cast(tf.stack([x1, y1, x2, y2], axis=-1), tf.float32)
            moved = tf.where(hit, moved, boxes)
            out |= keep_boxes(sample, moved, visible(boxes, size, 0.0) | ~hit)
        return {**sample, **out}

    return op


def warp(sample: Sample, rows: tf.Tensor, columns: tf.Tensor, border: Border) -> Sample:
    """Image (bilinear), mask and region (nearest) read from given places; boxes are left out.

    Args:
        sample: With `image` (H, W, C), and `mask` and `region` (H, W) or not.
        rows, columns: (H, W) float32, where each pixel is read, in indices of pixels.
        border: What comes in from beyond the border.

    Returns:
        `image`, and `mask` and `region` where there is one.
    """
    image = sample["image"]
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)

    def row_of(y: tf.Tensor) -> tf.Tensor:
        first = _read(image, y, left, border.mode, fill=border.fill)
        return (
            first * (1 - right) + _read(image, y, left + 1, border.mode, fill=border.fill) * right
        )

    moved = row_of(top) * (1 - down) + row_of(top + 1) * down
    moved.set_shape(image.shape)
    # Weights that sum to 1 but for rounding may leave [0, 1] by a bit in the last place.
    out = {"image": tf.clip_by_value(moved, 0.0, 1.0)}
    y, x = (tf.cast(tf.floor(place + 0.5), tf.int32) for place in (rows, columns))
    for key, fill in pixel_maps(sample, border.fill_label).items():
        out[key] = _read(sample[key][..., None], y, x, border.mode, fill=fill)[..., 0]
        out[key].set_shape(sample[key].shape)
    return out


def _read(pixels: tf.Tensor, y: tf.Tensor, x: tf.Tensor, mode: str, fill: float) -> tf.Tensor:
    """(..., C): the pixels (H, W, C) at rows `y` and columns `x` (int32), or beyond them."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    if mode == "reflect":
        y, x = _reflected(y, height), _reflected(x, width)
    inside_y, inside_x = (tf.clip_by_value(i, 0, n - 1) for i, n in ((y, height), (x, width)))
    found = tf.gather(tf.reshape(pixels, [-1, tf.shape(pixels)[2]]), inside_y * width + inside_x)
    if mode == "reflect":
        return found
    inside = (inside_y == y) & (inside_x == x)
    return tf.where(inside[..., None], found, tf.cast(fill, pixels.dtype))


def _reflected(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Index into `size` pixels that are mirrored at their edge (c b a | a b c)."""
    index = tf.math.floormod(index, 2 * size)
    return tf.minimum(index, 2 * size - 1 - index)


def _boxes_by_pixels(
    boxes: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, least: tf.Tensor | float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Hull of the pixels that read from within each box's ellipse (N, 4); whether to keep it (N,).

    Box by box, as (N, H, W) would be much memory where there are hundreds.
    """
    y, x = rows + 0.5, columns + 0.5  # the middle of a pixel, in the boxes' coordinates

    def hull_and_count(box: tf.Tensor) -> tf.Tensor:
        middle, half = (box[:2] + box[2:]) / 2, tf.maximum((box[2:] - box[:2]) / 2, 1e-6)
        away = tf.square((x - middle[0]) / half[0]) + tf.square((y - middle[1]) / half[1])
        shown = away <= 1.0
        top, bottom = _first_and_last(tf.reduce_any(shown, axis=1))
        left, right = _first_and_last(tf.reduce_any(shown, axis=0))
        count = tf.reduce_sum(tf.cast(shown, tf.int32))
        return tf.cast(tf.stack([left, top, right, bottom, count]), tf.float32)

    found = tf.map_fn(hull_and_count, boxes)
    count = found[:, 4]
    return found[:, :4], (count > 0) & (count >= least * (math.pi / 4) * area(boxes))


def _first_and_last(held: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Index of the first, and one past the last, True of (S,)."""
    held = tf.cast(held, tf.int32)
    first = tf.argmax(held, axis=-1, output_type=tf.int32)
    behind = tf.argmax(tf.reverse(held, [-1]), axis=-1, output_type=tf.int32)
    return first, tf.shape(held)[-1] - behind


def _cell_ends(factors: tf.Tensor, side: int | tf.Tensor) -> tf.Tensor:
    """(steps + 1,) float64: where the cells end in the input, from 0 to `side`."""
    ends = tf.cumsum(factors)
    ends = ends / ends[-1] * tf.cast(side, tf.float64)
    return tf.pad(ends, [[1, 0]])


def _stretched(ends: tf.Tensor, side: int | tf.Tensor, steps: int) -> tf.Tensor:
    """(side,) float32: the index that each output pixel is read at."""
    place = (tf.range(side, dtype=tf.float64) + 0.5) * (steps / tf.cast(side, tf.float64))
    cell = tf.minimum(tf.cast(place, tf.int32), steps - 1)
    start = tf.gather(ends, cell)
    length = tf.gather(ends, cell + 1) - start
    read = start + (place - tf.cast(cell, tf.float64)) * length - 0.5
    return tf.cast(read, tf.float32)


def _squeezed(x: tf.Tensor, ends: tf.Tensor, side: int | tf.Tensor, steps: int) -> tf.Tensor:
    """(N,) float64: where the input's coordinates `x`, 0 to side, come out: the inverse."""
    cell = tf.minimum(tf.searchsorted(ends, x, side="right") - 1, steps - 1)
    start = tf.gather(ends, cell)
    share = (x - start) / (tf.gather(ends, cell + 1) - start)
    return (tf.cast(cell, tf.float64) + share) * (tf.cast(side, tf.float64) / steps)
