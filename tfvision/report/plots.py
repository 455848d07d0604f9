"""Geometry of the report's charts; `parts.html` turns it into inline SVG and CSS.

Charts are made here and not by matplotlib: they follow dark mode and the width of a phone,
keep their text at reading size, and take a few kilobytes. A chart is a plain dict, so that
the template escapes every name in it. Positions are per cent of the plotting area, from the
left and from the top.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MAX_POINTS = 300  # of a line; more can't be seen
_MAX_READOUTS = 150  # places of a chart that show their numbers


@dataclass
class Line:
    """One curve: a name, one value per x (NaN where there is none), a CSS colour."""

    name: str
    values: Sequence[float]
    colour: str


@dataclass
class Curve:
    """One curve with its own x: a name, points in 0..1 (NaN where there is none), a CSS colour."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str


def number(value: Any) -> float:
    """A cell of a table as a float; NaN for nothing, text or infinity."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def column(rows: Sequence[dict], key: str) -> list[float]:
    """The values of `key` in `rows` of metrics.csv, NaN where a row has none."""
    return [number(row.get(key)) for row in rows]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) within low..high, about `count`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [0.0 if index == 0 else index * step for index in range(first, last + 1)]


def short(value: float) -> str:
    """A number as a person writes it: 0.712, 12.5, 1e-5; an en dash for NaN."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - max(0, math.floor(math.log10(abs(value)))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return _scientific(value, 1)


def tick_texts(values: Sequence[float]) -> list[str]:
    """Evenly spaced `ticks` with just the digits that tell them apart."""
    if len(values) < 2:
        return [short(value) for value in values]
    power = math.floor(math.log10(values[1] - values[0]) + 1e-9)
    largest = max(abs(value) for value in values)
    if power >= -3 and largest < 1e5:
        return [f"{value:.{max(0, -power)}f}" if value else "0" for value in values]
    digits = max(0, math.floor(math.log10(largest) + 1e-9) - power)
    return [_scientific(value, digits) if value else "0" for value in values]


