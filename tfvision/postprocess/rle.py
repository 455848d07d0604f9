"""Run-length codes: a mask as text, `start length start length ...`.

The code is Kaggle's: runs of the pixels in question, in the order of the flattened mask.
What differs between competitions is that order and the number of the first pixel, so both
are said at every call. Kaggle's own convention is column by column, from 1.
"""

from typing import Literal

import numpy as np

from tfvision.errors import InputError

Order = Literal["column", "row"]


def encode_rle(mask: np.ndarray, *, order: Order = "column", base: int = 1) -> str:
    """The runs of the pixels of a mask that are not 0.

    Args:
        mask: (H, W), bool or whole numbers.
        order: `column` counts pixels down the columns, `row` along the rows.
        base: Number of the first pixel, 0 or 1.

    Returns:
        `start length` of each run, ascending, "" where no pixel is set.
    """
    _check(order, base)
    flat = np.asarray(mask).ravel(order="F" if order == "column" else "C") != 0
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    runs = edges.reshape(-1, 2)
    runs = np.stack([runs[:, 0] + base, runs[:, 1] - runs[:, 0]], axis=1)
    return " ".join(map(str, runs.ravel().tolist()))


def decode_rle(
    text: str, shape: tuple[int, int], *, order: Order = "column", base: int = 1
) -> np.ndarray:
    """The mask (H, W) bool of a run-length code.

    Raises:
        InputError: It is no code of this size: an odd count, something that is no whole
            number, runs that are empty, overlap, do not ascend, or leave the image.
    """
    runs = parse_rle(text, base=base, pixels=shape[0] * shape[1])
    _check(order, base)
    flat = np.zeros(shape[0] * shape[1], bool)
    for start, length in runs.tolist():
        flat[start : start + length] = True
    return flat.reshape(shape, order="F" if order == "column" else "C")


def parse_rle(text: str, *, base: int = 1, pixels: int | None = None) -> np.ndarray:
    """The runs of a code, checked.

    Args:
        text: `start length start length ...`, or "".
        base: Number of the first pixel, 0 or 1.
        pixels: H * W; None leaves out whether the runs end inside the image.

    Returns:
        (n, 2) int64: the start, counted from 0, and the length of each run.

    Raises:
        InputError: See `decode_rle`.
    """
    words = text.split()
    wrong = next((w for w in words if not (w.isascii() and w.isdigit() and len(w) < 16)), None)
    if wrong is not None:
        raise InputError(f"a run-length code holds whole numbers; found {wrong[:20]!r}")
    if len(words) % 2:
        raise InputError(
            f"a run-length code holds pairs of start and length; found {len(words)} numbers"
        )
    runs = np.array(words, np.int64).reshape(-1, 2)
    runs[:, 0] -= base
    starts, ends = runs[:, 0], runs.sum(axis=1)
    if (starts < 0).any():
        raise InputError(f"a run starts at 0, but pixels are counted from {base}")
    if (runs[:, 1] < 1).any():
        raise InputError("a run has the length 0")
    crossing = np.flatnonzero(starts[1:] < ends[:-1])
    if crossing.size:
        at = int(starts[crossing[0] + 1]) + base
        raise InputError(f"runs must ascend and not overlap; the run at {at} does not")
    if pixels is not None and runs.size and ends[-1] > pixels:
        raise InputError(f"the last run ends at pixel {ends[-1]} of {pixels}")
    return runs


def _check(order: str, base: int) -> None:
    if order not in ("column", "row") or base not in (0, 1):
        raise InputError(
            "A run-length code has order `column` or `row` and base 0 or 1. "
            f"Received: {order!r}, {base!r}."
        )
