"""A window of a fixed size."""

import tensorflow as tf

from tfvision.augment.boxes import clip_to_window, keep_boxes, least_seen, visible
from tfvision.augment.sample import (
    Op,
    Sample,
    check_fill_label,
    check_integer,
    check_number,
    check_probability,
    draw,
    image_size,
    pixel_maps,
)
from tfvision.errors import InputError


def crop(
    height: int,
    width: int,
    p: float = 1.0,
    *,
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
    balance: float = 0.0,
    ignore_label: int | None = 255,
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
        balance: Of the random places, the share that is chosen by the mask: a class drawn
            evenly among those present, a pixel drawn evenly among the class's, and the
            window's middle as near to it as the image's edge allows. So small classes are
            seen as often as large ones. 0 needs no mask.
        ignore_label: Label that `balance` does not count as a class; None: all count.

    Raises:
        InputError: When called, where `balance` is above 0 and the sample has no mask.
    """
    height = check_integer("crop", "height", height, 1)
    width = check_integer("crop", "width", width, 1)
    p = check_probability("crop", p)
    fill = check_number("crop", "fill", fill, 0.0, high=1.0)
    fill_label = check_fill_label("crop", fill_label)
    min_visibility = check_number("crop", "min_visibility", min_visibility, 0.0, high=1.0)
    balance = check_number("crop", "balance", balance, 0.0, high=1.0)
    if ignore_label is not None:
        ignore_label = check_fill_label("crop", ignore_label)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        rows, columns = image_size(image)
        u_hit, u_y, u_x = draw(seed, 3)
        hit = u_hit < p
        top = _window_start(u_y, hit, rows - height)
        left = _window_start(u_x, hit, columns - width)
        if balance > 0:
            own = tf.random.experimental.stateless_fold_in(seed, 1)
            u_balance, u_pixel = draw(own, 2, tf.float64)
            row, column, found = _pixel_of_a_class(_mask_of(sample), u_pixel, ignore_label)
            chosen = hit & found & (u_balance < balance)
            top = tf.where(chosen, _start_around(row, height, rows), top)
            left = tf.where(chosen, _start_around(column, width, columns), left)
        window = _Window(top, left, height, width)
        out = {"image": window.cut(image, fill)}
        for key, value in pixel_maps(sample, fill_label).items():
            out[key] = window.cut(sample[key], value)
        if "boxes" in sample:
            start = tf.cast(tf.stack([left, top, left, top]), tf.float32)
            boxes = sample["boxes"] - start
            least = least_seen(sample.get("classes"), min_visibility)
            keep = visible(boxes, (height, width), least)
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


def _mask_of(sample: Sample) -> tf.Tensor:
    if "mask" not in sample:
        raise InputError(
            "crop: balance chooses places by the mask, and the sample has none. Leave balance out."
        )
    return sample["mask"]


def _pixel_of_a_class(
    mask: tf.Tensor, u: tf.Tensor, ignore_label: int | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Row and column of a pixel whose class is drawn evenly among those present.

    Args:
        mask: (H, W) int32.
        u: () float64, uniform in [0, 1).
        ignore_label: Label that is no class, or None.

    Returns:
        () int32, () int32, and () bool: whether any pixel has a class.
    """
    labels, which, counts = tf.unique_with_counts(tf.reshape(mask, [-1]))
    share = 1 / tf.cast(counts, tf.float64)
    if ignore_label is not None:
        share = tf.where(labels == ignore_label, tf.zeros_like(share), share)
    # Pixels weigh 1 / (pixels of their class), so that all classes weigh the same.
    reached = tf.cumsum(tf.gather(share, which))
    total = reached[-1]
    place = tf.searchsorted(reached, [u * total], side="right")[0]
    place = tf.minimum(place, tf.size(mask) - 1)
    width = tf.shape(mask)[1]
    return place // width, place % width, total > 0


def _start_around(middle: tf.Tensor, length: int, side: int | tf.Tensor) -> tf.Tensor:
    """() int32: start of a window around pixel `middle`, moved inside the image's side."""
    room = tf.convert_to_tensor(side - length, tf.int32)
    return tf.clip_by_value(middle - length // 2, tf.minimum(room, 0), tf.maximum(room, 0))


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
