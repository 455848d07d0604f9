"""Gaussian smoothing, shared by `blur`, `sharpen` and `elastic`."""

import math

import numpy as np
import tensorflow as tf


def fixed_gaussian(sigma: float) -> np.ndarray:
    """(2 r + 1,) float32: a sampled Gaussian of `sigma` pixels, sum 1, r = 3 sigma or just above.

    In NumPy, so that graph and eager code have the same bits.
    """
    reach = math.ceil(3 * sigma)
    weights = np.exp(-np.square(np.arange(-reach, reach + 1) / sigma) / 2)
    return (weights / weights.sum()).astype(np.float32)


def gaussian_weights(sigma: tf.Tensor, reach: int) -> tf.Tensor:
    """(2 * reach + 1,) float32: the same of a `sigma` that is drawn, () float32."""
    steps = tf.range(-reach, reach + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(steps / sigma) / 2)
    return weights / tf.reduce_sum(weights)


def smooth(pixels: tf.Tensor, weights: tf.Tensor | np.ndarray) -> tf.Tensor:
    """Weighs along rows and columns: (H + 2 r, W + 2 r, C) -> (H, W, C), r the weights' reach."""
    kernel = tf.tile(weights[:, None, None, None], [1, 1, tf.shape(pixels)[2], 1])
    strides = [1, 1, 1, 1]
    tall = tf.nn.depthwise_conv2d(pixels[None], kernel, strides, "VALID")
    kernel = tf.transpose(kernel, [1, 0, 2, 3])
    return tf.nn.depthwise_conv2d(tall, kernel, strides, "VALID")[0]


def smooth_image(image: tf.Tensor, weights: tf.Tensor | np.ndarray) -> tf.Tensor:
    """`smooth` of an image (H, W, C) that is mirrored beyond its edge (c b | a b c)."""
    reach = weights.shape[0] // 2
    height, width = tf.unstack(tf.shape(image)[:2])
    wide = tf.gather(image, _mirrored(height, reach), axis=0)
    wide = tf.gather(wide, _mirrored(width, reach), axis=1)
    smoothed = smooth(wide, weights)
    smoothed.set_shape(image.shape)
    return smoothed


def _mirrored(size: tf.Tensor, reach: int) -> tf.Tensor:
    """(size + 2 * reach,) int32: indices into `size` pixels, mirrored at both ends.

    Unlike tf.pad it goes back and forth where the image is smaller than the reach.
    """
    period = tf.maximum(2 * (size - 1), 1)
    places = tf.math.floormod(tf.range(-reach, size + reach), period)
    # Of a single pixel the period is 1, so all places are 0.
    return tf.minimum(places, period - places) * tf.cast(size > 1, tf.int32)
