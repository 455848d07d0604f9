"""Where the points of a chart land, and what its axes say."""

import itertools
import math
import re

import pytest

from tfvision.report.plots import (
    Curve,
    Line,
    column,
    line_chart,
    number,
    short,
    square_chart,
    tick_texts,
    ticks,
)

NAN = math.nan


def chart(x, *values, **options):
    lines = [Line(f"line {index}", list(v), "red") for index, v in enumerate(values)]
    return line_chart(list(x), lines, title="t", note="n", **options)


def points(path):
    """The strokes of a path, each a list of (x, y)."""
    return [
        [tuple(float(v) for v in pair.split()) for pair in stroke.split("L")[1:]]
        for stroke in path.split("M")[1:]
    ]


def test_number_takes_what_a_csv_holds():
    assert number("0.5") == 0.5
    assert number(3) == 3.0
    assert all(math.isnan(number(value)) for value in (None, "", "nan", "inf", -math.inf, "x"))
    assert column([{"a": "1"}, {}], "a")[0] == 1.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7125, "0.713"),
        (0.17, "0.17"),
        (12.5, "12.5"),
        (40, "40"),
        (0, "0"),
        (1e-3, "0.001"),
        (1e-5, "1e-5"),
        (2.4e-7, "2.4e-7"),
        (-0.25, "-0.25"),
        (1234567, "1.2e6"),
        (NAN, "–"),
    ],
)
def test_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (1, 40), (0.37, 1.73), (-3, 5), (0, 1.25e-3), (0.70012, 0.70034)]
)
def test_ticks_are_round_even_and_told_apart(low, high):
    values = ticks(low, high)
    assert 2 <= len(values) <= 7
    assert low - 1e-9 <= values[0] < values[-1] <= high + 1e-9
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)
    texts = tick_texts(values)
    assert len(set(texts)) == len(texts)
    assert [float(text) for text in texts] == pytest.approx(values, abs=steps[0] / 100)


def test_points_lie_where_the_axes_say():
    drawn = chart([1, 2, 5], [0.0, 0.25, 1.0], y_range=(0, 1))
    (stroke,) = points(drawn["lines"][0]["path"])
    assert stroke == [(0, 100), (25, 75), (100, 0)]


def test_a_level_shares_the_scale_of_the_lines():
    drawn = chart([1, 2], [0.17, 0.17], [0.6, 0.9], levels=[("majority class", 0.17), ("no", NAN)])
    heights = {y for _, y in points(drawn["lines"][0]["path"])[0]}
    assert [level["name"] for level in drawn["levels"]] == ["majority class"]
    assert heights == {drawn["levels"][0]["y"]}
    assert 0 <= drawn["levels"][0]["y"] <= 100


@pytest.mark.parametrize("level", [0.1, 0.95])
def test_the_axis_reaches_to_a_level_beyond_the_lines(level):
    drawn = chart([1, 2], [0.6, 0.7], levels=[("majority class", level)])
    lowest = max(y for _, y in points(drawn["lines"][0]["path"])[0])
    height = drawn["levels"][0]["y"]
    assert 0 < height < 100
    assert (height > lowest) == (level < 0.6)


def test_the_mark_sits_on_its_line():
    drawn = chart([1, 2, 3], [0.2, 0.9, 0.5], mark=("best", 2, 0.9))
    assert (drawn["mark"]["x"], drawn["mark"]["y"]) == points(drawn["lines"][0]["path"])[0][1]
    assert chart([1, 2], [0.2, 0.9], mark=("best", 2, NAN))["mark"] is None


def test_missing_values_break_the_line():
    drawn = chart([1, 2, 3, 4], [0.1, NAN, 0.3, 0.4])
    lone, rest = points(drawn["lines"][0]["path"])
    assert lone == [lone[0]]
    assert len(rest) == 2
    assert "nan" not in str(drawn["lines"])


def test_lines_without_values_are_left_out():
    drawn = chart([1, 2], [NAN, NAN], [1, 2])
    assert [line["name"] for line in drawn["lines"]] == ["line 1"]
    assert chart([1, 2], [NAN, math.inf]) is None


@pytest.mark.parametrize("values", [[0.5], [0.0], [-2.0]])
def test_a_single_epoch_is_a_dot_inside(values):
    drawn = chart([1], values)
    ((x, y),) = points(drawn["lines"][0]["path"])[0]
    assert x == 50
    assert 0 <= y <= 100
    assert [tick["text"] for tick in drawn["x_ticks"]] == ["1"]


def test_a_constant_line_has_an_axis():
    drawn = chart(range(1, 5), [1e-3] * 4)
    texts = [tick["text"] for tick in drawn["y_ticks"]]
    assert len(set(texts)) == len(texts) > 1


def test_a_long_line_is_thinned_and_keeps_its_spike():
    values = [0.5] * 5000
    values[3210] = 0.9
    drawn = chart(range(5000), values, y_range=(0, 1))
    (stroke,) = points(drawn["lines"][0]["path"])
    assert len(stroke) < 400
    assert min(y for _, y in stroke) == pytest.approx(10)
    assert (stroke[0][0], stroke[-1][0]) == (0, 100)


@pytest.mark.parametrize("epochs", [1, 2, 7, 1000])
def test_readouts_tile_the_chart_and_tell_the_numbers(epochs):
    values = [index / epochs for index in range(epochs)]
    drawn = chart(range(1, epochs + 1), values)
    bands = drawn["readouts"]
    assert len(bands) <= 150
    assert bands[0]["left"] == 0
    assert sum(band["width"] for band in bands) == pytest.approx(100, abs=0.5)
    for band in bands:
        assert band["left"] <= band["x"] <= band["left"] + band["width"] + 0.01
        epoch = int(band["epoch"])
        assert band["values"] == [("line 0", "red", short(values[epoch - 1]))]
        assert re.fullmatch(r"\d+", band["epoch"])


def test_square_charts_have_their_own_x_and_the_corners_where_they_belong():
    drawn = square_chart(
        [Curve("a", [0, 0.25, 1], [0, 0.5, 1], "red"), Curve("none", [NAN], [0.5], "blue")],
        title="t",
        note="n",
        across="x",
        up="y",
        diagonal="guessing",
        bars=[(0.5, 0.25, 0.2)],
        dots=True,
    )
    (line,) = drawn["lines"]
    assert points(line["path"]) == [[(0, 100), (25, 50), (100, 0)]]
    assert points(line["dots"]) == [[(0, 100)], [(25, 50)], [(100, 0)]]
    assert drawn["bars"] == [{"left": 50, "width": 25, "height": 20}]
    assert (drawn["across"], drawn["up"], drawn["diagonal"]) == ("x", "y", "guessing")
    assert drawn["x_ticks"][2] == {"at": 50, "text": "0.5"}
    assert drawn["y_ticks"][4] == {"at": 0, "text": "1"}


def test_square_charts_break_at_missing_points_and_may_have_none():
    drawn = square_chart(
        [Curve("a", [0, NAN, 1], [0, 0.5, 1], "red")], title="t", note="n", across="x", up="y"
    )
    assert points(drawn["lines"][0]["path"]) == [[(0, 100)], [(100, 0)]]
    assert "nan" not in str(drawn["lines"])
    assert drawn["lines"][0]["dots"] == ""
    assert square_chart([Curve("a", [], [], "red")], title="", note="", across="", up="") is None
