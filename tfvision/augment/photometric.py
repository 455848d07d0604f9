"""Ops that change the values of the image and move nothing; mask and boxes stay.

`p` is the probability that an op happens. Where it misses, the image comes out bit for
bit as it came in. A result is clipped to [0, 1] where an op could leave that range.
"""

import math

import tensorflow as tf

from tfvision.augment.sample import (
    Op,
    Sample,
    between,
    check_factors,
    check_number,
    check_probability,
    draw,
    factor_between,
    image_size,
)


def brightness(max_delta: float = 0.2, p: float = 1.0) -> Op:
    """Adds one number to all pixels, uniform in [-max_delta, max_delta], then clips.

    Args:
        max_delta: In units of the image's range, 0 to 1.
        p: Probability that the op happens.
    """
    max_delta = check_number("brightness", "max_delta", max_delta, 0.0, 1.0)
    p = check_probability("brightness", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        u_hit, u = draw(seed, 2)
        delta = tf.where(u_hit < p, between(u, -max_delta, max_delta), 0.0)
        return {**sample, "image": _clip(sample["image"] + delta)}

    return op


def contrast(minimum: float = 0.8, maximum: float = 1.25, p: float = 1.0) -> Op:
    """Scales the distance of all values from the image's mean by one factor, then clips.

    The mean is over all pixels and channels, so that colours keep their balance.

    Args:
        minimum: Least factor, above 0. Factors are uniform on a log scale.
        maximum: Greatest factor.
        p: Probability that the op happens.
    """
    minimum, maximum = check_factors("contrast", minimum, maximum)
    p = check_probability("contrast", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        u_hit, u = draw(seed, 2)
        factor = tf.where(u_hit < p, factor_between(u, minimum, maximum), 1.0)
        # In this form a factor of 1 changes no bit: mean + (image - mean) would.
        return {**sample, "image": _clip(factor * image + (1.0 - factor) * tf.reduce_mean(image))}

    return op


def gamma(minimum: float = 0.8, maximum: float = 1.25, p: float = 1.0) -> Op:
    """Raises all values to one power: below 1 brightens the dark parts, above 1 darkens.

    Args:
        minimum: Least exponent, above 0. Exponents are uniform on a log scale.
        maximum: Greatest exponent.
        p: Probability that the op happens.
    """
    minimum, maximum = check_factors("gamma", minimum, maximum)
    p = check_probability("gamma", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        u_hit, u = draw(seed, 2)
        changed = _clip(tf.pow(image, factor_between(u, minimum, maximum)))
        return {**sample, "image": tf.where(u_hit < p, changed, image)}

    return op


def noise(stddev: float = 0.05, p: float = 1.0) -> Op:
    """Adds Gaussian noise, of its own for every pixel and channel, then clips.

    Args:
        stddev: Standard deviation in units of the image's range, 0 to 1.
        p: Probability that the op happens.
    """
    stddev = check_number("noise", "stddev", stddev, 0.0, 1.0)
    p = check_probability("noise", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        own = tf.random.experimental.stateless_fold_in(seed, 1)
        amount = tf.where(draw(seed, 1)[0] < p, stddev, 0.0)
        added = tf.random.stateless_normal(tf.shape(image), own) * amount
        return {**sample, "image": _clip(image + added)}

    return op


def blur(max_sigma: float = 1.0, p: float = 1.0) -> Op:
    """Gaussian blur; beyond its edge the image is mirrored (c b | a b c).

    Args:
        max_sigma: Greatest standard deviation in pixels, above 0; they are uniform from 0.
            The kernel reaches three of it to each side, whatever is drawn.
        p: Probability that the op happens.
    """
    max_sigma = check_number("blur", "max_sigma", max_sigma, 1e-3, 100.0)
    p = check_probability("blur", p)
    reach = math.ceil(3 * max_sigma)
    steps = tf.range(-reach, reach + 1, dtype=tf.float32)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        u_hit, u = draw(seed, 2)
        # At 0.001 every weight beside the middle one is 0: an exact copy, and no tf.cond.
        sigma = tf.maximum(tf.where(u_hit < p, u * max_sigma, 0.0), 1e-3)
        weights = tf.exp(-tf.square(steps / sigma) / 2)
        weights /= tf.reduce_sum(weights)
        height, width = image_size(image)
        wide = tf.gather(image, _mirrored(height, reach), axis=0)
        wide = tf.gather(wide, _mirrored(width, reach), axis=1)[None]
        kernel = tf.tile(weights[:, None, None, None], [1, 1, tf.shape(image)[2], 1])
        strides = [1, 1, 1, 1]
        tall = tf.nn.depthwise_conv2d(wide, kernel, strides, "VALID")
        kernel = tf.transpose(kernel, [1, 0, 2, 3])
        blurred = tf.nn.depthwise_conv2d(tall, kernel, strides, "VALID")[0]
        blurred.set_shape(image.shape)
        return {**sample, "image": _clip(blurred)}

    return op


def negative(p: float = 0.5) -> Op:
    """Turns the image into its negative: 1 - image.

    Args:
        p: Probability that the op happens.
    """
    p = check_probability("negative", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        return {**sample, "image": tf.where(draw(seed, 1)[0] < p, 1.0 - image, image)}

    return op


def _clip(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 1.0)


def _mirrored(size: int | tf.Tensor, reach: int) -> tf.Tensor:
    """(size + 2 * reach,) int32: indices into `size` pixels, mirrored at both ends.

    Unlike tf.pad it goes back and forth where the image is smaller than the reach.
    """
    period = tf.maximum(2 * (size - 1), 1)
    places = tf.math.floormod(tf.range(-reach, size + reach), period)
    return tf.minimum(places, period - places) if size != 1 else tf.zeros_like(places)
