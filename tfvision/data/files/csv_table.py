"""Small CSV files that users write by hand: manifests, splits, exclude lists."""

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.paths import read_bytes
from tfvision.errors import InputError
from tfvision.text import first_lines

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Row:
    """One row: the physical line it starts on (the header is line 1), and its cells."""

    line: int
    values: dict[str, str]


def not_used(names: Sequence[str]) -> list[str]:
    """A line that names columns which nothing reads; none where there are none."""
    named = [name.strip() or "one without a name" for name in names]
    return [f"columns not used: {', '.join(named)}"] if named else []


def read_table(
    path: str | Path,
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    encoding: str = "utf-8",
) -> tuple[list[Row], list[str]]:
    """Rows of a CSV file with a header, every cell a string without spaces around it.

    The separator is the one of `, ; tab |` that the header holds most. A byte order mark,
    CRLF and empty lines are fine; column names may be in capitals. Columns that are not
    asked for are left out.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that may be there; absent ones read as "".
        encoding: Of the text.

    Returns:
        The rows, and the names of the columns left out.

    Raises:
        InputError: Names the file, the line, what was found and expected.
    """
    path = Path(path)
    lines = read_cells(path, encoding=encoding)
    if not lines:
        raise InputError(f"{path} is empty. Its first line must name {', '.join(required)}.")
    header = [name.casefold() for name in lines[0][1]]
    columns = [*required, *optional]
    extra = _check_header(path, header, required, columns)
    problems, rows = [], []
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            problems.append(f"  line {line}: {len(cells)} cells, the header has {len(header)}")
            continue
        given = dict(zip(header, cells, strict=True))
        rows.append(Row(line, {name: given.get(name, "") for name in columns}))
    if problems:
        raise InputError(
            "\n".join([f"{path}: rows of another length than the header.", *first_lines(problems)])
            + "\nQuote cells that hold the separator."
        )
    return rows, extra


def read_cells(path: Path, *, encoding: str = "utf-8") -> list[tuple[int, list[str]]]:
    """(physical line, cells) of every line of a CSV file that is not empty.

    Raises:
        InputError: It cannot be read, is not text of that encoding, or has an open quote.
    """
    return _cells(path, _text(path, encoding))


def _text(path: Path, encoding: str) -> str:
    data = read_bytes(path, place=str(path))
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise InputError(f"Unknown encoding: {encoding!r}. Try utf-8, cp1252, utf-16.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line} is not {encoding} text (byte 0x{data[error.start]:02x}). Save "
            "the file as UTF-8, or set encoding, e.g. cp1252 or utf-16."
        ) from error
    return text.removeprefix("\ufeff")


def _cells(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """(physical line, cells) of every line that is not empty."""
    first = text.lstrip().splitlines()[:1]
    delimiter = max(DELIMITERS, key=first[0].count) if first else ","
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True)
    lines, start = [], 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {start}: {error}. Close every quote, double quotes inside quotes."
        ) from error
    return lines


def _check_header(
    path: Path, header: list[str], required: Sequence[str], columns: Sequence[str]
) -> list[str]:
    """Raises where the header is not usable; returns the names of the other columns."""
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the header names {', '.join(twice)} twice. Keep one.")
    extra = [name for name in header if name not in columns]
    absent = [name for name in columns if name not in header]
    for name in extra:
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.7)
        if near:
            raise InputError(
                f"{path}: unknown column {name!r}. Did you mean {near[0]!r}? Known columns: "
                f"{', '.join(columns)}."
            )
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(
            f"{path}: the header must name {', '.join(missing)}; found {', '.join(header)}. "
            f"Known columns: {', '.join(columns)}."
        )
    return extra
