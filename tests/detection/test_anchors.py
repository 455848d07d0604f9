"""Where anchors stand, how large they are, and in which order they come."""

import numpy as np
import pytest
import tensorflow as tf

from tfvision.detection.anchors import AnchorGrid, anchor_shapes
from tfvision.errors import InputError


def test_ratios_are_height_over_width_and_come_before_sizes():
    shapes = anchor_shapes([16, 32], [0.25, 1.0])
    np.testing.assert_allclose(shapes, [(8, 32), (16, 64), (16, 16), (32, 32)])


def test_whole_half_sides_as_torchvision():
    assert anchor_shapes([32], [0.5, 1.0, 2.0], whole=True) == ((22, 46), (32, 32), (46, 22))


def test_anchors_are_centred_in_their_cells_row_by_row():
    (anchors,) = AnchorGrid((8,), (((4, 6), (10, 2)),)).of([(2, 3)])
    expected = [
        [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        for y in (4, 12)
        for x in (4, 12, 20)
        for h, w in ((4, 6), (10, 2))
    ]
    np.testing.assert_array_equal(anchors, expected)
    assert anchors.dtype == np.float32


def test_offset_0_is_the_corner_of_the_cell():
    """torchvision's AnchorGenerator(sizes=((4,),), aspect_ratios=((1.0,),)) on a map of 1x2."""
    (anchors,) = AnchorGrid((8,), (((4, 4),),), offset=0.0).of([(1, 2)])
    np.testing.assert_array_equal(anchors, [[-2, -2, 2, 2], [6, -2, 10, 2]])


@pytest.mark.parametrize("kind", [int, tf.constant])
def test_whole_steps_are_the_image_over_the_map(kind):
    """torchvision on an image of 96x160 and maps rounded up: 96 // 2 = 48, 160 // 3 = 53."""
    grid = AnchorGrid((32, 64), (((2, 2),), ((4, 6),)), offset=0.0, whole=True)
    fine, coarse = grid.of([(kind(3), kind(5)), (kind(2), kind(3))])
    assert np.array_equal(fine[:6, 0], [-1, 31, 63, 95, 127, -1])
    expected = [[x - 3, y - 2, x + 3, y + 2] for y in (0, 48) for x in (0, 53, 106)]
    np.testing.assert_array_equal(coarse, expected)


def test_maps_of_open_size_have_the_same_anchors():
    grid = AnchorGrid((4, 8), (anchor_shapes([8], [0.5, 2]), anchor_shapes([20, 30], [1])))
    sizes = [(6, 4), (3, 2)]
    open_sizes = [tuple(tf.constant(v) for v in size) for size in sizes]
    for fixed, found in zip(grid.of(sizes), grid.of(open_sizes), strict=True):
        np.testing.assert_array_equal(fixed, found)
    assert grid.at_a_place() == 2


def test_unequal_numbers_are_said():
    with pytest.raises(InputError, match=r"Every level must have as many anchors .* 1, 2"):
        AnchorGrid((4, 8), (((4, 4),), ((4, 4), (5, 5)))).at_a_place()


@pytest.mark.parametrize(
    ("sizes", "ratios", "word"),
    [
        ([], [1], "anchor_sizes"),
        ([8], [0], "ratios_hw"),
        ([-3], [1], "sizes"),
        ([8], "1", "ratios"),
    ],
)
def test_impossible_sizes_and_ratios(sizes, ratios, word):
    with pytest.raises(InputError, match=f"{word}.* must be numbers above 0"):
        anchor_shapes(sizes, ratios)
