"""The source `label_table`: a CSV file that gives image files their labels.

    filename,xmin,ymin,xmax,ymax,label        sample_index,label
    0000.jpg,74,49,152,127,3                  img_0000.png,Neutrophil

The columns are recognised by usual names (`class_table_columns.NAMES`), by `columns`, or
without a header by their places. Labels are text, whatever they look like: "NA", "01" and
"true" stay so. The images lie beside the table, or in a folder beside it (`images/`, `train/`,
`train_data/`, ...). A box, and a mask file (of the column `mask`, of the same name in `masks/`, or
beside its image, as `mask_0000.png` is beside `img_0000.png`), say where the object is. `test/`
beside the table holds images without labels. `classes.txt` names the classes where labels are
numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfvision.data.files.csv_table import Row
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.paths import inside
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.sources.class_files import (
    LabelledFiles,
    regions_beside,
    regions_in,
    settle_labels,
)
from tfvision.data.sources.file_source import Listing, list_images, name_key, show, unique_ids
from tfvision.data.sources.folders.mask_folder import MASKS, child_folder, read_class_names
from tfvision.data.sources.source import Record
from tfvision.data.sources.tables.class_table_columns import (
    LabelRow,
    parse_box,
    read_label_rows,
)
from tfvision.data.sources.tables.class_table_images import (
    ImageFinder,
    csv_files,
    image_names,
    part_folder,
    part_of,
    table_of_folder,
)
from tfvision.data.sources.tables.mask_table import check_split, settle_splits
from tfvision.errors import InputError
from tfvision.text import counted, verb

Box = tuple[float, ...]


@dataclass(frozen=True)
class _Item:
    """A row, the file it means, and its box."""

    row: LabelRow
    file: Path
    box: Box | None


@dataclass
class _Found:
    """What is gathered for the source."""

    table: Path
    allow_outside_root: bool
    problems: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    files: list[tuple[Path, Path | None]] = field(default_factory=list)
    region_places: list[str] = field(default_factory=list)
    boxes: list[Box | None] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.table.parent

    def add(self, record: Record, file: Path, region: Path | None, box: Box | None) -> None:
        self.records.append(record)
        self.files.append((file, region))
        self.region_places.append("" if region is None else show(region, self.root))
        self.boxes.append(box)


@takes_reading(without=OF_MASKS)
def label_table(
    path: str | Path,
    *,
    columns: Mapping | None = None,
    white: float | None = None,
    allow_outside_root: bool = False,
    encoding: str = "utf-8",
    **reading,
) -> LabelledFiles:
    """Samples that a CSV file labels; see this module's head.

    Args:
        path: The CSV file, or a folder that holds one such file.
        columns: Which columns are meant: keys `file`, `label`, `split`, `group`, `mask` with
            a name of the header, `box` with four.
        white, **reading: As `folder` has them.
        allow_outside_root: Whether paths may be absolute or leave the CSV's folder.
        encoding: Of the CSV file.

    Raises:
        InputError: The table cannot be read, or is one of boxes for detection. What is wrong
            with single rows is reported, all at once, by the scan.
    """
    table = Path(path)
    if table.is_dir():
        table = table_of_folder(table, columns=columns, encoding=encoding)
    rows, notes = read_label_rows(
        table, columns=columns, encoding=encoding, images=image_names(table.parent)
    )
    found = _Found(table, allow_outside_root, notes=notes)
    if Path(path).is_dir() and (others := [p.name for p in csv_files(table.parent) if p != table]):
        found.notes.append(f"{', '.join(others)} beside {table.name} is not read")
    finder = ImageFinder(table, rows, allow_outside_root=allow_outside_root)
    items = _once(found, _items(found, finder, rows))
    regions, masks = _regions(found, finder, items)
    _add_labelled(found, finder, items, regions)
    listed = {item.file for item in items} | masks | set(regions.values())
    test = _add_test(found, finder, listed)
    _report_unlisted(found, finder, listed | {file for file, _ in found.files})
    labels = [record.label for record in found.records if record.label is not None]
    settled = settle_labels(labels, read_class_names(found.root), place=table.name)
    return LabelledFiles(
        found.records,
        found.files,
        found.region_places,
        boxes=found.boxes,
        name="label_table",
        path=Path(path),
        layout=_layout(found, finder, len(settled.names), test),
        class_names=settled.names,
        class_labels=settled.labels,
        white=white,
        reading=Reading(**reading),
        notes=[*found.notes, *finder.listing.notes()],
        problems=[*finder.listing.problems, *found.problems, *settled.problems],
    )


def _place(found: _Found, row: LabelRow) -> str:
    return f"line {row.line} of {found.table.name} ({row.file})"


def _items(found: _Found, finder: ImageFinder, rows: Sequence[LabelRow]) -> list[_Item]:
    """The rows that name a file and hold a label; a problem for each of the others."""
    items = []
    for row in rows:
        place = _place(found, row)
        try:
            check_split(_split_cell(row), found.table.name)
            if not row.file:
                raise BadSample(place, "names no file", "Write the name of an image.")
            if not row.label and row.split.lower() not in ("test", "testing"):
                advice = "Write one, delete the row, or put the image into test/."
                raise BadSample(place, "has no label", advice)
            file = finder.find(row, place=place)
            if file is None:
                where = show(finder.folder, found.root.parent)
                problem = f"no such file in {where}/ ({counted(len(finder.files), 'image')})"
                raise BadSample(place, problem, finder.missing(row.file))
            box = parse_box(row.box, place=place)
        except BadSample as error:
            text = (error.place, error.problem, error.advice)
            found.problems.append(Issue("error", row.file, *text))
            continue
        items.append(_Item(row, file, box))
    if not rows:
        problem = "lists no image"
        found.problems.append(Issue("error", "", found.table.name, problem, advice="Add rows."))
    return items


def _split_cell(row: LabelRow) -> Row:
    return Row(row.line, {"split": row.split})


def _once(found: _Found, items: Sequence[_Item]) -> list[_Item]:
    """One item a file; an error for rows that contradict each other, which go.

    Raises:
        InputError: Most files stand on several rows with different boxes.
    """
    of_file: dict[Path, list[_Item]] = {}
    for item in items:
        of_file.setdefault(item.file, []).append(item)
    boxed = [same for same in of_file.values() if len({item.box for item in same}) > 1]
    if 2 * len(boxed) > len(of_file):
        raise InputError(
            f"{found.table}: {len(boxed)} of {len(of_file)} images have several boxes. This is "
            "data for detection; a classification has one label and at most one box an image."
        )
    kept = []
    for same in of_file.values():
        first, *others = same
        labels = [item for item in others if item.row.label != first.row.label]
        boxes = [item for item in others if item.box != first.box]
        if labels or boxes:
            other = (labels or boxes)[0]
            before = f"line {first.row.line}"
            problem = f"says {other.row.label!r}, {before} says {first.row.label!r} of this image"
            if not labels:
                problem = f"gives this image a second box, {before} gives one"
            issue = ("error", first.row.file, _place(found, other.row), problem)
            found.problems.append(Issue(*issue, "Correct or delete one of the rows."))
            continue
        if others:
            issue = ("warning", first.row.file, _place(found, others[0].row))
            found.problems.append(Issue(*issue, f"repeats line {first.row.line}", "Delete it."))
        kept.append(first)
    return kept


def _regions(
    found: _Found, finder: ImageFinder, items: Sequence[_Item]
) -> tuple[dict[Path, Path], set[Path]]:
    """Image file -> mask file, and all mask files that lie among the images."""
    regions, masks = _regions_of(found, finder.folder, finder.files)
    for item in items:
        if item.row.mask:
            place = _place(found, item.row)
            try:
                regions[item.file] = _mask_of(found, finder, item.row, place)
            except BadSample as error:
                text = (error.place, error.problem, error.advice)
                found.problems.append(Issue("error", item.row.file, *text))
    return regions, masks


def _mask_of(found: _Found, finder: ImageFinder, row: LabelRow, place: str) -> Path:
    """The file that a cell of the column `mask` means."""
    for folder in (found.root, finder.folder, child_folder(found.root, MASKS) or found.root):
        allow = found.allow_outside_root
        path = inside(folder, row.mask, place=place, allow_outside_root=allow)
        if path.is_file():
            return path
    raise BadSample(place, f"no mask file {row.mask!r}", "Correct the path, or leave it empty.")


def _regions_of(
    found: _Found, folder: Path, files: Mapping[Path, str]
) -> tuple[dict[Path, Path], set[Path]]:
    """Regions of the images in a folder: masks beside them, else in `masks/`."""
    try:
        regions, masks = regions_beside(files, folder=show(folder, found.root))
    except InputError as error:  # the table says which files are images: no reason to stop
        found.notes.append(f"no regions are read: {error}")
        return {}, set()
    if regions:
        return regions, masks
    aside = child_folder(folder, MASKS)
    if aside is None and folder != found.root:
        aside = child_folder(folder.parent, MASKS)
    if aside is None:
        return {}, set()
    listing = _list(found, aside)
    return regions_in({file: show(file, aside) for file in listing.files}, files), set()


def _list(found: _Found, folder: Path) -> Listing:
    listing = Listing()
    list_images(folder, root=found.root, allow_outside_root=found.allow_outside_root, into=listing)
    return listing


def _add_labelled(
    found: _Found, finder: ImageFinder, items: Sequence[_Item], regions: Mapping[Path, Path]
) -> None:
    splits, notes = settle_splits([_split_cell(item.row) for item in items])
    found.notes += notes
    ids = unique_ids([name_key(show(item.file, finder.folder)) for item in items])
    for item, split, identity in zip(items, splits, ids, strict=True):
        row = item.row
        label = row.label or None
        group = row.group or None
        place = _place(found, row)
        record = Record(
            identity, "", split, label is not None, group=group, place=place, label=label
        )
        found.add(record, item.file, regions.get(item.file), item.box)


def _add_test(found: _Found, finder: ImageFinder, listed: set[Path]) -> Path | None:
    """Adds the images of a test folder, which no row names; returns the folder."""
    folder = part_folder(found.root, "test")
    if part_of(found.table) == "test" or folder in (None, finder.folder, finder.folder.parent):
        return None
    listing = _list(found, folder)
    if any(file in listed for file in listing.files):
        return None
    images = child_folder(folder, ("images",)) or folder
    files = {file: show(file, images) for file in listing.files if images in file.parents}
    regions, masks = _regions_of(found, images, files)
    files = {file: name_key(path) for file, path in files.items() if file not in masks}
    for file, identity in zip(files, unique_ids(list(files.values())), strict=True):
        record = Record(identity, "test", "test", False, group=None, place=show(file, found.root))
        found.add(record, file, regions.get(file), None)
    return folder if files else None


def _report_unlisted(found: _Found, finder: ImageFinder, known: set[Path]) -> None:
    """A warning where images lie beside the listed ones that no row names."""
    beside = {file.parent for file in known if finder.folder in (file.parent, *file.parents)}
    missing = [file for file in finder.files if file not in known and file.parent in beside]
    if missing:
        names = ", ".join(show(file, found.root) for file in missing[:3])
        has = verb(len(missing), "has", "have")
        problem = f"{counted(len(missing), 'image')} {has} no row ({names}, ...): left out"
        advice = "Add rows where they are meant."
        found.problems.append(Issue("warning", "", found.table.name, problem, advice=advice))


def _where(found: _Found, finder: ImageFinder) -> str:
    """The folders of the images: ` in images/`, ` in part_1/, part_2/`, ` in 12 folders`."""
    if finder.folder != found.root:
        return f" in {show(finder.folder, found.root)}/"
    folders = sorted({file.parent for file, _ in found.files} - {found.root})
    if len(folders) > 3:
        return f" in {len(folders)} folders"
    return f" in {', '.join(show(folder, found.root) + '/' for folder in folders)}" * bool(folders)


def _layout(found: _Found, finder: ImageFinder, classes: int, test: Path | None) -> str:
    labelled = [i for i, record in enumerate(found.records) if record.labelled]
    extras = [
        name
        for name, has in (
            ("a box", [found.boxes[i] is not None for i in labelled]),
            ("a region (a mask file)", [found.files[i][1] is not None for i in labelled]),
        )
        if any(has)
    ]
    where = _where(found, finder)
    text = f"{found.table.name}: {counted(len(labelled), 'image')} of {classes} classes{where}"
    text += f", with {' and '.join(extras)} each" if extras else ""
    if test is not None:
        count = sum(record.part == "test" for record in found.records)
        text += f"; {counted(count, 'image')} without labels in {show(test, found.root)}/"
    return text
