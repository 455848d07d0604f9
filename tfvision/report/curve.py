"""A curve over a logarithmic axis as a PNG file, drawn with Pillow.

The report's own charts are SVG; this one stands alone beside a CSV file, for whatever
shows pictures.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from tfvision.report.plots import tick_texts, ticks

SIZE = (960, 560)  # width, height in pixels
BOX = (90, 60, 930, 490)  # of the plotting area: left, top, right, bottom
COLOURS = ((158, 180, 205), (20, 85, 160))
GREY, BLACK, RED = (220, 220, 220), (40, 40, 40), (190, 40, 40)


@dataclass(frozen=True)
class Mark:
    """A vertical line at an x, with its name."""

    name: str
    x: float


def curve_png(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_name: str,
    marks: Sequence[Mark] = (),
) -> bytes:
    """Lines over a logarithmic x axis, as the bytes of a PNG file.

    The axis of values ends a little above the first value of the last line, or at its
    highest before its lowest: what breaks out runs off the picture, and the rest stays
    readable.

    Args:
        x: Above 0, ascending; empty draws the axes alone.
        lines: One value per x and name, finite; at most two, the last is drawn on top.
        title: Stands above.
        x_name: Stands below the axis.
        marks: Vertical lines, those outside of x left out.
    """
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    draw.text((BOX[0], 18), title, BLACK, ImageFont.load_default(19))
    if x:
        scale = scales(x, lines)
        _axes(draw, font, scale)
        _marks(draw, font, [mark for mark in marks if x[0] <= mark.x <= x[-1]], scale)
        for place, (name, values) in enumerate(lines.items()):
            colour = COLOURS[place]
            points = [(scale.across(a), scale.down(b)) for a, b in zip(x, values, strict=True)]
            draw.line(points, colour, 3 if place == len(lines) - 1 else 1)
            start, row = BOX[0] + 130 * place, BOX[3] + 48
            draw.line([(start, row), (start + 24, row)], colour, 3)
            draw.text((start + 32, row), name, colour, font, anchor="lm")
        draw.text((BOX[2], BOX[3] + 48), x_name, BLACK, font, anchor="rm")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Scales:
    """Where values land in the picture, in pixels.

    Attributes:
        x_range: The powers of ten at the left and right end.
        y_range: The values at the lower and upper end.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def across(self, value: float) -> float:
        """The column of an x."""
        left, right = self.x_range
        return BOX[0] + (math.log10(value) - left) / (right - left or 1.0) * (BOX[2] - BOX[0])

    def down(self, value: float) -> float:
        """The row of a value; what is off the picture lies just outside the area."""
        low, high = self.y_range
        share = min(max((value - low) / (high - low), -0.02), 1.02)
        return BOX[3] - share * (BOX[3] - BOX[1])


def scales(x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> Scales:
    """The scales of a picture of these lines; see `curve_png`."""
    leading = list(lines.values())[-1]
    lowest = min(leading)
    highest = max(leading[: leading.index(lowest) + 1])
    pad = 0.15 * (highest - lowest) or abs(highest) or 1.0
    return Scales((math.log10(x[0]), math.log10(x[-1])), (lowest - pad, highest + pad))


def _axes(draw, font, scale: Scales) -> None:
    left, right = scale.x_range
    for power in range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1):
        at = scale.across(10.0**power)
        draw.line([(at, BOX[1]), (at, BOX[3])], GREY, 1)
        draw.text((at, BOX[3] + 8), f"1e{power}" if power else "1", BLACK, font, anchor="ma")
    heights = ticks(*scale.y_range, 5)
    for value, text in zip(heights, tick_texts(heights), strict=True):
        at = scale.down(value)
        draw.line([(BOX[0], at), (BOX[2], at)], GREY, 1)
        draw.text((BOX[0] - 8, at), text, BLACK, font, anchor="rm")
    draw.rectangle(BOX, outline=BLACK)


def _marks(draw, font, marks: Sequence[Mark], scale: Scales) -> None:
    """A line and a name each, every name in a row of its own, so that none covers another."""
    for row, mark in enumerate(marks):
        at = scale.across(mark.x)
        draw.line([(at, BOX[1]), (at, BOX[3])], RED, 1)
        near_the_end = at > (BOX[0] + BOX[2]) / 2
        anchor, shift = ("ra", -5) if near_the_end else ("la", 5)
        draw.text((at + shift, BOX[1] + 6 + 20 * row), mark.name, RED, font, anchor=anchor)
