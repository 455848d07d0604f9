"""Objects planted on grounds of known colours, and every way to fail."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from tfvision.data.crops.foreground import (
    FAILURES,
    as_colours,
    border_colour,
    composite,
    find_region,
    grabcut,
    judge,
)
from tfvision.errors import InputError

BOX = np.array([23, 13, 58, 48], np.float32)
both = pytest.mark.parametrize("method", [grabcut, border_colour])


def planted(size=(60, 80), radius=17.5, seed=0, channels=3, hole=0):
    """A disc around (30.5, 40.5), noise everywhere, and its region; `hole` pixels of radius."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    away = np.hypot(y - 30.5, x - 40.5)
    region = (away < radius).astype(np.uint8)
    ground, colour = np.array([60, 120, 50]), np.array([190, 60, 60])
    bright = (away < radius) & (away >= hole)
    image = np.where(bright[..., None], colour, ground) + rng.normal(0, 10, (*size, 3))
    image = image.clip(0, 255).astype(np.uint8)
    return (image if channels == 3 else image[..., :1]), region


def overlap(one, other):
    return np.sum(one & other) / np.sum(one | other)


@both
@pytest.mark.parametrize("channels", [1, 3])
def test_a_planted_disc_is_found(method, channels):
    image, region = planted(channels=channels)
    found = method(image, BOX)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 1}
    assert overlap(found, region) > 0.9


@both
def test_what_is_outside_the_box_is_no_object_whatever_it_looks_like(method):
    image, region = planted()
    image[:12, :20] = [190, 60, 60]  # the object's colour
    found = method(image, BOX)
    assert overlap(found, region) > 0.9
    assert found[:, :23].sum() == found[:13].sum() == 0


@both
def test_a_hole_is_filled(method):
    image, region = planted(hole=6)
    assert overlap(method(image, BOX), region) > 0.9


@both
def test_the_largest_part_stays_alone(method):
    image, region = planted(radius=10)
    image[14:18, 24:28] = [190, 60, 60]
    found = method(image, BOX)
    assert found[14:18, 24:28].sum() == 0
    assert overlap(found, region) > 0.9


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@both
def test_the_dtype_makes_no_difference(method, dtype):
    image, _ = planted()
    other = (image * 257.0).astype(dtype) if dtype == np.uint16 else (image / 255).astype(dtype)
    np.testing.assert_array_equal(method(other, BOX), method(image, BOX))
    bytes_in_floats = image.astype(np.float32)
    np.testing.assert_array_equal(method(bytes_in_floats, BOX, white=255), method(image, BOX))


def test_grabcut_is_deterministic_in_any_thread():
    rng = np.random.default_rng(2)
    noise, region = rng.normal(100, 10, (60, 80, 3)), np.hypot(*np.mgrid[-30:30, -40:40]) < 17
    noise[region] += rng.normal(40, 10, (region.sum(), 3))
    image = noise.clip(0, 255).astype(np.uint8)  # whose region does depend on the generator

    def from_state(state):
        cv2.setRNGSeed(state)  # what another user of OpenCV left behind in this thread
        return grabcut(image, BOX)

    with ThreadPoolExecutor(3) as pool:
        outcomes = [from_state(9), *pool.map(from_state, range(6))]
    assert len({outcome.tobytes() for outcome in outcomes}) == 1
    assert overlap(outcomes[0], region) > 0.8


def test_a_large_image_is_shrunk_for_grabcut_and_the_region_has_its_size():
    image, region = planted()
    image, region = (pixels.repeat(10, 0).repeat(10, 1) for pixels in (image, region))
    found = grabcut(image, 10 * BOX)
    assert found.shape == (600, 800)
    assert overlap(found, region) > 0.9


def test_border_colour_without_a_box_takes_what_differs_from_the_border():
    image, region = planted()
    assert overlap(border_colour(image), region) > 0.9
    assert border_colour(image[:2, :2]).shape == (2, 2)  # no border and no middle: nothing found


