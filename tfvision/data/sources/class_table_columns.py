"""Rows of CSV files that give images their labels: which column says what.

Columns are recognised by their names, or, where there is no header, by their places: file and
label, or file, xmin, ymin, xmax, ymax and label. Every cell stays text.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.csv_table import not_used, read_cells
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.files.issue import BadSample
from tfvision.errors import InputError
from tfvision.text import first_lines

# Names as they are compared: in small letters, without spaces, "_" and "-"; the first wins.
NAMES = {
    "file": (
        *("filename", "file", "filepath", "path", "imagepath", "imagefile", "imagename"),
        *("imgname", "image", "img", "imageid", "imgid", "sampleindex", "sampleid", "sample"),
        *("id", "name"),
    ),
    "label": (
        *("label", "labels", "class", "classname", "category", "target", "classlabel"),
        *("classid", "categoryid", "y"),
    ),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "groupid"),
    "mask": ("mask", "maskfile", "maskname", "maskpath", "region"),
}
BOX = {
    "xmin": ("xmin", "x1", "left"),
    "ymin": ("ymin", "y1", "top"),
    "xmax": ("xmax", "x2", "right"),
    "ymax": ("ymax", "y2", "bottom"),
}
BY_PLACE = {2: ("file", "label"), 6: ("file", *BOX, "label")}
KEYS = (*NAMES, "box")


@dataclass(frozen=True)
class LabelRow:
    """One row: the line it starts on, and its cells; "" for what the table does not have.

    Attributes:
        line: The physical line, the first is 1.
        file, label, split, group, mask: Text, as written, without spaces around it.
        box: The four cells xmin, ymin, xmax, ymax, or () without such columns.
    """

    line: int
    file: str
    label: str
    split: str = ""
    group: str = ""
    mask: str = ""
    box: tuple[str, ...] = ()


def read_label_rows(
    path: Path, *, columns: Mapping | None = None, encoding: str = "utf-8"
) -> tuple[list[LabelRow], list[str]]:
    """The rows of a table of labels, and lines on how it was read.

    Args:
        path: The CSV file.
        columns: Which columns are meant, where their names are not usual ones: keys `file`,
            `label`, `split`, `group`, `mask` with a name of the header, `box` with four.
        encoding: Of the file.

    Raises:
        InputError: No column is known for file or label, or a row has another length.
    """
    lines = read_cells(path, encoding=encoding)
    if not lines:
        raise InputError(f"{path} is empty. Its rows must hold a file name and a label.")
    places, first, notes = _places(path, [cells for _, cells in lines[:2]], columns)
    width = len(lines[0][1])
    wrong = [
        f"  line {n}: {len(c)} cells, the first line has {width}"
        for n, c in lines
        if len(c) != width
    ]
    if wrong:
        raise InputError(
            "\n".join([f"{path}: rows of another length than the first.", *first_lines(wrong)])
            + "\nQuote cells that hold the separator."
        )
    rows = []
    for line, cells in lines[first:]:
        single = {key: cells[place] for key, place in places.items() if key in NAMES}
        box = tuple(cells[places[key]] for key in BOX) if "xmin" in places else ()
        rows.append(LabelRow(line, **single, box=box))
    return rows, notes


def label_columns(
    path: Path, *, columns: Mapping | None = None, encoding: str = "utf-8"
) -> dict[str, int]:
    """Key -> column of a table that `read_label_rows` reads: of NAMES and BOX those it has."""
    lines = read_cells(path, encoding=encoding)
    return _places(path, [cells for _, cells in lines[:2]], columns)[0]


def has_labels(path: Path) -> bool:
    """Whether a CSV file is a table of files and labels."""
    try:
        lines = read_cells(path)
        return bool(lines) and "label" in _places(path, [cells for _, cells in lines[:2]], None)[0]
    except InputError:
        return False


def has_masks(path: Path) -> bool:
    """Whether the header of a CSV file names a column of masks."""
    try:
        lines = read_cells(path)
    except InputError:
        return False
    return bool(lines) and not {_plain(cell) for cell in lines[0][1]}.isdisjoint(NAMES["mask"])


def parse_box(cells: Sequence[str], *, place: str) -> tuple[float, ...] | None:
    """`x1 y1 x2 y2` out of four cells; None where all are empty.

    Raises:
        BadSample: A cell is no number, or the box has no area.
    """
    if not any(cells):
        return None
    shown = f"the box ({', '.join(cells)})"
    try:
        box = tuple(float(cell) for cell in cells)
    except ValueError:
        box = (math.nan,)
    if not all(math.isfinite(side) for side in box):
        raise BadSample(place, f"{shown} is not four numbers", "Write xmin, ymin, xmax, ymax.")
    if box[2] <= box[0] or box[3] <= box[1]:
        problem = f"{shown} has no area: xmin < xmax and ymin < ymax must hold"
        advice = "Correct it: xmin, ymin, xmax, ymax, in pixels; or are the corners swapped?"
        raise BadSample(place, problem, advice)
    return box


def _places(
    path: Path, lines: Sequence[Sequence[str]], columns: Mapping | None
) -> tuple[dict[str, int], int, list[str]]:
    """Key -> column; the first line of the rows (0 or 1); lines on how it was read."""
    header = lines[0]
    if columns is not None:
        return _declared(path, header, columns), 1, []
    places = _named(path, header)
    if "file" in places and "label" in places:
        unused = [name for i, name in enumerate(header) if i not in places.values()]
        return places, 1, not_used(unused)
    if by_place := _by_place(header):
        return by_place, 0, [f"{path.name} has no header: read as {', '.join(by_place)}"]
    by_place = _by_place(lines[1]) if len(lines) > 1 else None
    if by_place and all(by_place.get(key) == place for key, place in places.items()):
        note = f"{path.name}: the header ({', '.join(header)}) is not known: read by place as "
        return by_place, 1, [note + ", ".join(by_place)]
    missing = [key for key in ("file", "label") if key not in places]
    known = "; ".join(f"{key}: {', '.join(NAMES[key][:8])}, ..." for key in missing)
    raise InputError(
        f"{path}: no column is known for {' and '.join(missing)}; the first line holds "
        f"{', '.join(header)}. Known names: {known}. Rename columns, or say which are meant: "
        "columns: {file: NAME, label: NAME}."
    )


def _named(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Key -> column of the header's known names; a box only where all four are there."""
    plain = [_plain(cell) for cell in header]
    places = {}
    for key, names in {**NAMES, **BOX}.items():
        name = next((name for name in names if name in plain), None)
        if name is None:
            continue
        if plain.count(name) > 1:
            raise InputError(f"{path}: the header names {name} twice. Keep one.")
        places[key] = plain.index(name)
    if not all(key in places for key in BOX):
        places = {key: place for key, place in places.items() if key not in BOX}
    return places


