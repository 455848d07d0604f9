"""The files of a copy whose backgrounds are removed; `remove_background.py` has the whole of it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from tfvision.config import DataConfig
from tfvision.curation.clean import below, copy_file, root_of, table_of_labels, write_synced
from tfvision.data.crops import inputs
from tfvision.data.crops.foreground import FAILURES
from tfvision.data.crops.pieces import Cut, Piece
from tfvision.data.files.csv_table import read_cells
from tfvision.data.files.encode import encoded
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.files.timeout import in_time
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.source import RawSample
from tfvision.data.sources.tables.class_table_columns import label_columns
from tfvision.data.sources.tables.class_table_header import BOX
from tfvision.data.sources.tables.class_table_images import find_label_table
from tfvision.errors import InputError

REPORT = "background.csv"
METHODS = {"grabcut": "grabcut", "border": "border_colour"}
ON_FAILURE = ("keep", "skip")
DOUBTS = {
    "no_box": "it has no box and no mask",
    "empty_region": "its mask is empty everywhere",
    **FAILURES,
}
COLUMNS = ("file", "id", "part", "method", "kept", "result", "reason", "written")
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as images in colour become grey


@dataclass(frozen=True)
class Asked:
    """How backgrounds are removed.

    Attributes:
        method: Of METHODS, where there is no mask.
        fill: The background's colour, red, green, blue in 0 to 1; a grey image gets its grey.
        margin: Around the box, as a fraction of its sides; counts with `crop` alone.
        crop: Whether images are cut to their objects.
        on_failure: "keep" or "skip" an image whose object was not found.
    """

    method: str = "grabcut"
    fill: tuple[float, ...] = (0.5, 0.5, 0.5)
    margin: float = 0.1
    crop: bool = False
    on_failure: str = "keep"

    def cut(self, channels: int) -> Cut:
        """What removes the background of images of so many channels.

        Raises:
            InputError: There is no such method, or the margin or fill is out of range.
        """
        if self.method not in METHODS:
            raise InputError(f"--method is one of {', '.join(METHODS)}. Received: {self.method!r}.")
        fill = list(self.fill) if channels == 3 else float(GREY @ self.fill)
        method = METHODS[self.method]
        return inputs.removed(method, fill=fill, margin=self.margin, crop=self.crop)


@dataclass(frozen=True)
class Done:
    """What became of an image: the row of the report, and where its corner is.

    Attributes:
        row: A value for each of COLUMNS; `result` is "ok", one of DOUBTS, or "failed".
        corner: x, y in the image of the first pixel that was written.
        mask: Name of the mask file that was written, "" without one.
    """

    row: dict[str, str]
    corner: tuple[int, int] = (0, 0)
    mask: str = ""


def write_one(
    source: FileSource,
    index: int,
    stamp: str,
    cuts: dict[int, Cut],
    asked: Asked,
    folder: Path,
    taken: set[str],
) -> Done:
    """Removes and writes one image, and its mask; adds their names to `taken`."""
    record, (file, mask_file) = source.records[index], source.files(index)
    place = below(root_of(source), file)
    facts = {"file": place.as_posix(), "id": record.id, "part": record.part}
    try:
        sample = in_time(lambda: source.read_raw(index), record.place)
        if source.stamp(index) != stamp:
            raise InputError("was changed while it was read: leave the data alone meanwhile")
        box = None if sample.boxes is None else sample.boxes[0]
        cut = cuts[sample.image.shape[-1]]
        (piece,) = cut(sample.image, sample.region, box, white=source.white)
        facts |= _judged(sample, piece, asked)
        if piece.fallback and asked.on_failure == "skip":
            return Done(row_of(**facts))
        name, content = encoded(piece.image, place.as_posix())
        mask = _mask(source, mask_file, piece, cropped=asked.crop)
        _claim([name, *(key for key, pixels in mask.items() if pixels is not None)], taken)
    except InputError as error:
        facts |= {"kept": "", "result": "failed", "reason": _reason(error, record.place)}
        return Done(row_of(**facts))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_synced(folder / name, content)
    for mask_name, pixels in mask.items():
        if pixels is None:
            copy_file(cast(Path, mask_file), folder / mask_name)
        else:
            (folder / mask_name).parent.mkdir(parents=True, exist_ok=True)
            write_synced(folder / mask_name, pixels)
    return Done(row_of(**facts, written=name), piece.window[:2], next(iter(mask), ""))


def _judged(sample: RawSample, piece: Piece, asked: Asked) -> dict[str, str]:
    """Of the report: the method, what share of the picture is its own, and the verdict."""
    method = asked.method if sample.region is None else "mask"
    method = "" if piece.fallback == "no_box" else method
    kept = 1.0 if piece.fallback or piece.region is None else float(np.mean(piece.region != 0))
    reason = DOUBTS[piece.fallback] if piece.fallback else ""
    result = piece.fallback or "ok"
    return {"method": method, "kept": f"{kept:.4f}", "result": result, "reason": reason}


def _mask(
    source: FileSource, file: Path | None, piece: Piece, *, cropped: bool
) -> dict[str, bytes | None]:
    """Name -> content of the mask file to write, None for a copy; {} without one."""
    if file is None:
        return {}
    name = below(root_of(source), file).as_posix()
    if not cropped:
        return {name: None}
    pixels = (cast(np.ndarray, piece.region) != 0).astype(np.uint8) * 255
    # Never JPEG, which would blur it.
    name, content = encoded(pixels[..., None], f"{name.removesuffix(file.suffix)}.png")
    return {name: content}


def _claim(names: Sequence[str], taken: set[str]) -> None:
    """Refuses a name of the copy that another file has, as where `a.gif` becomes `a.png`."""
    for name in names:
        if name in taken:
            raise InputError(f"another file of the copy is called {name} already")
    taken.update(names)


def write_labels(source: FileSource, folder: Path, done: Sequence[Done], config: DataConfig) -> str:
    """Writes `classes.txt` and the table of labels; returns what to give as a data set."""
    path, root = cast(Path, source.path), root_of(source)
    if (root / "classes.txt").is_file():
        copy_file(root / "classes.txt", folder / "classes.txt")
    if source.name != "label_table":
        return "" if path.is_dir() else done[0].row["written"]
    options = config.source.kwargs
    encoding = options.get("encoding", "utf-8")
    table, sample_of = table_of_labels(source)
    places = label_columns(table, columns=options.get("columns"), encoding=encoding)
    text, first = io.StringIO(), min(sample_of)
    writer = csv.writer(text, lineterminator="\n")
    for line, cells in read_cells(table, encoding=encoding):
        one = done[sample_of[line]] if line in sample_of else None
        if line < first:
            writer.writerow(cells)
        elif one is not None and one.row["written"]:
            writer.writerow(_cells(cells, places, one))
    write_synced(folder / table.name, text.getvalue().encode(encoding))
    # Beside the report a table of an unusual name would not be found again by its folder.
    return "" if path.is_dir() and find_label_table(path) == table else table.name


def _cells(cells: list[str], places: dict[str, int], one: Done) -> list[str]:
    """A row of the table, its files as they are called now, its box in what was cut."""
    cells = list(cells)
    for key, name in (("file", one.row["written"]), ("mask", one.mask)):
        place = places.get(key)
        if place is not None and Path(cells[place]).suffix.lower() in EXTENSIONS and name:
            cells[place] = str(Path(cells[place]).with_suffix("")) + Path(name).suffix
    if one.corner != (0, 0):
        for key in BOX:
            if key in places and cells[places[key]]:
                moved = float(cells[places[key]]) - one.corner[key[0] == "y"]
                cells[places[key]] = f"{moved:.10g}"
    return cells


def row_of(**facts: str) -> dict[str, str]:
    """A row of the report; "" for what is not given."""
    return {column: facts.get(column, "") for column in COLUMNS}


def _reason(error: InputError, place: str) -> str:
    text = str(error).removeprefix(f"{place}: ")
    return " ".join(text.split()).rstrip(".")


def report_csv(rows: Sequence[dict[str, str]]) -> str:
    """The text of `background.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