def test_a_gradual_background_of_one_hue_is_still_background():
    """Mahalanobis distance, not distance: brightness varies here, hue does not."""
    image, region = planted()
    brightness = np.linspace(0.5, 1.5, 80)[None, :, None]
    ground = np.clip(np.array([60, 120, 50]) * brightness, 0, 255)
    image = np.where(region[..., None] == 1, image, ground).astype(np.uint8)
    assert overlap(border_colour(image, BOX), region) > 0.9


# Judgement


def region_in(box, part):
    """(60, 80) with 1 in the rows and columns of `part` = (top, bottom, left, right)."""
    region = np.zeros((60, 80), np.uint8)
    region[part[0] : part[1], part[2] : part[3]] = 1
    return region


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ((20, 40, 30, 50), ""),
        ((0, 0, 0, 0), "nothing_found"),
        ((0, 10, 0, 20), "nothing_found"),  # outside the box
        ((28, 34, 38, 44), "found_too_small"),
        ((10, 50, 20, 60), "found_too_large"),
        ((10, 22, 20, 60), "found_off_middle"),
    ],
)
def test_a_region_is_judged_by_its_share_and_place_in_the_box(part, wanted):
    assert judge(region_in(BOX, part), (20, 10, 60, 50)) == wanted


@pytest.mark.parametrize("method", ["grabcut", "border_colour"])
def test_failures_have_names(method):
    image, region = planted()
    flat = np.full_like(image, 90)
    cases = {
        "nothing_found": (flat, BOX),
        "box_fills_image": (image, [0, 0, 80, 60]),
        "box_too_small": (image, [30, 30, 33, 50]),
    }
    for wanted, (pixels, box) in cases.items():
        found, failure = find_region(pixels, np.array(box, np.float32), method)
        assert (found, failure) == (None, wanted)
        assert failure in FAILURES
    found, failure = find_region(image, BOX, method)
    assert failure == ""
    assert overlap(found, region) > 0.9


def test_an_object_that_fills_the_box_is_a_failure():
    image, _ = planted()
    image[13:48, 23:58] = [190, 60, 60]
    for method in ("grabcut", "border_colour"):
        assert find_region(image, BOX, method) == (None, "found_too_large")


def test_noise_alone_is_no_object():
    """Otsu would halve it."""
    noise = np.random.default_rng(0).normal(100, 8, (60, 80, 3)).clip(0, 255).astype(np.uint8)
    assert find_region(noise, BOX, "border_colour")[1] in ("found_too_small", "found_off_middle")


def test_grabcut_needs_a_box_and_border_colour_does_not():
    image, region = planted()
    assert find_region(image, None, "grabcut") == (None, "no_box")
    assert overlap(find_region(image, None, "border_colour")[0], region) > 0.9


def test_bad_arguments():
    image, _ = planted()
    with pytest.raises(InputError, match="one of grabcut, border_colour, got 'rembg'"):
        find_region(image, BOX, "rembg")
    with pytest.raises(InputError, match="iterations must be a whole number from 1 up, got 0"):
        grabcut(image, BOX, iterations=0)
    for method in (grabcut, border_colour):
        with pytest.raises(InputError, match="The box fills its image"):
            method(image, np.array([0, 0, 80, 60]))
        with pytest.raises(InputError, match="outside its image"):
            method(image, np.array([90, 0, 95, 60]))


# Compositing


def test_composite_puts_one_colour_around_the_region():
    image, region = planted()
    out = composite(image, region, [1.0, 0.5, 0.0])
    inside = region == 1
    np.testing.assert_array_equal(out[inside], image[inside])
    assert np.all(out[~inside] == [255, 128, 0])
    assert out.dtype == np.uint8
    floats = composite(image.astype(np.float32), region, 0.5, white=255)
    assert np.all(floats[~inside] == 127.5)


def test_any_image_becomes_colours_in_bytes():
    grey = np.array([[[0], [32896], [65535]]], np.uint16)
    np.testing.assert_array_equal(as_colours(grey)[0, :, 1], [0, 128, 255])
    np.testing.assert_array_equal(as_colours(np.full((1, 1, 3), 2.0, np.float32)), 255)
