"""The source `run_length_table`: a CSV file that gives images their masks as run lengths.

    ImageId,EncodedPixels            id,class,segmentation         ImageId_ClassId,EncodedPixels
    a.png,3 2 9 4                    a,stomach,3 2 9 4             a.png_1,3 2 9 4
    a.png,20 1                       a,bowel,                      a.png_2,-1

Several rows may belong to one image: an object or a class each. A row without runs (empty, `-1`,
`nan`) says that there is none. Class 0 is the background; without a column of classes the other
one is `object`. Where classes overlap, the later row is drawn over the earlier one.

Pixels are counted down the columns or along the rows, from 0 or from 1: told by the masks
themselves (`tfvision.data.files.run_length`), or declared. The images lie where `label_table`
looks for them, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfvision.data.files.csv_table import Row, check_lengths, read_cells, unused_columns
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.run_length import BASES, ORDERS, parse_runs
from tfvision.data.files.tree import Tree
from tfvision.data.sources.class_files import settle_labels
from tfvision.data.sources.file_source import FileSource, Listing, list_images, show, unique_ids
from tfvision.data.sources.source import Record
from tfvision.data.sources.tables.class_table_columns import LabelRow
from tfvision.data.sources.tables.class_table_images import ImageFinder, csv_files, part_folder
from tfvision.data.sources.tables.mask_table import check_split, settle_splits
from tfvision.data.sources.tables.run_length_columns import RunColumns, find_run_columns, holds_runs
from tfvision.data.sources.tables.run_length_mask import RunLengthMask, settle_counting
from tfvision.errors import InputError
from tfvision.text import counted, verb


@dataclass
class _Image:
    """What the rows say of one image: the first of them, and class and runs of each."""

    row: Row
    size: tuple[int, int] | None
    objects: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def runs(self) -> np.ndarray:
        return np.concatenate([np.zeros((0, 2), np.int64), *(runs for _, runs in self.objects)])


@takes_reading(without=OF_MASKS)
def run_length_table(
    path: str | Path,
    *,
    columns: Mapping | None = None,
    order: str | None = None,
    base: int | None = None,
    white: float | None = None,
    allow_outside_root: bool = False,
    encoding: str = "utf-8",
    **reading,
) -> FileSource:
    """Samples whose masks a CSV file holds as run lengths; see this module's head.

    Args:
        path: The CSV file, or a folder that holds one such file.
        columns: Which columns are meant: keys `file`, `runs`, `label`, `split`, `group`, with a
            name of the header.
        order: "columns" or "rows": which way pixels are counted; None: the masks tell.
        base: 0 or 1: the number of the first pixel; None: the masks tell.
        allow_outside_root: Whether paths may be absolute or leave the CSV's folder.
        encoding: Of the CSV file.
        white, **reading: As `folder` has them.

    Raises:
        InputError: The table cannot be read, or the masks do not tell order or base. What is wrong
            with single rows is reported, all at once, by the scan.
    """
    _check_declared(order, base)
    table = _table_of(Path(path)) if Path(path).is_dir() else Path(path)
    lines = read_cells(table, encoding=encoding)
    if len(lines) < 2:
        raise InputError(f"{table} lists no image. Its rows must hold a file name and run lengths.")
    check_lengths(table, lines)
    found = find_run_columns(table, lines, columns)
    rows = [_row(line, cells, found) for line, cells in lines[1:]]
    finder = ImageFinder(
        table, [_as_label_row(row) for row in rows], allow_outside_root=allow_outside_root
    )
    images, problems = _images(table.name, rows, finder, with_class=found.with_class)
    labels = [row.values["label"] for row in rows if row.values["label"]]
    settled = settle_labels(labels, None, place=table.name) if found.with_class else None
    names = settled.names if settled else ["object"]
    records, notes = _records(table, images, finder)
    options = {"white": white, "reading": Reading(**reading)}
    places = [record.place for record in records]
    plain = FileSource(records, [(f, None) for f in images], places, name="", layout="", **options)
    order, base, said = settle_counting(
        table, plain, [image.runs for image in images.values()], order, base=base
    )
    numbers = {name: number for number, name in enumerate(names, 1)}
    masks = [
        RunLengthMask(
            tuple((numbers[label or names[0]], runs) for label, runs in image.objects),
            *(order, base, image.size),
        )
        for image in images.values()
    ]
    test = _test_images(table, finder, set(images), allow_outside_root=allow_outside_root)
    problems += _unlisted(table, finder, {*images, *test})
    others = unused_columns(lines[0][1], [cells for _, cells in lines[1:]], found.used)
    notes += [f"columns not used: {', '.join(others.values())}"] if others else []
    records += _test_records(test, table.parent)
    return FileSource(
        records,
        [*zip(images, masks, strict=True), *((file, None) for file in test)],
        [record.place for record in records],
        name="run_length_table",
        path=Path(path),
        layout=_layout(table, finder, images, names, said, tests=len(test)),
        class_names=["background", *names],
        mask_values=list(range(len(names) + 1)),
        notes=[*notes, *_overlaps(images.values()), *finder.listing.notes()],
        problems=[*finder.listing.problems, *problems],
        reads_also=[table],
        **options,
    )


def _layout(
    table: Path,
    finder: ImageFinder,
    images: Mapping[Path, _Image],
    names: Sequence[str],
    said: str,
    *,
    tests: int,
) -> str:
    where = "" if finder.folder == table.parent else f" in {show(finder.folder, table.parent)}/"
    classes = f"{len(names)} class{'es' if len(names) > 1 else ''}"
    text = (
        f"{table.name}: {counted(len(images), 'image')}{where} with masks of {classes} as "
        f"run lengths, {said}"
    )
    empty = sum(not len(image.runs) for image in images.values())
    text += f"; {empty} of them without an object" if empty else ""
    return text + (f"; {counted(tests, 'image')} without masks" if tests else "")


def sees(tree: Tree) -> str | None:
    """What speaks for masks as run lengths; see `tfvision.data.sources.recognise`."""
    files = [tree.root / tree.files[""][0]] if tree.of_file else csv_files(tree.root)
    tables = (
        path for path in files if path.suffix.lower() in (".csv", ".tsv") and holds_runs(path)
    )
    table = next(tables, None)
    return None if table is None else f"{table.name} with masks as run lengths"


def _check_declared(order: str | None, base: int | None) -> None:
    if order not in (None, *ORDERS):
        raise InputError(f"order must be columns or rows; got {order!r}.")
    if base not in (None, *BASES) or isinstance(base, bool):
        raise InputError(f"base, the number of the first pixel, must be 0 or 1; got {base!r}.")


def _table_of(folder: Path) -> Path:
    tables = [path for path in csv_files(folder) if holds_runs(path)]
    named = [path for path in tables if "submission" not in path.stem.lower()]
    tables = named if len(tables) > 1 else tables
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables or csv_files(folder)) or "no CSV file"
        what = "several tables of run lengths" if tables else "no table of run lengths"
        raise InputError(f"{folder} holds {what}: {names}. Give the path of the one that is meant.")
    return tables[0]


def _row(line: int, cells: Sequence[str], found: RunColumns) -> Row:
    values = dict.fromkeys(("file", "runs", "label", "split", "group", "height", "width"), "")
    values |= {key: cells[place] for key, place in found.places.items()}
    if found.joined:  # file and class in one cell: a.png_1
        values["file"], _, values["label"] = values["file"].rpartition("_")
    return Row(line, values)


def _as_label_row(row: Row) -> LabelRow:
    return LabelRow(row.line, row.values["file"], "")


def _place(row: Row, table: str) -> str:
    return f"line {row.line} of {table} ({row.values['file']})"


def _images(
    table: str, rows: Sequence[Row], finder: ImageFinder, *, with_class: bool
) -> tuple[dict[Path, _Image], list[Issue]]:
    """What the rows say of each image file, and a problem for each wrong row."""
    images: dict[Path, _Image] = {}
    problems = []
    for row in rows:
        place = _place(row, table)
        try:
            check_split(row, table)
            file = finder.find(_as_label_row(row), place=place) if row.values["file"] else None
            if file is None:
                problem = f"no such file among {len(finder.files)} images"
                raise BadSample(place, problem, finder.missing(row.values["file"]))
            runs = parse_runs(row.values["runs"], place=place)
            if with_class and len(runs) and not row.values["label"]:
                raise BadSample(place, "has runs and no class", "Write the class.")
            sides = [row.values[key] for key in ("height", "width")]
            size = tuple(map(int, sides)) if all(side.isdigit() for side in sides) else None
        except BadSample as error:
            text = (error.place, error.problem, error.advice)
            problems.append(Issue("error", row.values["file"], *text))
            continue
        image = images.setdefault(file, _Image(row, size))
        if len(runs):
            image.objects.append((row.values["label"], runs))
    return images, problems


def _records(
    table: Path, images: Mapping[Path, _Image], finder: ImageFinder
) -> tuple[list[Record], list[str]]:
    rows = [image.row for image in images.values()]
    splits, notes = settle_splits(rows)
    ids = _ids(images, finder.folder)
    records = [
        Record(i, "", split, True, group=row.values["group"] or None, place=_place(row, table.name))
        for i, split, row in zip(ids, splits, rows, strict=True)
    ]
    return records, notes


def _ids(files: Iterable[Path], folder: Path) -> list[str]:
    return unique_ids([show(file, folder) for file in files])


def _test_images(
    table: Path, finder: ImageFinder, listed: set[Path], *, allow_outside_root: bool
) -> list[Path]:
    """The images of a test folder, which no row names."""
    folder = part_folder(table.parent, "test")
    if folder is None or folder in (finder.folder, *finder.folder.parents):
        return []
    listing = Listing()
    list_images(folder, root=table.parent, allow_outside_root=allow_outside_root, into=listing)
    return [] if listed & set(listing.files) else listing.files


def _test_records(files: Sequence[Path], root: Path) -> list[Record]:
    return [
        Record(identity, "test", "test", False, group=None, place=show(file, root))
        for identity, file in zip(_ids(files, root), files, strict=True)
    ]


def _unlisted(table: Path, finder: ImageFinder, known: set[Path]) -> list[Issue]:
    missing = [file for file in finder.files if file not in known]
    if not missing:
        return []
    names = ", ".join(show(file, table.parent) for file in missing[:3])
    has = verb(len(missing), "has", "have")
    problem = f"{counted(len(missing), 'image')} {has} no row ({names}, ...): left out"
    advice = "Add a row without runs for each that shows no object."
    return [Issue("warning", "", table.name, problem, advice=advice)]


def _overlaps(images: Iterable[_Image]) -> list[str]:
    """A line where runs of different classes overlap."""
    count = 0
    for image in images:
        spans = sorted((s, s + n, label) for label, runs in image.objects for s, n in runs.tolist())
        end, last = 0, ""
        for start, stop, label in spans:
            if start < end and label != last:
                count += 1
                break
            if stop > end:
                end, last = stop, label
    text = (
        f"classes overlap in {counted(count, 'image')}: the later row is drawn over the earlier one"
    )
    return [text] if count else []
