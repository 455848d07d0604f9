import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.augment.samples import (
    assert_same,
    column_sample,
    hull_of,
    make_sample,
    round_sample,
)
from tfvision.augment import flip_lr, flip_ud, rotate, scale, translate
from tfvision.augment.affine import Affine, apply_run, make_border

SIZES = [(5, 8), (4, 7), (6, 6), (1, 1)]


def fixed(matrix, **border):
    """An op that always has this matrix."""
    settings = {"mode": "constant", "fill": 0.5, "fill_label": 99, "min_visibility": 0.25}
    border = make_border("fixed", **{**settings, **border})
    return Affine(lambda seed, size: tf.constant(matrix, tf.float64), border)


def shift(right, down, **border):
    return fixed([[1, 0, -right], [0, 1, -down], [0, 0, 1]], **border)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("ops", [(flip_lr,), (flip_ud,), (flip_lr, flip_ud)])
def test_a_flip_is_exact_by_copying_and_by_resampling(height, width, ops):
    sample = column_sample(height, width)
    expected = {key: value.numpy() for key, value in sample.items()}
    for op in ops:
        axis = 1 if op is flip_lr else 0
        expected = {key: np.flip(value, axis) for key, value in expected.items()}
    flips = [op(p=1.0) for op in ops]
    pairs = [[0, i] for i in range(len(flips))]
    copied = apply_run(flips, sample, pairs)
    resampled = apply_run([*flips, shift(0, 0)], sample, [*pairs, [0, 9]])
    for key in expected:
        np.testing.assert_array_equal(copied[key], expected[key])
        np.testing.assert_array_equal(resampled[key], expected[key])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (-3, 1), (1, -2)])
def test_a_shift_by_whole_pixels_is_exact(height, width, right, down):
    sample = column_sample(height, width)
    out = shift(right, down)(sample, [0, 0])
    for key, fill in (("image", 0.5), ("mask", 99)):
        pixels = sample[key].numpy()
        expected = np.full_like(pixels, fill)
        for row in range(height):
            for column in range(width):
                if 0 <= row - down < height and 0 <= column - right < width:
                    expected[row, column] = pixels[row - down, column - right]
        np.testing.assert_array_equal(out[key], expected)


