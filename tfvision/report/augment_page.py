"""The picture of what augmentation does to real samples, for a dry run and the report."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.report.overlay import colour_labels, palette, png_uri

_GAP = 6  # pixels between two cells; three times that after the originals
_PAPER = 244  # grey level between the cells
_SIDES = (256, 192, 128, 80)  # longer side of a cell, the largest that fits the budget
_BUDGET = 300_000  # characters of the picture in a report

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class Augmented:
    """Training samples beside what their augmentation makes of them.

    Attributes:
        ids: One a sample.
        originals: (image, mask) of each: (H, W, C) float32 in [0, 1] with 1 or 3 channels,
            and (H, W) labels; those outside 0..K-1 are not labelled.
        draws: For each sample, as many such pairs; sizes may differ from the original's.
        num_classes: K.
    """

    ids: list[str]
    originals: list[Pair]
    draws: list[list[Pair]]
    num_classes: int


def picture(augmented: Augmented, side: int = _SIDES[0]) -> np.ndarray:
    """(H, W, 3) uint8: a row a sample, the original first, then its draws.

    Borders between classes are lines in the colours of the classes; what carries no label
    is hatched. Small samples are enlarged without smoothing, large ones reduced.

    Args:
        augmented: The samples.
        side: Of the longer side of the largest sample, in pixels, about.
    """
    rows = [
        [first, *draws] for first, draws in zip(augmented.originals, augmented.draws, strict=True)
    ]
    longest = max(max(mask.shape) for row in rows for _, mask in row)
    cells = [[_cell(*pair, augmented.num_classes, longest, side) for pair in row] for row in rows]
    height = max(cell.shape[0] for row in cells for cell in row)
    width = max(cell.shape[1] for row in cells for cell in row)
    columns = len(cells[0])
    shape = (len(cells) * (height + _GAP) + _GAP, columns * (width + _GAP) + 3 * _GAP, 3)
    page = np.full(shape, _PAPER, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            top = _GAP + i * (height + _GAP)
            left = _GAP + j * (width + _GAP) + 2 * _GAP * (j > 0)
            page[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return page


def picture_uri(augmented: Augmented, *, budget: int = _BUDGET) -> str:
    """`picture` as a PNG data URI, the largest of a few sizes that fits `budget` characters."""
    uri = ""
    for side in _SIDES:
        uri = png_uri(picture(augmented, side))
        if len(uri) <= budget:
            break
    return uri


def write_picture(path: Path, augmented: Augmented) -> None:
    """Writes `picture` as a PNG, whole or not at all; its folder is made.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture(augmented)).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def _cell(
    image: np.ndarray, mask: np.ndarray, num_classes: int, longest: int, side: int
) -> np.ndarray:
    """(h, w, 3) uint8: one sample at its size in the picture, with its lines."""
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    cell = np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels
    mask = np.asarray(mask, np.int32)
    if longest > side:
        from PIL import Image

        step = -(-longest // side)
        cell = np.asarray(Image.fromarray(cell).reduce(step))
        mask = mask[::step, ::step]
    else:
        factor = side // longest
        cell, mask = (np.repeat(np.repeat(x, factor, 0), factor, 1) for x in (cell, mask))
    return _outlined(cell, mask, num_classes)


def _outlined(cell: np.ndarray, mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Draws a line inside each class's border, and a hatching where nothing is labelled."""
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        differs = np.diff(mask, axis=axis) != 0
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, 1)
        edge |= np.pad(differs, pad)
        pad[axis] = (1, 0)
        edge |= np.pad(differs, pad)
    colours = colour_labels(mask, palette(num_classes))
    drawn = np.where(edge[..., None], colours, cell)
    void = (mask < 0) | (mask >= num_classes)
    return np.where(void[..., None], (drawn // 2 + colours // 2).astype(np.uint8), drawn)
