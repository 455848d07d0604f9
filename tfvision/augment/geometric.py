"""Ops that move pixels: image, mask and boxes move together.

What they share:

- `p`: probability that the op happens.
- `mode`, `fill`, `fill_label`: what comes in from beyond the border. "constant" brings in
  the image value `fill` (in [0, 1]) and the mask label `fill_label` (255: ignored);
  "reflect" mirrors image and mask at their edge and does not use the two.
- `min_visibility`: a box becomes the upright hull of the ellipse inscribed in it, clipped to
  the image; one of which less than this share of the (moved) area stays in view is dropped,
  with its class.

`compose` merges neighbours among them into one resampling. What leaves the image in one
of them and comes back in the next is then still there, unlike one after the other.
"""

import math

import tensorflow as tf

from tfvision.augment.affine import COLUMNS, ROWS, Affine, Flip, make_border
from tfvision.augment.sample import (
    Size,
    between,
    check_factors,
    check_number,
    check_probability,
    draw,
    factor_between,
)


def flip_lr(p: float = 0.5) -> Flip:
    """Mirrors the sample left to right."""
    return Flip(axis=COLUMNS, p=check_probability("flip_lr", p))


def flip_ud(p: float = 0.5) -> Flip:
    """Mirrors the sample top to bottom."""
    return Flip(axis=ROWS, p=check_probability("flip_ud", p))


