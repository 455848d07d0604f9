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
    check_integer,
    check_number,
    check_probability,
    draw,
    factor_between,
)
from tfvision.augment.smoothing import fixed_gaussian, gaussian_weights, smooth_image
from tfvision.errors import InputError


def brightness(max_delta: float = 0.2, p: float = 1.0) -> Op:
    """Adds one number to all pixels, uniform in [-max_delta, max_delta], then clips.

    Args:
        max_delta: In units of the image's range, 0 to 1.
        p: Probability that the op happens.
    """
    max_delta = check_number("brightness", "max_delta", max_delta, 0.0, high=1.0)
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


def hsv(
    max_hue: float = 0.02, max_saturation: float = 0.3, max_value: float = 0.2, p: float = 1.0
) -> Op:
    """Turns the hue, and scales saturation and value: the colour under another light.

    One draw of each for all pixels, in the colour space HSV; saturation and value are clipped
    to [0, 1]. An argument of 0 leaves its part alone. Grey pixels have no hue and no
    saturation, so that their value alone changes.

    Args:
        max_hue: Greatest turn in either direction, as a share of the circle of hues, 0 to 0.5;
            uniform. 1/6 makes yellow of red.
        max_saturation: Factors lie between 1 / (1 + it) and 1 + it, uniform on a log scale;
            0 to 10.
        max_value: The same of the value, the largest of a pixel's three channels.
        p: Probability that the op happens.

    Raises:
        InputError: When called, where the image has not 3 channels.
    """
    max_hue = check_number("hsv", "max_hue", max_hue, 0.0, high=0.5)
    saturation = 1 + check_number("hsv", "max_saturation", max_saturation, 0.0, high=10.0)
    value = 1 + check_number("hsv", "max_value", max_value, 0.0, high=10.0)
    p = check_probability("hsv", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        if image.shape[-1] != 3:
            raise InputError(
                "hsv: changes colours, so an image must have 3 channels, this one has "
                f"{image.shape[-1]}. Leave the op out, since brightness, contrast and gamma act on "
                "grey, too; or set data.channels=3, under which grey images have 3 equal channels."
            )
        u_hit, u_hue, u_saturation, u_value = draw(seed, 4)

        def changed() -> tf.Tensor:
            h, s, v = tf.unstack(tf.image.rgb_to_hsv(image), axis=-1)
            h = tf.math.floormod(h + between(u_hue, -max_hue, max_hue), 1.0)
            s = _clip(s * factor_between(u_saturation, 1 / saturation, saturation))
            v = _clip(v * factor_between(u_value, 1 / value, value))
            return tf.image.hsv_to_rgb(tf.stack([h, s, v], axis=-1))

        return {**sample, "image": tf.cond(u_hit < p, changed, lambda: tf.identity(image))}

    return op


def channel_gain(minimum: float = 0.9, maximum: float = 1.1, p: float = 1.0) -> Op:
    """Multiplies each channel by a factor of its own, then clips: another white balance.

    Of a grey image this is a change of brightness.

    Args:
        minimum: Least factor, above 0. Factors are uniform on a log scale.
        maximum: Greatest factor.
        p: Probability that the op happens.
    """
    minimum, maximum = check_factors("channel_gain", minimum, maximum)
    p = check_probability("channel_gain", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        own = tf.random.experimental.stateless_fold_in(seed, 1)
        factors = factor_between(
            tf.random.stateless_uniform([image.shape[-1]], own), minimum, maximum
        )
        hit = draw(seed, 1)[0] < p
        return {**sample, "image": tf.where(hit, _clip(image * factors), image)}

    return op


def noise(stddev: float = 0.05, p: float = 1.0) -> Op:
    """Adds Gaussian noise, of its own for every pixel and channel, then clips.

    Args:
        stddev: Standard deviation in units of the image's range, 0 to 1.
        p: Probability that the op happens.
    """
    stddev = check_number("noise", "stddev", stddev, 0.0, high=1.0)
    p = check_probability("noise", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        own = tf.random.experimental.stateless_fold_in(seed, 1)
        amount = tf.where(draw(seed, 1)[0] < p, stddev, 0.0)
        added = tf.random.stateless_normal(tf.shape(image), own) * amount
        return {**sample, "image": _clip(image + added)}

    return op


def blur(
    max_sigma: float = 1.0, p: float = 1.0, *, min_sigma: float = 0.0, kernel: int | None = None
) -> Op:
    """Gaussian blur; beyond its edge the image is mirrored (c b | a b c).

    Args:
        max_sigma: Greatest standard deviation in pixels, above 0; they are uniform.
        p: Probability that the op happens.
        min_sigma: Least standard deviation.
        kernel: Side of the kernel in pixels, an odd number from 3 up; None: it reaches three
            of the greatest deviation to each side, whatever is drawn.
    """
    max_sigma = check_number("blur", "max_sigma", max_sigma, 1e-3, high=100.0)
    min_sigma = check_number("blur", "min_sigma", min_sigma, 0.0, high=max_sigma)
    p = check_probability("blur", p)
    if kernel is not None and check_integer("blur", "kernel", kernel, 3) % 2 == 0:
        raise InputError(f"blur: kernel must be odd, so that it has a middle, got {kernel}.")
    reach = math.ceil(3 * max_sigma) if kernel is None else kernel // 2

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        u_hit, u = draw(seed, 2)
        # At 0.001 every weight beside the middle one is 0: an exact copy, and no tf.cond.
        drawn = between(u, min_sigma, max_sigma)
        sigma = tf.maximum(tf.where(u_hit < p, drawn, 0.0), 1e-3)
        blurred = smooth_image(sample["image"], gaussian_weights(sigma, reach))
        return {**sample, "image": _clip(blurred)}

    return op


def sharpen(max_amount: float = 1.0, sigma: float = 1.0, p: float = 0.5) -> Op:
    """Unsharp masking: image + amount * (image - blurred), then clips.

    Args:
        max_amount: Greatest amount, above 0 to 10; they are uniform from 0.
        sigma: Of the Gaussian blur, in pixels, 0.1 to 100; beyond its edge the image is
            mirrored (c b | a b c).
        p: Probability that the op happens.
    """
    max_amount = check_number("sharpen", "max_amount", max_amount, 1e-3, high=10.0)
    sigma = check_number("sharpen", "sigma", sigma, 0.1, high=100.0)
    p = check_probability("sharpen", p)
    weights = fixed_gaussian(sigma)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        u_hit, u = draw(seed, 2)
        amount = tf.where(u_hit < p, u * max_amount, 0.0)
        detail = image - smooth_image(image, weights)
        return {**sample, "image": _clip(image + amount * detail)}

    return op


def jpeg_quality(minimum: int = 40, maximum: int = 95, p: float = 0.5) -> Op:
    """Stores the image as JPEG and reads it back: blocks, ringing, smeared colour.

    JPEG knows 8 bits a channel, so where it happens the image is rounded to 256 levels
    first; chroma is halved in size (4:2:0), as cameras and editors do.

    Args:
        minimum: Least quality, 1 to 100. Qualities are whole numbers, all as likely.
        maximum: Greatest quality.
        p: Probability that the op happens.

    Raises:
        InputError: When called, where the image has neither 1 nor 3 channels.
    """
    for name, quality in (("minimum", minimum), ("maximum", maximum)):
        if check_integer("jpeg_quality", name, quality, 1) > 100:
            raise InputError(f"jpeg_quality: {name} must be at most 100, got {quality}.")
    if minimum > maximum:
        raise InputError(
            f"jpeg_quality: minimum must not be above maximum, got {minimum} and {maximum}."
        )
    p = check_probability("jpeg_quality", p)

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        image = sample["image"]
        channels = image.shape[-1]
        if channels not in (1, 3):
            raise InputError(
                f"jpeg_quality: JPEG holds images of 1 or 3 channels, this one has {channels}. "
                "Leave the op out, or set data.channels."
            )
        u_hit, u = draw(seed, 2)
        quality = minimum + tf.cast(tf.floor(u * (maximum - minimum + 1)), tf.int32)

        def stored() -> tf.Tensor:
            # The fast DCT differs between builds of the library; this one does not.
            levels = tf.cast(tf.round(_clip(image) * 255.0), tf.uint8)
            content = tf.raw_ops.EncodeJpegVariableQuality(images=levels, quality=quality)
            read = tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")
            # A product, as graphs make one of a division by a constant, and eager code not.
            return tf.ensure_shape(tf.cast(read, tf.float32) * (1 / 255), image.shape)

        return {**sample, "image": tf.cond(u_hit < p, stored, lambda: tf.identity(image))}

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
