"""Rows of CSV files that give images their labels: which column says what.

Columns are recognised by their names; the one of the files also by its cells, which name images;
the labels also by columns of 0 and 1, one a class. Without a header places count: file and label,
or file, xmin, ymin, xmax, ymax and label. Every label stays text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.csv_table import check_lengths, read_cells, to_number, unused_columns
from tfvision.data.files.issue import BadSample
from tfvision.data.files.run_length import run_column
from tfvision.data.sources.tables.class_table_header import (
    BOX,
    KEYS,
    NAMES,
    OF_GROUPS,
    Columns,
    columns_by_place,
    declared_columns,
    image_of,
    named_columns,
    plain,
    set_file,
)
from tfvision.data.sources.tables.class_table_labels import (
    check_one_label,
    how_to_declare,
    looks_like_labels,
    one_hot_columns,
    ones_of,
)
from tfvision.errors import InputError


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


class NoLabelColumn(InputError):
    """A table names images, but which of its columns is the label is not clear."""


def read_label_rows(
    path: Path,
    *,
    columns: Mapping | None = None,
    encoding: str = "utf-8",
    images: Mapping[str, str] | None = None,
) -> tuple[list[LabelRow], list[str]]:
    """The rows of a table of labels, and lines on how it was read.

    Args:
        path: The CSV file.
        columns: Which columns are meant, where their names are not usual ones: keys `file`,
            `label`, `split`, `group`, `mask` with a name of the header, `box` with four, and
            `label` also with several, of 0 and 1, one a class.
        encoding: Of the file.
        images: What a cell may hold -> the image that it names, as
            `class_table_images.image_names` has it: by these a column of files is recognised
            whatever its name.

    Raises:
        NoLabelColumn: It names these images; which column is the label is not clear.
        InputError: No column is known for file or label, a row has another length, or images have
            several labels each.
    """
    lines = read_cells(path, encoding=encoding)
    if not lines:
        raise InputError(f"{path} is empty. Its rows must hold a file name and a label.")
    found = _columns(path, lines, columns, images)
    check_lengths(path, lines)
    rows, labels = [], []
    for line, cells in lines[found.first :]:
        single = {key: cells[place] for key, place in found.places.items() if key in NAMES}
        if found.classes:
            ones = ones_of(cells, found.classes)
            labels.append((line, " and ".join(ones) if len(ones) > 1 else ""))
            single["label"] = ones[0] if len(ones) == 1 else ""
        box = tuple(cells[found.places[key]] for key in BOX) if "xmin" in found.places else ()
        rows.append(LabelRow(line, **single, box=box))
    if not found.classes:
        labels = [(row.line, row.label) for row in rows]
    check_one_label(path, labels, one_hot=bool(found.classes))
    return rows, found.notes


def label_columns(
    path: Path,
    *,
    columns: Mapping | None = None,
    encoding: str = "utf-8",
    images: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Key -> column of a table that `read_label_rows` reads: of NAMES and BOX those it has."""
    return _columns(path, read_cells(path, encoding=encoding), columns, images).places


def label_reading(path: Path, images: Mapping[str, str] | None = None) -> str | None:
    """What a CSV file says of images, by its first lines.

    Returns:
        "labels"; "classes", where each class has a column of 0 and 1; "unclear", where it names
        `images`, and which column is their label is not clear; None: it labels no images.
    """
    try:
        lines = read_cells(path, head=True)
        if not lines:
            return None
        found = _columns(path, lines, None, images)
    except NoLabelColumn:
        return "unclear"
    except InputError:
        return None
    return "classes" if found.classes else "labels" if "label" in found.places else None


def has_columns(path: Path, columns: Mapping, *, encoding: str = "utf-8") -> bool:
    """Whether the header of a CSV file names all columns that are declared."""
    try:
        lines = read_cells(path, encoding=encoding, head=True)
        return bool(lines) and bool(declared_columns(path, lines[0][1], columns))
    except InputError:
        return False


def has_masks(path: Path) -> bool:
    """Whether the header of a CSV file names a column of mask files."""
    try:
        lines = read_cells(path, head=True)
    except InputError:
        return False
    named = lines and not {plain(cell) for cell in lines[0][1]}.isdisjoint(NAMES["mask"])
    return bool(named) and run_column(lines[0][1], _whole_rows(lines)) is None


def _whole_rows(lines: Sequence[tuple[int, list[str]]]) -> list[list[str]]:
    """The rows below the first line that are as long as it."""
    return [cells for _, cells in lines[1:] if len(cells) == len(lines[0][1])]


def parse_box(cells: Sequence[str], *, place: str) -> tuple[float, ...] | None:
    """`x1 y1 x2 y2` out of four cells, with decimal point or comma; None where all are empty.

    Raises:
        BadSample: A cell is no number, or the box has no area.
    """
    if not any(cells):
        return None
    shown = f"the box ({', '.join(cells)})"
    box = tuple(number for number in map(to_number, cells) if number is not None)
    if len(box) != len(cells):
        raise BadSample(place, f"{shown} is not four numbers", "Write xmin, ymin, xmax, ymax.")
    if box[2] <= box[0] or box[3] <= box[1]:
        problem = f"{shown} has no area: xmin < xmax and ymin < ymax must hold"
        advice = "Correct it: xmin, ymin, xmax, ymax, in pixels; or are the corners swapped?"
        raise BadSample(place, problem, advice)
    return box


