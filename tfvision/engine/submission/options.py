"""What a user may choose of a submission file, checked before anything is predicted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.errors import InputError

FIELDS = ("label", "score", "x1", "y1", "x2", "y2", "w", "h")  # of a box in `boxes`
FORMATS = {  # what can be chosen of each, and what is chosen otherwise
    "mars": {"columns": "id"},
    "rle": {
        "columns": "id,rle",
        "rows": "image",
        "classes": None,
        "class_as": "number",
        "rle_order": "column",
        "rle_base": 1,
        "rle_empty": "",
        "id_suffix": "",
    },
    "labels": {"columns": "id,label", "class_as": None, "id_suffix": ""},
    "boxes": {
        "columns": "image_id,PredictionString",
        "class_as": "number",
        "id_suffix": "",
        "box_fields": "label score x1 y1 x2 y2",
        "box_empty": "",
    },
    "coco": {},
    "strings": {"columns": "image_id,pred_label", "id_suffix": ""},
}


@dataclass(frozen=True)
class SubmitOptions:
    """One call of `python -m tfvision submit`.

    Attributes:
        format: A key of `FORMATS`.
        out: The file.
        sample: The contest's sample file, or None.
        columns: Names of the columns; of `mars` the first.
        rows: `image` or `class`: one row an image, or one an image and class.
        classes: Labels that are coded; None: all but 0.
        class_as: `number` or `name`: what a class is called in the file; None: by name, as the
            data writes it, in a classification, else by number.
        rle_order, rle_base: See `encode_rle`.
        rle_empty: What stands where no pixel is set.
        box_fields: What stands of each box, see `PredictionStrings`.
        box_empty: What stands where an image has no box.
        id_suffix: Behind every id, `.png` say.
    """

    format: str
    out: Path
    sample: Path | None = None
    columns: tuple[str, ...] = ("id",)
    rows: str = "image"
    classes: tuple[int, ...] | None = None
    class_as: str | None = "number"
    rle_order: str = "column"
    rle_base: int = 1
    rle_empty: str = ""
    box_fields: tuple[str, ...] = ()
    box_empty: str = ""
    id_suffix: str = ""


def make_options(
    format: str, out: Path, sample: Path | None = None, given: Mapping[str, Any] | None = None
) -> SubmitOptions:
    """Fills in what was not chosen, and refuses what does not fit.

    Args:
        format: A key of `FORMATS`.
        out: The file to write.
        sample: The contest's sample file.
        given: What was chosen, by name; None: not chosen. `columns` and `classes` are texts
            with commas.

    Raises:
        InputError: The format has no such choice, a list cannot be read, files clash.
    """
    given = {key: value for key, value in (given or {}).items() if value is not None}
    choices = FORMATS[format]
    for key in given:
        if key not in choices:
            flag = "--" + key.replace("_", "-")
            raise InputError(
                f"{flag} means nothing for --format {format}; leave it out. It is for "
                f"{', '.join(name for name, known in FORMATS.items() if key in known)}."
            )
    chosen = {**choices, **given}
    if "columns" in chosen:
        chosen["columns"] = _columns(format, chosen)
    elif sample is not None:
        raise InputError(f"--sample means nothing for --format {format}; leave it out.")
    if chosen.get("classes") is not None:
        chosen["classes"] = _classes(chosen["classes"])
    if "box_fields" in chosen:
        chosen["box_fields"] = _box_fields(chosen["box_fields"])
    _check_files(out, sample)
    return SubmitOptions(format=format, out=out, sample=sample, **chosen)


def _columns(format: str, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in chosen["columns"].split(","))
    counts = {"mars": (1,)}.get(format, (2,))
    if chosen.get("rows") == "class":
        counts = (2, 3)
    if len(names) not in counts or not all(names) or len(set(names)) < len(names):
        raise InputError(
            f"--columns of --format {format} must name {' or '.join(map(str, counts))} different "
            f"column(s), with commas. Received: {chosen['columns']!r}."
        )
    return names


def _classes(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(w.isascii() and w.isdigit() for w in words) or len(set(words)) < len(words):
        raise InputError(f"--classes must list different labels, such as 1,2. Received: {text!r}.")
    return tuple(map(int, words))


def _box_fields(text: str) -> tuple[str, ...]:
    fields = tuple(text.split())
    if not fields or set(fields) - set(FIELDS) or len(set(fields)) < len(fields):
        raise InputError(
            f"--box-fields lists what stands of each box, once each, with blanks between, of "
            f"{', '.join(FIELDS)}. Received: {text!r}."
        )
    return fields


def _check_files(out: Path, sample: Path | None) -> None:
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name the file to write.")
    if sample is not None and not sample.is_file():
        raise InputError(f"--sample {sample}: there is no such file.")
    if sample is not None and out.exists() and out.samefile(sample):
        raise InputError("--out and --sample are the same file; the sample would be lost.")
