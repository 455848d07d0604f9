"""Is a submission file what the contest takes? Read line by line, whatever its size."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.engine.submission.layouts import Layout, csv_cells
from tfvision.errors import InputError
from tfvision.text import counted

SHOWN = 20  # ids and problems that a message lists
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Checked:
    """What a submission file holds.

    Attributes:
        rows: Rows below the header.
        num_bytes: Its size.
        warnings: What is allowed but rarely meant.
    """

    rows: int
    num_bytes: int
    warnings: list[str]


def check_submission(
    path: Path,
    layout: Layout,
    *,
    keys: Sequence[str] | None = None,
    sample: Path | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Checked:
    """Reads a submission file whole and compares it with what it must hold.

    Args:
        path: The file.
        layout: What its rows say.
        keys: Key of every row, in order, as the layout's `keys` gives them; None: as the
            sample has them, and without one any, each once.
        sample: The contest's sample file, whose header and ids the file must have.
        sizes: (H, W) of the image a key belongs to, for run-length codes; without it, the
            ends of runs are not checked.

    Raises:
        InputError: Lists what is wrong, the first 20 of each kind.
    """
    header, rows = read_lines(path)
    problems = _header_problems(header, layout.header, "the layout")
    if sample is not None:
        given, expected = read_sample(sample, layout)
        problems += _header_problems(header, given, f"the sample {sample}")
        keys = expected if keys is None else keys
    if problems:
        raise InputError(f"{path} is no valid submission:\n  " + "\n  ".join(problems))
    found, wrong, contents = [], [], set()
    for number, line in rows:
        key, rest = layout.read(line)
        found.append(key)
        if len(contents) < 2:
            contents.add(rest if isinstance(rest, bytes) else tuple(rest))
        problem = layout.problem(rest, None if sizes is None else sizes.get(key))
        if problem:
            wrong.append(f"line {number}, {key[:60]}: {problem}")
    problems = compare_keys(found, keys) + _first(wrong, "\n  ")
    if problems:
        raise InputError(f"{path} is no valid submission:\n  " + "\n  ".join(problems))
    warnings = []
    if len(found) > 1 and len(contents) == 1:
        warnings.append(
            f"constant prediction: all {len(found)} rows say the same. Look at the images that "
            "were predicted, and at the run's report."
        )
    return Checked(len(found), path.stat().st_size, warnings)


def compare_keys(found: Sequence[str], expected: Sequence[str] | None) -> list[str]:
    """What differs between two lists of keys: double, missing, extra ones, their order."""
    problems = []
    double = [key for key, count in Counter(found).items() if count > 1]
    if double:
        problems.append(f"{counted(len(double), 'id')} twice or more: {_listed(double)}")
    if expected is None:
        return problems if found else ["there is no row"]
    here, wanted = set(found), set(expected)
    missing = [key for key in dict.fromkeys(expected) if key not in here]
    extra = [key for key in dict.fromkeys(found) if key not in wanted]
    if missing:
        problems.append(f"{counted(len(missing), 'id')} missing: {_listed(missing)}")
    if extra:
        problems.append(f"{counted(len(extra), 'id')} not expected: {_listed(extra)}")
    if not problems and list(found) != list(expected):
        at = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        problems.append(
            f"the rows are in another order: row {at + 1} is {found[at]}, not {expected[at]}"
        )
    return problems


def read_sample(path: Path, layout: Layout) -> tuple[list[str], list[str]]:
    """Header and keys of a contest's sample file, in its order.

    Raises:
        InputError: It cannot be read, has no rows, or has a key twice.
    """
    header, rows = read_lines(path, forgive=True)
    keys = [layout.read(line)[0] for _, line in rows]
    problems = compare_keys(keys, None)
    if problems:
        raise InputError(f"The sample {path}: {'; '.join(problems)}.")
    return header, keys


def check_sample(path: Path, layout: Layout, keys: Sequence[str]) -> list[str]:
    """The keys of a sample in its order, where they are those that will be written.

    Args:
        path: The sample file.
        layout: Of the file that will be written.
        keys: Of the rows that the input gives.

    Raises:
        InputError: Header or ids differ; names them.
    """
    header, expected = read_sample(path, layout)
    problems = _header_problems(header, layout.header, "what would be written")
    if problems:
        raise InputError(
            f"The sample {path} does not fit: {problems[0]}. Set --format, --columns and --rows "
            "as the sample has them."
        )
    ours, theirs = set(keys), set(expected)
    missing = [key for key in expected if key not in ours]
    extra = [key for key in keys if key not in theirs]
    if missing or extra:
        lines = [
            f"{counted(len(ids), 'id')} of the {where}: {_listed(ids)}"
            for where, ids in (("sample, not of the input", missing), ("input only", extra))
            if ids
        ]
        raise InputError(
            f"The ids of the sample {path} are not those of the input, nothing was written.\n  "
            + "\n  ".join(lines)
            + "\nIds are paths inside INPUT without their extension; --id-suffix adds one, "
            "--split chooses a part."
        )
    return expected


def read_lines(path: Path, *, forgive: bool = False) -> tuple[list[str], Iterator]:
    """The header's cells and an iterator of (line number, line without its end).

    Args:
        path: The file.
        forgive: Take a byte order mark; without it, it is an error.

    Raises:
        InputError: The file is absent, empty or starts with a byte order mark.
    """
    try:
        with open(path, "rb") as file:
            first = file.readline()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if first.startswith(BOM) and not forgive:
        raise InputError(
            f"{path} starts with a byte order mark, which becomes part of the first column's "
            "name. Save it as UTF-8 without one."
        )
    header = csv_cells(first.removeprefix(BOM).rstrip(b"\r\n"))
    if not header:
        raise InputError(f"{path} is empty. Its first line must name the columns.")

    def rows():
        with open(path, "rb") as file:
            for number, line in enumerate(itertools.islice(file, 1, None), 2):
                if line := line.rstrip(b"\r\n"):
                    yield number, line

    return header, rows()


def _header_problems(found: Sequence[str], expected: Sequence[str], whose: str) -> list[str]:
    if list(found) == list(expected):
        return []
    if len(found) != len(expected):
        return [
            f"the header has {len(found)} columns ({_brief(found)}), {whose} has "
            f"{len(expected)} ({_brief(expected)})"
        ]
    at = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    return [f"column {at + 1} is {found[at]!r}, in {whose} it is {expected[at]!r}"]


def _brief(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])


def _listed(keys: Sequence[str]) -> str:
    return ", ".join([*(key[:60] for key in keys[:SHOWN]), *(["..."] if keys[SHOWN:] else [])])


def _first(problems: list[str], join: str) -> list[str]:
    more = [f"... and {len(problems) - SHOWN} more rows"] if len(problems) > SHOWN else []
    return [*problems[:SHOWN], *more]
