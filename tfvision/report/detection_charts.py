"""The charts of a detection's page: training, precision and recall, thresholds, calibration."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.report.detection_scores import SplitDetections
from tfvision.report.overlay import hex_colours
from tfvision.report.plots import Curve, Line, column, line_chart, number, square_chart
from tfvision.report.shared import MAX_CURVES, best_epoch, epochs_of, loss_chart, rate_chart

_SCORES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
_COLOURS = ("var(--blue)", "var(--orange)", "var(--good)", "var(--bad)", "var(--muted)")
_RECALL = [place / 100 for place in range(101)]


def training_charts(report, metric: str) -> list[dict[str, Any]]:
    """The curves of the history of a `DetectionReport`; empty for a run without epochs."""
    rows, epochs = epochs_of(report)
    if not rows:
        return []
    names = list(dict.fromkeys([metric, *_SCORES]))
    lines = [
        Line(_SCORES.get(name, name), column(rows, f"val_{name}"), colour)
        for name, colour in zip(names, _COLOURS, strict=False)
    ]
    more = [k.removeprefix("val_") for k in rows[0] if k.startswith("val_")]
    more = [name for name in more if name not in (*names, "loss")]
    others = [
        Line(name, column(rows, f"val_{name}"), colour)
        for name, colour in zip(more, hex_colours(len(more) + 1)[1:], strict=True)
    ]
    terms = [key for key in rows[0] if key.startswith("loss_")]
    colours = hex_colours(len(terms) + 1)[1:]
    charts = [
        loss_chart(rows, epochs),
        line_chart(
            epochs,
            [
                Line(key.removeprefix("loss_").replace("_", ": ", 1), column(rows, key), colour)
                for key, colour in zip(terms, colours, strict=True)
            ],
            title="Loss by head and term",
            note="What training saw of each term. Terms of the first stage (rpn) should fall "
            "first: without good proposals the second stage has nothing to learn from.",
        ),
        line_chart(
            epochs,
            lines,
            title="Scores on validation",
            note="The dot is the epoch whose weights were kept. AP50 far above AP: objects are "
            "found, their boxes lie badly. All at zero while the loss falls: look at the anchors.",
            levels=[(item["name"], number(item.get("val"))) for item in report.baselines],
            mark=best_epoch(report, epochs, lines[0].values),
        ),
        line_chart(
            epochs,
            others,
            title="Further scores on validation",
            note="What else the config lists under metrics. AR counts the objects found with at "
            "most so many boxes an image, whatever their scores.",
        ),
        rate_chart(rows, epochs),
    ]
    return [chart for chart in charts if chart]


def precision_recall(name: str, split: SplitDetections, classes) -> list[dict[str, Any]]:
    """Precision over recall of each class, a chart for each IoU; of many classes the weakest."""
    each = [number(value) for value in split.metrics.get("per_class_ap") or []]
    order = sorted(range(len(each)), key=lambda k: (math.isnan(each[k]), each[k]))
    shown = sorted(order[:MAX_CURVES])
    cut = f" The {MAX_CURVES} weakest classes." if len(each) > MAX_CURVES else ""
    charts = [
        square_chart(
            [
                Curve(classes[k]["name"], _RECALL, _reached(table[:, k]), classes[k]["colour"])
                for k in shown
            ],
            title=f"{name}: precision and recall at IoU {iou:g}",
            note="How much of what is found is right, where so much of the class is found; AP is "
            f"the area below. A curve that ends early: the rest is never found.{cut}",
            across="recall",
            up="precision",
        )
        for iou, table in split.precision.items()
    ]
    return [chart for chart in charts if chart]


def threshold_chart(
    name: str, split: SplitDetections, threshold: float, chosen: str
) -> dict[str, Any] | None:
    """Precision, recall and F1 over the threshold, the operating point marked."""
    curve = split.thresholds
    if curve is None or not len(curve.thresholds):
        return None
    reached = np.flatnonzero(curve.thresholds >= threshold)
    f1 = float(curve.f1[reached[-1]]) if len(reached) else math.nan
    lines = (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1))
    return square_chart(
        [
            Curve(text, curve.thresholds.tolist(), values.tolist(), colour)
            for (text, values), colour in zip(lines, _COLOURS, strict=False)
        ],
        title=f"{name}: precision, recall and F1 over the threshold",
        note="Of the boxes whose score reaches the threshold, at IoU 0.5. Further left more is "
        "found and more of it is wrong.",
        across="threshold of the score",
        up="share",
        mark=(f"{chosen}: {threshold:.2f}", threshold, f1),
    )


def calibration_chart(name: str, split: SplitDetections) -> dict[str, Any] | None:
    """The share of detections that are right over their score."""
    found = split.calibration
    if not found or not found["count"].sum():
        return None
    total, filled = found["count"].sum(), found["count"] > 0
    return square_chart(
        [
            Curve(
                "detections",
                found["score"][filled].tolist(),
                found["right"][filled].tolist(),
                "var(--blue)",
            )
        ],
        title=f"{name}: calibration",
        note="On the diagonal, of the boxes with the score 0.8 80 % are right at IoU 0.5; below "
        "it the model is too sure. The pale bars are shares of all boxes. Mean distance from the "
        f"diagonal: {found['ece']:.3f}.",
        across="score",
        up="share that is right",
        diagonal="honest",
        bars=[
            (float(low), float(high - low), float(count / total))
            for low, high, count in zip(found["low"], found["high"], found["count"], strict=True)
            if count
        ],
        dots=True,
    )


def _reached(precision: Sequence[float]) -> list[float]:
    """Without the zeros beyond the last recall that is reached; NaN without a truth."""
    values = np.array(precision, np.float64)
    beyond = np.flatnonzero(values > 0).max(initial=-1) + 1
    values[beyond:] = math.nan
    return values.tolist()
