"""Overlap, clipping and deltas of boxes against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import overlap, random_boxes
from tfvision.detection.boxes import area, clip, decode, encode, has_sides, iou

WEIGHTS = [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]


def test_overlap_of_every_pair():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, (3, 7)), random_boxes(rng, (3, 5))
    expected = [[[overlap(x, y) for y in b[i]] for x in a[i]] for i in range(3)]
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-6)
    np.testing.assert_allclose(iou(a, b[1]), iou(a, np.stack([b[1]] * 3)))


def test_boxes_without_area_overlap_nothing():
    flat = np.array([[5, 5, 5, 9], [9, 9, 5, 5], [0, 0, 0, 0]], np.float32)
    assert not np.any(iou(flat, flat))
    assert not np.any(area(flat))
    assert not np.any(has_sides(flat, 1e-3))


def test_clipping_to_one_size_and_to_a_size_an_image():
    boxes = np.array([[[-5, -5, 300, 300]], [[10, 20, 30, 40]]], np.float32)
    np.testing.assert_array_equal(clip(boxes, (50, 80))[:, 0], [[0, 0, 80, 50], [10, 20, 30, 40]])
    sizes = np.array([[50, 80], [25, 15]])
    expected = [[0, 0, 80, 50], [10, 20, 15, 25]]
    np.testing.assert_array_equal(clip(boxes, sizes)[:, 0], expected)
    np.testing.assert_array_equal(clip(boxes[:, :, None], sizes)[:, 0, 0], expected)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_decode_undoes_encode(weights):
    rng = np.random.default_rng(1)
    boxes, references = random_boxes(rng, (2, 50)), random_boxes(rng, (2, 50))
    deltas = encode(boxes, references, weights)
    np.testing.assert_allclose(decode(deltas, references, weights), boxes, atol=1e-4)


def test_encode_is_the_formula():
    deltas = encode(np.float32([10, 20, 30, 60]), np.float32([0, 0, 10, 20]), WEIGHTS[1])
    shift = [10 * (20 - 5) / 10, 10 * (40 - 10) / 20]
    np.testing.assert_allclose(deltas, [*shift, 5 * np.log(2), 5 * np.log(2)], rtol=1e-6)


def test_nothing_overflows_or_is_infinite():
    """Trap: an exponent without a bound, a logarithm of 0."""
    huge = np.full((1, 4), 1e4, np.float32)
    box = decode(huge, np.float32([[0, 0, 10, 10]]))
    np.testing.assert_allclose(box[0, 2:] - box[0, :2], [625, 625], rtol=1e-5)
    empty, full = np.zeros((1, 4), np.float32), np.float32([[2, 2, 4, 4]])
    for pair in ((empty, full), (full, empty), (empty, empty)):
        assert np.isfinite(encode(*pair)).all()


def test_deltas_of_any_precision_give_float32():
    assert decode(tf.zeros((1, 4), tf.bfloat16), np.float32([[0, 0, 8, 8]])).dtype == tf.float32