def _columns(
    path: Path,
    lines: Sequence[tuple[int, list[str]]],
    columns: Mapping | None,
    images: Mapping[str, str] | None,
) -> Columns:
    """Which column of a table, or of its first lines, says what."""
    header, rows = lines[0][1], _whole_rows(lines)
    if columns is not None:
        return declared_columns(path, header, columns)
    if (runs := run_column(header, rows)) is not None:
        raise InputError(
            f"{path} holds masks as run lengths (column {header[runs]}), not labels. A "
            "segmentation trains on it."
        )
    places = named_columns(path, header)
    set_file(places, header, rows, images)
    if by_place := columns_by_place(header, images):
        note = f"{path.name} has no header: read as {', '.join(by_place)}"
        return Columns(by_place, 0, {}, [note])
    others = unused_columns(header, rows, places.values())
    if "file" in places and "label" in places and not _is_one_class(places, rows, others):
        return Columns(places, 1, {}, _notes(header, rows, places, others))
    by_place = columns_by_place(rows[0], images) if rows else None
    known = by_place and all(by_place.get(key) == place for key, place in places.items())
    if known and looks_like_labels([cells[by_place["label"]] for cells in rows]):
        note = f"{path.name}: the header ({', '.join(header)}) is not known: read by place as "
        return Columns(by_place, 1, {}, [note + ", ".join(by_place)])
    if "file" in places:
        others = unused_columns(header, rows, places.values())
        return _without_label(path, header, rows, places, others, images)
    missing = [key for key in ("file", "label") if key not in places]
    names = "; ".join(f"{key}: {', '.join(NAMES[key][:8])}, ..." for key in missing)
    raise InputError(
        f"{path}: no column is known for {' and '.join(missing)}; the first line holds "
        f"{', '.join(header)}. Known names: {names}. Rename columns, or say which are meant: "
        f"{how_to_declare('NAME', ['NAME'])}."
    )


def _is_one_class(
    places: dict[str, int], rows: Sequence[Sequence[str]], others: dict[int, str]
) -> bool:
    """Whether the column that is called a label is one of several, one a class, such as `x,y`.

    Then it is taken from the places.
    """
    place = places["label"]
    classes = one_hot_columns(rows, {**others, place: "label"})
    whole = classes and all(len(ones_of(cells, classes)) == 1 for cells in rows)
    if not whole or place not in classes:
        return False
    del places["label"]
    return True


def _without_label(
    path: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: dict[str, int],
    others: Mapping[int, str],
    images: Mapping[str, str] | None,
) -> Columns:
    """The reading of a table whose column of files is known, and no column of labels by name.

    Raises:
        NoLabelColumn: Several readings are possible, or none.
    """
    if classes := one_hot_columns(rows, others):
        note = f"{path.name}: a column of 0 and 1 for each class: {', '.join(classes.values())}"
        given = {name for cells in rows for name in ones_of(cells, classes)}
        empty = [name for name in classes.values() if name not in given]
        note += f"; no image is of {', '.join(empty)}" if empty else ""
        unused = {place: name for place, name in others.items() if place not in classes}
        return Columns(places, 1, classes, [note, *_notes(header, rows, places, unused)])
    if len(others) == 1 and "mask" not in places:  # beside masks it may be a remark
        ((place, name),) = others.items()
        if looks_like_labels([cells[place] for cells in rows], name):
            note = f"{path.name}: labels are those of the column {name}, the only one left"
            return Columns({**places, "label": place}, 1, {}, [note])
    file = header[places["file"]]
    beginning = f"{path}: its column {file} names images"
    if images:
        named = {image_of(cells[places["file"]], images) for cells in rows} - {None}
        count = len(set(images.values()))
        beginning = f"{path} names {len(named)} of {count} images (column {file})"
    counts = [f"{name} ({len({c[place] for c in rows})} values)" for place, name in others.items()]
    raise NoLabelColumn(
        f"{beginning}; which column is the label? It has {', '.join(counts) or 'no other'}. Say "
        f"it: {how_to_declare(file, list(others.values()))}."
    )


def _notes(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: Mapping[str, int],
    unused: Mapping[int, str],
) -> list[str]:
    """Lines on the columns that are not used: their names, and which may be a group."""
    notes = [f"columns not used: {', '.join(unused.values())}"] if unused else []
    for place, name in unused.items():
        values = {cells[place] for cells in rows} - {""}
        if "group" not in places and plain(name) in OF_GROUPS and 2 < len(values) < len(rows):
            file, label = (header[places[key]] if key in places else "NAME" for key in KEYS[:2])
            declare = how_to_declare(file, [label], group=name)
            notes.append(f"images with the same {name} stay in one split with {declare}")
    return notes
