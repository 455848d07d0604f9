"""Repeat factors and rare classes, by hand."""

import numpy as np
import pytest

from tfvision.data.balance import rare_classes, repeat_factors

PIXELS = np.array([[90, 10, 0, 0], [80, 0, 20, 0], [95, 5, 0, 0], [100, 0, 0, 0]])


def test_repeat_factors_are_those_of_the_paper_with_t_1():
    """Class 0 is in 4 of 4 images, class 1 in 2, class 2 in 1, class 3 in none."""
    np.testing.assert_allclose(repeat_factors(PIXELS), [np.sqrt(2), 2, np.sqrt(2), 1])


def test_the_rarest_class_of_an_image_decides():
    both = np.array([[1, 1], [1, 0], [1, 0], [1, 0]])
    np.testing.assert_allclose(repeat_factors(both), [2, 1, 1, 1])


def test_ignored_and_missing_classes_count_for_nothing():
    np.testing.assert_allclose(
        repeat_factors(PIXELS, ignore_labels=(2, 255)), [np.sqrt(2), 1, np.sqrt(2), 1]
    )
    np.testing.assert_array_equal(repeat_factors(np.zeros((3, 2), int)), [1, 1, 1])


@pytest.mark.parametrize(
    ("pixels", "rare"),
    [
        ([[100, 40, 40, 19]], [3]),  # 19 < half of the median pixel count, 40
        ([[100, 40, 40, 20]], []),
        ([[9, 9, 9, 9]], []),
        ([[100, 9, 9, 0]], []),  # class 3 does not occur: there is nothing to paste
        # As many pixels as the others, but in one image of four; the median class is in four.
        ([[10, 10, 40], [10, 10, 0], [10, 10, 0], [10, 10, 0]], [2]),
        ([[0, 0]], []),
    ],
)
def test_rare_is_under_half_the_median_of_pixels_or_of_images(pixels, rare):
    assert rare_classes(np.array(pixels)) == rare


def test_ignored_classes_are_neither_rare_nor_in_the_median():
    pixels = np.array([[100, 100, 30, 1]])
    assert rare_classes(pixels) == [2, 3]
    assert rare_classes(pixels, ignore_labels=(3, 255)) == [2]
    assert rare_classes(pixels, ignore_labels=(0, 1)) == [3]  # the median is 15.5 now


def test_counts_are_left_alone():
    before = PIXELS.copy()
    repeat_factors(PIXELS, ignore_labels=(1,))
    np.testing.assert_array_equal(before, PIXELS)
