"""Labels that come later: a CSV file for images that a data set holds without labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from tfvision.data.sources.class_files import check_box
from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.source import RawSample, Source
from tfvision.data.sources.tables.class_table_columns import LabelRow, parse_box, read_label_rows
from tfvision.data.sources.tables.class_table_header import is_number
from tfvision.errors import InputError
from tfvision.text import counted, first_lines, verb


@dataclass(frozen=True)
class LabelsFile:
    """What a CSV file says of some ids.

    Attributes:
        numbers: (N,) int32 class numbers in the order of the ids, -1 where it says nothing.
        labels: The label of each as the file writes it, or None.
        boxes: `x1 y1 x2 y2` in pixels of each, or None.
        missing: The ids that the file does not list.
        unknown: Number of rows for other ids; they are passed over.
        notes: Lines to print.
    """

    numbers: np.ndarray
    labels: list[str | None]
    boxes: list[tuple[float, ...] | None]
    missing: list[str]
    unknown: int
    notes: list[str] = field(default_factory=list)


def read_labels_table(
    path: str | Path,
    ids: Sequence[str],
    class_names: Sequence[str],
    *,
    class_labels: Sequence[str] | None = None,
    category_ids: Sequence[int | str] | None = None,
    columns: Mapping | None = None,
    encoding: str = "utf-8",
) -> LabelsFile:
    """Reads the labels of samples that have ids, from a table such as `Id,Category`.

    Args:
        path: The CSV file; columns as `label_rows` knows them.
        ids: Those of the samples; a row means one by its id, with or without extension, or by
            its file name where that is unique.
        class_names: The classes. A label may be a name, what `class_labels` says, or the
            number of a class, tried in this order.
        class_labels: As `Source.class_labels`.
        category_ids: What COCO's JSON calls the classes, where the data has one: where labels are
            numbers that can be these alone, they are.
        columns, encoding: As `label_table` has them.

    Raises:
        InputError: A label that is no class, or numbers that can be two classes; an id with two
            labels (both with their lines); or a table that knows none of the ids.
    """
    path = Path(path)
    rows, notes = read_label_rows(path, columns=columns, encoding=encoding)
    place_of = _places_of(ids)
    number_of = _numbers_of(class_names, class_labels)
    used = {row.label for row in rows if _index_of(row.file, place_of) is not None}
    named = used <= {*class_names, *(class_labels or ())}
    of_ids = {} if named else _by_category_id(path, used, number_of, category_ids or ())
    if of_ids:
        number_of = of_ids
        notes.append(f"{path.name}: labels are the category ids of the data's JSON")
    rows_of: dict[int, LabelRow] = {}
    unknown, problems = 0, []
    for row in rows:
        index = _index_of(row.file, place_of)
        if index is None:
            unknown += 1
            continue
        first = rows_of.setdefault(index, row)
        if row.label not in number_of:
            problems.append(f"  line {row.line}: {row.label!r} is no class")
        elif first.label != row.label:
            problems.append(
                f"  line {row.line} says {row.label!r} of {ids[index]!r}, line {first.line} says "
                f"{first.label!r}"
            )
    if problems:
        raise InputError(
            "\n".join(
                [
                    f"{path}: {counted(len(problems), 'row')} "
                    f"{verb(len(problems), 'is', 'are')} wrong.",
                    *first_lines(problems),
                ]
            )
            + f"\nThe classes are {', '.join(class_names)}, or their numbers from 0."
        )
    if not rows_of:
        raise InputError(
            f"{path} lists {counted(len(rows), 'id')}, and none of the {len(ids)} samples "
            f"({', '.join(ids[:3])}, ...). Ids must be those of the data: paths relative to it."
        )
    numbers = np.full(len(ids), -1, np.int32)
    labels: list[str | None] = [None] * len(ids)
    boxes: list[tuple[float, ...] | None] = [None] * len(ids)
    for index, row in rows_of.items():
        numbers[index], labels[index] = number_of[row.label], row.label
        boxes[index] = parse_box(row.box, place=f"line {row.line} of {path.name} ({row.file})")
    missing = [identity for i, identity in enumerate(ids) if i not in rows_of]
    if unknown:
        notes.append(
            f"{path.name}: {counted(unknown, 'row')} {verb(unknown, 'names', 'name')} no sample "
            f"of the data: ignored"
        )
    if missing:
        shown = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        notes.append(
            f"{path.name}: {len(missing)} of {counted(len(ids), 'sample')} "
            f"{verb(len(missing), 'is', 'are')} not listed ({shown})"
        )
    return LabelsFile(numbers, labels, boxes, missing, unknown=unknown, notes=notes)


class Relabelled(Source):
    """A source of labels whose unlabelled samples get labels and boxes from a file.

    Args:
        source: The samples, scanned already: what the scan settled is taken over.
        indices: Places of the records that the file speaks of.
        given: What it says of them, in this order.
        class_names: Of the numbers in `given`.
    """

    def __init__(
        self,
        source: Source,
        indices: Sequence[int],
        given: LabelsFile,
        *,
        class_names: Sequence[str],
    ):
        self._source = source
        self._given = {}
        records = list(source.records)
        said = zip(indices, given.numbers.tolist(), given.labels, given.boxes, strict=True)
        for index, number, label, box in said:
            if number >= 0:
                self._given[index] = number, box
                records[index] = replace(records[index], labelled=True, label=label)
        described = source.described(class_names=class_names, truth="label", mask_values=None)
        super().__init__(records, **described)

    def stamp(self, index: int) -> str:
        own = self._source.stamp(index)
        return f"{own}|{self._given[index]}" if own and index in self._given else own

    def read_raw(self, index: int) -> RawSample:
        sample = self._source.read_raw(index)
        if index not in self._given:
            return sample
        number, box = self._given[index]
        if box is None:
            return replace(sample, label=number)
        check_box(box, sample.image.shape[:2], place=self.records[index].place)
        boxes = np.array([box], np.float32)
        return replace(sample, label=number, boxes=boxes, classes=np.array([number], np.int32))


def _places_of(ids: Sequence[str]) -> list[dict[str, int | None]]:
    """Tables from the spellings of an id to its place; None where several have it."""
    tables: list[dict[str, int | None]] = []
    for spell in (str, lambda identity: stem(PurePosixPath(identity).name)):
        table: dict[str, int | None] = {}
        for index, identity in enumerate(ids):
            key = name_key(spell(identity))
            table[key] = None if key in table else index
        tables.append(table)
    return tables


def _index_of(cell: str, tables: Sequence[dict[str, int | None]]) -> int | None:
    path = name_key(cell.replace("\\", "/"))
    spellings = [(path, tables[0]), (stem(path), tables[0])]
    spellings += [(stem(PurePosixPath(path).name), tables[1])]
    for key, table in spellings:
        if (index := table.get(key)) is not None:
            return index
    return None


def _numbers_of(names: Sequence[str], labels: Sequence[str] | None) -> dict[str, int]:
    """What a label may be -> class number; names win over labels, these over numbers.

    Where a name is itself a number, a number means no place.
    """
    number_of: dict[str, int] = {}
    places = [] if any(map(is_number, names)) else [str(number) for number in range(len(names))]
    for spellings in (names, labels or (), places):
        for number, text in enumerate(spellings):
            number_of.setdefault(text, number)
    return number_of


def _by_category_id(
    path: Path, used: set[str], number_of: Mapping[str, int], ids: Sequence[int | str]
) -> dict[str, int]:
    """Category id -> class number, where labels are these and cannot be numbers from 0; else {}.

    Raises:
        InputError: They can be both, and would be other classes.
    """
    of_id = {str(identity): number for number, identity in enumerate(ids)}
    if not used or not used <= {*of_id} or all(of_id[x] == number_of.get(x) for x in used):
        return {}
    if used <= {*number_of}:
        raise InputError(
            f"{path}: its labels ({', '.join(sorted(used)[:4])}, ...) can be the category ids of "
            "the data's JSON, or the classes' numbers from 0. Write the names of the classes."
        )
    return of_id
