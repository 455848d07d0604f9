"""The files of detections: JSON and CSV for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfvision.engine.files import write_json, write_text

COLUMNS = ("image", "x1", "y1", "x2", "y2", "label", "score")


def write_detections(
    target: Path,
    ids: Sequence[str],
    answers: Sequence[Mapping[str, np.ndarray]],
    class_names: Sequence[str],
) -> Path:
    """Writes `<target>.json` and `<target>.csv`; returns the first.

    The JSON is a list with `id`, `boxes` (`x1 y1 x2 y2` in pixels of the image), `scores`,
    `classes` (numbers) and `labels` (names) of each image, boxes by falling score; the CSV has
    a row a box.

    Args:
        target: Without extension.
        ids: Of the images.
        answers: Their boxes.
        class_names: K names.
    """
    listed = [
        {
            "id": name,
            "boxes": _rounded(answer["boxes"], 3),
            "scores": _rounded(answer["scores"], 5),
            "classes": answer["classes"].tolist(),
            "labels": [class_names[k] for k in answer["classes"]],
        }
        for name, answer in zip(ids, answers, strict=True)
    ]
    path = target.with_name(f"{target.name}.json")
    write_json(path, listed)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for entry in listed:
        for box, label, score in zip(entry["boxes"], entry["labels"], entry["scores"], strict=True):
            rows.writerow([entry["id"], *box, label, score])
    write_text(target.with_name(f"{target.name}.csv"), table.getvalue())
    return path


def _rounded(values: np.ndarray, digits: int) -> list:
    return np.round(np.asarray(values, np.float64), digits).tolist()