def _by_place(cells: Sequence[str]) -> dict[str, int] | None:
    """Key -> column of a row without header: file and label, or file, box and label."""
    keys = BY_PLACE.get(len(cells))
    if keys is None or Path(cells[0]).suffix.lower() not in EXTENSIONS:
        return None
    if len(keys) == 6 and not all(is_number(cell) for cell in cells[1:5]):
        return None
    return {key: place for place, key in enumerate(keys)}


def _declared(path: Path, header: Sequence[str], columns: Mapping) -> dict[str, int]:
    """Key -> column, as the user says."""
    folded = [cell.casefold() for cell in header]
    wanted = {}
    for key, name in columns.items():
        if key not in KEYS:
            raise InputError(f"columns holds {key!r}; known: {', '.join(KEYS)}.")
        if key == "box":
            if not isinstance(name, Sequence) or isinstance(name, str) or len(name) != 4:
                raise InputError(f"columns: box must list four names, xmin to ymax; got {name!r}.")
            wanted.update(zip(BOX, name, strict=True))
        else:
            wanted[key] = name
    for key in ("file", "label"):
        if key not in wanted:
            raise InputError(f"columns must say which column is the {key}: {{{key}: NAME}}.")
    for key, name in wanted.items():
        if str(name).casefold() not in folded:
            near = difflib.get_close_matches(str(name).casefold(), folded, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{path} has no column {str(name)!r} ({key}).{hint} It has {', '.join(header)}."
            )
    return {key: folded.index(str(name).casefold()) for key, name in wanted.items()}


def _plain(cell: str) -> str:
    return re.sub(r"[\s_-]+", "", cell.casefold())


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
