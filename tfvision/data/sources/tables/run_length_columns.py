"""Tables of run lengths: which column says what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.csv_table import read_cells
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.files.run_length import run_column
from tfvision.data.sources.tables.class_table_header import NAMES, plain
from tfvision.errors import InputError

KEYS = ("file", "runs", "label", "split", "group")
SIZES = ("height", "width")
JOINED_SHARE = 0.9
_FILE_WORDS = NAMES["file"]
_CLASS_WORDS = (*NAMES["label"], "type", "celltype", "defect", "defectid", "organ")


@dataclass(frozen=True)
class RunColumns:
    """How a table of run lengths is read.

    Attributes:
        places: Key of `KEYS` or `SIZES` -> column.
        joined: Whether the cells of `file` hold the class too, behind the last "_".
    """

    places: dict[str, int]
    joined: bool = False

    @property
    def with_class(self) -> bool:
        return self.joined or "label" in self.places

    @property
    def used(self) -> list[int]:
        return list(self.places.values())


def holds_runs(path: Path) -> bool:
    """Whether a CSV file is a table of files and run lengths, by its first lines."""
    try:
        lines = read_cells(path, head=True)
        if len(lines) < 2:
            return False
        find_run_columns(path, lines, None)
    except InputError:
        return False
    return True


def find_run_columns(
    path: Path, lines: Sequence[tuple[int, list[str]]], columns: Mapping | None
) -> RunColumns:
    """Which column of a table, or of its first lines, says what.

    Raises:
        InputError: No column of run lengths, or none of files.
    """
    header = lines[0][1]
    rows = [cells for _, cells in lines[1:] if len(cells) == len(header)]
    spelt = [plain(name) for name in header]
    places = _declared(path, header, columns or {})
    if "runs" not in places:
        runs = run_column(header, rows)
        if runs is None:
            raise InputError(
                f"{path} has no column of run lengths (pairs of whole numbers, such as 3 2 9 4); "
                f"it has {', '.join(header)}. Say which it is: --set "
                "'data.source.columns={file: NAME, runs: NAME}'."
            )
        places["runs"] = runs
    for key, names in {**NAMES, "label": _CLASS_WORDS}.items():
        free = {spelt[i]: i for i in range(len(spelt)) if i not in places.values()}
        name = next((name for name in names if name in free and key in KEYS), None)
        if key not in places and name is not None:
            places[key] = free[name]
    joined = False
    if "file" not in places:
        places["file"], joined = _file_column(path, header, rows, places)
    places |= {key: spelt.index(key) for key in SIZES if key in spelt}
    joined = "label" not in places and (joined or _are_joined(rows, places["file"]))
    return RunColumns(places, joined)


def _file_column(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], places: Mapping[str, int]
) -> tuple[int, bool]:
    """The column of files where its name is not known, and whether it names classes as well."""
    free = [i for i in range(len(header)) if i not in places.values() and header[i]]
    for place in free:
        whole = plain(header[place])
        if any(whole[:n] in _FILE_WORDS and whole[n:] in _CLASS_WORDS for n in range(len(whole))):
            return place, True
    images = [p for p in free if rows and all(_is_image(cells[p]) for cells in rows)]
    if len(images) == 1:
        return images[0], False
    raise InputError(
        f"{path} holds run lengths in {header[places['runs']]}; which column names the images? It "
        f"has {', '.join(header)}. Say it: --set 'data.source.columns={{file: NAME, runs: "
        f"{header[places['runs']]}}}'."
    )


def _are_joined(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether cells are `a.png_1`: an image file, and a class behind it."""
    cells = [cells[place] for cells in rows]
    joined = [c for c in cells if "_" in c and not _is_image(c) and _is_image(c.rpartition("_")[0])]
    return bool(cells) and len(joined) >= JOINED_SHARE * len(cells)


def _is_image(cell: str) -> bool:
    return Path(cell).suffix.lower() in EXTENSIONS


def _declared(path: Path, header: Sequence[str], columns: Mapping) -> dict[str, int]:
    folded = [name.casefold() for name in header]
    for key, name in columns.items():
        if key not in KEYS:
            raise InputError(f"columns holds {key!r}; known: {', '.join(KEYS)}.")
        if str(name).casefold() not in folded:
            raise InputError(
                f"{path} has no column {str(name)!r} ({key}). It has {', '.join(header)}."
            )
    return {key: folded.index(str(name).casefold()) for key, name in columns.items()}
