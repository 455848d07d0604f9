"""Masks as run lengths: text such as `3 2 9 4`, where runs of pixels start and how long they are.

Nothing in the text says in which order the pixels of an image are counted, down the columns or
along the rows, nor whether the first has the number 0 or 1: `find_order` and `find_base` say what
a set of masks shows of it.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from tfvision.data.files.issue import BadSample

ORDERS = ("columns", "rows")
BASES = (1, 0)
NAMES = (
    *("encodedpixels", "rle", "rlemask", "maskrle", "runlength", "runlengths", "runlengthencoding"),
    *("encodedmask", "rleencoding"),
)
EMPTY = ("", "-1", "nan", "none", "null")
CLEARLY = 1.5  # times as broken the masks must be in the other order
_RUNS = re.compile(r"\d+[ ,]+\d+(?:[ ,]+\d+[ ,]+\d+)*")


def run_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """The column of run lengths of a table; None: it has none.

    Its cells are empty or hold pairs of whole numbers, most of them where its name is in `NAMES`;
    else all, runs must follow one another, and some cell hold three.
    """
    for place, name in enumerate(header):
        plain = re.sub(r"[\s_-]+", "", name.casefold())
        cells = [row[place] for row in rows if row[place].casefold() not in EMPTY]
        runs = [cell for cell in cells if _RUNS.fullmatch(cell)]
        if plain in NAMES and 2 * len(runs) >= len(cells):
            return place
        if runs and len(runs) == len(cells) and _are_runs(cells):
            return place
    return None


def _are_runs(cells: Sequence[str]) -> bool:
    pairs = [np.array(re.split(r"[ ,]+", cell), np.int64).reshape(-1, 2) for cell in cells]
    follow = all((p[1:, 0] >= p[:-1, 0] + p[:-1, 1]).all() for p in pairs)
    return follow and max(map(len, pairs)) > 2


def parse_runs(cell: str, *, place: str) -> np.ndarray:
    """(N, 2) int64 starts and lengths of a cell; N is 0 for an empty one, `-1` and `nan`.

    Raises:
        BadSample: It holds something else than pairs of whole numbers, or a run of no pixel.
    """
    if cell.casefold() in EMPTY:
        return np.zeros((0, 2), np.int64)
    shown = cell if len(cell) <= 40 else f"{cell[:40]}..."
    advice = "Write a start and a length for each run, or nothing where there is no object."
    if not _RUNS.fullmatch(cell):
        raise BadSample(place, f"{shown!r} is no run lengths: pairs of whole numbers", advice)
    runs = np.array(re.split(r"[ ,]+", cell), np.int64).reshape(-1, 2)
    if (runs[:, 1] < 1).any():
        raise BadSample(place, f"{shown!r} holds a run of no pixel", advice)
    return runs


def draw_runs(
    runs: np.ndarray, shape: tuple[int, int], *, order: str, base: int, place: str = "the mask"
) -> np.ndarray:
    """The mask (H, W) bool of runs.

    Args:
        runs: (N, 2) starts and lengths.
        shape: (H, W).
        order: "columns": pixels are counted down the first column, then the second; "rows".
        base: Number of the first pixel, 0 or 1.
        place: For messages.

    Raises:
        BadSample: A run reaches beyond the image.
    """
    size = shape[0] * shape[1]
    starts = runs[:, 0] - base
    ends = starts + runs[:, 1]
    wrong = np.flatnonzero((starts < 0) | (ends > size))
    if len(wrong):
        start, length = runs[wrong[0]]
        raise BadSample(
            place,
            f"the run {start} {length} lies outside the image of {shape[0]} x {shape[1]} = "
            f"{size} pixels (height x width), the first of which has the number {base}",
            "The masks may be those of images of another size: restore these.",
        )
    steps = np.zeros(size + 1, np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    flat = np.cumsum(steps[:-1]) > 0
    return flat.reshape(shape[::-1]).T if order == "columns" else flat.reshape(shape)


def find_order(masks: Iterable[tuple[np.ndarray, tuple[int, int]]], *, base: int) -> str | None:
    """The order in which the pixels are counted; None where the masks do not show it.

    Objects hang together: in the right order their borders are much shorter. In square images the
    other order only mirrors a mask, so these show nothing.

    Args:
        masks: Runs (N, 2) and shape (H, W) of each.
        base: Number of the first pixel; an error of one does not matter here.
    """
    breaks = dict.fromkeys(ORDERS, 0)
    for runs, shape in masks:
        if shape[0] == shape[1] or not len(runs):
            continue
        inside = runs[(runs[:, 0] >= base) & (runs.sum(1) - base <= shape[0] * shape[1])]
        for order in ORDERS:
            mask = draw_runs(inside, shape, order=order, base=base)
            across = mask if order == "columns" else mask.T  # neighbours of neighbouring lines
            breaks[order] += int((across[:, 1:] != across[:, :-1]).sum())
    right, other = sorted(ORDERS, key=breaks.__getitem__)
    return right if breaks[other] > CLEARLY * breaks[right] else None


def find_base(masks: Iterable[tuple[np.ndarray, tuple[int, int]]], *, order: str) -> int | None:
    """The number of the first pixel, 0 or 1; None where the masks do not show it.

    A run that starts at 0 or ends at the last pixel shows it. So do objects that touch the end of
    a line: under the wrong number their runs reach into the next line by one pixel.

    Args:
        masks: Runs (N, 2) and shape (H, W) of each.
        order: As `draw_runs` has it.
    """
    possible, over = set(BASES), dict.fromkeys(BASES, 0)
    for runs, shape in masks:
        line, size = shape[order == "rows"], shape[0] * shape[1]
        for base in BASES:
            starts = runs[:, 0] - base
            ends = starts + runs[:, 1]
            if (starts < 0).any() or (ends > size).any():
                possible.discard(base)
            crossing = starts // line < (ends - 1) // line
            over[base] += int((crossing & (starts % line == line - 1)).sum())
            over[base] += int((crossing & (ends % line == 1)).sum())
    if len(possible) == 1:
        return possible.pop()
    right, other = sorted(BASES, key=over.__getitem__)
    return right if len(possible) == 2 and over[other] > 1 + 2 * over[right] else None
