"""A copy of a data set without some of its samples, in the same layout.

- folder, class_folder: the files of the samples that are kept, under the same names, and
  `classes.txt`;
- label_table: the same, and the CSV without the rows;
- manifest: the CSV without the rows, and the files it lists; a file from outside the CSV's
  folder goes to `outside/`, and its row names it there;
- npz: the arrays without the rows; other arrays lose the same rows where their first axis
  is that of the samples. `origin.csv` gives the id that each sample had before.

The copy appears whole or not at all, and the source is only read.
"""

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import numpy as np

from tfvision.data.files.csv_table import Row, read_cells
from tfvision.data.files.paths import inside, leads_inside
from tfvision.data.scan.result import Scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.npz import CLASS_NAMES, PARTS
from tfvision.data.sources.source import Source
from tfvision.data.sources.tables.class_table_images import csv_files
from tfvision.data.sources.tables.mask_table import read_rows
from tfvision.engine.files import whole_folder
from tfvision.errors import InputError


def check_target(source: Source, target: Path, *, flag: str = "--clean") -> None:
    """Refuses a place, named by a flag, that is taken, or lies inside the data.

    Raises:
        InputError: Says which.
    """
    if source.path is None:
        raise InputError(f"The source {source.name} is no file or folder; it cannot be copied.")
    if isinstance(source, FileSource) and source.reads_also:
        raise InputError(
            f"{source.path} is read by {source.reads_also[0].name}, which a copy would have to "
            f"change too: {flag} does not write that. Leave samples out by data.exclude instead."
        )
    if target.exists() or target.is_symlink():
        raise InputError(f"{flag} {target} exists already. Name a folder that does not.")
    if source.path.is_dir() and leads_inside(source.path, target):
        raise InputError(
            f"{flag} {target} lies inside the data set {source.path}, which is only read. Name "
            "a folder elsewhere."
        )


def write_clean(
    source: Source,
    scan: Scan,
    target: Path,
    without: Collection[int],
    *,
    columns: Mapping | None = None,
    encoding: str = "utf-8",
) -> Path:
    """Writes the copy.

    Args:
        source, scan: The data set.
        target: The new folder.
        without: Places of the samples that are left out.
        columns, encoding: Of a manifest.

    Returns:
        What to give as a data set: the folder, or the npz or CSV file in it.

    Raises:
        InputError: The target is taken; a file was changed since the scan.
        EnvironmentFault: Something cannot be read or written; nothing is left behind.
    """
    check_target(source, target)
    keep = [i for i in range(len(source)) if i not in without]
    for i in keep:
        if source.stamp(i) != scan.stamps[i]:
            raise InputError(
                f"{source.records[i].place} was changed after it had been scanned. Leave the data "
                "alone while it is copied, and start again."
            )
    with whole_folder(target, what="The cleaned copy", flag="--clean") as folder:
        if isinstance(source, ArraySource):
            name = _copy_arrays(source, folder, keep)
        elif source.name == "manifest":
            name = _copy_manifest(
                cast(FileSource, source), folder, keep, columns, encoding=encoding
            )
        else:
            name = _copy_folder(cast(FileSource, source), folder, keep)
            if source.name == "label_table":
                name = _copy_labels(source, folder, keep, encoding)
    return target / name


def _copy_folder(source: FileSource, folder: Path, keep: list[int]) -> str:
    root = root_of(source)
    names = root / "classes.txt"
    pairs = [file for i in keep for file in source.files(i) if file is not None]
    for file in [*pairs, *([names] if names.is_file() else [])]:
        copy_file(file, folder / below(root, file))
    only = source.path is not None and source.path.is_file()
    return pairs[0].name if only and pairs else ""


def table_of_labels(source: Source) -> tuple[Path, dict[int, int]]:
    """The CSV file that a `label_table` was read from, and line -> sample of its rows."""
    path = cast(Path, source.path)
    place = next(record.place for record in source.records if record.label is not None)
    tables = csv_files(path) if path.is_dir() else [path]
    table = next(file for file in tables if f" of {file.name} (" in place)
    # A place reads "line 7 of train.csv (0005.jpg)"; images that no row names have another.
    listed = (
        (i, r.place) for i, r in enumerate(source.records) if f" of {table.name} (" in r.place
    )
    return table, {int(place.split(" ", 2)[1]): i for i, place in listed}


def _copy_labels(source: Source, folder: Path, keep: list[int], encoding: str) -> str:
    """The table of labels: its header, and the rows of the samples that are kept."""
    table, sample_of = table_of_labels(source)
    kept, first = set(keep), min(sample_of)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line, cells in read_cells(table, encoding=encoding):
        if line < first or sample_of.get(line) in kept:
            writer.writerow(cells)
    write_synced(folder / table.name, text.getvalue().encode(encoding))
    return "" if cast(Path, source.path).is_dir() else table.name


