"""Cuts against masks drawn by hand, fallbacks and their counts, aggregation against sums by hand.

The table has full, crop, masked, mask_channel, patches, dual and removed.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfvision.data import INPUTS
from tfvision.data.crops.inputs import (
    AGGREGATES,
    aggregate,
    count_pieces,
    crop,
    dual,
    fit_image,
    full,
    mask_channel,
    masked,
    patches,
    removed,
)
from tfvision.data.crops.windows import bounding_box, window_of
from tfvision.errors import InputError

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
each_input = pytest.mark.parametrize("name", list(INPUTS))


def noise(height=20, width=30, channels=3, dtype=np.uint8):
    values = np.random.default_rng(7).integers(1, 255, (height, width, channels))
    return (values / 255).astype(dtype) if dtype == np.float32 else values.astype(dtype)


def drawn(*rows):
    """(H, W) uint8 of a drawing: # is the object."""
    return np.array([[int(mark == "#") for mark in row] for row in rows], np.uint8)


TOUCHING = drawn(
    "..........",
    ".###......",
    ".###......",
    "....##....",
    "....##....",
    "..........",
    "........#.",
)


def windows(pieces):
    return [piece.window for piece in pieces]


def facts(pieces):
    return count_pieces(pieces)


# What holds for every input


@each_input
@pytest.mark.parametrize("region", [None, "some", "empty"])
@pytest.mark.parametrize("box", [None, (5, 4, 25, 16)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_image_has_a_piece_whatever_is_known_of_it(name, region, box, channels, dtype):
    image = noise(channels=channels, dtype=dtype)
    mask = None if region is None else np.zeros((20, 30), np.uint8)
    if region == "some":
        mask[3:9, 4:12] = 1
    before = image.copy()
    cut = INPUTS[name]()
    pieces = cut(image, mask, box)
    assert pieces
    for piece in pieces:
        x1, y1, x2, y2 = piece.window
        assert 0 <= x1 < x2 <= 30
        assert 0 <= y1 < y2 <= 20
        assert piece.image.shape == (y2 - y1, x2 - x1, cut.channels(channels))
        assert piece.image.dtype == dtype
        assert piece.weight > 0
        assert not np.shares_memory(piece.image, image)
        if piece.region is not None:
            assert piece.region.shape == piece.image.shape[:2]
            assert set(np.unique(piece.region)) <= {0, 1}
    np.testing.assert_array_equal(image, before)


@each_input
def test_cutting_again_gives_the_same(name):
    region = TOUCHING.repeat(2, 0).repeat(3, 1)
    image = noise(14, 30)
    first, again = (INPUTS[name]()(image, region, (3, 2, 20, 12)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.window == other.window


@each_input
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_images_have_a_piece_too(name, size):
    image = noise(*size)
    for region in (None, np.ones(size, np.uint8), np.zeros(size, np.uint8)):
        for box in (None, (0, 0, size[1], size[0])):
            assert all(0 not in piece.image.shape for piece in INPUTS[name]()(image, region, box))


@each_input
def test_a_region_of_another_size_is_refused(name):
    message = r"the size of its image, 20 x 30 \(height x width\); got the shape \(30, 20\)"
    with pytest.raises(InputError, match=message):
        INPUTS[name]()(noise(), np.ones((30, 20), np.uint8))


@each_input
def test_what_is_no_box_is_refused(name):
    with pytest.raises(InputError, match="x1 < x2 and y1 < y2, got 9 4 5 16"):
        INPUTS[name]()(noise(), None, (9, 4, 5, 16))
    with pytest.raises(InputError, match="x1 < x2 and y1 < y2, got nan 4 5 16"):
        INPUTS[name]()(noise(), None, (np.nan, 4, 5, 16))
    with pytest.raises(InputError, match=r"outside its image of 30 x 20 pixels \(width x height"):
        INPUTS[name]()(noise(), None, (30, 4, 45, 16))
    with pytest.raises(InputError, match="x1 < x2 and y1 < y2, got 9 4 5 16"):
        INPUTS[name]()(noise(), None, [(1, 4, 5, 16), (9, 4, 5, 16)])
    for shape in ((0, 4), (5,), (2, 2, 4)):
        with pytest.raises(InputError, match=r"Boxes must be \(4,\) or \(n, 4\)"):
            INPUTS[name]()(noise(), None, np.ones(shape))
    with pytest.raises(InputError, match=r"must be \(H, W, C\); got the shape \(20, 30\)"):
        INPUTS[name]()(noise()[..., 0])


@each_input
def test_each_of_several_boxes_is_cut_out_where_boxes_are(name):
    cut, boxes = INPUTS[name](), np.array([(1, 4, 9, 16), (12, 2, 25, 18)], np.float32)
    found = cut(noise(), None, boxes)
    if "box" not in cut.needs:  # as many boxes say of a whole image as none
        boxes = [None]
    wanted = [piece for box in boxes for piece in cut(noise(), None, box)]
    assert [piece.window for piece in found] == [piece.window for piece in wanted]
    for piece, alone in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(piece.image, alone.image)


@each_input
def test_what_the_data_lacks_is_said_before_anything_is_cut(name):
    cut = INPUTS[name]()
    for has in ({"region"}, {"box"}, {"region", "box"}):
        if cut.needs & has:
            cut.require(has)
    if not cut.needs:
        cut.require(set())
        return
    with pytest.raises(InputError, match=f"`{name}` needs .*and no training image has any"):
        cut.require(set())


def test_what_each_input_needs():
    needs = {name: set(INPUTS[name]().needs) for name in INPUTS}
    assert needs == {
        "full": set(),
        "crop": {"region", "box"},
        "masked": {"region"},
        "mask_channel": {"region"},
        "patches": {"region"},
        "dual": {"region", "box"},
        "removed": {"region", "box"},
    }
    assert not removed("border_colour").needs


# Windows


def test_a_window_is_the_pixels_that_the_box_touches():
    assert window_of((2, 3, 7, 9), (20, 30)) == (2, 3, 7, 9)
    assert window_of((2.9, 3.1, 6.1, 8.9), (20, 30)) == (2, 3, 7, 9)
    assert window_of((4.2, 4.2, 4.3, 4.3), (20, 30)) == (4, 4, 5, 5)  # at least a pixel
    assert window_of((-5, -5, 99, 99), (20, 30)) == (0, 0, 30, 20)


def test_a_margin_is_a_share_of_each_side_and_stops_at_the_border():
    assert window_of((10, 8, 20, 12), (20, 30), 0.25) == (7, 7, 23, 13)  # 2.5 and 1 pixels
    assert window_of((10, 8, 20, 12), (20, 30), 3) == (0, 0, 30, 20)


def test_the_box_around_a_region():
    np.testing.assert_array_equal(bounding_box(TOUCHING), [1, 1, 9, 7])
    assert bounding_box(np.zeros((3, 4))) is None


# The inputs one by one


def test_full_shows_the_image_and_passes_the_region_on():
    (piece,) = full()(noise(7, 10), 9 * TOUCHING)
    np.testing.assert_array_equal(piece.image, noise(7, 10))
    np.testing.assert_array_equal(piece.region, TOUCHING)
    assert (piece.weight, piece.window, piece.fallback) == (70, (0, 0, 10, 7), "")
    assert full()(noise())[0].region is None


def test_crop_goes_by_the_box_then_by_the_region_then_takes_all():
    image = noise(7, 10)
    (by_box,) = crop(margin=0)(image, TOUCHING, (6, 2, 9, 5))
    assert by_box.window == (6, 2, 9, 5)
    np.testing.assert_array_equal(by_box.image, image[2:5, 6:9])
    np.testing.assert_array_equal(by_box.region, TOUCHING[2:5, 6:9])
    assert by_box.weight == 9
    (by_region,) = crop(margin=0)(image, TOUCHING)
    assert (by_region.window, by_region.fallback) == ((1, 1, 9, 7), "")
    assert crop()(image)[0].fallback == "no_box"
    assert crop()(image, 0 * TOUCHING)[0].fallback == "empty_region"


@pytest.mark.parametrize(
    ("dtype", "white", "value"),
    [(np.uint8, None, 128), (np.uint16, None, 32768), (np.float32, 255.0, 127.5)],
)
def test_masked_sets_what_is_outside_the_region(dtype, white, value):
    image = noise(7, 10, dtype=dtype)
    (piece,) = masked(fill=0.5)(image, TOUCHING, white=white)
    inside = TOUCHING == 1
    np.testing.assert_array_equal(piece.image[inside], image[inside])
    assert np.all(piece.image[~inside] == value)


def test_masked_takes_the_box_for_a_missing_region_and_all_for_an_empty_one():
    image = noise(7, 10)
    (piece,) = masked()(image, None, (2, 1, 5, 4))
    assert piece.fallback == "no_region"
    np.testing.assert_array_equal(piece.image[1:4, 2:5], image[1:4, 2:5])
    assert piece.image.astype(int).sum() == image[1:4, 2:5].astype(int).sum()
    (whole,) = masked()(image, 0 * TOUCHING)
    assert whole.fallback == "empty_region"
    np.testing.assert_array_equal(whole.image, image)


def test_mask_channel_is_the_region_in_white():
    (piece,) = mask_channel()(noise(7, 10), TOUCHING)
    np.testing.assert_array_equal(piece.image[..., :3], noise(7, 10))
    np.testing.assert_array_equal(piece.image[..., 3], 255 * TOUCHING)
    (floats,) = mask_channel()(noise(7, 10, dtype=np.float32), TOUCHING)
    np.testing.assert_array_equal(floats.image[..., 3], TOUCHING)
    (boxed,) = mask_channel()(noise(7, 10), None, (2, 1, 5, 4))
    assert boxed.image[1:4, 2:5, 3].min() == 255
    assert boxed.image[..., 3].astype(int).sum() == 9 * 255
    (nothing,) = mask_channel()(noise(7, 10))
    assert (nothing.image[..., 3].min(), nothing.fallback) == (255, "no_region")


def test_dual_is_the_image_and_the_crop_enlarged_to_it():
    image = noise(8, 16)
    (piece,) = dual(margin=0)(image, None, (4, 2, 8, 4))
    np.testing.assert_array_equal(piece.image[..., :3], image)
    np.testing.assert_array_equal(
        piece.image[..., 3:], fit_image(image[2:4, 4:8], (8, 16), "stretch")
    )
    assert piece.region is None


def test_components_that_touch_by_a_corner_are_one_or_two():
    image = noise(7, 10)
    joined = patches()(image, TOUCHING)
    assert windows(joined) == [(1, 1, 6, 5), (8, 6, 9, 7)]
    assert [piece.weight for piece in joined] == [10, 1]
    apart = patches(connectivity=4)(image, TOUCHING)
    assert windows(apart) == [(1, 1, 4, 3), (4, 3, 6, 5), (8, 6, 9, 7)]
    assert [piece.weight for piece in apart] == [6, 4, 1]
    np.testing.assert_array_equal(apart[1].image, image[3:5, 4:6])
    np.testing.assert_array_equal(joined[0].region, TOUCHING[1:5, 1:6])


BARS = drawn(
    "###########.",
    "............",
    "...####.....",
    "...####.....",
    "............",
)  # a bar of 11 x 1, a block of 4 x 2


@pytest.mark.parametrize(
    ("min_size", "size_by", "weights", "left_out"),
    [
        (8, "area", [11, 8], 0),
        (9, "area", [11], 1),
        (2, "side", [8], 1),  # the bar is the larger one, but one pixel high
        (1, "side", [11, 8], 0),
    ],
)
def test_small_components_are_left_out_by_area_or_by_side(min_size, size_by, weights, left_out):
    pieces = patches(min_size=min_size, size_by=size_by)(noise(5, 12), BARS)
    assert [piece.weight for piece in pieces] == weights
    assert facts(pieces) == Counter(images=1, pieces=len(weights), left_out=left_out)


def test_where_all_are_small_the_largest_is_taken_and_counted():
    (piece,) = patches(min_size=99)(noise(5, 12), BARS)
    assert (piece.window, piece.fallback, piece.left_out) == ((0, 0, 11, 1), "all_small", 1)


def test_without_a_component_the_whole_image_or_its_box_is_taken():
    image = noise(5, 12)
    (whole,) = patches()(image, 0 * BARS)
    assert (whole.window, whole.fallback) == ((0, 0, 12, 5), "empty_region")
    (boxed,) = patches()(image, 0 * BARS, (3, 2, 7, 4))
    assert (boxed.window, boxed.fallback) == ((3, 2, 7, 4), "empty_region")
    (unknown,) = patches(margins=[0, 1])(image)  # equal windows are one piece
    assert (unknown.window, unknown.fallback) == ((0, 0, 12, 5), "no_region")


def test_margins_give_a_piece_for_each_scale():
    pieces = patches(margins=[0, 0.5])(noise(5, 12), BARS)
    assert windows(pieces) == [(0, 0, 11, 1), (0, 0, 12, 2), (3, 2, 7, 4), (1, 1, 9, 5)]
    assert [piece.weight for piece in pieces] == [11, 11, 8, 8]


def test_max_pieces_keeps_the_largest():
    pieces = patches(max_pieces=1)(noise(5, 12), BARS)
    assert [piece.weight for piece in pieces] == [11]
    assert facts(pieces)["left_out"] == 1


def disc():
    """A bright disc on a dark ground of 40 x 50, its region and its box."""
    y, x = np.mgrid[:40, :50]
    region = ((y - 19.5) ** 2 + (x - 24.5) ** 2 < 100).astype(np.uint8)
    ground = np.random.default_rng(0).normal([30, 60, 40], 5, (40, 50, 3))
    image = np.where(region[..., None] == 1, [200, 150, 60], ground)
    return image.clip(0, 255).astype(np.uint8), region, (14.0, 9.0, 35.0, 30.0)


@pytest.mark.parametrize("method", ["grabcut", "border_colour"])
def test_removed_crops_to_the_box_and_clears_the_background(method):
    image, region, box = disc()
    (piece,) = removed(method, fill=1.0, margin=0)(image, None, box)
    assert (piece.window, piece.fallback) == ((14, 9, 35, 30), "")
    white = np.all(piece.image == 255, axis=-1)
    np.testing.assert_array_equal(white, piece.region == 0)
    assert np.mean(piece.region == region[9:30, 14:35]) > 0.97


def test_removed_takes_the_mask_where_there_is_one():
    (piece,) = removed(fill=1.0, margin=0)(noise(7, 10), TOUCHING)
    np.testing.assert_array_equal(piece.region, TOUCHING[1:7, 1:9])
    assert np.all(piece.image[piece.region == 0] == 255)
    assert np.all(piece.image[piece.region == 1] < 255)


def test_removed_without_a_box_finds_what_is_not_the_border():
    image, region, _ = disc()
    (piece,) = removed("border_colour", margin=0)(image)
    assert piece.fallback == ""
    x1, y1, x2, y2 = piece.window
    assert (x1, y1, x2, y2) == tuple(bounding_box(region).astype(int))


def test_removed_that_fails_is_the_crop_and_says_why():
    image, _, box = disc()
    flat = np.full_like(image, 90)
    for method in ("grabcut", "border_colour"):
        (piece,) = removed(method)(flat, None, box)
        (plain,) = crop()(flat, None, box)
        assert piece.fallback == "nothing_found"
        assert piece.window == plain.window
        np.testing.assert_array_equal(piece.image, plain.image)
    assert removed()(image)[0].fallback == "no_box"


@pytest.mark.parametrize("builder", [full, crop])
def test_find_gives_the_piece_its_region(builder):
    image, region, box = disc()
    (found,) = builder(find="grabcut")(image, None, box)
    x1, y1, x2, y2 = found.window
    assert np.mean(found.region == region[y1:y2, x1:x2]) > 0.98
    np.testing.assert_array_equal(found.image, image[y1:y2, x1:x2])
    (boxed,) = builder(find="box")(image, None, box)
    assert boxed.region.sum() == 21 * 21
    (given,) = builder(find="grabcut")(image, 1 - region, box)
    np.testing.assert_array_equal(given.region, 1 - region[y1:y2, x1:x2])
    (failed,) = builder(find="grabcut")(image, None, (0, 0, 50, 40))
    assert (failed.region, failed.fallback) == (None, "box_fills_image")


def test_notes_count_images_not_pieces():
    cut = patches(min_size=9)
    images = [(BARS, 1), (BARS * 0, 1), (None, 2)]
    total = Counter()
    for region, times in images:
        for _ in range(times):
            total += count_pieces(cut(noise(5, 12), region))
    assert cut.notes(total) == [
        "data.input `patches`: 2 of 4 images have no mask; what stands for it is the box, or "
        "else the whole image.",
        "data.input `patches`: 1 of 4 images have a mask that is empty everywhere and are taken "
        "whole, or by their box.",
        "data.input `patches`: 4 pieces of 4 images; 1 components below min_size or beyond "
        "max_pieces are left out.",
    ]
    assert full().notes(count_pieces(full()(noise()))) == []


@pytest.mark.parametrize(
    ("builder", "arguments", "match"),
    [
        (crop, {"margin": -0.1}, "crop: margin must be a number from 0 to 10, got -0.1"),
        (dual, {"margin": "wide"}, "dual: margin must be a number"),
        (masked, {"fill": 128}, "masked: fill must be a number from 0 to 1, got 128"),
        (removed, {"fill": True}, "removed: fill must be a number from 0 to 1, got True"),
        (removed, {"fill": [0, 1]}, r"fill must be a number or three of them, got \[0, 1\]"),
        (removed, {"fill": [0, 1, 2]}, "removed: fill must be a number from 0 to 1, got 2"),
        (removed, {"crop": "no"}, "removed: crop must be true or false, got 'no'"),
        (removed, {"method": "rembg"}, "one of grabcut, border_colour, got 'rembg'"),
        (full, {"find": "net"}, "full: find must be one of grabcut, border_colour, box, or none"),
        (patches, {"size_by": "width"}, "size_by must be 'area' or 'side', got 'width'"),
        (patches, {"connectivity": 6}, "connectivity must be 4 or 8, got 6"),
        (patches, {"min_size": -1}, "min_size must be a whole number from 0 up, got -1"),
        (patches, {"min_size": 2.5}, "min_size must be a whole number from 0 up"),
        (patches, {"max_pieces": 0}, "max_pieces must be a whole number from 1 up, got 0"),
        (patches, {"margins": []}, "margins must be a list with a margin or more"),
        (patches, {"margins": [0, -1]}, "patches: margin must be a number from 0 to 10, got -1"),
        (patches, {"margins": [0], "margin": 0.1}, "give margin or margins, not both"),
    ],
)
def test_bad_arguments_are_refused_when_built(builder, arguments, match):
    with pytest.raises(InputError, match=match):
        builder(**arguments)


# One size


def test_shrinking_averages_areas_and_keeps_the_dtype():
    image = noise(8, 12)
    small = fit_image(image, (2, 3))
    mean = image.reshape(2, 4, 3, 4, 3).mean(axis=(1, 3))
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small, mean, atol=0.51)
    floats = fit_image(noise(8, 12, dtype=np.float32), (2, 3))
    np.testing.assert_allclose(floats, mean / 255, atol=1e-6)


def test_a_side_that_shrinks_is_averaged_while_the_other_grows():
    image = noise(8, 3)
    out = fit_image(image, (2, 6))
    mean = image.reshape(2, 4, 3, 3).mean(axis=1)
    np.testing.assert_allclose(out[:, 0], mean[:, 0], atol=1.01)  # an edge pixel repeats itself
    assert out.shape == (2, 6, 3)


def test_pad_keeps_the_aspect_ratio_and_lies_in_the_middle():
    image = noise(4, 8)
    out = fit_image(image, (12, 8), "pad", fill=7)
    np.testing.assert_array_equal(out[4:8], image)
    assert np.all(out[:4] == 7)
    assert np.all(out[8:] == 7)
    tall = fit_image(noise(100, 1), (10, 10), "pad")  # a side never vanishes
    assert np.count_nonzero(tall.any(axis=(0, 2))) == 1


@pytest.mark.parametrize("how", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(3, 3), (14, 9), (33, 50)])
def test_a_region_stays_0_and_1(how, size):
    out = fit_image(TOUCHING, size, how, nearest=True)
    assert out.shape == size
    assert set(np.unique(out)) <= {0, 1}
    assert out.dtype == np.uint8
    same = fit_image(TOUCHING, (7, 10), how, nearest=True)
    np.testing.assert_array_equal(same, TOUCHING)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [(5, 6), (40, 50)])
def test_channels_do_not_mix(channels, size):
    image = noise(10, 12, channels, np.float32)  # of bytes OpenCV rounds one channel otherwise
    out = fit_image(image, size)
    for c in range(channels):
        np.testing.assert_allclose(out[..., c], fit_image(image[..., c], size), atol=1e-6)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="one of stretch, pad; got 'crop'"):
        fit_image(noise(), (4, 4), "crop")
    with pytest.raises(InputError, match="must have pixels"):
        fit_image(np.zeros((0, 4, 3), np.uint8), (4, 4))


