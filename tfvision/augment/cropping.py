"""A window of a fixed size."""

import tensorflow as tf

from tfvision.augment.boxes import clip_to_window, keep_boxes, visible
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


def crop(
    height: int,
    width: int,
    p: float = 1.0,
    *,
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Op:
    """Cuts a window of (height, width) pixels; nothing is resampled.

    The result has that size whatever came in, and says so in its static shape. A side of
    the image that is shorter is padded, and the image lies anywhere in the window.

    Args:
        height: Of the window, in pixels.
        width: Of the window, in pixels.
        p: Probability of a random place; otherwise the window sits in the middle.
        fill: Image value of the padding, in [0, 1].
        fill_label: Mask label of the padding; 255 is ignored.
        min_visibility: Boxes are clipped to the window; one of which less than this share
            of its area is in view is dropped, with its class.
    """
    height = check_integer("crop", "height", height, 1)
    width = check_integer("crop", "width", width, 1)
    p = check_probability("crop", p)
    fill = check_number("crop", "fill", fill, 0.0, 1.0)
    fill_label = check_fill_label("crop", fill_label)
    min_visibility = check_number("crop", "min_visibility", min_visibility, 0.0, 1.0)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        rows, columns = image_size(image)
        u_hit, u_y, u_x = draw(seed, 3)
        hit = u_hit < p
        top = _window_start(u_y, hit, rows - height)
        left = _window_start(u_x, hit, columns - width)
        window = _Window(top, left, height, width)
        out = {"image": window.cut(image, fill)}
        if "mask" in sample:
            out["mask"] = window.cut(sample["mask"], fill_label)
        if "boxes" in sample:
            start = tf.cast(tf.stack([left, top, left, top]), tf.float32)
            boxes = sample["boxes"] - start
            keep = visible(boxes, (height, width), min_visibility)
            out |= keep_boxes(sample, clip_to_window(boxes, (height, width)), keep)
        return {**sample, **out}

    return op


def _window_start(u: tf.Tensor, hit: tf.Tensor, room: int | tf.Tensor) -> tf.Tensor:
    """() int32: first row (or column) of the window; negative where it begins in padding.

    Args:
        u: Uniform in [0, 1).
        hit: () bool: a random place, else the middle.
        room: Image side less window side, in pixels.
    """
    room = tf.convert_to_tensor(room, tf.int32)
    places = tf.abs(room) + 1
    place = tf.cast(tf.floor(u * tf.cast(places, tf.float32)), tf.int32)
    return tf.sign(room) * tf.where(hit, place, tf.abs(room) // 2)


class _Window:
    """Rows top to top + height and columns left to left + width of an image, or beyond it."""

    def __init__(self, top: tf.Tensor, left: tf.Tensor, height: int, width: int):
        self.start = tf.stack([top, left])
        self.size = (height, width)

    def cut(self, pixels: tf.Tensor, fill: float) -> tf.Tensor:
        """The window of (H, W) or (H, W, C), `fill` where there is no image."""
        before = tf.maximum(-self.start, 0)
        after = tf.maximum(self.start + self.size - tf.shape(pixels)[:2], 0)
        rest = pixels.shape.rank - 2
        padding = tf.pad(tf.stack([before, after], axis=1), [[0, rest], [0, 0]])
        padded = tf.pad(pixels, padding, constant_values=tf.cast(fill, pixels.dtype))
        begin = tf.pad(tf.maximum(self.start, 0), [[0, rest]])
        window = tf.slice(padded, begin, [*self.size, *[-1] * rest])
        window.set_shape([*self.size, *pixels.shape[2:]])
        return window