def test_reflect_mirrors_image_and_mask_at_their_edge():
    out = shift(3, 0, mode="reflect")(column_sample(2, 6), [0, 0])
    np.testing.assert_array_equal(out["mask"][0], [2, 1, 0, 0, 1, 2])
    np.testing.assert_allclose(out["image"][..., 0], out["mask"] / 100, rtol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize(("height", "width"), [(12, 17), (9, 14)])
def test_resampling_against_scipy(mode, height, width):
    """The matrix of `rotate` and `scale` about the middle, read by scipy's own resampling."""
    image = make_sample(height, width)["image"]
    mask = tf.ones([height, width], tf.int32)
    angle, zoom = math.radians(25), 0.7
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    op = fixed([[cos, -sin, 1.3], [sin, cos, -0.4], [0, 0, 1]], mode=mode)
    out = op({"image": image, "mask": mask}, [0, 0])
    rows_columns = np.array([[cos, sin], [-sin, cos]])
    middle = np.array([height - 1, width - 1]) / 2
    offset = np.array([-0.4, 1.3]) + middle - rows_columns @ middle
    scipy_mode = {"constant": "grid-constant", "reflect": "reflect"}[mode]
    how = {"offset": offset, "mode": scipy_mode}
    expected = ndimage.affine_transform(
        image[..., 0].numpy(), rows_columns, order=1, cval=0.5, **how
    )
    np.testing.assert_allclose(out["image"][..., 0], expected, atol=1e-5)
    expected = ndimage.affine_transform(mask.numpy(), rows_columns, order=0, cval=99, **how)
    np.testing.assert_array_equal(out["mask"], expected)


@pytest.mark.parametrize(
    "op",
    [
        flip_lr(),
        flip_ud(),
        translate(max_shift=0.2, fill_label=0),
        rotate(max_degrees=30, fill_label=0),
        scale(minimum=0.6, maximum=1.3, max_aspect_hw=1.3, fill_label=0),
    ],
    ids=["flip_lr", "flip_ud", "translate", "rotate", "scale"],
)
def test_image_mask_and_box_move_together(op):
    moved = 0
    for s in range(12):
        sample = round_sample(14, 25, 22, 35)
        out = op(sample, [s, 1])
        marked = out["mask"].numpy() == 3
        bright = out["image"].numpy()[..., 0]
        moved += not np.array_equal(out["mask"], sample["mask"])
        rows, columns = np.nonzero(marked)
        weights = bright / bright.sum()
        # A nearest mask rounds each edge by up to half a pixel, so its middle too.
        assert (weights.sum(axis=1) @ np.arange(40)) == pytest.approx(rows.mean(), abs=0.5)
        assert (weights.sum(axis=0) @ np.arange(48)) == pytest.approx(columns.mean(), abs=0.5)
        np.testing.assert_allclose(out["boxes"][0], hull_of(marked), atol=1.01)
        np.testing.assert_array_equal(out["classes"], [5])
    assert moved > 2


def test_boxes_of_a_flip_and_of_a_shift_are_exact():
    sample = make_sample(12, 16)
    x1, y1, x2, y2 = sample["boxes"].numpy().T
    flipped = np.stack([16 - x2, y1, 16 - x1, y2], axis=-1)
    np.testing.assert_array_equal(flip_lr(p=1.0)(sample, [0, 0])["boxes"], flipped)
    resampled = apply_run([flip_lr(p=1.0), shift(0, 0)], sample, [[0, 0], [0, 0]])
    np.testing.assert_array_equal(resampled["boxes"], flipped)
    upside_down = np.stack([x1, 12 - y2, x2, 12 - y1], axis=-1)
    np.testing.assert_array_equal(flip_ud(p=1.0)(sample, [0, 0])["boxes"], upside_down)
    np.testing.assert_array_equal(
        shift(2, -1)(sample, [0, 0])["boxes"], sample["boxes"] + [[2, -1, 2, -1]]
    )


def turn(degrees, **border):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return fixed([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], **border)


def test_a_quarter_turn_takes_the_sides_with_it():
    """A quarter turn of a square image takes a w x h box to a h x w box."""
    sample = {"image": tf.zeros([10, 10, 1]), "boxes": tf.constant([[1.0, 2.0, 4.0, 3.0]])}
    # Output (x, y) reads input (-y, x) about (5, 5): x in 1..4 -> y out 9..6, y 2..3 -> x 2..3.
    np.testing.assert_allclose(turn(90)(sample, [0, 0])["boxes"], [[2, 6, 3, 9]], atol=1e-6)


def iou(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inner = np.prod(np.maximum(sides, 0))
    return inner / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - inner)


@pytest.mark.parametrize("degrees", [10, -25, 45])
def test_the_box_of_a_turned_round_object_is_its_box(degrees):
    sample = round_sample(40, 60, 104, 124, size=(160, 160))
    out = turn(degrees, fill_label=0)(sample, [0, 0])
    drawn = hull_of(out["mask"].numpy() == 3)
    assert iou(out["boxes"].numpy()[0], drawn) > 0.95
    np.testing.assert_allclose(out["boxes"][0, 2:] - out["boxes"][0, :2], [64, 64], atol=1e-4)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.8, -0.3, 2], [0.25, 1.2, -5], [0, 0, 1]],  # a turn, a shear, a stretch
        [[1.05, 0.1, 3], [-0.1, 0.9, 1], [2e-3, -1e-3, 1]],
        [[0.9, 0.0, 0], [0.0, 0.9, 0], [-3e-3, 2e-3, 1]],
    ],
    ids=["affine", "perspective", "slant"],
)
def test_a_box_becomes_the_hull_of_its_ellipse_point_by_point(matrix):
    boxes = np.float32([[20, 15, 60, 35], [90, 40, 94, 80], [70.5, 50.25, 73, 52]])
    sample = {
        "image": tf.zeros([100, 120, 1]),
        "boxes": tf.constant(boxes),
        "classes": tf.constant([4, 5, 6]),
    }
    op = Affine(fixed(matrix).matrix, fixed(matrix).border, projective=True)
    out = op(sample, [0, 0])
    turns = np.linspace(0, 2 * np.pi, 20001)
    circle = np.stack([np.cos(turns), np.sin(turns)], -1)
    for box, found in zip(boxes, out["boxes"].numpy(), strict=True):
        points = (box[:2] + box[2:]) / 2 + circle * (box[2:] - box[:2]) / 2 - [60, 50]
        moved = np.c_[points, np.ones(len(points))] @ np.linalg.inv(matrix).T
        moved = moved[:, :2] / moved[:, 2:] + [60, 50]
        hull = np.r_[moved.min(0), moved.max(0)]
        np.testing.assert_allclose(found, np.clip(hull, 0, [120, 100, 120, 100]), atol=1e-4)
    np.testing.assert_array_equal(out["classes"], [4, 5, 6])


