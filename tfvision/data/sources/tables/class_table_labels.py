"""Which columns of a table may be labels, and tables that give an image several of them."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data.files.csv_table import to_number
from tfvision.errors import InputError

ENOUGH_ROWS = 10  # of fewer rows the number of different cells tells nothing
ONE_HOT_SHARE = 0.9  # of the rows that must have exactly one 1
SEPARATORS = ("|", ";", ",", "/", "+", " ")
NOT_LABELS = {
    *("age", "sex", "gender", "width", "height", "size", "area", "weight", "url", "source"),
    *("date", "time", "year", "camera", "lat", "lon", "latitude", "longitude", "fold", "patient"),
}
_TRUE_FALSE = {"true": 1.0, "false": 0.0}


def how_to_declare(file: str, labels: Sequence[str], **more: str) -> str:
    """What to type to say which columns are meant: the first of those that may be the label."""
    columns = {"file": file, "label": labels[0] if labels else "NAME", **more}
    shown = (f"{key}: {as_yaml(name)}" for key, name in columns.items())
    return f"--set 'data.source.columns={{{', '.join(shown)}}}'"


def as_yaml(name: str) -> str:
    """A name as it stands in a YAML list, in quotes where it must."""
    return name if re.fullmatch(r"[A-Za-z_][\w-]*", name) else json.dumps(name, ensure_ascii=False)


def looks_like_labels(cells: Sequence[str], name: str = "") -> bool:
    """Whether the cells of a column without a known name may be labels.

    They repeat themselves, are no numbers with a fraction, and the name is not that of a usual
    other column, such as age.
    """
    filled = [cell for cell in cells if cell]
    if not filled or name.casefold().strip() in NOT_LABELS:
        return False
    numbers = [number for cell in filled if (number := to_number(cell)) is not None]
    if any(number != round(number) for number in numbers):
        return False
    return len(filled) < ENOUGH_ROWS or 2 * len(set(filled)) <= len(filled)


def one_hot_columns(rows: Sequence[Sequence[str]], others: Mapping[int, str]) -> dict[int, str]:
    """Column -> class, where the columns not known by name hold 0 and 1, one a class.

    Either nearly all rows have one 1, and no further column may be the label; or all columns are
    of 0 and 1, three or more of them, and rows have several.
    """
    classes = {
        place: name
        for place, name in others.items()
        if name and rows and all(_bit(cells[place]) is not None for cells in rows)
    }
    rest = {place: name for place, name in others.items() if place not in classes}
    if len(classes) < 2:
        return {}
    counts = [len(ones_of(cells, classes)) for cells in rows]
    single = counts.count(1) >= ONE_HOT_SHARE * len(counts)
    if single and not any(
        looks_like_labels([cells[place] for cells in rows], name) for place, name in rest.items()
    ):
        return classes
    return classes if not rest and len(classes) > 2 and max(counts) > 1 else {}


def ones_of(cells: Sequence[str], classes: Mapping[int, str]) -> list[str]:
    """The classes whose column holds 1 in a row."""
    return [name for place, name in classes.items() if _bit(cells[place]) == 1]


def _bit(cell: str) -> float | None:
    """0 or 1, also written 0.0, 1,0, true, false; an empty cell is 0; None: something else."""
    if not cell:
        return 0.0
    number = _TRUE_FALSE.get(cell.casefold(), to_number(cell))
    return number if number in (0.0, 1.0) else None


def check_one_label(path: Path, labels: Sequence[tuple[int, str]], *, one_hot: bool) -> None:
    """Raises an `InputError` where a table gives images several labels each.

    Args:
        path: The table.
        labels: (line, label of the row).
        one_hot: Whether each class has a column; the label of a row is then "" but for one with
            several, which names them.
    """
    if one_hot:
        several = [(line, text) for line, text in labels if text]
        how = "Keep one 1 a row, or delete these rows. Where not all columns are classes, list "
        how += "those that are: --set 'data.source.columns={file: NAME, label: [NAME, NAME]}'."
    else:
        separator = _separator([text for _, text in labels])
        if separator is None:
            return
        several = [(line, repr(text)) for line, text in labels if len(_parts(text, separator)) > 1]
        how = f"They are separated by {separator!r}. Keep one label a row, or delete these rows."
    if several:
        line, text = several[0]
        raise InputError(
            f"{path}: {len(several)} of {len(labels)} rows give an image several labels, line "
            f"{line} is the first ({text}). One label an image is what can be learned here. {how}"
        )


def _separator(labels: Sequence[str]) -> str | None:
    """What separates several labels in a cell; None where cells hold one each.

    That many cells hold it does not suffice: names of classes do, too ("Maine coon"). All parts
    must recur, each in another cell; words also in other places: "a b", "b c".
    """
    cells = {label for label in labels if label and to_number(label) is None}
    for separator in SEPARATORS:
        parts_of = {cell: _parts(cell, separator) for cell in cells}
        joined = [parts for parts in parts_of.values() if len(parts) > 1]
        cells_with: Counter[str] = Counter()
        for parts in parts_of.values():
            cells_with.update(set(parts))
        recurring = [parts for parts in joined if all(cells_with[part] > 1 for part in parts)]
        if not joined or 2 * len(recurring) < len(joined):
            continue
        numbers = all(to_number(part) is not None for parts in recurring for part in parts)
        moving = {parts[0] for parts in recurring} & {parts[-1] for parts in recurring}
        if separator in "|;" or (separator in ", " if numbers else moving):
            return separator
    return None


def _parts(cell: str, separator: str) -> list[str]:
    """`['a', 'b']`, `a|b` -> a and b."""
    inside = re.fullmatch(r"[\[({](.*)[\])}]", cell.strip())
    text = inside[1] if inside else cell
    return [part for word in text.split(separator) if (part := word.strip(" '\""))]
