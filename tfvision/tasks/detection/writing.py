"""The files of detections: JSON and CSV for programs, pictures for people."""

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes, write_json, write_text
from tfvision.engine.predictions import replace_folder
from tfvision.errors import InputError
from tfvision.postprocess.boxes import take
from tfvision.report.boxes import draw_boxes
from tfvision.text import counted

COLUMNS = ("image", "x1", "y1", "x2", "y2", "label", "score")
MOST_PICTURES = 300  # of one call
LARGE = 1_000_000  # pixels of a picture that is written as JPEG, a tenth of its PNG


def write_detections(
    target: Path,
    ids: Sequence[str],
    answers: Sequence[Mapping[str, np.ndarray]],
    class_names: Sequence[str],
    *,
    strings: Sequence[str] | None = None,
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
        strings: What each image is read as: `string` in the JSON, and `<target>_strings.csv` with
            a row an image; None: nothing is read.
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
    if strings is not None:
        listed = [{**one, "string": text} for one, text in zip(listed, strings, strict=True)]
        read = io.StringIO()
        rows = csv.writer(read, lineterminator="\n")
        rows.writerows([("image", "string"), *zip(ids, strings, strict=True)])
        write_text(target.with_name(f"{target.name}_strings.csv"), read.getvalue())
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


def write_with_pictures(
    target: Path,
    ids: Sequence[str],
    predictions: Any,
    class_names: Sequence[str],
    *,
    threshold: float,
    texts: Callable[[Sequence[Mapping[str, np.ndarray]]], list[str] | None] = lambda answers: None,
) -> Path:
    """`write_detections`, and a folder `pictures/` beside them with the boxes drawn.

    It has `<id>.png` of each of the first `MOST_PICTURES` images, .jpg of large ones, and
    `index.csv` of `id,file,boxes`; it appears when it is complete. Characters of an id that file
    names may not have become `_`. Images that are read in windows are not drawn. No more images
    are held than are predicted at once.

    Args:
        target: Without extension.
        ids: Of the images.
        predictions: Has `with_images()` and `say(text)`, see `Task.write_predictions`.
        class_names: K names.
        threshold: The score from which on boxes are drawn; the files have all.
        texts: Boxes of images -> what each is read as, or None.

    Raises:
        InputError: `pictures/` holds something else than such pictures.
        EnvironmentFault: No space, no permission.
    """
    folder = target.with_name("pictures")
    if folder.exists() and not (folder / "index.csv").is_file():
        raise InputError(
            f"{folder} is not a folder that predict has written, so it is not replaced. Choose "
            "another --out."
        )
    temporary = folder.with_name(f".{folder.name}-{os.getpid()}.tmp")
    answers, rows, taken = [], [], set()
    try:
        for name, (sample, answer) in zip(ids, predictions.with_images(), strict=True):
            answers.append(answer)
            if len(rows) == MOST_PICTURES or not isinstance(sample.image, np.ndarray):
                continue
            drawn = take(answer, answer["scores"] >= threshold)
            where = (drawn["boxes"], drawn["classes"])
            picture = draw_boxes(sample.picture, *where, class_names, scores=drawn["scores"])
            content, extension = _encoded(picture)
            rows.append((name, _free_name(name, taken) + extension, len(drawn["scores"])))
            write_bytes(temporary / rows[-1][1], content)
        index = io.StringIO()
        csv.writer(index, lineterminator="\n").writerows([("id", "file", "boxes"), *rows])
        write_text(temporary / "index.csv", index.getvalue())
        replace_folder(folder, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if len(rows) < len(ids):
        why = f"the first {MOST_PICTURES}" if len(rows) == MOST_PICTURES else "those that fit"
        predictions.say(f"{folder} has {why} of {counted(len(ids), 'image')}")
    return write_detections(target, ids, answers, class_names, strings=texts(answers))


def _free_name(name: str, taken: set[str]) -> str:
    """A file name for an id, without an extension, that none has, whatever the case of letters."""
    base = re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:100] or "image"
    free, number = base, 2
    while free.lower() in taken:
        free, number = f"{base}_{number}", number + 1
    taken.add(free.lower())
    return free


def _encoded(picture: np.ndarray) -> tuple[bytes, str]:
    """The content of a file and its extension."""
    from PIL import Image

    content = io.BytesIO()
    if picture.shape[0] * picture.shape[1] > LARGE:
        Image.fromarray(picture).save(content, "JPEG", quality=90)
        return content.getvalue(), ".jpg"
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue(), ".png"
