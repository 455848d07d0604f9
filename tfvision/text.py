"""How messages, tables and JSON spell numbers, names and lists of problems."""

import math
from collections.abc import Sequence


def figure(value: float | None, missing: str = "none") -> str:
    """A score with four digits; `missing` where there is none."""
    return missing if value is None else f"{value:.4f}"


def finite(value: float | None) -> float | None:
    """The number for JSON, which has no NaN and no infinity: these are None."""
    return float(value) if value is not None and math.isfinite(value) else None


def some(names: Sequence[str], most: int = 5) -> str:
    """`'a', 'b', 'c' ...`: the first names, and whether there are more."""
    return ", ".join(map(repr, names[:most])) + (" ..." if len(names) > most else "")


def counted(number: int, word: str) -> str:
    """`1 image`, `2 images`, `3 classes`, `0 boxes`."""
    end = "es" if word.endswith(("s", "x")) else "s"
    return f"{number:,} {word}{end if number != 1 else ''}"


def verb(number: int, one: str, many: str) -> str:
    """`has` or `have`, after a count."""
    return one if number == 1 else many


def first_lines(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first lines, and one that says how many more there are."""
    more = [f"  ... and {len(lines) - most} more"] if len(lines) > most else []
    return [*lines[:most], *more]
