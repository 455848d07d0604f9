"""Where the image files of a table of labels lie, and the table of a folder."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from tfvision.data.files.csv_table import read_cells
from tfvision.data.files.paths import inside
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.file_source import Listing, list_images, name_key, show, stem
from tfvision.data.sources.folders import class_folder
from tfvision.data.sources.folders.mask_folder import IMAGES, PART_FOLDERS
from tfvision.data.sources.tables.box_table_columns import several_boxes
from tfvision.data.sources.tables.class_table_columns import LabelRow, has_columns, label_reading
from tfvision.errors import InputError

# Words in the name of a CSV file that is not to be trained on.
OTHER = {
    *("test", "testing", "val", "valid", "validation", "dev", "holdout"),
    *("submission", "sample", "predictions", "prediction", "solution", "exclude", "splits"),
}
WORDS = {"labels": "a column of labels", "classes": "a column of 0 and 1 for each class"}
KINDS = ("", "_images", "_imgs", "_data")


def find_label_table(folder: Path) -> Path | None:
    """The CSV file of a folder that gives its images their labels; None without one.

    A file whose name says that it is of a test, a validation or a submission is not opened.

    Raises:
        InputError: Several may be meant.
    """
    tables = [path for path, reading in label_readings(folder).items() if reading != "unclear"]
    training = [path for path in tables if {"train", "training"} & words_of(path)]
    if len(tables) > 1 and len(training) == 1:
        tables = training
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(
            f"{folder} holds several tables of labels: {names}. Give the path of the one that is "
            "meant."
        )
    return tables[0] if tables else None


def table_of_folder(
    folder: Path, *, columns: Mapping | None = None, encoding: str = "utf-8"
) -> Path:
    """The table of labels in a folder, whatever its name where it is the only CSV file.

    With `columns` the one that has these.
    """
    files = csv_files(folder)
    if columns is not None:
        fitting = [path for path in files if has_columns(path, columns, encoding=encoding)]
        files = fitting or files
    table = files[0] if len(files) == 1 else find_label_table(folder)
    if table is None:
        names = ", ".join(path.name for path in files) or "no CSV file"
        raise InputError(
            f"{folder} holds {names}, none of them a table of labels to train on. Give the path "
            "of the table itself."
        )
    return table


def label_readings(folder: Path) -> dict[Path, str]:
    """The tables of a folder that say something of its images, as `label_reading` has it."""
    readings = {}
    images: dict[str, str] | None = None
    for path in csv_files(folder):
        if not OTHER.isdisjoint(words_of(path)):
            continue
        reading = label_reading(path)
        if reading is None or reading == "unclear":  # its cells may say more than its header
            images = image_names(folder) if images is None else images
            reading = label_reading(path, images)
        if reading is not None:
            readings[path] = reading
    return readings


def image_names(folder: Path) -> dict[str, str]:
    """What may name an image below a folder -> its path: path and name, without extension too."""
    try:
        paths = list_tree(folder).images("")
    except OSError:  # what cannot be read is reported where the images are listed
        return {}
    names: dict[str, str] = {}
    for path in paths:
        name = PurePosixPath(path).name
        for spelling in (path, stem(path), name, stem(name)):
            names.setdefault(name_key(spelling), path)
    return names


def sees(tree: Tree) -> str | None:
    """What speaks for a table of labels; see `tfvision.data.sources.recognise`."""
    if tree.of_file:
        table = tree.root / tree.files[""][0]
        is_table = table.suffix.lower() in (".csv", ".tsv")
        return _labels_in(table) if is_table else None
    table = find_label_table(tree.root)
    if table is None:  # one alone counts whatever its name, where folders say no classes
        files = csv_files(tree.root)
        alone = len(files) == 1 and class_folder.sees(tree) is None
        table = files[0] if alone else None
    if table is None:
        return None
    return _labels_in(table)


def _labels_in(table: Path) -> str | None:
    """What of labels is in a table; None where its images have several boxes each."""
    images = image_names(table.parent)
    reading = label_reading(table, images)
    if reading not in WORDS or several_boxes(table, images):
        return None
    return f"{table.name} with {WORDS[reading]}"


def csv_files(folder: Path) -> list[Path]:
    """The CSV and TSV files in a folder, hidden ones aside, sorted."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".csv", ".tsv") and path.name[0] != "." and path.is_file()
    ]


def words_of(path: Path) -> set[str]:
    """`dev_test-labels.csv` -> {"dev", "test", "labels"}."""
    return set(re.split(r"[^a-z]+", path.stem.lower()))


def part_of(table: Path) -> str:
    """Which part a table's name says it is of: "train", "val" or "test"; "" for none."""
    words = words_of(table)
    order = ("test", "val", "train")  # dev_test_labels: of the test
    return next((part for part in order if words.intersection(PART_FOLDERS[part])), "")


def part_folder(root: Path, part: str) -> Path | None:
    """The folder of a part's images beside a table: `test/`, `test_images/`, ..."""
    folders = _folders(root)
    names = [option + kind for option in PART_FOLDERS[part] for kind in KINDS]
    return next((folders[name] for name in names if name in folders), None)