def line_chart(
    x: Sequence[float],
    lines: Sequence[Line],
    *,
    title: str,
    note: str,
    y_range: tuple[float, float] | None = None,
    levels: Sequence[tuple[str, float]] = (),
    mark: tuple[str, float, float] | None = None,
) -> dict[str, Any] | None:
    """A chart of curves over epochs.

    Args:
        x: Epochs, ascending.
        lines: The curves; one without any finite value is left out.
        title: What is on the vertical axis.
        note: How to read the chart, one or two sentences.
        y_range: Lowest and highest value of the axis; from the data when None.
        levels: Names and heights of horizontal lines, such as a baseline.
        mark: Text, x and y of one point to point at.

    Returns:
        The chart for `parts.html`, or None when there is nothing to draw.
    """
    lines = [line for line in lines if any(math.isfinite(value) for value in line.values)]
    if not lines:
        return None
    levels = [(name, value) for name, value in levels if math.isfinite(value)]
    values = [value for line in lines for value in line.values if math.isfinite(value)]
    values += [value for _, value in levels]
    low, high = y_range or _span(values)
    left, right = (x[0], x[-1]) if x[-1] > x[0] else (x[0] - 1, x[0] + 1)

    def across(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    def down(value: float) -> float:
        share = (value - low) / (high - low)
        return round(100 * (1 - min(max(share, 0), 1)), 2)

    heights = ticks(low, high, 4)
    marked = None
    if mark and math.isfinite(mark[2]):
        marked = {"text": mark[0], "x": across(mark[1]), "y": down(mark[2])}
    return {
        "title": title,
        "note": note,
        "x_ticks": [{"at": across(v), "text": f"{v:g}"} for v in _epoch_ticks(x)],
        "y_ticks": [
            {"at": down(v), "text": text}
            for v, text in zip(heights, tick_texts(heights), strict=True)
        ],
        "lines": [
            {
                "name": line.name,
                "colour": line.colour,
                "path": _path([across(value) for value in x], line.values, down),
            }
            for line in lines
        ],
        "levels": [{"name": name, "y": down(v), "text": short(v)} for name, v in levels],
        "mark": marked,
        "readouts": _readouts(x, lines, across),
    }


def square_chart(
    curves: Sequence[Curve],
    *,
    title: str,
    note: str,
    across: str,
    up: str,
    diagonal: str | None = None,
    levels: Sequence[tuple[str, float]] = (),
    bars: Sequence[tuple[float, float, float]] = (),
    dots: bool = False,
    mark: tuple[str, float, float] | None = None,
) -> dict[str, Any] | None:
    """A chart of curves over 0..1 both ways: ROC, precision and recall, reliability.

    Args:
        curves: One without any finite point is left out.
        title, note: As `line_chart` has them.
        across, up: What the two axes are.
        diagonal: Name of the line from (0, 0) to (1, 1), or None.
        levels: Names and heights of horizontal lines.
        bars: Left end, width and height of bars behind the curves, such as shares of images.
        dots: Whether each point is marked.
        mark: Text, x and y of one point to point at.

    Returns:
        The chart for `parts.html`, or None when there is nothing to draw.
    """
    curves = [
        curve
        for curve in curves
        if any(math.isfinite(a) and math.isfinite(b) for a, b in zip(curve.x, curve.y, strict=True))
    ]
    if not curves:
        return None

    def down(value: float) -> float:
        return round(100 * (1 - min(max(value, 0), 1)), 2)

    lines = []
    for curve in curves:
        places = [round(100 * min(max(a, 0), 1), 2) if math.isfinite(a) else 0 for a in curve.x]
        values = [
            float(b) if math.isfinite(a) else math.nan
            for a, b in zip(curve.x, curve.y, strict=True)
        ]
        spots = [
            f"M{a:g} {down(b):g}L{a:g} {down(b):g}"
            for a, b in zip(places, values, strict=True)
            if dots and math.isfinite(b)
        ]
        lines.append(
            {
                "name": curve.name,
                "colour": curve.colour,
                "path": _path(places, values, down),
                "dots": "".join(spots),
            }
        )
    marks = [0.0, 0.25, 0.5, 0.75, 1.0]
    marked = None
    if mark and math.isfinite(mark[1]) and math.isfinite(mark[2]):
        marked = {"text": mark[0], "x": round(100 * mark[1], 2), "y": down(mark[2])}
    return {
        "title": title,
        "note": note,
        "across": across,
        "up": up,
        "x_ticks": [{"at": 100 * v, "text": short(v)} for v in marks],
        "y_ticks": [{"at": down(v), "text": short(v)} for v in marks],
        "lines": lines,
        "levels": [
            {"name": name, "y": down(v), "text": short(v)} for name, v in levels if math.isfinite(v)
        ],
        "diagonal": diagonal,
        "bars": [
            {"left": round(100 * left, 2), "width": round(100 * width, 2), "height": 100 - down(h)}
            for left, width, h in bars
        ],
        "mark": marked,
        "readouts": [],
    }


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _epoch_ticks(x: Sequence[float]) -> list[float]:
    """Whole epochs only: half an epoch has no numbers."""
    values = ticks(x[0], x[-1]) if x[-1] > x[0] else [x[0]]
    return [value for value in values if value == int(value)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The axis for these values: some air above and below, from zero where that is near."""
    low, high = min(values), max(values)
    if low == high:
        return (min(low * 1.25, 0.0), max(high * 1.25, 0.0)) if low else (0.0, 1.0)
    pad = (high - low) * 0.06
    return (0.0 if 0 <= low <= pad else low - pad, high + pad)


def _path(across: Sequence[float], values: Sequence[float], down) -> str:
    """An SVG path that is broken where a value is missing; a lone point is a dot."""
    kept = set(_thinned(values))
    parts, pen_down = [], False
    for index, value in enumerate(values):
        if not math.isfinite(value):
            pen_down = False
        elif index in kept:
            point = f"{across[index]:g} {down(value):g}"
            parts.append(f"L{point}" if pen_down else f"M{point}L{point}")
            pen_down = True
    return "".join(parts)


def _thinned(values: Sequence[float]) -> list[int]:
    """Indices to draw: all of a short line; of a long one each stretch's extremes and ends."""
    if len(values) <= _MAX_POINTS:
        return list(range(len(values)))
    stretch = math.ceil(4 * len(values) / _MAX_POINTS)
    kept = set()
    for start in range(0, len(values), stretch):
        part = range(start, min(start + stretch, len(values)))
        finite = [index for index in part if math.isfinite(values[index])] or [start]
        kept |= {finite[0], finite[-1]}
        kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
    return sorted(kept)


def _readouts(x: Sequence[float], lines: Sequence[Line], across) -> list[dict[str, Any]]:
    """Vertical bands of the chart, each with the numbers of its epoch."""
    step = math.ceil(len(x) / _MAX_READOUTS)
    chosen = list(range(0, len(x), step))
    centres = [across(x[index]) for index in chosen]
    edges = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(centres)), 100.0]
    return [
        {
            "x": centre,
            "left": round(edges[place], 2),
            "width": round(edges[place + 1] - edges[place], 2),
            "epoch": short(x[index]),
            "values": [(line.name, line.colour, short(line.values[index])) for line in lines],
        }
        for place, (index, centre) in enumerate(zip(chosen, centres, strict=True))
    ]
