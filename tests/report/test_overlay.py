"""The shared colours, and the panels of a sample."""

import base64
import colorsys
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.report.example import make_overlay
from tfvision.errors import InputError
from tfvision.report import overlay
from tfvision.report.overlay import (
    ERROR,
    HATCH,
    colour_labels,
    draw,
    error_image,
    error_share,
    hex_colours,
    palette,
    png_uri,
)


def decode(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def colours_of(picture):
    return {tuple(int(v) for v in colour) for colour in picture.reshape(-1, 3)}


def closest(colours, vision):
    seen = overlay._seen(np.asarray(colours))[vision]
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)
    return distance[~np.eye(len(seen), dtype=bool)].min()


def test_palette_has_a_colour_for_every_class_and_keeps_it():
    full = palette(256)
    assert full.dtype == np.uint8
    assert full.shape == (256, 3)
    assert len({tuple(colour) for colour in full}) == 256
    for num_classes in (1, 5, 8, 9, 20):
        np.testing.assert_array_equal(palette(num_classes), full[:num_classes])
    assert hex_colours(2) == ["#4a5058", "#e69f00"]


@pytest.mark.parametrize("num_classes", [0, 257])
def test_palette_says_its_limits(num_classes):
    with pytest.raises(InputError, match=f"1 to 256 colours; num_classes is {num_classes}"):
        palette(num_classes)


def test_colour_space_agrees_with_its_source():
    """Ottosson's own values for white and red."""
    white, red = overlay._seen(np.array([[255, 255, 255], [255, 0, 0]]))[0]
    np.testing.assert_allclose(white, [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(red, [0.628, 0.225, 0.126], atol=1e-3)


def test_simulated_visions_keep_greys_and_lose_their_own_hues():
    grey = overlay._seen(np.array([[128, 128, 128]]))
    np.testing.assert_allclose(grey, np.broadcast_to(grey[0], grey.shape), atol=2e-3)
    red_and_olive = [[170, 60, 0], [104, 104, 0]]  # a pair that people without M cones mix up
    assert closest(red_and_olive, 2) < 0.3 * closest(red_and_olive, 0)


@pytest.mark.parametrize("num_classes", [5, 8, 12])
def test_palette_is_told_apart_by_every_vision(num_classes):
    """Three just noticeable differences (0.02 in OKLab), and better than a colour wheel."""
    wheel = [
        [round(255 * v) for v in colorsys.hsv_to_rgb(k / num_classes, 0.9, 0.9)]
        for k in range(num_classes)
    ]
    worst = min(closest(palette(num_classes), vision) for vision in range(4))
    assert worst > 0.06
    assert worst > min(closest(wheel, vision) for vision in range(4))


def test_labels_become_colours_and_the_rest_is_hatched():
    labels = np.array([[0, 1, 2], [255, -1, 3]])
    picture = colour_labels(labels, palette(3))
    np.testing.assert_array_equal(picture[0], palette(3))
    assert colours_of(picture[1:]) <= {tuple(map(int, stripe)) for stripe in HATCH}


def test_a_large_ignored_area_shows_both_stripes():
    picture = colour_labels(np.full((8, 8), 255), palette(3))
    assert colours_of(picture) == {tuple(map(int, stripe)) for stripe in HATCH}


def test_errors_are_marked_where_labelled_and_wrong():
    truth = np.array([[0, 1], [255, 2]])
    prediction = np.array([[0, 2], [1, 2]])
    picture = error_image(np.full((2, 2, 1), 200, np.uint8), truth, prediction, 3)
    marked = (picture == ERROR).all(-1)
    np.testing.assert_array_equal(marked, [[False, True], [False, False]])
    np.testing.assert_array_equal(picture[1, 0], HATCH[1])
    assert error_share(truth, prediction, 3) == pytest.approx(1 / 3)
    assert np.isnan(error_share(np.full((2, 2), 255), prediction, 3))


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 7])
def test_panels_of_any_number_of_channels(channels):
    sample = make_overlay("a")
    shape = (8, 12) if channels is None else (8, 12, channels)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    panels = draw([replace(sample, image=image)], 3)[0]
    shown = decode(panels["image"])
    first = image if channels is None else image[..., 0]
    np.testing.assert_array_equal(shown[..., 0], first)
    if channels is not None and channels >= 3:
        np.testing.assert_array_equal(shown, image[..., :3])


def test_panels_hold_exactly_the_labels():
    sample = make_overlay("a")
    panels = draw([sample], 3)[0]
    truth, prediction = decode(panels["truth"]), decode(panels["prediction"])
    known = sample.truth < 3
    np.testing.assert_array_equal(truth[known], palette(3)[sample.truth[known]])
    np.testing.assert_array_equal(prediction, palette(3)[sample.prediction])


def test_large_samples_shrink_to_the_budget_without_new_colours():
    sample = make_overlay("a", size=(300, 600))
    two = np.where(sample.prediction > 0, 2, 0)  # a mean of 0 and 2 would be a false 1
    sample = replace(sample, prediction=two)
    full = draw([sample] * 2, 3, budget=10**9)
    small = draw([sample] * 2, 3, budget=120_000)
    assert sum(len(uri) for panels in full for uri in panels.values()) > 120_000
    assert sum(len(uri) for panels in small for uri in panels.values()) <= 120_000
    shown = decode(small[0]["prediction"])
    assert shown.shape[1] == 2 * shown.shape[0] < 512
    assert colours_of(shown) == {tuple(map(int, colour)) for colour in palette(3)[[0, 2]]}


def test_sizes_must_agree():
    sample = make_overlay("tile_7")
    with pytest.raises(InputError, match=r"'tile_7'.*\(8, 12\), \(8, 12\) and \(4, 12\)"):
        draw([replace(sample, prediction=sample.prediction[:4])], 3)


def test_png_survives_the_round_trip():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode(png_uri(picture)), picture)
