"""The source `label_tables`: a table of labels in each of `train/`, `val/` and `test/`.

    train/_classes.csv        filename, cat, dog: as Roboflow writes it, beside the images
    train/a.jpg
    valid/_classes.csv
    valid/b.jpg

Each table is read as `label_table` reads one alone; the folder says the part, whatever a column of
splits says. `test/` may hold images alone, which then have no label.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tfvision.data.files.issue import Issue
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree
from tfvision.data.sources.class_files import LabelledFiles, settle_labels
from tfvision.data.sources.file_source import show
from tfvision.data.sources.folders.class_folder import class_folder
from tfvision.data.sources.folders.mask_folder import PART_FOLDERS, child_folder, read_class_names
from tfvision.data.sources.folders.mask_layout import find_masks
from tfvision.data.sources.source import Record
from tfvision.data.sources.tables.class_table import label_table
from tfvision.data.sources.tables.class_table_columns import has_columns, label_reading
from tfvision.data.sources.tables.class_table_images import WORDS, csv_files, image_names
from tfvision.errors import InputError


@takes_reading(without=OF_MASKS)
def label_tables(
    path: str | Path,
    *,
    columns: Mapping | None = None,
    white: float | None = None,
    allow_outside_root: bool = False,
    encoding: str = "utf-8",
    **reading,
) -> LabelledFiles:
    """Samples that a table in the folder of each part labels; see this module's head.

    Args:
        path: The folder that holds the parts.
        columns, white, allow_outside_root, encoding, **reading: As `label_table` has them.

    Raises:
        InputError: `train/` or `val/` holds no table of labels, or several; and as `label_table`.
    """
    root = Path(path)
    records: list[Record] = []
    files, places, boxes, layouts, notes, tables = [], [], [], [], [], []
    problems: list[Issue] = []
    parts = {part: child_folder(root, names) for part, names in PART_FOLDERS.items()}
    for part, folder in parts.items():
        if folder is None:
            continue
        table = _table(folder, columns, encoding)
        if table is None and part != "test":
            raise InputError(
                f"{folder} holds no table of labels. Put one there, as in the other parts: a CSV "
                "file with a column of file names, and one of labels or one of 0 and 1 a class."
            )
        if table is None:
            source = class_folder(folder, allow_outside_root=allow_outside_root)
        else:
            options = {"columns": columns, "encoding": encoding}
            source = label_table(table, allow_outside_root=allow_outside_root, **options)
            tables.append(table)
        below = f"{show(folder, root)}/"
        split = part if part != "train" or parts["val"] is not None else None
        for index, record in enumerate(source.records):
            place = _below(record.place, table, below)
            records.append(replace(record, part=part, split=split, place=place))
            image, mask = source.files(index)
            files.append((image, mask))
            places.append("" if mask is None else show(mask, root))
            boxes.append(source.box(index))
        problems += [replace(i, place=_below(i.place, table, below)) for i in source.problems]
        notes += [_below(note, table, below) for note in source.notes]
        layouts.append(below + source.layout.removeprefix(f"{folder.name}: "))
    labels = [record.label for record in records if record.label is not None]
    settled = settle_labels(labels, read_class_names(root), place=root.name)
    return LabelledFiles(
        records,
        files,
        places,
        boxes=boxes,
        name="label_tables",
        path=root,
        layout=f"{root.name or root}: {'; '.join(layouts)}",
        class_names=settled.names,
        class_labels=settled.labels,
        reads_also=tables,
        white=white,
        reading=Reading(**reading),
        notes=notes,
        problems=[*problems, *settled.problems],
    )


def sees(tree: Tree) -> str | None:
    """What speaks for a table of labels in each part; see `tfvision.data.sources.recognise`."""
    if tree.of_file or csv_files(tree.root) or find_masks(tree) is not None:
        return None
    folders = {part: child_folder(tree.root, names) for part, names in PART_FOLDERS.items()}
    found = {
        part: table
        for part, folder in folders.items()
        if folder is not None and (table := _table(folder, None, "utf-8"))
    }
    if "train" not in found:
        return None
    reading = label_reading(found["train"], image_names(found["train"].parent))
    names = " and ".join(show(table, tree.root) for table in found.values())
    return f"{names} with {WORDS[reading]}" if reading else None


def _table(folder: Path, columns: Mapping | None, encoding: str) -> Path | None:
    """The table of labels in a part's folder, or in a folder of labels in it; None without one.

    Raises:
        InputError: There are several.
    """
    files = csv_files(folder)
    if columns is not None:
        fitting = [file for file in files if has_columns(file, columns, encoding=encoding)]
    else:
        images = image_names(folder) if files else {}
        fitting = [file for file in files if label_reading(file, images) in WORDS]
    if len(fitting) > 1:
        names = " and ".join(file.name for file in fitting[:3])
        raise InputError(f"{folder} holds several tables of labels: {names}. Keep one a part.")
    return fitting[0] if fitting else None


def _below(text: str, table: Path | None, folder: str) -> str:
    """A message on a part, with the part's folder before the table's name, or before all."""
    if table is not None and table.name in text:
        return text.replace(table.name, folder + table.name, 1)
    return folder + text
