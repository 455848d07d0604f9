"""`distractors`, a mixing op: what a batch and a partner are says `mixing`."""

import math

import tensorflow as tf

from tfvision.augment.mixing import check_batch, partner
from tfvision.augment.sample import (
    Op,
    Sample,
    between,
    check_integer,
    check_number,
    check_probability,
    factor_between,
)
from tfvision.errors import InputError

_MOST_CORNERS = 6  # of an outline; one more is a disc


def distractors(
    p: float = 0.5, *, count: int = 3, minimum: float = 0.1, maximum: float = 0.4
) -> Op:
    """Pastes pieces of the partner's background that have the outline of an object and are none.

    Where images have few backgrounds, a detector learns that whatever stands out from them is an
    object. Distractors (Tremblay et al., 2018, arXiv:1804.06516) stand out, too, so that it has
    to look at what an object is made of. Each is a regular polygon of 3 to 6 corners or a disc,
    turned, stretched, of random place, brightness and colour. It lies under the row's objects and
    shows nothing of the partner's; the boxes stay as they are.

    Args:
        p: Probability that a row gets distractors.
        count: How many it gets, 1 or more; where two overlap, the later one is seen.
        minimum, maximum: Of their diameter, as a fraction of the shorter side of the image, above
            0; uniform.

    Raises:
        InputError: When called, where the batch has no boxes, or other truth beside them.
    """
    p = check_probability("distractors", p)
    count = check_integer("distractors", "count", count, 1)
    minimum = check_number("distractors", "minimum", minimum, 0.01, high=2.0)
    maximum = check_number("distractors", "maximum", maximum, 0.01, high=2.0)
    if minimum > maximum:
        raise InputError(f"distractors: minimum {minimum} must not be above maximum {maximum}.")

    def op(batch: Sample, seed: tf.Tensor) -> Sample:
        check_batch("distractors", batch)
        _check_boxes(batch)
        image, fold_in = batch["image"], tf.random.experimental.stateless_fold_in
        rows, size = tf.shape(image)[0], tf.shape(image)[1:3]
        hit = tf.random.stateless_uniform([rows], fold_in(seed, 0)) < p
        free = hit[:, None, None] & ~_in_boxes(batch, size)
        source, background = partner(image), ~partner(_in_boxes(batch, size))
        for number in range(count):
            # float64: what a graph rounds otherwise than eager code decides about no pixel.
            own = fold_in(seed, number + 1)
            drawn = tf.random.stateless_uniform([rows, 7], own, dtype=tf.float64)
            place = drawn[:, 5:]
            shown = _outlines(drawn, size, minimum, maximum) & free & _rolled(background, place)
            gain = tf.random.stateless_uniform([rows, 1, 1, tf.shape(image)[3]], fold_in(own, 0))
            gain = factor_between(gain, 0.5, 2.0)
            piece = tf.clip_by_value(_rolled(source, place) * gain, 0.0, 1.0)
            image = tf.where(shown[..., None], piece, image)
        return {**batch, "image": tf.ensure_shape(image, batch["image"].shape)}

    return op


def _check_boxes(batch: Sample) -> None:
    others = [key for key in ("mask", "label") if key in batch]
    if "boxes" not in batch or others:
        raise InputError(
            "distractors: are pasted where no object is, which boxes must tell alone, and the "
            f"batch has {', '.join(others) or 'none'}. Leave it out."
        )


def _in_boxes(batch: Sample, size: tf.Tensor) -> tf.Tensor:
    """(B, H, W) bool: the pixels whose middle is in a box."""
    boxes = tf.where(batch["classes"][..., None] != -1, batch["boxes"], 0.0)
    boxes = tf.cast(boxes, tf.float64)
    rows, columns = (
        (middle > boxes[..., i, None]) & (middle < boxes[..., i + 2, None])
        for i, middle in ((1, _middles(size[0])), (0, _middles(size[1])))
    )
    return tf.reduce_any(rows[..., :, None] & columns[..., None, :], axis=1)


def _outlines(drawn: tf.Tensor, size: tf.Tensor, minimum: float, maximum: float) -> tf.Tensor:
    """(B, H, W) bool: within a polygon or a disc that the first five numbers `drawn` (B, 7) say."""
    u_side, u_turn, u_corners, u_y, u_x = (drawn[:, i, None, None] for i in range(5))
    height, width = tf.unstack(tf.cast(size, tf.float64))
    stretch = factor_between(u_turn, 0.75, 1.33)  # a turn says it as well as a number of its own
    y = (_middles(size[0])[:, None] - u_y * height) * stretch
    x = (_middles(size[1])[None, :] - u_x * width) / stretch
    radius = tf.minimum(height, width) / 2 * between(u_side, minimum, maximum)
    corners = tf.floor(between(u_corners, 3.0, _MOST_CORNERS + 2.0))
    sector = 2 * math.pi / tf.where(corners > _MOST_CORNERS, 100 * corners, corners)
    from_side = tf.math.floormod(tf.atan2(y, x) + 2 * math.pi * u_turn, sector) - sector / 2
    return tf.sqrt(x**2 + y**2) * tf.cos(from_side) < radius * tf.cos(sector / 2)


def _middles(side: tf.Tensor) -> tf.Tensor:
    return tf.range(tf.cast(side, tf.float64)) + 0.5


def _rolled(pixels: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """(B, H, W, ...) moved by shares `place` (B, 2) of its sides, around the edges."""
    for axis in (1, 2):
        side = tf.shape(pixels)[axis]
        by = tf.cast(place[:, axis - 1] * tf.cast(side, tf.float64), tf.int32)
        index = tf.math.floormod(tf.range(side)[None] + by[:, None], side)
        pixels = tf.gather(pixels, index, axis=axis, batch_dims=1)
    return pixels
