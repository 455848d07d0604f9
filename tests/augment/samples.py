"""Samples and batches for the tests of this folder."""

import numpy as np
import tensorflow as tf


def make_sample(height=12, width=16, channels=1, seed=0, parts=("mask", "boxes")):
    """Random pixels and region, labels 0 to 3, boxes inside the image, keys that pass through."""
    rng = np.random.default_rng(seed)
    sample = {
        "image": tf.constant(rng.random((height, width, channels), dtype=np.float32)),
        "region": make_region((height, width), seed),
        "label": tf.constant(2),
        "id": tf.constant("scan 7"),
        "index": tf.constant(41, tf.int64),
    }
    if "mask" in parts:
        sample["mask"] = tf.constant(rng.integers(0, 4, (height, width)), tf.int32)
    if "boxes" in parts:
        boxes = [[4, 3, 9, 8], [5, 5, 11, 9.5], [2, 2, 13, 10]]
        sample["boxes"] = tf.constant(boxes, tf.float32)
        sample["classes"] = tf.constant([3, 1, 2])
    return sample


def make_region(shape, seed=0):
    """0 and 1 by chance, from a generator of its own."""
    return tf.constant(np.random.default_rng([seed, 1]).integers(0, 2, shape), tf.uint8)


def round_sample(top, left, bottom, right, size=(40, 48)):
    """One bright ellipse with its label, its box and its class."""
    y, x = np.ogrid[: size[0], : size[1]]
    away = ((2 * y + 1 - top - bottom) / (bottom - top)) ** 2
    away = away + ((2 * x + 1 - left - right) / (right - left)) ** 2
    mask = np.where(away <= 1, 3, 0).astype(np.int32)
    return {
        "image": tf.constant(mask[..., None] / 3, tf.float32),
        "mask": tf.constant(mask),
        "boxes": tf.constant([[left, top, right, bottom]], tf.float32),
        "classes": tf.constant([5]),
    }


def hull_of(marked):
    """(4,) `x1 y1 x2 y2` of the pixels (H, W) that are true."""
    rows, columns = np.nonzero(marked)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def column_sample(height=5, width=8):
    """Image and mask hold 10 * row + column (the image 0.01 of it), so any move shows."""
    places = 10 * np.arange(height)[:, None] + np.arange(width)
    return {
        "image": tf.constant(places[..., None] / 100, tf.float32),
        "mask": tf.constant(places, tf.int32),
    }


def make_batch(count=4, height=8, width=10, channels=1, seed=0):
    """A batch of random samples; row i has i + 1 boxes of 4 places (row 3: all 4)."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 5, (count, 4, 2))
    boxes = np.concatenate([first, first + rng.uniform(1, 3, (count, 4, 2))], axis=-1)
    filled = np.arange(4) <= np.arange(count)[:, None]
    return {
        "image": tf.constant(rng.random((count, height, width, channels), dtype=np.float32)),
        "mask": tf.constant(rng.integers(0, 4, (count, height, width)), tf.int32),
        "region": make_region((count, height, width), seed),
        "label": tf.range(count),
        "boxes": tf.constant(np.where(filled[..., None], boxes, 0), tf.float32),
        "classes": tf.constant(np.where(filled, rng.integers(0, 3, (count, 4)), -1), tf.int32),
        "id": tf.constant([f"scan {i}" for i in range(count)]),
    }


def assert_same(one, other):
    """Both samples have the same keys, dtypes and, bit for bit, values."""
    assert set(one) == set(other)
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def differ(one, other):
    """Whether the images of two samples differ anywhere."""
    return not np.array_equal(one["image"], other["image"])
