"""CSV files as people write them by hand, as spreadsheets and pandas save them."""

import codecs
import csv
import difflib
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.paths import read_bytes
from tfvision.errors import InputError
from tfvision.text import first_lines

DELIMITERS = ",;\t|"
HEAD_BYTES = 2**18  # what is read of a file to see what it is
_SNIFFED_LINES = 30
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)
_LONGEST_CELL = 2**31 - 1  # run lengths are longer than the 131,072 characters of the default


@dataclass(frozen=True)
class Row:
    """One row: the physical line it starts on (the header is line 1), and its cells."""

    line: int
    values: dict[str, str]


def read_table(
    path: str | Path,
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    spellings: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
) -> tuple[list[Row], list[str]]:
    """Rows of a CSV file with a header, every cell a string without spaces around it.

    Separator, byte order mark and line ends are found as `read_cells` says; column names may be
    in capitals.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that may be there; absent ones read as "".
        spellings: What the header calls a column, in small letters -> which one is meant.
        encoding: Of the text.

    Returns:
        The rows, which hold the columns not asked for too, and the names of these; a column
        without a name that counts the rows or is empty is not among them.

    Raises:
        InputError: Names the file, the line, what was found and expected.
    """
    path = Path(path)
    lines = read_cells(path, encoding=encoding)
    if not lines:
        raise InputError(f"{path} is empty. Its first line must name {', '.join(required)}.")
    spelt = spellings or {}
    header = [spelt.get(name.casefold(), name.casefold()) for name in lines[0][1]]
    columns = [*required, *optional]
    _check_header(path, header, required, columns)
    check_lengths(path, lines, first="header")
    asked = [place for place, name in enumerate(header) if name in columns]
    extra = [*unused_columns(header, [cells for _, cells in lines[1:]], asked).values()]
    rows = []
    for line, cells in lines[1:]:
        given = {name or f"column {place + 1}": cells[place] for place, name in enumerate(header)}
        rows.append(Row(line, {name: given.get(name, "") for name in (*columns, *extra)}))
    return rows, extra


def check_lengths(
    path: Path, lines: Sequence[tuple[int, list[str]]], *, first: str = "first line"
) -> None:
    """Raises an `InputError` that names the lines with another number of cells than the first."""
    width = len(lines[0][1])
    wrong = [
        f"  line {line}: {len(cells)} cells, the {first} has {width}"
        for line, cells in lines
        if len(cells) != width
    ]
    if wrong:
        raise InputError(
            "\n".join([f"{path}: rows of another length than the {first}.", *first_lines(wrong)])
            + "\nQuote cells that hold the separator."
        )


def check_thousands(
    file: str, rows: Sequence[tuple[int, list[str]]], columns: Collection[int]
) -> None:
    """Raises an `InputError` where `1,186` beside whole numbers may be 1186 or 1.186.

    Args:
        file: For messages.
        rows: Line and cells of each.
        columns: Those that hold a number each.
    """
    cells = [(line, row[column]) for line, row in rows for column in columns]
    grouped = [(line, cell) for line, cell in cells if "," in cell]
    whole = sum(cell.isdigit() for _, cell in cells)
    if not grouped or not whole or len(grouped) + whole < len(cells):
        return
    if all(re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", cell) for _, cell in grouped):
        line, cell = grouped[0]
        raise InputError(
            f"line {line} of {file}: {cell!r} beside whole numbers may be {cell.replace(',', '')} "
            f"or {to_number(cell)}. Write {cell.replace(',', '')} without a comma, or all numbers "
            "with a point."
        )


def unused_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], used: Collection[int]
) -> dict[int, str]:
    """Place -> name of the columns that are not used; "column 3" for a third without a name.

    A column without a name is left out where it is empty or counts the rows, as pandas' index.
    """
    names = {}
    for place, name in enumerate(header):
        if place in used:
            continue
        unnamed = not name or re.fullmatch(r"unnamed: \d+", name.casefold())
        if not unnamed or not _counts_rows([cells[place] for cells in rows]):
            names[place] = name or f"column {place + 1}"
    return names


def _counts_rows(cells: Sequence[str]) -> bool:
    """Whether cells are different whole numbers, or all empty."""
    numbers = [cell for cell in cells if cell.isdigit()]
    return not any(cells) or len(set(numbers)) == len(cells)


def read_cells(
    path: Path, *, encoding: str = "utf-8", head: bool = False
) -> list[tuple[int, list[str]]]:
    """(physical line, cells) of every line of a CSV file that is not empty.

    The separator is the one of `, ; tab |` that cuts most of the first lines into as many cells
    as the very first, or what a first line such as `sep=;` says. A byte order mark, UTF-16, CRLF,
    spaces around cells and a last line break are fine.

    Args:
        path: The file.
        encoding: Of the text, where no byte order mark tells it.
        head: Whether the first 256 KiB are enough.

    Raises:
        InputError: It cannot be read, is not text of that encoding, or has an open quote.
    """
    return _cells(path, _text(path, encoding, head=head))


def to_number(cell: str) -> float | None:
    """The finite number that a cell holds, also with a decimal comma (`12,5`); None: none."""
    try:
        number = float(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(path: Path, encoding: str, *, head: bool) -> str:
    data = read_bytes(path, place=str(path))
    if head and len(data) > HEAD_BYTES:
        data = data[:HEAD_BYTES]
        data = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data)]
        data += b"\0" * (len(data) % 2 and b"\0" in data[:2] + data[-2:])  # whole UTF-16 units
    for start, name in ((codecs.BOM_UTF8, "utf-8"), *((mark, "utf-16") for mark in _UTF_16)):
        encoding = name if data.startswith(start) else encoding
    if encoding.lower() in ("utf-8", "utf8") and b"\0" in data[:2]:  # UTF-16 without its mark
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
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
    csv.field_size_limit(_LONGEST_CELL)
    said = re.match(r"\s*sep=(.)\s*?(\r\n|\r|\n)", text, re.IGNORECASE)
    delimiter = said[1] if said else _delimiter(text)
    reader = csv.reader(
        io.StringIO(text, newline=None), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    lines, start = [], 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells) and not (said and not lines and cells[0].lower() == "sep="):
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {start}: {error}. Close every quote, double quotes inside quotes."
        ) from error
    return lines


def _delimiter(text: str) -> str:
    """The separator that cuts most lines into as many cells as the first, and into most cells."""
    lines = [line for line in text[:HEAD_BYTES].splitlines() if line.strip()][:_SNIFFED_LINES]

    def agreement(delimiter: str) -> tuple[bool, float, int]:
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        widths = [len(cells) for cells in rows] or [1]
        return widths[0] > 1, widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITERS, key=agreement)


def _check_header(
    path: Path, header: list[str], required: Sequence[str], columns: Sequence[str]
) -> None:
    """Raises where the header is not usable."""
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the header names {', '.join(twice)} twice. Keep one.")
    absent = [name for name in columns if name not in header]
    for name in header:
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.7)
        if near and name not in columns:
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