def _copy_manifest(
    source: FileSource, folder: Path, keep: list[int], columns: Mapping | None, *, encoding: str
) -> str:
    """The table with all its columns; rows that belong to no kept sample go."""
    path, root = cast(Path, source.path), root_of(source)
    known = ["mask", "split", "group"]
    rows, extra = read_rows(path, columns=columns, encoding=encoding)
    index_of = {source.files(i)[0]: i for i in keep}
    lines, taken = [], set()
    for row in rows:
        index = _sample_of(row, root, path.name, index_of)
        if index is None or index in taken:
            continue
        taken.add(index)
        cells = dict(row.values)
        for column, file in zip(("image", "mask"), source.files(index), strict=True):
            if file is not None:
                cells[column] = _name_inside(root, file, f"{column}s/{row.line}")
                copy_file(file, folder / cells[column])
        lines.append(cells)
    columns = [c for c in ["image", *known, *extra] if c == "image" or any(r[c] for r in lines)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_synced(folder / path.name, text.getvalue().encode(encoding))
    return path.name


def _sample_of(row: Row, root: Path, name: str, index_of: dict[Path, int]) -> int | None:
    """The kept sample that a row of the manifest lists."""
    if not row.values["image"]:
        return None
    place = f"line {row.line} of {name}"
    try:
        return index_of.get(inside(root, row.values["image"], place=place, allow_outside_root=True))
    except InputError:
        return None


def _name_inside(root: Path, file: Path, unique: str) -> str:
    """Path below the CSV's folder; a file from elsewhere gets one that no other has."""
    plain = Path(os.path.normpath(file))
    base = Path(os.path.normpath(root))
    if plain.is_relative_to(base):
        return plain.relative_to(base).as_posix()
    return f"outside/{unique}-{plain.name}"


def _copy_arrays(source: ArraySource, folder: Path, keep: list[int]) -> str:
    path = cast(Path, source.path)
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    lengths: dict[str, int] = {}  # of each part
    keys: dict[str, set[str]] = {}
    for i, record in enumerate(source.records):
        image_key, mask_key, _ = source.arrays(i)
        lengths[record.part] = lengths.get(record.part, 0) + 1
        keys.setdefault(record.part, set()).update({image_key, mask_key} - {None})
    rows: dict[str, list[int]] = {part: [] for part in lengths}
    for i in keep:
        rows[source.records[i].part].append(source.arrays(i)[2])
    cut = {part for part, kept in rows.items() if len(kept) < lengths[part]}
    for key, array in arrays.items():
        part = _part_of(path, key, array, lengths, keys=keys, cut=cut)
        if part is not None:
            arrays[key] = array[rows[part]]
    _write_npz(path, folder / path.name, arrays)
    write_synced(folder / "origin.csv", _origin(source, keep).encode())
    return path.name


def _write_npz(source: Path, to: Path, arrays: dict[str, np.ndarray]) -> None:
    """`np.savez`, packed where the source is; without its limits on the names of arrays."""
    with zipfile.ZipFile(source) as archive:
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with open(to, "wb") as file:
        with zipfile.ZipFile(file, "w", how) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _part_of(path, key, array, lengths, keys, cut) -> str | None:
    """The part whose rows an array has; None where it is to stay as it is."""
    for part, own in keys.items():
        if key in own:
            return part
    names_classes = key in CLASS_NAMES and array.dtype.kind == "U" and array.ndim == 1
    if names_classes or array.ndim == 0:
        return None
    fitting = [part for part, length in lengths.items() if length == len(array)]
    words = {PARTS.get(word) for word in key.lower().split("_")}
    named = [part for part in fitting if PARTS.get(part.split("_")[0].lower()) in words]
    fitting = named if len(named) == 1 else fitting
    if len(fitting) > 1 and cut & set(fitting):
        raise InputError(
            f"{path}: {key} has {len(array)} rows, as many as the parts {', '.join(fitting)}: it "
            "is unclear whose rows they are. Take it out of the file, or name it after its "
            f"part, e.g. {key}_train."
        )
    return fitting[0] if fitting else None


def _origin(source: ArraySource, keep: list[int]) -> str:
    """New and old id of every sample that is kept, with its part where there are several."""
    parts = len({record.part for record in source.records}) > 1
    numbers: dict[str, int] = {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "original_id", *(["part"] if parts else [])])
    for i in keep:
        record = source.records[i]
        number = numbers[record.part] = numbers.get(record.part, -1) + 1
        writer.writerow([number, record.id, *([record.part] if parts else [])])
    return text.getvalue()


def below(root: Path, file: Path) -> Path:
    """The path of a file below the folder of its data set.

    Raises:
        InputError: It lies elsewhere.
    """
    if not file.is_relative_to(root):
        raise InputError(
            f"{file} lies outside {root}, so a copy cannot keep its place. Leave samples out "
            "with data.exclude instead."
        )
    return file.relative_to(root)


def root_of(source: Source) -> Path:
    """The folder that names of a data set's files are relative to."""
    path = cast(Path, source.path)
    return path if path.is_dir() else path.parent


def copy_file(file: Path, to: Path) -> None:
    """Copies content and times, following links; two samples may share a file."""
    if not to.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file of a folder that is not there yet, and waits for the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