def translate(
    max_shift: float = 0.1,
    p: float = 1.0,
    *,
    mode: str = "constant",
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Affine:
    """Shifts by whole pixels, so that a shift alone blurs nothing.

    Args:
        max_shift: Fraction of the image's height and of its width, 0 to 1, rounded down to
            whole pixels. Every shift up to it, in either direction, is as likely.
        p: With the others, see the module.
    """
    max_shift = check_number("translate", "max_shift", max_shift, 0.0, high=1.0)
    p = check_probability("translate", p)

    def matrix(seed: tf.Tensor, size: Size) -> tf.Tensor:
        u_hit, u_y, u_x = draw(seed, 3, tf.float64)
        hit = tf.cast(u_hit < p, tf.float64)
        down, right = (
            hit * _whole_shift(u, max_shift, side) for u, side in zip((u_y, u_x), size, strict=True)
        )
        return tf.reshape(tf.stack([1, 0, -right, 0, 1, -down, 0, 0, 1]), [3, 3])

    border = make_border(
        "translate", mode=mode, fill=fill, fill_label=fill_label, min_visibility=min_visibility
    )
    return Affine(matrix, border)


def rotate(
    max_degrees: float = 10.0,
    p: float = 1.0,
    *,
    mode: str = "constant",
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Affine:
    """Turns about the middle of the image, clockwise or counter-clockwise.

    Args:
        max_degrees: Greatest angle, 0 to 180; angles are uniform between its two signs.
        p: With the others, see the module.
    """
    greatest = math.radians(check_number("rotate", "max_degrees", max_degrees, 0.0, high=180.0))
    p = check_probability("rotate", p)

    def matrix(seed: tf.Tensor, size: Size) -> tf.Tensor:
        u_hit, u = draw(seed, 2, tf.float64)
        angle = tf.cast(u_hit < p, tf.float64) * between(u, -greatest, greatest)
        cos, sin = tf.cos(angle), tf.sin(angle)
        return tf.reshape(tf.stack([cos, -sin, 0, sin, cos, 0, 0, 0, 1]), [3, 3])

    border = make_border(
        "rotate", mode=mode, fill=fill, fill_label=fill_label, min_visibility=min_visibility
    )
    return Affine(matrix, border)


def scale(
    minimum: float = 0.8,
    maximum: float = 1.25,
    p: float = 1.0,
    *,
    max_aspect_hw: float = 1.0,
    mode: str = "constant",
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Affine:
    """Zooms about the middle of the image; the size of the image stays.

    Args:
        minimum: Least factor; below 1 the content shrinks. Factors are uniform on a log
            scale, so that 0.8 and 1.25 balance.
        maximum: Greatest factor.
        p: With the others, see the module.
        max_aspect_hw: Greatest stretch of height / width, from 1 (none) up, and its inverse
            the least; uniform on a log scale. The area is that of the factor alone.
    """
    minimum, maximum = check_factors("scale", minimum, maximum)
    aspect = check_number("scale", "max_aspect_hw", max_aspect_hw, 1.0)
    p = check_probability("scale", p)

    def matrix(seed: tf.Tensor, size: Size) -> tf.Tensor:
        u_hit, u_zoom, u_aspect = draw(seed, 3, tf.float64)
        zoom = factor_between(u_zoom, minimum, maximum)
        stretch = tf.sqrt(factor_between(u_aspect, 1.0 / aspect, aspect))
        inverse = tf.stack([stretch / zoom, 1.0 / (stretch * zoom), 1.0])
        return tf.linalg.diag(tf.where(u_hit < p, inverse, tf.ones_like(inverse)))

    border = make_border(
        "scale", mode=mode, fill=fill, fill_label=fill_label, min_visibility=min_visibility
    )
    return Affine(matrix, border)


def perspective(
    max_shift: float = 0.05,
    p: float = 1.0,
    *,
    mode: str = "constant",
    fill: float = 0.0,
    fill_label: int = 255,
    min_visibility: float = 0.25,
) -> Affine:
    """Looks at the sample at a slant: its corners are read from places nearby.

    Args:
        max_shift: How far each corner's place lies from it, as a fraction of the image's
            height and of its width, 0 to 0.15; uniform, each corner and axis for itself.
            0.25 would let three corners fall on one line.
        p: With the others, see the module.
    """
    max_shift = check_number("perspective", "max_shift", max_shift, 0.0, high=0.15)
    p = check_probability("perspective", p)

    def matrix(seed: tf.Tensor, size: Size) -> tf.Tensor:
        u_hit, *places = draw(seed, 9, tf.float64)
        sides = tf.stack([tf.cast(side, tf.float64) for side in reversed(size)])
        moves = between(tf.reshape(tf.stack(places), [4, 2]), -max_shift, max_shift)
        corners = tf.constant([[0, 0], [1, 0], [1, 1], [0, 1]], tf.float64)
        square = tf.linalg.diag(tf.concat([1 / sides, [1.0]], 0)) + _HALF
        slanted = _square_to_corners((corners + moves - 0.5) * sides) @ square
        return tf.where(u_hit < p, slanted / slanted[2, 2], tf.eye(3, dtype=tf.float64))

    border = make_border(
        "perspective", mode=mode, fill=fill, fill_label=fill_label, min_visibility=min_visibility
    )
    return Affine(matrix, border, projective=True)


_HALF = [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]


def _square_to_corners(corners: tf.Tensor) -> tf.Tensor:
    """(3, 3) float64: the homography of the unit square to `corners` (4, 2).

    Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3.
    The corners are those of (0, 0), (1, 0), (1, 1), (0, 1), in that order.
    """
    p0, p1, p2, p3 = tf.unstack(corners)
    d1, d2, total = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = d1[0] * d2[1] - d2[0] * d1[1]
    g = (total[0] * d2[1] - d2[0] * total[1]) / area
    h = (d1[0] * total[1] - total[0] * d1[1]) / area
    columns = tf.stack([p1 - p0 + g * p1, p3 - p0 + h * p3, p0], axis=1)
    return tf.concat([columns, tf.stack([g, h, tf.ones_like(g)])[None]], axis=0)


def _whole_shift(u: tf.Tensor, max_shift: float, side: int | tf.Tensor) -> tf.Tensor:
    """() float64: a whole number of pixels, each from -k to k as likely as the other."""
    # 1e-9: 0.29 * 100 is 28.999999999999996, and 29 pixels are meant.
    most = tf.floor(max_shift * tf.cast(side, tf.float64) + 1e-9)
    return tf.floor(u * (2 * most + 1)) - most
