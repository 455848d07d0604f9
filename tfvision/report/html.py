"""The report of a run: one HTML file that needs nothing else, not even a script.

The page carries a content security policy that forbids every request, so that a hostile
class name or id could not load anything either; all texts are escaped by the template.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.report import augment_page, overlay, tables
from tfvision.report.plots import Line, column, line_chart, number, short

_MAX_CURVES = 12  # classes drawn in one chart
_MAX_MATRIX = 30  # classes of a confusion matrix that is still legible
_MAX_FINDINGS = 20  # of the audit; issues.json has all
_MAX_ISSUES = 50  # rows of the table of issues; issues.json has all


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


@dataclass
class Report:
    """Everything the page shows, as plain Python and NumPy. What is missing is said so.

    Attributes:
        task: "segmentation".
        arch: Name of the architecture.
        run: Name of the run folder.
        summary: summary.json.
        config: The resolved config, YAML text.
        command: The command that repeats the run.
        env: Versions, devices, platform; may be nested.
        data: source, layout, fingerprint, num_classes, class_names, image_size, splits
            {name: images}, how (the split was made), excluded (images), class_pixels and
            class_images {split: K counts}.
        history: Rows of metrics.csv.
        scores: By split; a split without labels has no entry.
        baselines: {name, explanation, and a mean IoU by split} each.
        contract: The metric contract.
        overlays: `worst` and `best`.
        warnings: Sentences that a reader must see first.
        issues: {severity, id, place, problem, advice} each.
        exports: {file, bytes, loaded_with, max_difference, labels_equal} each.
        timing: Seconds by phase.
        depths: Rows of UNet++'s pruning table, or None.
        audit: {severity, meaning, reading, members, suspects} of each finding, worst first;
            members and suspects have an `id`.
        augmented: Training samples and what augmentation makes of them; None without any.
    """

    task: str
    arch: str
    run: str
    summary: dict[str, Any]
    config: str
    command: str
    env: dict[str, Any]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    scores: dict[str, SplitScores]
    baselines: list[dict[str, Any]]
    contract: dict[str, Any]
    overlays: dict[str, list[overlay.Overlay]]
    warnings: list[str]
    issues: list[dict[str, Any]]
    exports: list[dict[str, Any]]
    timing: dict[str, float]
    depths: list[dict[str, Any]] | None = None
    audit: list[dict[str, Any]] = field(default_factory=list)
    augmented: augment_page.Augmented | None = None


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Writes the page to `path`, whole or not at all: a failure leaves the old file.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    text = render(report)
    # An id read from a file name may hold bytes that are no text.
    write_bytes(Path(path), text.encode("utf-8", errors="backslashreplace"))


def render(report: Report) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (tables.score, tables.percent, tables.count, tables.size, tables.duration):
        environment.filters[formatter.__name__] = formatter
    environment.filters["short"] = lambda value: short(number(value))
    return environment.get_template("template.html").render(_context(report))


def _context(report: Report) -> dict[str, Any]:
    classes = _classes(report)
    names = [item["name"] for item in classes]
    class_pixels = report.data.get("class_pixels") or {}
    legible = len(classes) <= _MAX_MATRIX
    scores = dict(sorted(report.scores.items(), key=lambda item: (item[0] != "test", item[0])))
    return {
        "report": report,
        "scores": scores,
        "classes": classes,
        "dataset": Path(str(report.data.get("source") or "data")).name,
        "headlines": _headlines(report, scores),
        "charts": _charts(report, classes),
        "class_rows": tables.class_rows(classes, scores, class_pixels),
        "post_processed": any(split.post_processed for split in scores.values()),
        "matrices": {
            name: {**tables.confusion_table(split.confusion, names), "legible": legible}
            for name, split in scores.items()
        },
        "galleries": _galleries(report, len(classes)),
        "error_colour": "#{:02x}{:02x}{:02x}".format(*overlay.ERROR),
        "hatch": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in overlay.HATCH],
        "conventions": tables.conventions(scores),
        "contract": tables.flatten(report.contract),
        "shares": tables.pixel_shares(class_pixels),
        "class_images": report.data.get("class_images") or {},
        "seconds": sum(report.timing.values()),
        "environment": tables.flatten(report.env),
        "issues": report.issues[:_MAX_ISSUES],
        "audit": report.audit[:_MAX_FINDINGS],
        "augmentation": report.augmented and augment_page.picture_uri(report.augmented),
    }


def _classes(report: Report) -> list[dict[str, Any]]:
    """Index, name and colour of every class."""
    sizes = [len(split.confusion) for split in report.scores.values()]
    given = list(report.data.get("class_names") or [])
    total = max([int(report.data.get("num_classes") or 0), len(given), *sizes])
    names = given + [f"class {index}" for index in range(len(given), total)]
    colours = overlay.hex_colours(total) if total else []
    return [
        {"index": index, "name": str(names[index]), "colour": colours[index]}
        for index in range(total)
    ]


def _headlines(report: Report, scores: dict[str, SplitScores]) -> list[dict[str, Any]]:
    """The score of each split beside its baselines."""
    result = []
    for name, split in scores.items():
        bars = [{"name": report.arch, "value": number(split.scores.get("mean_iou")), "own": True}]
        if split.post_processed:
            value = number(split.post_processed.get("mean_iou"))
            bars.append({"name": "after post-processing", "value": value, "own": True})
        references = [
            {"name": item["name"], "value": number(item.get(name)), "own": False}
            for item in report.baselines
            if math.isfinite(number(item.get(name)))
        ]
        best = max(references, key=lambda bar: bar["value"], default=None)
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


def _charts(report: Report, classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curves of the history; empty for a run without epochs."""
    rows = [row for row in report.history if math.isfinite(number(row.get("epoch")))]
    if not rows:
        return []
    epochs = column(rows, "epoch")
    mean_iou = column(rows, "val_mean_iou")
    levels = [(item["name"], number(item.get("val"))) for item in report.baselines]
    charts = [
        line_chart(
            epochs,
            [
                Line("training", column(rows, "loss"), "var(--blue)"),
                Line("validation", column(rows, "val_loss"), "var(--orange)"),
            ],
            title="Loss",
            note="Both should fall. Where validation rises while training still falls, the "
            "model has begun to learn the training images by heart.",
        ),
        line_chart(
            epochs,
            [Line("validation", mean_iou, "var(--blue)")],
            title="Mean IoU",
            note="The dot is the epoch whose weights were kept. The dashed lines need no "
            "training: a curve that stays on them has learned nothing.",
            levels=levels,
            mark=_best(report, epochs, mean_iou),
        ),
        _class_chart(rows, epochs, classes, levels[:1]),
        line_chart(
            epochs,
            [Line("validation", column(rows, "val_pixel_accuracy"), "var(--blue)")],
            title="Pixel accuracy",
            note="Large classes decide it: the dashed line says one class everywhere. High "
            "accuracy beside a low mean IoU means that the small classes are missed.",
            levels=_majority_accuracy(report),
        ),
        line_chart(
            epochs,
            [Line("learning rate", column(rows, "learning_rate"), "var(--blue)")],
            title="Learning rate",
            note="The plan of the step size. A loss that jumps at the start asks for a "
            "smaller peak or a longer warm-up.",
        ),
    ]
    return [chart for chart in charts if chart]


