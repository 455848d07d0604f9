"""The source `manifest`: a CSV file that lists images, masks, splits and groups.

    image,mask,split,group
    images/a.png,masks/a.png,train,patient 1
    images/b.png,masks/b.png,val,patient 2

`image` is required; it and `mask` may have other usual names (`file`, `image_path`, `mask_path`),
or be declared by `columns`. Paths are relative to the CSV's folder. An empty `mask` is a sample
without labels, an empty `split` one that is to be split, an empty `group` one on its own.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data.files.csv_table import Row, read_cells, read_table
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.paths import inside
from tfvision.data.files.reading import Reading, takes_reading
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.file_source import FileSource, Listing, list_images, show, unique_ids
from tfvision.data.sources.npz import PARTS
from tfvision.data.sources.source import SPLITS, Record
from tfvision.data.sources.tables.class_table_columns import has_masks, label_reading
from tfvision.data.sources.tables.class_table_header import NAMES, plain
from tfvision.data.sources.tables.class_table_images import csv_files
from tfvision.errors import InputError
from tfvision.text import counted, verb

COLUMNS = {"file": "image", "mask": "mask", "split": "split", "group": "group"}


@takes_reading()
def manifest(
    path: str | Path,
    *,
    columns: Mapping | None = None,
    mask_values: Sequence[int] | None = None,
    white: float | None = None,
    allow_outside_root: bool = False,
    encoding: str = "utf-8",
    **reading,
) -> FileSource:
    """Samples that a CSV file lists; see this module's head.

    Args:
        path: The CSV file, or a folder that holds one such file.
        columns: Which columns are meant, where their names are not usual ones: keys `file`,
            `mask`, `split`, `group` with a name of the header.
        mask_values, white, **reading: As `folder` has them.
        allow_outside_root: Whether paths may be absolute or leave the CSV's folder.
        encoding: Of the CSV file.

    Raises:
        InputError: The table cannot be read. What is wrong with single rows is reported,
            all at once, by the scan.
    """
    path = _table_of(Path(path)) if Path(path).is_dir() else Path(path)
    root = path.parent
    rows, extra = read_rows(path, columns=columns, encoding=encoding)
    problems: list[Issue] = []
    kept: list[tuple[Row, Path, Path | None]] = []
    lines_of: dict[Path, int] = {}
    for row in rows:
        try:
            image, mask = _paths(root, row, path.name, allow_outside_root)
            check_split(row, path.name)
            if image in lines_of:
                raise BadSample(
                    _place(row, path.name),
                    f"lists {row.values['image']!r} again, it stands on line {lines_of[image]}",
                    "Delete one of the lines.",
                )
        except BadSample as error:
            problems.append(Issue("error", "", error.place, error.problem, advice=error.advice))
            continue
        lines_of[image] = row.line
        kept.append((row, image, mask))
    if not rows:
        problems.append(Issue("error", "", path.name, "lists no image", advice="Add rows."))
    problems += _unlisted(root, kept, allow_outside_root)
    splits, notes = settle_splits([row for row, _, _ in kept])
    if extra:
        notes.append(f"columns not used: {', '.join(extra)}")
    ids = unique_ids([show(image, root) for _, image, _ in kept])
    records = [
        Record(
            identity,
            "",
            split,
            mask is not None,
            group=row.values["group"] or None,
            place=f"{_place(row, path.name)} ({row.values['image']})",
        )
        for identity, split, (row, _, mask) in zip(ids, splits, kept, strict=True)
    ]
    labelled = sum(record.labelled for record in records)
    return FileSource(
        records,
        [(image, mask) for _, image, mask in kept],
        [f"{_place(row, path.name)} ({row.values['mask']})" for row, _, _ in kept],
        name="manifest",
        path=path,
        layout=f"{path.name}: {counted(len(records), 'image')}, {labelled} of them with masks",
        mask_values=mask_values,
        white=white,
        reading=Reading(**reading),
        notes=notes,
        problems=problems,
    )


def read_rows(
    path: Path, *, columns: Mapping | None = None, encoding: str = "utf-8"
) -> tuple[list[Row], list[str]]:
    """Rows of a manifest, with all their columns, and the names of those that have no meaning here.

    Args:
        path, columns, encoding: As `manifest` has them.

    Raises:
        InputError: No column of images; a declared column is not there.
    """
    head = read_cells(path, encoding=encoding, head=True)
    header = [name.casefold() for name in head[0][1]] if head else []
    spellings = {}
    for key, names in {"image": NAMES["file"], "mask": NAMES["mask"]}.items():
        given = next((h for n in names for h in header if plain(h) == n), None)
        if key not in header and given is not None:
            spellings[given] = key
    for key, name in (columns or {}).items():
        if key not in COLUMNS:
            raise InputError(f"columns holds {key!r}; known: {', '.join(COLUMNS)}.")
        if str(name).casefold() not in header:
            raise InputError(
                f"{path} has no column {str(name)!r} ({key}). It has {', '.join(header)}."
            )
        spellings = {h: k for h, k in spellings.items() if k != COLUMNS[key]}
        spellings[str(name).casefold()] = COLUMNS[key]
    return read_table(
        path,
        required=["image"],
        optional=["mask", "split", "group"],
        spellings=spellings,
        encoding=encoding,
    )


def sees(tree: Tree) -> str | None:
    """What speaks for a list of images and masks; see `tfvision.data.sources.recognise`."""
    (name,) = tree.files[""] if tree.of_file else ("",)
    is_table = name.lower().endswith((".csv", ".tsv"))
    return f"{name} with a column of masks" if is_table and has_masks(tree.root / name) else None


def sees_in_folder(tree: Tree) -> str | None:
    """What speaks for such a list in a folder: a table that names files in it."""
    tables = [] if tree.of_file else _tables_in(tree)
    return (
        f"{' and '.join(path.name for path in tables)} with a column of masks" if tables else None
    )


def _tables_in(tree: Tree) -> list[Path]:
    """The tables of images and masks in a folder, all of whose images are there."""
    names = set(tree.below(""))
    tables = []
    for path in csv_files(tree.root):
        if has_masks(path) and label_reading(path) != "labels":
            try:
                rows, _ = read_rows(path)
            except InputError:
                continue
            if rows and all(row.values["image"].replace("\\", "/") in names for row in rows):
                tables.append(path)
    return tables


def _table_of(folder: Path) -> Path:
    """The one table of images and masks in a folder."""
    tables = _tables_in(list_tree(folder))
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables) or "none"
        raise InputError(
            f"{folder}: one table of images and masks must lie there; found {names}. Give the path "
            "of the one that is meant."
        )
    return tables[0]


def _place(row: Row, name: str) -> str:
    return f"line {row.line} of {name}"


def _paths(root: Path, row: Row, name: str, allow: bool) -> tuple[Path, Path | None]:
    place = _place(row, name)
    if not row.values["image"]:
        raise BadSample(place, "the column image is empty", "Write the path of an image.")
    image = inside(root, row.values["image"], place=place, allow_outside_root=allow)
    if not row.values["mask"]:
        return image, None
    return image, inside(root, row.values["mask"], place=place, allow_outside_root=allow)


def check_split(row: Row, name: str) -> None:
    """Raises a `BadSample` where the column split says what is none."""
    split = row.values["split"].lower()
    if split and split not in PARTS:
        raise BadSample(
            _place(row, name),
            f"unknown split {row.values['split']!r}",
            f"Write {', '.join(SPLITS)}, or nothing where it is to be split.",
        )


def settle_splits(rows: list[Row]) -> tuple[list[str | None], list[str]]:
    """The split of each row; "train" counts only beside a "val"."""
    splits = [PARTS.get(row.values["split"].lower()) for row in rows]
    if "train" in splits and "val" not in splits:
        note = "no row says val: the rows that say train are split into train and val"
        return [None if split == "train" else split for split in splits], [note]
    return splits, []


def _unlisted(root: Path, kept, allow_outside_root: bool) -> list[Issue]:
    """A warning where images lie beside the listed ones that no row names."""
    listed = {path.resolve() for _, image, mask in kept for path in (image, mask) if path}
    folders = {image.parent for _, image, _ in kept if os.path.isdir(image.parent)}
    found = Listing()
    for folder in sorted(folders):
        list_images(folder, root=root, allow_outside_root=allow_outside_root, into=found)
    missing = sorted({path for path in found.files if path.resolve() not in listed})
    if not missing:
        return []
    names = ", ".join(show(path, root) for path in missing[:3])
    images, are = counted(len(missing), "image"), verb(len(missing), "is", "are")
    problem = f"{images} beside the listed ones {are} not listed ({names}, ...)"
    return [
        Issue("warning", "", show(root, root), problem, advice="Add rows where they are meant.")
    ]
