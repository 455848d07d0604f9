"""What cells of a table of boxes hold: boxes as a list or as JSON, none, labels."""

import json
import re
from collections.abc import Mapping, Sequence

from tfvision.data.files.csv_table import to_number, unused_columns
from tfvision.data.sources.tables.class_table_labels import as_yaml, looks_like_labels

EMPTY = ("", "nan", "none", "null", "[]", "{}")
_GROUP = re.compile(r"[\[(]([^\[\]()]*)[\])]")


def is_empty(cells: Sequence[str]) -> bool:
    """Whether cells of a box say that there is none."""
    return all(cell.strip().casefold() in EMPTY for cell in cells)


def boxes_in(cell: str) -> list[tuple[float, ...]] | None:
    """The boxes that one cell holds: `[x, y, w, h]`, several such, or JSON; None: it is none."""
    text = cell.strip()
    if text.casefold() in EMPTY:
        return []
    if text.startswith("{"):
        return _of_json(text)
    parts = [part for part in _GROUP.findall(text) if part.strip()] or [text]
    boxes = [tuple(map(to_number, re.split(r"[,;\s]+", part.strip()))) for part in parts]
    good = all(len(box) == 4 and None not in box for box in boxes)
    return [tuple(side for side in box if side is not None) for box in boxes] if good else None


def _of_json(text: str) -> list[tuple[float, ...]] | None:
    """A rectangle `{"x": .., "y": .., "width": .., "height": ..}`, as VIA writes it."""
    try:
        content = json.loads(text)
        sides = tuple(float(content[key]) for key in ("x", "y", "width", "height"))
    except (ValueError, KeyError, TypeError):
        return None
    return [sides]


def label_left(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: Mapping[str, int],
    box: Sequence[int],
) -> tuple[int | None, str]:
    """Where no name is that of a label: the column of labels, if any, and the doubt there is.

    The only column that is left holds them where it has words that repeat themselves. Where one
    of several does, every box may as well be of one class, and the doubt says what to type.
    """
    unused = unused_columns(header, rows, (*box, *places.values()))
    words = []
    for place, name in unused.items():
        cells = [row[place] for row in rows if not is_empty([row[place]])]
        if all(to_number(cell) is None for cell in cells) and looks_like_labels(cells, name):
            words.append((place, len({*cells})))
    if len(unused) == 1 and words:
        return words[0][0], ""
    several = [place for place, values in words if values > 1]
    if not several:
        return None, ""
    sides = ", ".join(as_yaml(header[place]) for place in box)
    file, label = as_yaml(header[places["file"]]), as_yaml(header[several[0]])
    declare = f"--set 'data.source.columns={{file: {file}, box: [{sides}]"
    return None, (
        f"two ways, as boxes of one class, or of the classes in column {header[several[0]]}: "
        f"{declare}}}' or {declare}, label: {label}}}'"
    )
