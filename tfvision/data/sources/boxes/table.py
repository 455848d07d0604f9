"""The source `box_table`: a CSV file with a row a box, or one a split.

    filename,width,height,class,xmin,ymin,xmax,ymax       image,x1,y1,x2,y2,label
    a.jpg,640,480,cat,10,20,110,95                        a.jpg,0.1,0.2,0.5,0.6,cat

The columns are recognised as `tfvision.data.sources.tables.box_table_columns` says. A row whose
box is empty is an image without any; where a table has no such rows, images beside the others
that no row names have none either. `classes.txt` names the classes where labels are numbers.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.csv_table import (
    check_lengths,
    check_thousands,
    read_cells,
    to_number,
    unused_columns,
)
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.boxes.annotations import (
    Annotations,
    check_found,
    open_samples,
    settle_classes,
    settle_parts,
)
from tfvision.data.sources.boxes.box_files import BoxFiles, box_source
from tfvision.data.sources.boxes.tool_formats import attribute_label
from tfvision.data.sources.boxes.written import WrittenBox, WrittenImage, takes_box_options
from tfvision.data.sources.exports.image_finder import ImageFinder
from tfvision.data.sources.exports.samples import Samples, counted, join, listed, part_of
from tfvision.data.sources.npz import PARTS
from tfvision.data.sources.source import SPLITS
from tfvision.data.sources.tables.box_cells import boxes_in, is_empty
from tfvision.data.sources.tables.box_table_columns import (
    BoxColumns,
    box_columns,
    box_table_lines,
    check_boxes,
    several_boxes,
)
from tfvision.data.sources.tables.class_table_images import image_names, words_of
from tfvision.errors import InputError

ONE_CLASS = "object"  # of boxes without labels
SET_ASIDE = {
    *("dev", "holdout", "submission", "sample", "predictions", "prediction", "solution"),
    *("exclude", "splits"),
}
"""Words in the name of a table that is not to be trained on."""
CROWD_WORDS = ("1", "1.0", "true", "yes")  # OpenImages writes 1, 0, and -1 for unknown


def sees(tree: Tree) -> str | None:
    """What speaks for tables of boxes that no table of labels can be; None: nothing does."""
    return _seen(tree, several=True)


def sees_any(tree: Tree) -> str | None:
    """What speaks for tables of boxes, one an image among them; None: nothing does."""
    return _seen(tree, several=False)


def _seen(tree: Tree, *, several: bool) -> str | None:
    files, images = box_tables(tree), image_names(tree.root)
    if several and not any(several_boxes(tree.root / file, images) for file in files):
        return None
    return f"{listed(list(files), limit=3)} with columns of boxes" if files else None


def box_tables(tree: Tree) -> dict[str, str]:
    """Path of each table of boxes -> the part that its name or its folder says, or ""."""
    if tree.of_file:
        (name,) = tree.files[""]
        named = name.lower().endswith((".csv", ".tsv"))
        images = image_names(tree.root) if named else {}
        return {name: ""} if named and box_table_lines(tree.root / name, images) else {}
    paths = [
        join(folder, name)
        for folder, names in tree.files.items()
        for name in names
        if name.lower().endswith((".csv", ".tsv")) and folder.count("/") < 2
    ]
    paths = [path for path in paths if SET_ASIDE.isdisjoint(words_of(Path(path)))]
    images = image_names(tree.root) if paths else {}
    found = [path for path in paths if box_table_lines(tree.root / path, images)]
    return {path: _part(path) for path in found}


def _part(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return part_of(PurePosixPath(name).stem) or part_of(folder)


@takes_box_options
def box_table(
    path: str | Path,
    *,
    annotations: str | Sequence[str] | None = None,
    image_folder: str | None = None,
    columns: Mapping | None = None,
    encoding: str = "utf-8",
    **options: Any,
) -> BoxFiles:
    """Images with the boxes of CSV files; see this module's head.

    Args:
        path: The CSV file, or the folder that holds it.
        annotations: The CSV files, paths below the folder; by default those found there.
        image_folder: The folder that names of images are relative to, below the CSV's; by
            default found.
        columns: Which columns are meant: keys `file`, `label`, `width`, `height` (of the image),
            `split`, `group` with a name of the header or a number from 0; `box` with one or four.
        encoding: Of the CSV files.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No such table, two for one split, annotations of other images, or boxes of
            which the numbers do not tell what they are.
    """
    path = Path(path)
    tree = list_tree(path.parent if path.is_file() else path)
    given = [path.name] if path.is_file() else annotations
    parts = _choose(tree, [given] if isinstance(given, str) else given, columns is not None)
    samples, named = open_samples(tree, options), image_names(tree.root)
    images: list[WrittenImage] = []
    wanted: list[str] = []
    read: list[BoxColumns] = []
    for file, part in parts.items():
        table = _Table(tree, file, part, samples)
        found = table.read(named, columns, encoding, image_folder)
        images += found
        wanted += table.named
        read.append(table.columns)
    check_found(len(images), wanted, tree, listed([*parts], limit=3))
    settle_parts(images)
    negatives = any(not image.boxes for image in images)
    names, labels = settle_classes(samples, images, tree, next(iter(parts)))
    if not all(_labelled(one) for one in read):
        samples.notes.append(f"no column is a label: every box is of the class {ONE_CLASS!r}")
    return box_source(
        Annotations(
            tree,
            path,
            "box_table",
            heading=f"CSV {listed([*parts], limit=3)}",
            files=[*parts],
            images=images,
            known=read[0].known,
            said_by=read[0].said_by,
            others=read[0].others,
            classes=labels,
            class_names=names,
            unlisted="left_out" if negatives else "negatives",
            samples=samples,
        ),
        options,
    )


def _choose(tree: Tree, given: Sequence[str] | None, declared: bool) -> dict[str, str]:
    """The tables that are read -> the part of each."""
    tables = box_tables(tree) if given is None else {name: _part(name) for name in given}
    if not tables and declared:
        alone = [name for name in tree.files[""] if name.lower().endswith((".csv", ".tsv"))]
        tables = {alone[0]: ""} if len(alone) == 1 else {}
    if not tables:
        raise InputError(
            f"{tree.root} holds no CSV file with columns of boxes: file, label and xmin, ymin, "
            "xmax, ymax (or x, y, width, height). Rename columns, or give the path of the file "
            "and say which are meant: --set 'data.source.columns={file: NAME, label: NAME, box: "
            "[NAME, NAME, NAME, NAME]}'."
        )
    twice = next(([a, b] for a in tables for b in tables if a < b and tables[a] == tables[b]), None)
    if twice is None and "" in tables.values() and len(tables) > 1:
        twice = [*tables][:2]
    if twice:
        raise InputError(
            f"{tree.root} holds {' and '.join(twice)}: which one is meant? Give its path, or "
            f"type --set 'data.source.annotations=[{twice[0]}]', with a file a split where there "
            "are several."
        )
    return tables


class _Table:
    """One CSV file.

    Attributes:
        named: The images that it names, as written.
        columns: How it is read.
    """

    def __init__(self, tree: Tree, file: str, part: str, samples: Samples):
        self._tree, self._file, self._part, self._samples = tree, file, part, samples
        self.named: list[str] = []
        self.columns: BoxColumns

    def read(
        self,
        names: Mapping[str, str],
        columns: Mapping | None,
        encoding: str,
        image_folder: str | None,
    ) -> list[WrittenImage]:
        """The images that are found, with their boxes."""
        path = self._tree.root / self._file
        lines = read_cells(path, encoding=encoding)
        found = box_columns(path, lines, images=names, columns=columns)
        if found is None:
            raise InputError(
                f"{path} has no columns of boxes. Say which are meant: --set "
                "'data.source.columns={file: NAME, label: NAME, box: [NAME, NAME, NAME, NAME]}'."
            )
        check_lengths(path, lines)
        check_boxes(path, lines[0][1], found)
        self.columns, rows = found, lines[found.first :]
        check_thousands(self._file, rows, found.box)
        self._note(lines[0][1], rows)
        place = found.places["file"]
        self.named = list(dict.fromkeys(row[place] for _, row in rows if row[place]))
        finder = ImageFinder(
            self._tree, self.named, image_folder, annotations=self._file, split=self._part
        )
        if finder.dropped:
            self._samples.notes.append(
                f"{self._file} names {self.named[0]!r}: read without its first "
                f"{counted(finder.dropped, 'folder')}: not there"
            )
        files = {name: finder.find(name) for name in self.named}
        anything = any(len(of) == 1 for of in files.values())
        images: dict[str, WrittenImage] = {}
        lost: dict[str, list[int]] = {}
        for line, row in rows:
            image = self._image(name := row[place], files.get(name, []), row)
            if image is None:
                lost.setdefault(name, []).append(line)
                continue
            written = images.setdefault(image, WrittenImage(image, f"{self._file} ({name})"))
            self._add_row(written, line, row)
        for name, where in lost.items() if anything else ():
            self._lost(name, where, files.get(name, []))
        return list(images.values())

    def _image(self, name: str, files: Sequence[str], row: Sequence[str]) -> str | None:
        """The file that a row means: of several of the name the one in the folder of its label."""
        if len(files) > 1 and "label" in self.columns.places:
            label = row[self.columns.places["label"]]
            files = [f for f in files if PurePosixPath(f).parent.name == label] or files
        return files[0] if len(files) == 1 else None

    def _lost(self, name: str, lines: Sequence[int], files: Sequence[str]) -> None:
        place = f"line {lines[0]} of {self._file} ({name})"
        if not name:
            problem, advice = "names no file", "Write the name of an image, or delete the row."
        elif files:
            problem = f"may be {files[0]} or {files[1]}"
            advice = "Say the folder of the images: --set data.source.image_folder=FOLDER."
        else:
            problem = f"no such image, and {counted(len(lines), 'row')} of it"
            advice = "Put the image there, or delete the rows."
        self._samples.problem("", place, problem, advice)

    def _add_row(self, image: WrittenImage, line: int, row: Sequence[str]) -> None:
        """Adds what a row says of an image, or the problem that it has."""
        place, places = f"line {line} of {self._file}", self.columns.places
        cell = {key: row[at] for key, at in places.items()}
        image.part = image.part or self._part
        image.group = image.group or cell.get("group") or None
        split = cell.get("split", "").lower()
        if split and split not in PARTS:
            advice = f"Write {', '.join(SPLITS)}, or nothing where it is to be split."
            self._samples.problem("", place, f"unknown split {cell['split']!r}", advice)
        image.part = PARTS.get(split, image.part)
        size = tuple(to_number(cell.get(key, "")) for key in ("height", "width"))
        if image.size is None and None not in size and min(size) > 0:
            image.size = (round(size[0]), round(size[1]))
        written = [row[at] for at in self.columns.box]
        if is_empty(written):
            return
        boxes = (
            self.columns.in_cell(written[0])
            if len(written) == 1
            else boxes_in(" ".join(str(to_number(one)) for one in written))
        )
        if boxes is None:
            words = [f"boxes of {words}" for words in self.columns.words] or ["four numbers"]
            problem = f"the box ({', '.join(written)}) is not {words[0]}"
            self._samples.problem("", place, problem, "Correct it, or delete the row.")
            return
        if self.columns.words and self.columns.words[0].label:
            labels = [label for label, _ in self.columns.words[0].boxes(written[0]) or ()]
        else:
            labels = _labels(cell, len(boxes))
        if labels is None:
            problem = "has a box and no label" if not cell.get("label") else "has other numbers of "
            problem += "" if not cell.get("label") else "boxes and of labels"
            self._samples.problem("", place, problem, "Write a label for each box.")
            return
        crowd = cell.get("crowd", "").lower() in CROWD_WORDS
        for sides, label in zip(boxes, labels, strict=True):
            image.boxes.append(WrittenBox(place, sides, label, crowd=crowd))

    def _note(self, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> None:
        found = self.columns
        if found.by_place:
            self._samples.notes.append(
                f"{self._file}: the header ({', '.join(header)}) is not known: read by place"
            )
        if found.words:
            said = f"{self._file}: {header[found.box[0]]} is {found.words[0]} for each box"
            scores = "; scores are not used, each box counts as annotated"
            self._samples.notes.append(said + scores * found.words[0].score)
        said = f"{self._file}: labels are those of the column {found.left}, the only one left"
        self._samples.notes += [said] if found.left else []
        used = {*found.box, *found.places.values()}
        unused = unused_columns(header, [row for _, row in rows], used) if found.first else {}
        names = listed([*unused.values()])
        self._samples.notes += [f"{self._file}: columns not used: {names}"] if unused else []


def _labelled(columns: BoxColumns) -> bool:
    """Whether a table has labels of its boxes."""
    in_words = any(words.label for words in columns.words)
    return in_words or "label" in columns.places or "attributes" in columns.places


def _labels(cell: Mapping[str, str], number: int) -> list[str] | None:
    """A label for each box of a row; None where there are others than boxes, or none."""
    if "label" not in cell and "attributes" not in cell:
        return [ONE_CLASS] * number
    text = cell.get("label") or _attribute(cell.get("attributes", ""))
    if text[:1] in ("[", "("):
        labels = [part.strip(" '\"") for part in text.strip("[]()").split(",")]
        return labels if len(labels) == number and all(labels) else None
    return [text] * number if text else None


def _attribute(text: str) -> str:
    """The label in VIA's `{"class": "cat"}`; "" where there is none."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return ""
    return attribute_label(content) if isinstance(content, Mapping) else ""