class ImageFinder:
    """Finds the files that a table names.

    Args:
        table: The CSV file.
        rows: Its rows.
        allow_outside_root: Whether paths may leave the table's folder.

    Attributes:
        folder: Where most of them lie: the table's folder, or one in it.
        files: Image file below it -> its path relative to it.
        listing: What was passed over there.
    """

    def __init__(self, table: Path, rows: Sequence[LabelRow], *, allow_outside_root: bool):
        self._table, self._root, self._allow = table, table.parent, allow_outside_root
        best = -1
        for folder in _candidates(table):
            listing, files = self._list(folder)
            tables = _index(files, names_too=folder != self._root)
            found = sum(_find(tables, row) is not None for row in rows)
            if found > best:
                best, self.folder, self.listing, self.files = found, folder, listing, files
                self._tables = tables
            if found == len(rows):
                break
        if best < len(rows):  # they may lie in several folders, or deeper, where names are unique
            listing, files = self._list(self._root)
            tables = _index(files, names_too=True)
            if best == 0 or sum(_find(tables, row) is not None for row in rows) > best:
                self.folder, self.listing, self.files = self._root, listing, files
                self._tables = tables

    def find(self, row: LabelRow, *, place: str) -> Path | None:
        """The file of a row; None where there is none.

        Raises:
            BadSample: Its path leaves the table's folder.
        """
        path = inside(self._root, row.file, place=place, allow_outside_root=self._allow)
        if self._allow and path.is_file():
            return path
        return _find(self._tables, row)

    def missing(self, file: str) -> str:
        """What to do where a row names a file that is not there: where the names of files differ in
        leading zeros alone, as spreadsheets drop them, how to write the table anew."""
        there = self._unpadded.get(_unpadded(PurePosixPath(file).name))
        if there is None:
            return "Restore the file, or delete the row."
        said = f"The file is {there}: zeros before numbers differ, as spreadsheets drop them. "
        name = PurePosixPath(there).name
        name = name if PurePosixPath(file).suffix else stem(name)
        column = next((cells.index(file) for cells in self._cells if file in cells), None)
        if column is None or not file[0].isdigit():
            return f"{said}Write the names as the files have them."
        change = f"zfill({len(name)})" if len(name) > len(file) else "lstrip('0')"
        table = self._table.name
        return (
            f'{said}Type in the folder of the table python -c "import csv; t = open({table!r}, '
            "encoding='utf-8-sig').read().splitlines(); r = csv.reader(t, delimiter=max(',;|', "
            f"key=t[0].count)); csv.writer(open('new_{table}', 'w', newline='', encoding='utf-8'))"
            f".writerows([*x[:{column}], x[{column}].{change} if x[{column}][:1].isdigit() else "
            f'x[{column}], *x[{column + 1}:]] for x in r if x)", and give new_{table}.'
        )

    @cached_property
    def _cells(self) -> list[list[str]]:
        return [cells for _, cells in read_cells(self._table)]

    @cached_property
    def _unpadded(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in self.files.values():
            name = PurePosixPath(path).name
            found |= {_unpadded(name): path, _unpadded(stem(name)): path}
        return found

    def _list(self, folder: Path) -> tuple[Listing, dict[Path, str]]:
        listing = Listing()
        list_images(folder, root=self._root, allow_outside_root=self._allow, into=listing)
        listing.others = [path for path in listing.others if path != self._table]
        return listing, {file: show(file, folder) for file in listing.files}


def _unpadded(name: str) -> str:
    """`img_007` -> `img_7`."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name_key(name))


def _candidates(table: Path) -> list[Path]:
    """Folders where a table's images may lie, the likeliest first."""
    root, part = table.parent, part_of(table) or "train"
    folders = _folders(root)
    own = table.stem.lower()
    names = [own, own.removesuffix("_labels"), own.removesuffix("_annotations")]
    names += [option + kind for option in PART_FOLDERS[part] for kind in KINDS]
    names += [*IMAGES, "data"]
    found = [folders[name] for name in dict.fromkeys(names) if name in folders]
    nested = [_folders(folder).get("images") for folder in found]
    return [root, *found, *(folder for folder in nested if folder)]


def _folders(path: Path) -> dict[str, Path]:
    """Lower-case name -> folder."""
    return {p.name.lower(): p for p in sorted(path.iterdir()) if p.is_dir() and p.name[0] != "."}


def _index(files: dict[Path, str], *, names_too: bool) -> list[dict[str, Path | None]]:
    """Tables from what a cell may hold to the file; None where that is not one file.

    In this order: the path, the path without extension, and where `names_too` the name alone,
    with and without extension.
    """
    spellings = [lambda path: path, stem]
    if names_too:
        spellings += [lambda path: PurePosixPath(path).name]
        spellings += [lambda path: stem(PurePosixPath(path).name)]
    tables: list[dict[str, Path | None]] = []
    for spell in spellings:
        table: dict[str, Path | None] = {}
        for file, path in files.items():
            key = name_key(spell(path))
            table[key] = None if key in table else file
        tables.append(table)
    return tables


def _find(tables: Sequence[dict[str, Path | None]], row: LabelRow) -> Path | None:
    text = name_key(str(PurePosixPath(row.file.replace("\\", "/"))))
    for table in tables:
        # In a folder of each class the name may stand again: the label tells which is meant.
        for key in (text, f"{name_key(row.label)}/{text}"):
            if (file := table.get(key)) is not None:
                return file
    return None
