"""The report of a run: one HTML file that needs nothing else, not even a script.

The page carries a content security policy that forbids every request, so that a hostile
class name or id could not load anything either; all texts are escaped by the template.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.report import overlay, tables
from tfvision.report.looks import Look, looks_of, shares_of
from tfvision.report.plots import Line, column, line_chart, number
from tfvision.report.shared import (
    MAX_MATRIX,
    RunReport,
    best_epoch,
    best_references,
    class_chart,
    classes_of,
    common,
    epochs_of,
    loss_chart,
    rate_chart,
    render_template,
)


@dataclass
class SplitScores:
    """Scores of one split.

    Attributes:
        confusion: (K, K) pixel counts; row: truth, column: prediction.
        scores: `mean_iou`, `pixel_accuracy`, and a list of K under each of `per_class_iou`,
            `per_class_dice`, `precision`, `recall`; NaN or None where undefined.
        post_processed: The same after post-processing, or None without any.
        conventions: {name, explanation, mean_iou, mean_iou_post_processed} each.
    """

    confusion: np.ndarray
    scores: dict[str, Any]
    post_processed: dict[str, Any] | None = None
    conventions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(kw_only=True)
class SegmentationReport(RunReport):
    """What the page of a segmentation shows besides.

    Attributes:
        scores: By split; a split without labels has no entry.
        overlays: `worst` and `best`.
        depths: Rows of UNet++'s pruning table, or None.
        looks: What speaks for a class in some images; what `summary` says of it under `attention`
            stands beside them.
    """

    scores: dict[str, SplitScores]
    overlays: dict[str, list[overlay.Overlay]]
    depths: list[dict[str, Any]] | None = None
    looks: list[Look] = field(default_factory=list)


def render(report: SegmentationReport) -> str:
    """The page as text."""
    return render_template("template.html", _context(report))


def _context(report: SegmentationReport) -> dict[str, Any]:
    context = common(report)
    classes, scores = classes_of(report), context["scores"]
    names = [item["name"] for item in classes]
    class_pixels = report.data.get("class_pixels") or {}
    legible = len(classes) <= MAX_MATRIX
    return {
        **context,
        "classes": classes,
        "headlines": _headlines(report, scores),
        "charts": _charts(report, classes),
        "class_rows": tables.class_rows(classes, scores, class_pixels),
        "post_processed": any(split.post_processed for split in scores.values()),
        "matrices": {
            name: {**tables.confusion_table(split.confusion, names), "legible": legible}
            for name, split in scores.items()
        },
        "galleries": _galleries(report, len(classes)),
        "looks": looks_of(report.looks),
        "look_shares": shares_of(report.summary.get("attention"), names),
        "error_colour": "#{:02x}{:02x}{:02x}".format(*overlay.ERROR),
        "hatch": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in overlay.HATCH],
        "conventions": tables.conventions(scores),
        "shares": tables.pixel_shares(class_pixels),
    }


def _headlines(report: SegmentationReport, scores: dict[str, SplitScores]) -> list[dict[str, Any]]:
    """The score of each split beside its baselines."""
    result = []
    for name, split in scores.items():
        bars = [{"name": report.arch, "value": number(split.scores.get("mean_iou")), "own": True}]
        if split.post_processed:
            value = number(split.post_processed.get("mean_iou"))
            bars.append({"name": "after post-processing", "value": value, "own": True})
        references, best = best_references(report.baselines, name)
        result.append(
            {
                "split": name,
                "value": bars[0]["value"],
                "pixel_accuracy": number(split.scores.get("pixel_accuracy")),
                "bars": bars + references,
                "best": best,
                "gain": bars[0]["value"] - best["value"] if best else math.nan,
            }
        )
    return result


def _charts(report: SegmentationReport, classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curves of the history; empty for a run without epochs."""
    rows, epochs = epochs_of(report)
    if not rows:
        return []
    mean_iou = column(rows, "val_mean_iou")
    levels = [(item["name"], number(item.get("val"))) for item in report.baselines]
    charts = [
        loss_chart(rows, epochs),
        line_chart(
            epochs,
            [Line("validation", mean_iou, "var(--blue)")],
            title="Mean IoU",
            note="The dot is the epoch whose weights were kept. The dashed lines need no "
            "training: a curve that stays on them has learned nothing.",
            levels=levels,
            mark=best_epoch(report, epochs, mean_iou),
        ),
        class_chart(
            rows,
            epochs,
            classes,
            key=lambda index: f"val_iou_{index}",
            title="IoU of each class",
            note="A class that stays at zero is never found: look at its share of the pixels. "
            "A jagged line means that few validation pixels decide it.",
            levels=levels[:1],
        ),
        line_chart(
            epochs,
            [Line("validation", column(rows, "val_pixel_accuracy"), "var(--blue)")],
            title="Pixel accuracy",
            note="Large classes decide it: the dashed line says one class everywhere. High "
            "accuracy beside a low mean IoU means that the small classes are missed.",
            levels=_majority_accuracy(report),
        ),
        rate_chart(rows, epochs),
    ]
    return [chart for chart in charts if chart]


def _majority_accuracy(report: SegmentationReport) -> list[tuple[str, float]]:
    """Pixel accuracy, on the validation split, of the class most frequent in training."""
    pixels = report.data.get("class_pixels") or {}
    train, val = pixels.get("train"), pixels.get("val")
    if not train or not val or not sum(val):
        return []
    return [("majority class", val[int(np.argmax(train))] / sum(val))]


def _galleries(report: SegmentationReport, num_classes: int) -> list[dict[str, Any]]:
    """Worst and best samples with their panels; both share one budget of characters."""
    chosen = [(kind, report.overlays.get(kind) or []) for kind in ("worst", "best")]
    drawn = iter(overlay.draw([item for _, items in chosen for item in items], num_classes))
    return [
        {
            "kind": kind,
            "samples": [
                {
                    "id": str(item.id),
                    "split": item.split,
                    "score": item.score,
                    "wrong": overlay.error_share(item.truth, item.prediction, num_classes),
                    "height": item.truth.shape[0],
                    "width": item.truth.shape[1],
                    "panels": next(drawn),
                }
                for item in items
            ],
        }
        for kind, items in chosen
        if items
    ]