def _class_chart(rows, epochs, classes, levels) -> dict[str, Any] | None:
    """IoU of each class by epoch; of many classes the weakest."""
    note = (
        "A class that stays at zero is never found: look at its share of the pixels. "
        "A jagged line means that few validation pixels decide it."
    )
    lines = [
        Line(item["name"], column(rows, f"val_iou_{item['index']}"), item["colour"])
        for item in classes
    ]
    if len(lines) > _MAX_CURVES:
        final = [line.values[-1] for line in lines]  # argsort puts NaN last
        lines = [lines[place] for place in np.argsort(final, kind="stable")[:_MAX_CURVES]]
        note += f" Shown are the {_MAX_CURVES} classes weakest at the end."
    return line_chart(
        epochs, lines, title="IoU of each class", note=note, y_range=(0, 1), levels=levels
    )


def _best(report: Report, epochs, values) -> tuple[str, float, float] | None:
    """The epoch that the summary names, where the history has it."""
    best = number(report.summary.get("best_epoch"))
    if best not in epochs:
        return None
    value = values[epochs.index(best)]
    return (f"best: epoch {best:.0f}, {tables.score(value)}", best, value)


def _majority_accuracy(report: Report) -> list[tuple[str, float]]:
    """Pixel accuracy, on the validation split, of the class most frequent in training."""
    pixels = report.data.get("class_pixels") or {}
    train, val = pixels.get("train"), pixels.get("val")
    if not train or not val or not sum(val):
        return []
    return [("majority class", val[int(np.argmax(train))] / sum(val))]


def _galleries(report: Report, num_classes: int) -> list[dict[str, Any]]:
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
