"""What the report's tables show, as plain lists and texts; `template.html` lays them out."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.report.plots import number


def decimals(value: Any, digits: int = 4, *, sign: str = "") -> str:
    """A number with so many decimals; an en dash where it is undefined. `sign` "+": also of 0."""
    value = number(value)
    return f"{value:{sign}.{digits}f}" if math.isfinite(value) else "–"


def score(value: Any) -> str:
    """A score with three digits; an en dash where it is undefined."""
    return decimals(value, 3)


def text_lines(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines in which columns stand below each other.

    Args:
        rows: Equally many cells each.
        right: Places of the columns whose cells end below each other.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def csv_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows as CSV with all digits; None is an empty cell.

    Args:
        rows: Column -> value, at least one row.
        columns: Those to write; None: those of the first row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or rows[0], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def percent(value: Any, digits: int = 1) -> str:
    """A share in [0, 1] as per cent."""
    value = number(value)
    if not math.isfinite(value):
        return "–"
    smallest = 10.0**-digits
    if 0 < 100 * value < smallest:
        return f"< {smallest:g} %"
    return f"{100 * value:.{digits}f} %"


def count(value: Any) -> str:
    """A whole number with thin spaces between the thousands."""
    value = number(value)
    return f"{value:,.0f}".replace(",", "\u202f") if math.isfinite(value) else "–"


def size(value: Any) -> str:
    """Bytes as kB, MB, GB (powers of 1000)."""
    value = number(value)
    if not math.isfinite(value):
        return "–"
    for unit in ("bytes", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def duration(value: Any) -> str:
    """Seconds as 4.2 s, 3 min 30 s, 2 h 5 min."""
    value = number(value)
    if not math.isfinite(value):
        return "–"
    if value < 59.95:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested tables as (`versions.keras`, `3.15.1`) pairs."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(map(str, value)) or "none"))
        else:
            rows.append((name, "none" if value is None else str(value)))
    return rows


def class_rows(
    classes: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Any],
    class_pixels: Mapping[str, Sequence[float]],
) -> list[dict[str, Any]]:
    """One row a class.

    Args:
        classes: Index, name and colour of each class.
        scores: `SplitScores` by split.
        class_pixels: Labelled pixels of each class, by split.

    Returns:
        The class with `splits`, a list of {iou, dice, precision, recall, post} by split, and
        `shares`, its share of each split's pixels.
    """
    shares = pixel_shares(class_pixels)
    rows = []
    for item in classes:
        index = item["index"]
        splits = [
            {
                "iou": _entry(split.scores, "per_class_iou", index),
                "dice": _entry(split.scores, "per_class_dice", index),
                "precision": _entry(split.scores, "precision", index),
                "recall": _entry(split.scores, "recall", index),
                "post": _entry(split.post_processed or {}, "per_class_iou", index),
            }
            for split in scores.values()
        ]
        rows.append(
            {
                **item,
                "splits": splits,
                "shares": [_entry(shares, split, index) for split in shares],
            }
        )
    return rows


def pixel_shares(class_pixels: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Counts of labelled pixels to shares in [0, 1], split by split; NaN for an empty split."""
    result = {}
    for split, counts in class_pixels.items():
        total = sum(counts)
        result[split] = [value / total if total else math.nan for value in counts]
    return result


def confusion_table(
    confusion: np.ndarray, names: Sequence[str], *, unit: str = "pixels"
) -> dict[str, Any]:
    """A confusion matrix for the page.

    Args:
        confusion: (K, K) counts; row: truth, column: prediction.
        names: Of the K classes.
        unit: What is counted.

    Returns:
        `rows` of cells {share, text, title}, share of the row's truth in [0, 1]; and
        `remarks`, sentences about what stands out.
    """
    confusion = np.asarray(confusion, np.float64)
    totals = confusion.sum(axis=1)
    shares = np.divide(
        confusion, totals[:, None], out=np.zeros_like(confusion), where=totals[:, None] > 0
    )
    rows = [
        [
            {
                "share": round(float(shares[true, guess]), 3),
                "text": _cell_text(shares[true, guess]),
                "title": f"{name} → {names[guess]}: {count(confusion[true, guess])} {unit}, "
                f"{percent(shares[true, guess])} of true {name}",
            }
            for guess in range(len(names))
        ]
        for true, name in enumerate(names)
    ]
    return {"rows": rows, "remarks": _remarks(confusion, shares, names)}


def conventions(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a metric convention, with its mean IoU on every split, plain and post-processed."""
    rows: dict[str, dict[str, Any]] = {}
    for split in scores.values():
        for item in split.conventions or []:
            rows.setdefault(item["name"], {**item, "splits": []})
    for name, row in rows.items():
        for split in scores.values():
            found = [item for item in split.conventions or [] if item["name"] == name]
            item = found[0] if found else {}
            row["splits"].append(
                (number(item.get("mean_iou")), number(item.get("mean_iou_post_processed")))
            )
    return list(rows.values())


def _entry(table: Mapping[str, Any], key: str, index: int) -> float:
    values = table.get(key)
    return number(values[index]) if values is not None and index < len(values) else math.nan


def _cell_text(share: float) -> str:
    if share == 0:
        return ""
    return "<1" if share < 0.005 else f"{100 * share:.0f}"


def _remarks(confusion: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> list[str]:
    """Classes that never appear or are never predicted, then the three worst mix-ups."""
    remarks = []
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    absent = [name for name, total in zip(names, truth, strict=True) if total == 0]
    if absent:
        remarks.append(f"Not in these labels: {', '.join(absent)}.")
    missed = [names[k] for k in range(len(names)) if truth[k] > 0 and predicted[k] == 0]
    if missed:
        remarks.append(f"Present, yet never predicted: {', '.join(missed)}.")
    wrong = shares * (1 - np.eye(len(names)))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:3]:
        true, guess = divmod(int(place), len(names))
        if wrong[true, guess] >= 0.01:
            share = percent(wrong[true, guess], 0)
            remarks.append(f"{share} of {names[true]} is taken for {names[guess]}.")
    return remarks
