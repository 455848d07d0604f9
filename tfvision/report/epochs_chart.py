"""The score of a ladder's trainings epoch by epoch: mean and deviation, one SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tfvision.report.overlay import hex_colours
from tfvision.report.plots import tick_texts, ticks

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 920, 360, 60, 40, 720, 320
STYLE = """
.epochs { font: 13px system-ui, sans-serif; }
.epochs text { fill: #17202b; } .epochs .rule { stroke: #dde2e9; }
.epochs .mean { fill: none; stroke-width: 2; } .epochs .reach { fill-opacity: 0.18; stroke: none; }
@media (prefers-color-scheme: dark) {
.epochs text { fill: #e7ecf2; } .epochs .rule { stroke: #2d3744; } }
"""


def epochs_chart(title: str, curves: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """A line a curve with a band of one deviation to either side, as SVG that stands alone.

    Args:
        title: What is on the vertical axis.
        curves: Name -> `mean` and `deviation` of each epoch from the first on, None where there
            is none; at least one number in all.
    """
    means = [v for c in curves.values() for v in c["mean"] if v is not None]
    low, high = min(means), max(means)
    pad = 0.06 * (high - low) or 0.05
    low, high = low - pad, high + pad
    longest = max(len(curve["mean"]) for curve in curves.values())

    def across(epoch: float) -> float:
        return round(LEFT + (epoch - 1) / max(longest - 1, 1) * (RIGHT - LEFT), 1)

    def down(value: float) -> float:
        return round(BOTTOM - min(max((value - low) / (high - low), 0), 1) * (BOTTOM - TOP), 1)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="epochs" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title)} by epoch"><style>{STYLE}</style>',
        f'<text x="{LEFT}" y="20">{escape(title)} by epoch, mean and one deviation</text>',
    ]
    heights = ticks(low, high, 5)
    for value, text in zip(heights, tick_texts(heights), strict=True):
        y = down(value)
        drawn.append(f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{text}</text>')
    for epoch in ticks(1, max(longest, 2), 8):
        if epoch == int(epoch):
            text = f'<text x="{across(epoch)}" y="{BOTTOM + 22}" text-anchor="middle">'
            drawn.append(f"{text}{epoch:g}</text>")
    for place, (name, curve) in enumerate(curves.items()):
        colour = hex_colours(len(curves) + 1)[place + 1]
        drawn += _curve(curve, colour, across, down)
        y = TOP + 20 * place
        drawn.append(f'<rect x="{RIGHT + 16}" y="{y}" width="12" height="12" fill="{colour}"/>')
        drawn.append(f'<text x="{RIGHT + 34}" y="{y + 11}">{escape(name)}</text>')
    return "\n".join([*drawn, "</svg>", ""])


def _curve(curve: Mapping[str, Sequence[Any]], colour: str, across, down) -> list[str]:
    there = [
        (across(epoch), mean, deviation)
        for epoch, (mean, deviation) in enumerate(
            zip(curve["mean"], curve["deviation"], strict=True), 1
        )
        if mean is not None
    ]
    upper = [f"{x},{down(mean + (deviation or 0))}" for x, mean, deviation in there]
    lower = [f"{x},{down(mean - (deviation or 0))}" for x, mean, deviation in reversed(there)]
    line = " ".join(f"{x},{down(mean)}" for x, mean, _ in there)
    return [
        f'<polygon class="reach" fill="{colour}" points="{" ".join([*upper, *lower])}"/>',
        f'<polyline class="mean" stroke="{colour}" points="{line}"/>',
    ]
