"""What shows that a table has turned boxes, which are not read: four corners, or an angle."""

import re
from collections.abc import Sequence

from tfvision.data.files.csv_table import to_number

CORNERS = tuple([f"{axis}{n}" for n in places for axis in "xy"] for places in ("1234", "0123"))
ANGLES = ("angle", "theta", "rotation", "rotationangle", "boxangle", "bboxangle", "angledeg", "rot")


def turned_columns(names: Sequence[str], rows: Sequence[Sequence[str]], known: str | None) -> str:
    """What columns say so; "" for upright boxes.

    Args:
        names: Of the columns, in small letters alone.
        rows: Their cells.
        known: What the names say of the four numbers. Corners are upright whatever the angle.
    """
    for corners in CORNERS:
        if {*corners} <= {*names}:
            return f"the columns {' '.join(corners)} are four corners"
    place = next((names.index(name) for name in ANGLES if name in names), None)
    if place is None or known == "corners":
        return ""
    turned = [row[place] for row in rows if to_number(row[place]) not in (None, 0.0)]
    if not turned:
        return ""
    return f"the column {names[place]} turns {len(turned)} of them, the first by {turned[0]}"


def turned_lists(cells: Sequence[str]) -> str:
    """What the lists of numbers in cells say so; "" where most have no 8 or 5 numbers a box."""
    filled = [cell for cell in cells if re.search(r"\d", cell)]
    for number, meaning in ((8, "four corners"), (5, "four numbers and an angle")):
        fitting = [cell for cell in filled if _numbers(cell) == number]
        if filled and 2 * len(fitting) > len(filled):
            return f"a box has {number} numbers, {meaning} ({fitting[0].strip()[:60]})"
    return ""


def _numbers(cell: str) -> int:
    """How many numbers the first list of a cell has; 0 where it holds anything else."""
    first = re.search(r"[\[(]([^\[\]()]+)[\])]", cell)
    words = re.split(r"[,;\s]+", (first[1] if first else cell).strip(" ,;"))
    return len(words) if None not in map(to_number, words) else 0