def test_a_box_that_reaches_the_horizon_is_dropped():
    """Of w = 1 - x / 30 the inverse has 1 + x / 30: 30 pixels left of the middle is no place."""
    matrix = [[1, 0, 0], [0, 1, 0], [-1 / 30, 0, 1]]
    sample = {
        "image": tf.zeros([40, 100, 1]),
        "boxes": tf.constant([[0.0, 10, 15, 30], [15.0, 10, 25, 30], [50.0, 10, 60, 30]]),
        "classes": tf.constant([1, 2, 3]),
    }
    op = Affine(fixed(matrix).matrix, fixed(matrix).border, projective=True)
    out = op(sample, [0, 0])
    np.testing.assert_array_equal(out["classes"], [3])
    assert np.all(np.isfinite(out["boxes"]))


def test_a_box_is_never_of_no_area_even_where_any_share_may_be_seen():
    """In view are 4e-6 pixels, fewer than a float32 tells at 500 from none."""
    sample = {
        "image": tf.zeros([6, 504, 1]),
        "boxes": tf.constant([[0.0, 1, 4, 3], [2.0, 1, 6, 3]]),
        "classes": tf.constant([1, 2]),
    }
    out = shift(504 - 4e-6, 0, min_visibility=0)(sample, [0, 0])
    assert len(out["boxes"]) == len(out["classes"]) == 0


@pytest.mark.parametrize(("right", "kept"), [(2, 2), (5, 2), (6, 1), (9, 1), (10, 0), (20, 0)])
def test_boxes_are_clipped_and_dropped_by_what_stays_in_view(right, kept):
    """In an image 10 wide, boxes at 4..8 and 0..4 move right; by 5 and 9 to just a quarter."""
    sample = {
        "image": tf.zeros([6, 10, 1]),
        "boxes": tf.constant([[4.0, 1.0, 8.0, 3.0], [0.0, 1.0, 4.0, 3.0]]),
        "classes": tf.constant([1, 2]),
    }
    out = shift(right, 0, min_visibility=0.25)(sample, [0, 0])
    share = np.clip((10 - np.array([4.0, 0.0]) - right) / 4, 0, 1)
    expected = share >= 0.25
    np.testing.assert_array_equal(out["classes"], np.array([1, 2])[expected])
    assert out["boxes"].shape == (kept, 4)
    assert out["boxes"].dtype == tf.float32
    if expected.any():
        assert np.max(out["boxes"][:, 2]) <= 10
        np.testing.assert_allclose(
            out["boxes"][:, 2] - out["boxes"][:, 0], 4 * share[expected], atol=1e-6
        )


def test_min_visibility_0_still_drops_what_is_out_of_sight():
    sample = {"image": tf.zeros([6, 10, 1]), "boxes": tf.constant([[0.0, 0.0, 2.0, 2.0]])}
    assert len(shift(9, 0, min_visibility=0)(sample, [0, 0])["boxes"]) == 1
    assert len(shift(10, 0, min_visibility=0)(sample, [0, 0])["boxes"]) == 0


def test_a_miss_leaves_boxes_beyond_the_edge_as_they_are():
    sample = {"image": tf.zeros([6, 10, 1]), "boxes": tf.constant([[-9.0, 0.0, 1.0, 2.0]])}
    assert_same(rotate(p=0.0)(sample, [0, 0]), sample)
    assert len(rotate(p=1.0)(sample, [0, 0])["boxes"]) == 0


def test_draws_cover_their_range_and_stay_in_it():
    size = (20, 30)
    pairs = [[s, 5] for s in range(400)]
    shifts = np.array([translate(max_shift=0.1).matrix(pair, size)[:2, 2] for pair in pairs])
    assert set(shifts[:, 0]) == {-3, -2, -1, 0, 1, 2, 3}
    assert set(shifts[:, 1]) == {-2, -1, 0, 1, 2}
    cosines = np.array([rotate(max_degrees=60).matrix(pair, size) for pair in pairs])
    angles = np.degrees(np.arctan2(cosines[:, 1, 0], cosines[:, 0, 0]))
    assert -60 <= angles.min() < -50
    assert 50 < angles.max() <= 60
    assert abs(angles.mean()) < 6
    op = scale(minimum=0.5, maximum=2.0, max_aspect_hw=1.5)
    matrices = np.array([op.matrix(pair, size) for pair in pairs])
    across, down = 1 / matrices[:, 0, 0], 1 / matrices[:, 1, 1]
    zooms, aspects = np.sqrt(across * down), down / across
    assert 0.5 <= zooms.min() < 0.55
    assert 1.8 < zooms.max() <= 2.0
    assert abs(np.log(zooms).mean()) < 0.08  # shrinking as likely as growing
    assert 1 / 1.5 <= aspects.min() * (1 + 1e-9) < 0.72
    assert 1.4 < aspects.max() <= 1.5 + 1e-9
