"""Whether files look like masks: few values, in a format that keeps them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FEW = 48  # values of one file; a mask of 150 classes shows few of them at a time
_SAMPLED, _MOST_PIXELS = 4, 30_000_000
_WHITE = 250  # of each channel, from here on: white paper
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def mask_look(files: Sequence[Path], *, few: int = FEW) -> str:
    """What some of the files, evenly spaced, look like.

    Args:
        files: The files.
        few: How many values or colours one of them has at most.

    Returns:
        "grey" where each has one channel of few values, "colour" where each has few colours,
        "" where one has many, is a JPEG (which keeps no values), is too small to tell, or
        cannot be read.
    """
    looks = {_look(path, few) for path in _some(files)}
    if not looks or "" in looks:
        return ""
    return "colour" if "colour" in looks else "grey"


def on_paper(files: Sequence[Path]) -> bool:
    """Whether most of some files, evenly spaced, are white about their rim: drawn on paper, as no
    mask is whose background is 0."""
    rims = [_white_rim(path) for path in _some(files)]
    return 2 * sum(rims) > len(rims)


def class_numbers(files: Sequence[Path]) -> bool:
    """Whether some files, evenly spaced, hold grey levels so low that nobody would see them."""
    return all(map(_low, _some(files)))


def _some(files: Sequence[Path]) -> Sequence[Path]:
    return list(files)[:: max(1, len(files) // _SAMPLED)][:_SAMPLED]


def _low(path: Path) -> bool:
    try:
        with Image.open(path) as file:
            grey = file.mode in ("L", "I") or file.mode.startswith("I;16")
            return grey and int(np.asarray(file).max()) <= FEW
    except _UNREADABLE:
        return False


def _white_rim(path: Path) -> bool:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))
    except _UNREADABLE:
        return False
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool(2 * (rim >= _WHITE).all(axis=1).sum() > len(rim))


def _look(path: Path, few: int) -> str:
    try:
        with Image.open(path) as file:
            if file.format == "JPEG" or file.width * file.height > _MOST_PIXELS:
                return ""
            grey = file.mode in ("1", "L", "P", "I") or file.mode.startswith("I;16")
            pixels = np.asarray(file if grey else file.convert("RGB"))
    except _UNREADABLE:
        return ""
    if grey:
        return "grey" if _few(len(np.unique(pixels)), pixels.size, few) else ""
    codes = pixels.reshape(-1, 3).astype(np.int32) @ np.array([65536, 256, 1])
    return "colour" if _few(len(np.unique(codes)), codes.size, few) else ""


def _few(values: int, pixels: int, few: int) -> bool:
    """Few, and each of several pixels: four pixels of noise hold few values too."""
    return values <= few and 4 * values <= pixels
