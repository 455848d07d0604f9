"""Elastic, grid distortion and perspective against scipy and OpenCV."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.augment.samples import column_sample, hull_of, make_sample, round_sample
from tfvision.augment import compose, elastic, grid_distortion, perspective, rotate, scale
from tfvision.augment.affine import Affine, make_border
from tfvision.augment.warping import elastic_shifts, warp


def border(mode="constant"):
    return make_border("x", mode=mode, fill=0.5, fill_label=99, min_visibility=0.25)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_a_warp_against_scipy(mode):
    sample, rng = make_sample(12, 17), np.random.default_rng(3)
    rows, columns = np.mgrid[:12, :17] + rng.normal(0, 5, (2, 12, 17))
    out = warp(
        sample, tf.constant(rows, tf.float32), tf.constant(columns, tf.float32), border(mode)
    )
    how = {"mode": {"constant": "grid-constant", "reflect": "reflect"}[mode]}
    image, mask = sample["image"].numpy()[..., 0], sample["mask"].numpy()
    expected = ndimage.map_coordinates(image, [rows, columns], order=1, cval=0.5, **how)
    np.testing.assert_allclose(out["image"][..., 0], expected, atol=1e-5)
    nearest = np.floor(np.stack([rows, columns]) + 0.5)
    expected = ndimage.map_coordinates(mask, nearest, order=0, cval=99, **how)
    np.testing.assert_array_equal(out["mask"], expected)


def test_elastic_reads_image_and_mask_at_its_shifts():
    sample = make_sample(20, 24, parts=("mask",))
    op = elastic(stddev=2.0, sigma=3.0, p=1.0, fill=0.25, fill_label=9)
    down, right = np.moveaxis(
        elastic_shifts(tf.constant([3, 4]), (20, 24), 2.0, 3.0).numpy(), -1, 0
    )
    places = np.mgrid[:20, :24] + np.stack([down, right])
    expected = ndimage.map_coordinates(
        sample["image"].numpy()[..., 0], places, order=1, mode="grid-constant", cval=0.25
    )
    out = op(sample, [3, 4])
    np.testing.assert_allclose(out["image"][..., 0], expected, atol=1e-4)


def test_elastic_shifts_have_the_spread_and_the_smoothness_asked_for():
    shifts = np.stack([elastic_shifts(tf.constant([s, 1]), (60, 60), 2.5, 3.0) for s in range(60)])
    assert shifts.mean() == pytest.approx(0, abs=0.06)
    assert shifts.std() == pytest.approx(2.5, rel=0.03)
    assert shifts[:, 0].std() == pytest.approx(2.5, rel=0.1)  # at the edge as in the middle
    # Smoothed white noise has the covariance exp(-d^2 / (4 sigma^2)) at the distance d.
    at_3 = (shifts[:, 3:] * shifts[:, :-3]).mean() / shifts.var()
    assert at_3 == pytest.approx(np.exp(-1 / 4), abs=0.03)
    assert abs(np.corrcoef(shifts[..., 0].ravel(), shifts[..., 1].ravel())[0, 1]) < 0.1


def test_grid_distortion_is_the_inverse_of_piecewise_linear_steps():
    """The image holds its own coordinates, so the output tells where each pixel was read."""
    height, width, steps = 24, 40, 4
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([y / height, x / width, 0 * y], axis=-1).astype(np.float32)
    corners = [[5.0, 3.0, 22.5, 14.0], [0.0, 0.0, 40.0, 24.0], [50.0, 2.0, 60.0, 4.0]]
    sample = {
        "image": tf.constant(ramps),
        "boxes": tf.constant(corners),
        "classes": tf.constant([4, 5, 6]),
    }
    op = grid_distortion(steps=steps, max_stretch=0.7, p=1.0)
    for s in range(6):
        out = op(sample, [s, 2])
        read = out["image"].numpy()
        np.testing.assert_allclose(read[:, :1, 0] + 0 * read[..., 0], read[..., 0], atol=1e-5)
        np.testing.assert_array_equal(out["classes"], [4, 5])  # the third lies outside
        np.testing.assert_allclose(out["boxes"][1], [0, 0, 40, 24], atol=1e-3)
        for length, line, place in (
            (height, read[:, 0, 0] * height, [1, 3]),
            (width, read[0, :, 1] * width, [0, 2]),
        ):
            middles = np.arange(length) + 0.5
            per_cell = (line + 0.5).reshape(steps, -1)
            slopes = np.diff(per_cell, axis=1)[:, 1:-1]
            np.testing.assert_allclose(slopes, slopes[:, :1] + 0 * slopes, atol=1e-3)
            assert (np.diff(line) > 0).all()
            assert slopes.min() >= 0.3 / 1.7
            assert slopes.max() <= 1.7 / 0.3
            # A box's side comes out where its own coordinate is read.
            wanted = np.interp(np.array(corners[0])[place], line + 0.5, middles)
            np.testing.assert_allclose(out["boxes"].numpy()[0][place], wanted, atol=0.05)
            assert slopes.std() > 0.05


def test_grid_distortion_brings_in_nothing():
    sample = column_sample(9, 14)
    for s in range(10):
        mask = grid_distortion(p=1.0)(sample, [s, 0])["mask"].numpy()
        assert set(np.unique(mask)) <= set(np.unique(sample["mask"]))
        assert (mask[0, 0], mask[-1, -1]) == (0, 93)


def test_perspective_is_the_homography_of_opencv():
    """OpenCV solves for the four corners; both then read the image through it."""
    height, width = 30, 44
    sample = make_sample(height, width, parts=("mask",))
    op = perspective(max_shift=0.15, fill=0.5, fill_label=99)
    half = np.array([width, height]) / 2
    ends = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    for s in range(5):
        matrix = op.matrix(tf.constant([s, 1]), (height, width)).numpy()
        read = np.c_[ends, np.ones(4)] @ matrix.T
        read = read[:, :2] / read[:, 2:]
        assert np.all(np.abs(read - ends) <= 0.15 * 2 * half + 1e-9)
        solved = cv2.getPerspectiveTransform(ends.astype(np.float32), read.astype(np.float32))
        np.testing.assert_allclose(matrix, solved, atol=1e-6)
        to_index = np.array([[1, 0, half[0] - 0.5], [0, 1, half[1] - 0.5], [0, 0, 1]])
        whole = to_index @ matrix @ np.linalg.inv(to_index)
        y, x = np.mgrid[:height, :width]
        places = np.stack([x, y, np.ones_like(x)], axis=-1) @ whole.T
        rows_columns = [places[..., 1] / places[..., 2], places[..., 0] / places[..., 2]]
        out = op(sample, [s, 1])
        expected = ndimage.map_coordinates(
            sample["image"].numpy()[..., 0], rows_columns, order=1, mode="grid-constant", cval=0.5
        )
        np.testing.assert_allclose(out["image"][..., 0], expected, atol=1e-3)
        nearest = np.round(rows_columns)
        clear = np.all(np.abs(np.array(rows_columns) - nearest) < 0.499, axis=0)
        expected = ndimage.map_coordinates(
            sample["mask"].numpy(), nearest, order=0, mode="constant", cval=99
        )
        np.testing.assert_array_equal(out["mask"].numpy()[clear], expected[clear])


@pytest.mark.parametrize(
    "op",
    [
        perspective(max_shift=0.15, fill_label=0),
        compose([perspective(fill_label=0), rotate(20, fill_label=0), scale(fill_label=0)]),
        elastic(stddev=3.0, sigma=8.0, p=1.0, fill_label=0),
        grid_distortion(steps=4, max_stretch=0.6, p=1.0),
    ],
    ids=["perspective", "merged", "elastic", "grid_distortion"],
)
def test_image_mask_and_box_move_together(op):
    moved = 0
    for s in range(10):
        sample = round_sample(14, 20, 22, 32)
        out = op(sample, tf.constant([s, 1], tf.int64))
        marked = out["mask"].numpy() == 3
        moved += not np.array_equal(out["mask"], sample["mask"])
        np.testing.assert_allclose(out["boxes"][0], hull_of(marked), atol=1.01)
        weights = out["image"].numpy()[..., 0] / out["image"].numpy().sum()
        middle = np.nonzero(marked)[0].mean()
        assert (weights.sum(axis=1) @ np.arange(40)) == pytest.approx(middle, abs=0.5)
        np.testing.assert_array_equal(out["classes"], [5])
    assert moved > 4


@pytest.mark.parametrize("op", [elastic(6.0, 8.0, p=1.0), perspective(max_shift=0.15)])
def test_boxes_that_leave_the_image_are_dropped_with_their_class(op):
    counts = set()
    for s in range(25):
        sample = round_sample(0, 0, 4, 5)
        out = op(sample, [s, 7])
        shown = np.sum(out["mask"] == 3) / np.sum(sample["mask"] == 3)
        assert len(out["boxes"]) == len(out["classes"])
        if shown == 0:
            assert len(out["boxes"]) == 0
        if shown > 0.8:
            assert len(out["boxes"]) == 1
        counts.add(len(out["boxes"]))
    assert counts == {0, 1}


def test_a_perspective_beside_affine_ops_is_one_resampling():
    traced = tf.function(compose([rotate(), perspective(), scale()])).get_concrete_function(
        make_sample(), tf.TensorSpec([2], tf.int32)
    )
    kinds = [node.type for node in traced.graph.get_operations()]
    assert kinds.count("ImageProjectiveTransformV3") == 3  # image, mask, region


def test_behind_the_horizon_there_is_only_fill():
    """w = 1 - x / 5, so from 5 pixels right of the middle on TensorFlow would mirror."""
    matrix = tf.constant([[1, 0, 0], [0, 1, 0], [-0.2, 0, 1]], tf.float64)
    op = Affine(lambda seed, size: matrix, border(), projective=True)
    out = op({"image": tf.ones([9, 40, 1]), "mask": tf.ones([9, 40], tf.int32)}, [0, 0])
    assert np.all(out["mask"][:, 25:] == 99)
    np.testing.assert_array_equal(out["image"][:, 25:], np.full([9, 15, 1], 0.5, np.float32))
    assert np.all(out["mask"][4, 18:22] == 1)
