"""RoIAlign, both forms, against a NumPy form of torchvision's, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import pooled
from tfvision.detection.roi_align import levels_of, roi_align

STRIDES = (4, 8, 16)


@pytest.fixture(scope="module")
def scene():
    """Maps of three levels of two images of 48x64; boxes of all sizes, some hanging out."""
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, 48 // s, 64 // s, 3)).astype("f4") for s in STRIDES]
    corner = rng.uniform(-8, 50, (2, 9, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4, (2, 9, 2)))], -1)
    boxes[0, 0] = 0  # padding
    boxes[0, 1] = [-30, -30, 200, 200]
    boxes[0, 2] = [60, 44, 64, 48]
    return maps, boxes.astype("f4")


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("xla", [False, True])
def test_each_box_is_pooled_from_its_level(scene, xla, aligned):
    maps, boxes = scene
    level = levels_of(boxes, STRIDES, 64.0).numpy()
    assert set(level.ravel()) == {0, 1, 2}
    found = roi_align(maps, STRIDES, boxes, side=3, canonical=64.0, aligned=aligned, xla=xla)
    assert found.shape == (2, 9, 3, 3, 3)
    for i in range(2):
        for j in range(9):
            own = level[i, j]
            expected = pooled(maps[own][i].astype("f8"), boxes[i, j], STRIDES[own], 3, aligned)
            np.testing.assert_allclose(found[i, j], expected, atol=2e-5)


def test_levels_are_the_paper_s():
    """Lin et al. 2017, equation 1: 224 goes to level 4, half of it to 3."""
    sides = np.float32([10, 111, 112, 223, 224, 447, 448, 2000])
    boxes = np.stack([np.zeros(8), np.zeros(8), sides, sides], -1)[None].astype("f4")
    found = levels_of(boxes, (4, 8, 16, 32), 224.0)
    np.testing.assert_array_equal(found + 2, [[2, 2, 3, 3, 4, 4, 5, 5]])


def gradient(maps, boxes, weights, xla):
    maps = [tf.constant(x) for x in maps]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        found = roi_align(maps, STRIDES, boxes, side=3, canonical=64.0, xla=xla)
        value = tf.reduce_sum(found * weights)
    return tape.gradient(value, maps)


@pytest.mark.parametrize("xla", [False, True])
def test_gradient_is_that_of_finite_differences(scene, xla):
    """Pooling is linear in the maps, so a difference of any width is exact."""
    maps, boxes = scene
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, 9, 3, 3, 3)).astype("f4")
    step = [rng.normal(size=x.shape).astype("f4") for x in maps]
    found = gradient(maps, boxes, weights, xla)
    ends = [
        np.sum(
            roi_align([m + s * d for m, d in zip(maps, step, strict=True)], STRIDES, boxes,
                      side=3, canonical=64.0).numpy().astype("f8") * weights
        )
        for s in (-1, 1)
    ]  # fmt: skip
    along = sum(np.sum(g.numpy().astype("f8") * d) for g, d in zip(found, step, strict=True))
    np.testing.assert_allclose(along, (ends[1] - ends[0]) / 2, rtol=1e-4)


def test_both_forms_have_the_same_gradient_map_by_map(scene):
    maps, boxes = scene
    weights = np.random.default_rng(2).normal(size=(2, 9, 3, 3, 3)).astype("f4")
    for a, b in zip(*(gradient(maps, boxes, weights, xla) for xla in (False, True)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_xla_compiles_the_gathering_form(scene):
    maps, boxes = scene
    compiled = tf.function(
        lambda *maps: roi_align(maps, STRIDES, boxes, side=3, xla=True), jit_compile=True
    )
    np.testing.assert_allclose(compiled(*maps), roi_align(maps, STRIDES, boxes, side=3), atol=2e-5)


def test_a_level_without_boxes_and_maps_of_half_precision(scene):
    maps, boxes = scene
    half = [tf.cast(x, tf.bfloat16) for x in maps]
    found = roi_align(half, STRIDES, boxes, side=3, canonical=1e9)  # all from the finest
    assert found.dtype == tf.float32
    exact = roi_align([tf.cast(x, tf.float32) for x in half], STRIDES, boxes, side=3, canonical=1e9)
    np.testing.assert_array_equal(found, exact)
    for g in gradient([maps[0]] + [x * 0 for x in maps[1:]], boxes * 0, 1.0, False)[1:]:
        assert not np.any(g)
