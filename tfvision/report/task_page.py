"""The report of a run whose task has no page of its own: curves, scores, pictures."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.report.overlay import draw_images
from tfvision.report.plots import Line, column, line_chart, number
from tfvision.report.shared import (
    RunReport,
    best_epoch,
    best_references,
    common,
    epochs_of,
    loss_chart,
    rate_chart,
    render_template,
)


@dataclass(frozen=True)
class Picture:
    """An image to look at.

    Attributes:
        title: What stands above it.
        image: (H, W, 3) uint8.
    """

    title: str
    image: np.ndarray


@dataclass(kw_only=True)
class TaskReport(RunReport):
    """What the page shows besides.

    Attributes:
        scores: By split, name -> number or None; a split without truth has no entry.
        score: The name of the declared score.
        title: What people call it.
        larger_is_better: Its direction.
        pictures: Of single images.
    """

    scores: dict[str, dict[str, float | None]]
    score: str
    title: str
    larger_is_better: bool = True
    pictures: list[Picture] = field(default_factory=list)


def render(report: TaskReport) -> str:
    """The page as text."""
    context = common(report)
    pictures = zip(report.pictures, draw_images([p.image for p in report.pictures]), strict=True)
    return render_template(
        "task.html",
        {
            **context,
            "classes": list(report.data.get("class_names") or []),
            "headlines": [_headline(report, split) for split in context["scores"]],
            "charts": _charts(report),
            "rows": _rows(context["scores"]),
            "pictures": [{"title": p.title, "image": uri} for p, uri in pictures],
        },
    )


def _headline(report: TaskReport, split: str) -> dict[str, Any]:
    value = number(report.scores[split].get(report.score))
    references, _ = best_references(report.baselines, split)
    sign = 1 if report.larger_is_better else -1
    best = max(references, key=lambda bar: sign * bar["value"], default=None)
    return {
        "split": split,
        "value": value,
        "references": references,
        "best": best,
        "gain": sign * (value - best["value"]) if best else math.nan,
    }


def _rows(scores: dict[str, dict[str, float | None]]) -> list[dict[str, Any]]:
    """Every score, with its value in each split."""
    names = dict.fromkeys(name for of_split in scores.values() for name in of_split)
    return [
        {"name": name, "values": [number(of_split.get(name)) for of_split in scores.values()]}
        for name in names
    ]


def _charts(report: TaskReport) -> list[dict[str, Any]]:
    """The loss, the declared score, every term of the loss, the learning rate."""
    rows, epochs = epochs_of(report)
    if not rows:
        return []
    values = column(rows, f"val_{report.score}")
    terms = [key for key in rows[0] if key.startswith("loss_")]
    charts = [
        loss_chart(rows, epochs),
        line_chart(
            epochs,
            [Line("validation", values, "var(--blue)")],
            title=report.title,
            note="The dot is the epoch whose weights were kept.",
            levels=[(item["name"], number(item.get("val"))) for item in report.baselines],
            mark=best_epoch(report, epochs, values),
        ),
        *(
            line_chart(
                epochs,
                [Line("training", column(rows, key), "var(--blue)")],
                title=f"Loss: {key.removeprefix('loss_')}",
                note="One term of the loss, as training saw it.",
            )
            for key in terms
        ),
        rate_chart(rows, epochs),
    ]
    return [chart for chart in charts if chart]
