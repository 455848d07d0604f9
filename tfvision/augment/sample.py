"""What every op shares: the sample, the draw of chance, the check of arguments.

A sample is a dict of tensors: `image` (H, W, C) float32 in [0, 1], and what the task
adds: `mask` (H, W) int32, `label` () int32, or `boxes` (N, 4) float32 as x1 y1 x2 y2 in
pixels with `classes` (N,) int32. Pixel i covers [i, i + 1], so an image W pixels wide
spans the box coordinates 0 to W. `region` (H, W) uint8, 1 where the object is and 0 where it
is not, is no truth: it moves with the image, and serves the ops that replace the background.
Other keys (`id`, `index`) pass through an op.

An op is `op(sample, seed) -> sample`. All its chance comes from `seed`, an integer pair
of shape (2,), so that the same seed gives the same sample, eagerly or inside tf.data.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfvision.errors import InputError

Sample = dict[str, tf.Tensor]
Op = Callable[[Sample, tf.Tensor], Sample]
Size = tuple[int | tf.Tensor, int | tf.Tensor]


def image_size(image: tf.Tensor) -> Size:
    """(height, width) of the (H, W, C) image: ints where static, else int32 scalars."""
    height, width = image.shape[0], image.shape[1]
    if height is None or width is None:
        dynamic = tf.shape(image)
        height = dynamic[0] if height is None else height
        width = dynamic[1] if width is None else width
    return height, width


def pixel_maps(sample: Sample, fill_label: int) -> dict[str, int]:
    """What lies (H, W) over the image and moves with it, nearest; and what comes in beyond it.

    That is `fill_label` for a `mask`, and 0, no object, for a `region`.
    """
    return {k: v for k, v in {"mask": fill_label, "region": 0}.items() if k in sample}


def draw(seed: tf.Tensor, count: int, dtype: tf.DType = tf.float32) -> list[tf.Tensor]:
    """`count` scalars, uniform in [0, 1): one random op is cheaper than one for each."""
    return tf.unstack(tf.random.stateless_uniform([count], seed, dtype=dtype))


def between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps `u` in [0, 1) to [low, high), evenly."""
    return low + u * (high - low)


def factor_between(u: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps `u` in [0, 1) to [low, high), evenly on a log scale: half as likely as double."""
    return low * tf.exp(u * math.log(high / low))


def check_number(
    op: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """Returns `value` as a float; an `InputError` where it is no number in [low, high]."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and low <= value <= high):
        raise InputError(f"{op}: {name} must be a number{_range(low, high)}, got {value!r}.")
    return float(value)


def check_integer(op: str, name: str, value: Any, low: int) -> int:
    """Returns `value`; an `InputError` where it is no whole number from `low` up."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{op}: {name} must be a whole number from {low} up, got {value!r}.")
    return value


def check_probability(op: str, p: Any) -> float:
    """Returns `p`; an `InputError` where it is no probability."""
    return check_number(op, "the probability p", p, 0.0, high=1.0)


def check_factors(op: str, minimum: Any, maximum: Any) -> tuple[float, float]:
    """Returns two factors; an `InputError` unless 0 < minimum <= maximum."""
    minimum = check_number(op, "minimum", minimum, 0.0)
    maximum = check_number(op, "maximum", maximum, 0.0)
    if not 0.0 < minimum <= maximum:
        raise InputError(
            f"{op}: minimum and maximum are factors and need 0 < minimum <= maximum, "
            f"got minimum={minimum} and maximum={maximum}."
        )
    return minimum, maximum


def check_fill_label(op: str, fill_label: Any) -> int:
    """Returns the label; an `InputError` where float32, through which TensorFlow's
    resampling takes it, would not hold it exactly."""
    fill_label = check_integer(op, "fill_label", fill_label, low=-(2**24))
    if fill_label > 2**24:
        raise InputError(f"{op}: fill_label must be at most {2**24}, got {fill_label}.")
    return fill_label


def _range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:g} to {high:g}"
    return f" from {low:g} up" if math.isfinite(low) else ""
