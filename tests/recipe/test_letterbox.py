"""Images and boxes brought to one size by one factor, against Pillow and planted objects."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.test_truth import BOXES, IMAGES
from tests.recipe.test_read import prepared
from tfvision.recipe.input_size import letterbox_size, scale_factors
from tfvision.recipe.letterbox import (
    PAD_VALUE,
    boxes_from_letterbox,
    boxes_to_letterbox,
    letterbox_image,
    letterbox_scale,
)
from tfvision.recipe.read import decode

GREY = np.float32(PAD_VALUE)


def noise(height, width, channels=3):
    shape = (1, height, width, channels)
    return np.random.default_rng(height).random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("own", "size", "factor", "enlarged"),
    [
        ((30, 50), (64, 64), 1.0, 64 / 50),  # goes in as it is
        ((64, 64), (64, 64), 1.0, 1.0),
        ((200, 50), (64, 64), 0.32, 0.32),  # high, wide, and one side alone too large
        ((48, 512), (64, 320), 0.625, 0.625),
        ((70, 10), (64, 96), 64 / 70, 64 / 70),
    ],
)
def test_the_factor_is_the_largest_that_fits(own, size, factor, enlarged):
    assert float(letterbox_scale(own, size)) == pytest.approx(factor, abs=1e-7)
    assert float(letterbox_scale(own, size, enlarge=True)) == pytest.approx(enlarged, abs=1e-7)
    for grow, expected in ((False, factor), (True, enlarged)):  # without TensorFlow
        found = scale_factors(np.array([own]), size, fit="pad", enlarge=grow)
        np.testing.assert_allclose(found, [[expected] * 2], atol=1e-7)
    stretched = scale_factors(np.array([own]), size, fit="stretch")
    np.testing.assert_allclose(stretched, [[size[0] / own[0], size[1] / own[1]]])


def test_an_image_that_fits_is_copied_and_grey_is_added_right_and_below():
    image = noise(30, 50)
    out = letterbox_image(tf.constant(image), (64, 96)).numpy()
    assert out.shape == (1, 64, 96, 3)
    np.testing.assert_array_equal(out[:, :30, :50], image)
    assert np.all(out[:, 30:] == GREY)
    assert np.all(out[:, :, 50:] == GREY)


@pytest.mark.parametrize(
    ("own", "size", "inner"),
    [
        ((50, 80), (32, 32), (20, 32)),
        ((90, 30), (60, 60), (60, 20)),
        ((10, 15), (64, 60), (40, 60)),
    ],
)
def test_scaled_as_pillow_does(own, size, inner):
    image = noise(*own, channels=1)
    out = letterbox_image(tf.constant(image), size, enlarge=True).numpy()[0, ..., 0]
    expected = Image.fromarray(image[0, ..., 0]).resize(inner[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(out[: inner[0], : inner[1]], expected, atol=1e-5)
    assert np.all(out[inner[0] :] == GREY)
    assert np.all(out[:, inner[1] :] == GREY)


def test_a_size_known_only_at_run_time_changes_nothing():
    def both(image):
        moved = boxes_from_letterbox(tf.ones([2, 4]), tf.shape(image)[1:3], (32, 48))
        return letterbox_image(image, (32, 48)), moved

    traced = tf.function(both, input_signature=[tf.TensorSpec([None, None, None, 3])])
    assert traced.get_concrete_function().output_shapes[0].as_list() == [None, 32, 48, 3]
    for own in ((31, 90), (100, 40), (7, 5)):
        image = tf.constant(noise(*own))
        for got, wanted in zip(traced(image), both(image), strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("own", [(37, 91), (300, 41), (64, 64), (20, 11)])
@pytest.mark.parametrize("enlarge", [False, True])
def test_boxes_lie_over_what_they_lay_over_and_come_back(own, enlarge):
    size, (height, width) = (64, 96), own
    box = np.float32([width // 4, height // 3, width // 4 + width // 2, height // 3 + height // 2])
    image = np.zeros((1, height, width, 1), np.float32)
    x1, y1, x2, y2 = box.astype(int)
    image[:, y1:y2, x1:x2] = 1.0
    out = letterbox_image(tf.constant(image), size, enlarge=enlarge, pad=0.0).numpy()[0, ..., 0]
    moved = boxes_to_letterbox(tf.constant(box), own, size, enlarge=enlarge).numpy()
    # What a bilinear edge blurs is as bright on one side as it lacks on the other.
    rows, columns = out.sum(1), out.sum(0)
    assert out.sum() == pytest.approx(np.prod(moved[2:] - moved[:2]), rel=0.03)
    middle_y = (rows @ (np.arange(64) + 0.5)) / rows.sum()
    middle_x = (columns @ (np.arange(96) + 0.5)) / columns.sum()
    np.testing.assert_allclose(
        [middle_x, middle_y], [(moved[0] + moved[2]) / 2, (moved[1] + moved[3]) / 2], atol=0.1
    )
    back = boxes_from_letterbox(tf.constant(moved), own, size, enlarge=enlarge)
    np.testing.assert_allclose(back, box, rtol=1e-6)


def test_boxes_over_the_padding_are_clipped_to_the_image():
    found = tf.constant([[[-3.0, 10.0, 70.0, 64.0]], [[0.0, 0.0, 50.0, 40.0]]])
    own = boxes_from_letterbox(found, (80, 100), (64, 64))  # by 0.64
    np.testing.assert_allclose(own, [[[0, 15.625, 100, 80]], [[0, 0, 78.125, 62.5]]], rtol=1e-6)
    assert own.dtype == tf.float32


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([(160, 160)] * 9, (160, 160)),
        ([(100, 130)] * 9, (128, 160)),  # up, so that nothing is shrunk
        ([(40, 120)] * 9 + [(400, 4000)], (64, 128)),  # one of ten may be
        ([(40, 120)] * 8 + [(60, 300)] * 2, (64, 320)),
        ([(480, 640), (640, 480)] * 5, (512, 512)),  # bounded
        ([(720, 1280)] * 3, (384, 672)),
        ([(5000, 20)] * 3, (5024, 32)),
        ([(90000, 2)] * 3, (8192, 32)),
        ([(3, 5)], (32, 32)),
    ],
)
def test_the_size_for_images_of_these_sizes(sizes, size):
    assert letterbox_size(np.array(sizes)) == size
    assert np.prod(size) <= 512 * 512


def test_the_size_is_in_multiples_and_at_most_of_the_area_that_are_asked_for():
    assert letterbox_size(np.array([(100, 130)]), multiple=64) == (128, 192)
    assert letterbox_size(np.array([(100, 130)]), multiple=16, largest_area=64 * 64) == (48, 64)


@pytest.mark.parametrize("enlarge", [False, True])
def test_training_arrays(enlarge):
    """8 x 12 pixels into 24 x 24: as they are, or twice as large."""
    run = prepared("boxes", (24, 24), fit="pad", enlarge=enlarge)
    samples = decode(run, range(6))
    factor = 2 if enlarge else 1
    assert samples.images.dtype == np.uint8
    assert samples.images.shape == (6, 24, 24, 1)
    for i, boxes in enumerate(samples.targets["boxes"]):
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, BOXES[i] * factor)
    assert np.all(samples.images[:, 8 * factor :] == 114)
    assert np.all(samples.images[:, :, 12 * factor :] == 114)
    if not enlarge:
        np.testing.assert_array_equal(samples.images[:, :8, :12, 0], IMAGES)


def test_a_label_stays_and_an_image_of_the_size_is_as_it_was():
    kept = decode(prepared("label", (8, 12), fit="pad"), [1])
    np.testing.assert_array_equal(kept.images[0, ..., 0], IMAGES[1])
    assert decode(prepared("label", (9, 9), fit="pad"), [1]).targets["label"] == [1]
