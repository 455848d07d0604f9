"""What the pages of all kinds of runs share; `base.html` is the same for the templates."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tfvision.engine.files import write_bytes
from tfvision.report import augment_page, overlay, tables
from tfvision.report.plots import Line, column, line_chart, number, short


@dataclass(kw_only=True)
class RunReport:
    """What the page of every run shows, as plain Python and NumPy. What is missing is said so.

    Attributes:
        task: Its name.
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
        baselines: {name, explanation, and a score by split} each.
        contract: The metric contract.
        warnings: Sentences that a reader must see first.
        issues: {severity, id, place, problem, advice} each.
        exports: {file, bytes, loaded_with, max_difference, labels_equal} each.
        timing: Seconds by phase.
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
    baselines: list[dict[str, Any]]
    contract: dict[str, Any]
    warnings: list[str]
    issues: list[dict[str, Any]]
    exports: list[dict[str, Any]]
    timing: dict[str, float]
    audit: list[dict[str, Any]] = field(default_factory=list)
    augmented: augment_page.Augmented | None = None


SCORE_NAMES = {
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
    "pixel_accuracy": "pixel accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
}
MAX_CURVES = 12  # classes drawn in one chart
MAX_MATRIX = 30  # classes of a confusion matrix that is still legible
_MAX_FINDINGS = 20  # of the audit; issues.json has all
_MAX_ISSUES = 50  # rows of the table of issues; issues.json has all


def write_page(path: str | os.PathLike[str], text: str) -> None:
    """Writes a page to `path`, whole or not at all: a failure leaves the old file.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    # An id read from a file name may hold bytes that are no text.
    write_bytes(Path(path), text.encode("utf-8", errors="backslashreplace"))


def render_template(name: str, context: Mapping[str, Any]) -> str:
    """A template of this folder as text, every value escaped."""
    return _environment().get_template(name).render(context)


@cache
def _environment():
    """It keeps the templates it has compiled, which takes longer than to fill them."""
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
    return environment


def common(report: RunReport) -> dict[str, Any]:
    """What `base.html` needs of a `RunReport`; `scores` are by split."""
    return {
        "report": report,
        "scores": dict(
            sorted(report.scores.items(), key=lambda item: (item[0] != "test", item[0]))
        ),
        "dataset": Path(str(report.data.get("source") or "data")).name,
        "contract": tables.flatten(report.contract),
        "class_images": report.data.get("class_images") or {},
        "seconds": sum(report.timing.values()),
        "environment": tables.flatten(report.env),
        "issues": report.issues[:_MAX_ISSUES],
        "audit": report.audit[:_MAX_FINDINGS],
        "augmentation": report.augmented and augment_page.picture_uri(report.augmented),
    }


def classes_of(report) -> list[dict[str, Any]]:
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


def epochs_of(report) -> tuple[list[dict[str, Any]], list[float]]:
    """The rows of the history that have an epoch, and their epochs."""
    rows = [row for row in report.history if math.isfinite(number(row.get("epoch")))]
    return rows, column(rows, "epoch")


def best_references(
    baselines: Sequence[Mapping[str, Any]], split: str
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Bars of the baselines that have a score on a split, and the best of them."""
    bars = [
        {"name": item["name"], "value": number(item.get(split)), "own": False}
        for item in baselines
        if math.isfinite(number(item.get(split)))
    ]
    return bars, max(bars, key=lambda bar: bar["value"], default=None)


def loss_chart(rows, epochs) -> dict[str, Any] | None:
    """Training and validation loss by epoch."""
    return line_chart(
        epochs,
        [
            Line("training", column(rows, "loss"), "var(--blue)"),
            Line("validation", column(rows, "val_loss"), "var(--orange)"),
        ],
        title="Loss",
        note="Both should fall. Where validation rises while training still falls, the "
        "model has begun to learn the training images by heart.",
    )


def rate_chart(rows, epochs) -> dict[str, Any] | None:
    """Learning rate by epoch."""
    return line_chart(
        epochs,
        [Line("learning rate", column(rows, "learning_rate"), "var(--blue)")],
        title="Learning rate",
        note="The plan of the step size. A loss that jumps at the start asks for a "
        "smaller peak or a longer warm-up.",
    )


def class_chart(
    rows, epochs, classes, *, key: Callable[[int], str], title: str, note: str, levels=()
) -> dict[str, Any] | None:
    """A score of each class by epoch; of many classes the weakest at the end."""
    lines = [
        Line(item["name"], column(rows, key(item["index"])), item["colour"]) for item in classes
    ]
    if len(lines) > MAX_CURVES:
        final = [number(line.values[-1]) for line in lines]
        order = sorted(range(len(lines)), key=lambda k: (math.isnan(final[k]), final[k]))
        lines = [lines[place] for place in order[:MAX_CURVES]]
        note += f" Shown are the {MAX_CURVES} classes weakest at the end."
    return line_chart(epochs, lines, title=title, note=note, y_range=(0, 1), levels=levels)


def best_epoch(report, epochs, values) -> tuple[str, float, float] | None:
    """The epoch that the summary names, where the history has it."""
    best = number(report.summary.get("best_epoch"))
    if best not in epochs:
        return None
    value = values[epochs.index(best)]
    return (f"best: epoch {best:.0f}, {tables.score(value)}", best, value)