# Aggregation

TWO = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]])


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("mean", [0.5, 0.35, 0.15]),
        ("area", [0.35, 0.475, 0.175]),  # (1 x first + 3 x second) / 4
        ("log_mean", np.sqrt([0.16, 0.06, 0.02]) / np.sqrt([0.16, 0.06, 0.02]).sum()),
        ("median", [0.5, 0.35, 0.15]),
        ("max", np.array([0.8, 0.6, 0.2]) / 1.6),
    ],
)
def test_aggregation_by_hand(how, wanted):
    np.testing.assert_allclose(aggregate(TWO, np.array([1, 3]), how), wanted, atol=1e-12)


def test_the_median_of_three_is_the_middle_one_divided_by_the_sum():
    three = np.array([[0.9, 0.1, 0.0], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(aggregate(three, np.ones(3), "median"), np.array([5, 2, 2]) / 9)
    np.testing.assert_allclose(aggregate(np.eye(3), np.ones(3), "median"), np.ones(3) / 3)


@pytest.mark.parametrize("how", AGGREGATES)
def test_one_piece_is_itself_and_order_does_not_matter(how):
    np.testing.assert_allclose(aggregate(TWO[:1], np.array([5.0]), how), TWO[0], atol=1e-9)
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    weights = np.arange(1.0, 7.0)
    mixed = np.random.default_rng(1).permutation(6)
    out = aggregate(rows, weights, how)
    np.testing.assert_allclose(out, aggregate(rows[mixed], weights[mixed], how), atol=1e-12)
    assert out.sum() == pytest.approx(1)


def test_the_geometric_mean_survives_zeros_and_many_pieces():
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(aggregate(sure, np.ones(2), "log_mean"), [0.5, 0.5])
    many = aggregate(np.tile([[0.6, 0.4]], (5000, 1)), np.ones(5000), "log_mean")
    np.testing.assert_allclose(many, [0.6, 0.4])


def test_what_cannot_be_aggregated_is_refused():
    with pytest.raises(InputError, match="one of mean, area, log_mean, median, max; got 'vote'"):
        aggregate(TWO, np.ones(2), "vote")
    with pytest.raises(InputError, match=r"with n from 1 up, got \(0, 3\) and \(0,\)"):
        aggregate(TWO[:0], np.ones(0))
    with pytest.raises(InputError, match=r"got \(2, 3\) and \(3,\)"):
        aggregate(TWO, np.ones(3))
    with pytest.raises(InputError, match="weights must be above 0, got 0"):
        aggregate(TWO, np.array([1, 0]), "area")


# Real data


def test_every_cell_image_gives_a_patch():
    folder = SHARED / "masked_cells" / "train_data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/masked_cells")
    cut, total = patches(min_size=200), Counter()
    for path in sorted(folder.glob("mask_*.png"))[::10]:
        mask = np.asarray(Image.open(path).convert("L"))
        pieces = cut(mask[..., None], mask > 127)
        total += count_pieces(pieces)
        assert all(piece.region.any() for piece in pieces)
    assert total["images"] == 30
    assert total["pieces"] >= 30


def test_removed_keeps_the_whole_image_where_it_is_not_to_be_cut():
    image, region, _ = disc()
    (piece,) = removed(fill=[1, 0.5, 0], crop=False)(image, region)
    assert piece.window == (0, 0, 50, 40)
    np.testing.assert_array_equal(piece.image[region == 1], image[region == 1])
    assert np.all(piece.image[region == 0] == [255, 128, 0])
    with pytest.raises(InputError, match="a value for each of 3 channels, and an image has 1"):
        removed(fill=[1, 0.5, 0])(image[..., :1], region)


def test_removed_counts_an_empty_mask_beside_a_box():
    image, region, box = disc()
    (piece,) = removed()(image, 0 * region, box)
    assert piece.fallback == "empty_region"
    np.testing.assert_array_equal(piece.image, crop()(image, None, box)[0].image)
