"""The charts of a classification's page: training, ROC, precision and recall, reliability."""

import math
from collections.abc import Sequence
from typing import Any

from tfvision.report.classification_scores import SplitResult
from tfvision.report.plots import Curve, Line, column, line_chart, number, square_chart
from tfvision.report.shared import (
    MAX_CURVES,
    SCORE_NAMES,
    best_epoch,
    class_chart,
    epochs_of,
    loss_chart,
    rate_chart,
)

_CURVES = ("accuracy", "macro_f1", "weighted_f1", "balanced_accuracy")
_COLOURS = ("var(--blue)", "var(--orange)", "var(--good)", "var(--bad)", "var(--muted)")


def training_charts(report, classes, metric: str) -> list[dict[str, Any]]:
    """The curves of the history of a `ClassificationReport`; empty for a run without epochs."""
    rows, epochs = epochs_of(report)
    if not rows:
        return []
    names = [metric, *(name for name in _CURVES if name != metric)]
    keys = [(f"val_{name}", SCORE_NAMES.get(name, name)) for name in names]
    keys.append(("val_piece_accuracy", "accuracy of pieces"))
    lines = [
        Line(text, column(rows, key), colour)
        for (key, text), colour in zip(keys, _COLOURS, strict=False)
    ]
    charts = [
        loss_chart(rows, epochs),
        line_chart(
            epochs,
            lines,
            title="Scores on validation",
            note="The dot is the epoch whose weights were kept. The dashed lines need no "
            "training: a curve that stays on them has learned nothing. Accuracy far above "
            "macro-F1 means that rare classes are missed.",
            levels=[(item["name"], number(item.get("val"))) for item in report.baselines],
            mark=best_epoch(report, epochs, lines[0].values),
        ),
        class_chart(
            rows,
            epochs,
            classes,
            key=lambda index: f"val_f1_{index}",
            title="F1 of each class",
            note="A class that stays at zero is never found: look at its number of images. A "
            "jagged line means that few validation images decide it.",
        ),
        rate_chart(rows, epochs),
    ]
    return [chart for chart in charts if chart]


def class_curves(name: str, split: SplitResult, classes) -> list[dict[str, Any]]:
    """ROC, and precision over recall, of one split; of many classes the weakest."""
    areas = [
        number((split.scores.get("per_class") or {}).get(item["name"], {}).get("roc_auc"))
        for item in classes
    ]
    shown = sorted(range(len(classes)), key=lambda k: (math.isnan(areas[k]), areas[k]))
    shown = sorted(shown[:MAX_CURVES])
    cut = f" The {MAX_CURVES} weakest classes." if len(classes) > MAX_CURVES else ""

    def curves(found: Sequence[tuple | None]) -> list[Curve]:
        return [
            Curve(classes[k]["name"], *found[k], classes[k]["colour"])
            for k in shown
            if k < len(found) and found[k] is not None
        ]

    charts = [
        square_chart(
            curves(split.roc),
            title=f"{name}: ROC, each class against the rest",
            note="How many of a class are found at the price of how many others taken for it. "
            f"The diagonal is guessing.{cut}",
            across="false positive rate",
            up="true positive rate",
            diagonal="guessing",
        ),
        square_chart(
            curves(split.precision_recall),
            title=f"{name}: precision and recall",
            note="How much of what is taken for a class is right, where so much of the class is "
            f"found. Of a rare class it says more than the ROC.{cut}",
            across="recall",
            up="precision",
        ),
    ]
    return [chart for chart in charts if chart]


def calibrations(scores: dict[str, SplitResult]) -> list[dict[str, Any]]:
    """The reliability diagram of each split, with its numbers before and after temperature."""
    found = []
    for name, split in scores.items():
        after = split.calibrated
        curves = [_reliability_curve("as trained", split.reliability, "var(--blue)")]
        if after:
            curves.append(_reliability_curve("with temperature", after["rows"], "var(--orange)"))
        total = sum(row["num_images"] for row in split.reliability)
        chart = square_chart(
            curves,
            title=f"{name}: reliability",
            note="On the diagonal, of the images with 80 % confidence 80 % are right; below it "
            "the model is too sure. The pale bars are shares of the images.",
            across="confidence",
            up="share that is right",
            diagonal="honest",
            bars=[
                (row["low"], row["high"] - row["low"], row["num_images"] / total)
                for row in split.reliability
                if row["num_images"]
            ],
            dots=True,
        )
        if chart:
            keys = (("ece", "calibration error"), ("log_loss", "log loss"), ("brier", "Brier"))
            rows = [
                (text, number(split.scores.get(key)), number((after or {}).get(key)))
                for key, text in keys
            ]
            found.append({"split": name, "chart": chart, "rows": rows, "after": after})
    return found


def _reliability_curve(name: str, rows: Sequence[dict[str, Any]], colour: str) -> Curve:
    filled = [row for row in rows if row["num_images"]]
    return Curve(
        name, [row["confidence"] for row in filled], [row["accuracy"] for row in filled], colour
    )
