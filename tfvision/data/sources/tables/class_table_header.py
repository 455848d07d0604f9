"""The header of a table of labels: what its columns are called, and what the user declares."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tfvision.data.files.csv_table import to_number, unused_columns
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.sources.file_source import name_key
from tfvision.errors import InputError

# Names as they are compared: in small letters, without spaces, "_" and "-"; the first wins.
NAMES = {
    "file": (
        *("filename", "file", "filepath", "path", "imagepath", "imagefile", "imagename"),
        *("imgname", "image", "img", "imageid", "imgid", "sampleindex", "sampleid", "sample"),
        *("id", "name"),
    ),
    "label": (
        *("label", "labels", "class", "classname", "category", "target", "classlabel"),
        *("classid", "categoryid", "y", "diagnosis", "dx", "species", "breed", "disease"),
    ),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "groupid"),
    "mask": (
        *("mask", "maskfile", "maskfilename", "maskname", "maskpath", "maskfilepath", "region"),
    ),
}
BOX = {
    "xmin": ("xmin", "x1", "left"),
    "ymin": ("ymin", "y1", "top"),
    "xmax": ("xmax", "x2", "right"),
    "ymax": ("ymax", "y2", "bottom"),
}
OF_GROUPS = ("patient", "patientid", "subject", "subjectid", "lesionid", "caseid", "studyid")
BY_PLACE = {2: ("file", "label"), 6: ("file", *BOX, "label")}
KEYS = (*NAMES, "box")


@dataclass(frozen=True)
class Columns:
    """How a table is read.

    Attributes:
        places: Key of NAMES or BOX -> column.
        first: The first line of the rows: 1 after a header, else 0.
        classes: Column -> class, where each class has a column of 0 and 1.
        notes: Lines on how it was read.
    """

    places: dict[str, int]
    first: int = 1
    classes: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def set_file(
    places: dict[str, int],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    images: Mapping[str, str] | None,
) -> None:
    """Takes the column whose cells name images for that of the files, where the name does not.

    It names most of the images, or a different one in most rows: that a label or a number is also
    the name of an image does not suffice.
    """
    if not images or not rows:
        return
    named = {
        place: [image for cells in rows if (image := image_of(cells[place], images))]
        for place in unused_columns(header, rows, ())
    }
    if "file" in places and named.get(places["file"]):
        return
    enough = min(len(rows), len(set(images.values()))) / 2
    fitting = [
        (len(set(found)), not any(cells[place].isdigit() for cells in rows), -place)
        for place, found in named.items()
        if 2 * len(found) >= len(rows) and len(set(found)) >= enough
    ]
    if fitting:
        best = -max(fitting)[2]
        for key in [key for key, place in places.items() if place == best]:
            del places[key]
        places["file"] = best


def image_of(cell: str, images: Mapping[str, str]) -> str | None:
    """The image that a cell names; None: none."""
    return images.get(name_key(str(PurePosixPath(cell.replace("\\", "/"))))) if cell else None


def named_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Key -> column of the header's known names; a box only where all four are there."""
    spelt = [plain(cell) for cell in header]
    places = {}
    for key, names in {**NAMES, **BOX}.items():
        name = next((name for name in names if name in spelt), None)
        if name is None:
            continue
        if spelt.count(name) > 1:
            raise InputError(f"{path}: the header names {name} twice. Keep one.")
        places[key] = spelt.index(name)
    if not all(key in places for key in BOX):
        places = {key: place for key, place in places.items() if key not in BOX}
    return places


def columns_by_place(
    cells: Sequence[str], images: Mapping[str, str] | None
) -> dict[str, int] | None:
    """Key -> column of a row without header: file and label, or file, box and label."""
    keys = BY_PLACE.get(len(cells))
    if keys is None:
        return None
    if Path(cells[0]).suffix.lower() not in EXTENSIONS and not image_of(cells[0], images or {}):
        return None
    if len(keys) == 6 and not all(is_number(cell) for cell in cells[1:5]):
        return None
    return {key: place for place, key in enumerate(keys)}


def declared_columns(path: Path, header: Sequence[str], columns: Mapping) -> Columns:
    """The reading that the user declares."""
    folded = [cell.casefold() for cell in header]

    def place_of(key: str, name: object) -> int:
        if str(name).casefold() in folded:
            return folded.index(str(name).casefold())
        near = difflib.get_close_matches(str(name).casefold(), folded, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"{path} has no column {str(name)!r} ({key}).{hint} It has {', '.join(header)}."
        )

    wanted, classes = {}, {}
    for key, name in columns.items():
        several = isinstance(name, Sequence) and not isinstance(name, str)
        if key not in KEYS:
            raise InputError(f"columns holds {key!r}; known: {', '.join(KEYS)}.")
        if key == "box":
            if not several or len(name) != 4:
                raise InputError(f"columns: box must list four names, xmin to ymax; got {name!r}.")
            wanted.update(zip(BOX, name, strict=True))
        elif key == "label" and several:
            classes = {place_of(key, one): header[place_of(key, one)] for one in name}
        else:
            wanted[key] = name
    for key in ("file", "label"):
        if key not in columns:
            raise InputError(f"columns must say which column is the {key}: {{{key}: NAME}}.")
    places = {key: place_of(key, name) for key, name in wanted.items()}
    return Columns(places, 1, classes)


def plain(cell: str) -> str:
    return re.sub(r"[\s_-]+", "", cell.casefold())


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number, with decimal point or comma."""
    return to_number(cell) is not None
