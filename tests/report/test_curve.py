"""The curve's picture: lines land where their values are, what breaks out runs off."""

import io

import numpy as np
import pytest
from PIL import Image

from tfvision.report.curve import BOX, COLOURS, RED, SIZE, Mark, curve_png, scales


def pixels(*args, **options):
    return np.asarray(Image.open(io.BytesIO(curve_png(*args, title="t", x_name="rate", **options))))


def has(picture, colour, x, y, reach=2):
    x, y = round(x), round(y)
    near = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3)
    return (near == colour).all(axis=1).any()


def test_the_picture_is_a_png_of_its_size_and_the_same_every_time():
    given = ([1e-3, 1e-2], {"loss": [2.0, 1.0]})
    first = curve_png(*given, title="t", x_name="rate")
    assert Image.open(io.BytesIO(first)).size == SIZE
    assert first == curve_png(*given, title="t", x_name="rate")


def test_points_lie_at_the_logarithm_of_x():
    x, values = [1e-4, 1e-3, 1e-2, 1e-1, 1.0], [1.0, 0.9, 0.5, 0.2, 0.6]
    picture = pixels(x, {"loss": values})
    low, high = 0.2 - 0.15 * 0.8, 1.0 + 0.15 * 0.8
    for i, value in enumerate(values[1:-1], 1):
        across = BOX[0] + i / 4 * (BOX[2] - BOX[0])
        down = BOX[3] - (value - low) / (high - low) * (BOX[3] - BOX[1])
        assert has(picture, COLOURS[0], across, down)
        assert not has(picture, COLOURS[0], across, down + 40)


def test_what_breaks_out_does_not_flatten_the_rest():
    x = [1e-3, 1e-2, 1e-1, 1.0]
    scale = scales(x, {"loss": [1.0, 0.8, 0.5, 1e6], "smoothed": [1.0, 0.8, 0.5, 1e6]})
    assert scale.down(0.5) - scale.down(1.0) > 0.7 * (BOX[3] - BOX[1])
    assert BOX[1] - 20 < scale.down(1e6) < BOX[1]
    assert (scale.across(1e-3), scale.across(1.0)) == (BOX[0], BOX[2])


def test_a_mark_stands_at_its_x_and_none_outside():
    x, lines = [1e-4, 1e-2, 1.0], {"loss": [1.0, 0.5, 0.7]}
    middle = (BOX[0] + BOX[2]) / 2
    assert has(pixels(x, lines, marks=[Mark("here", 1e-2)]), RED, middle, BOX[3] - 9)
    plain = pixels(x, lines)
    assert not (plain == RED).all(axis=-1).any()
    np.testing.assert_array_equal(pixels(x, lines, marks=[Mark("there", 10.0)]), plain)


@pytest.mark.parametrize("x", [[], [1e-3]])
def test_few_points_draw_too(x):
    assert pixels(x, {"loss": [1.0][: len(x)]}).shape == (*SIZE[::-1], 3)


def test_a_level_loss_draws_in_the_middle():
    picture = pixels([1e-3, 1e-1], {"loss": [0.0, 0.0]})
    assert has(picture, COLOURS[0], (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2)
