"""Masks of a table of run lengths: how they are drawn, and what shows order and base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.data.files.issue import BadSample
from tfvision.data.files.run_length import ORDERS, draw_runs, find_base, find_order
from tfvision.data.sources.file_source import FileSource
from tfvision.errors import InputError

LOOKED_AT = 60  # masks by which order and base are found
ORDER_TEXT = {"columns": "down the columns", "rows": "along the rows"}


@dataclass(frozen=True)
class RunLengthMask:
    """The mask of one image, a `MaskReader`: runs of classes, drawn one after another.

    Attributes:
        objects: (class number, runs (N, 2)) of each row.
        order, base: As `draw_runs` has them.
        size: (H, W) that the table declares, or None.
    """

    objects: tuple[tuple[int, np.ndarray], ...]
    order: str
    base: int
    size: tuple[int, int] | None = None

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) int32: 0 where no run is, else the number of the class."""
        if self.size is not None and self.size != tuple(shape):
            drawn, found = (f"{h} x {w}" for h, w in (self.size, shape))
            problem = f"the mask is of an image of {drawn} (height x width), this one has {found}"
            raise BadSample(place, problem, "Restore the image that the table speaks of.")
        mask = np.zeros(shape, np.int32)
        for number, runs in self.objects:
            drawn = draw_runs(runs, shape, order=self.order, base=self.base, place=place)
            mask[drawn] = number
        return mask

    def stamp(self) -> str:
        text = ";".join(f"{number}:{runs.tolist()}" for number, runs in self.objects)
        return f"{self.order}|{self.base}|{self.size}|{text}"


def settle_counting(
    table: Path,
    plain: FileSource,
    masks: Sequence[np.ndarray],
    order: str | None,
    *,
    base: int | None,
) -> tuple[str, int, str]:
    """Order and base, declared or shown by the masks, and the words for them.

    Args:
        table: For messages.
        plain: The images, in the order of the masks.
        masks: Runs (N, 2) of each image.
        order, base: As `draw_runs` has them, or None.

    Raises:
        InputError: They do not show; names both readings, and what to type.
    """
    declared = order, base
    if order is None or base is None:
        looked_at = list(_looked_at(plain, masks))
        order = order or find_order(looked_at, base=1 if base is None else base)
        if base is None:
            bases = {find_base(looked_at, order=o) for o in ([order] if order else ORDERS)}
            base = bases.pop() if len(bases) == 1 else None
    missing = []
    if order is None:
        square = all(shape[0] == shape[1] for _, shape in looked_at)
        why = "the images are square" if square else "their objects are small, or of another size"
        missing.append(
            f"which way pixels are counted ({why}): --set data.source.order=columns (down the "
            "columns, as in Kaggle's competitions) or --set data.source.order=rows"
        )
    if base is None:
        missing.append(
            "whether the first pixel has the number 1 or 0 (no object touches a border): --set "
            "data.source.base=1 (as in Kaggle's competitions) or --set data.source.base=0"
        )
    if missing:
        raise InputError(
            f"{table}: its run lengths do not show {'; and not '.join(missing)}. Look at the masks "
            "with audit then."
        )
    how = ["declared" if value is not None else "found from the masks" for value in declared]
    said = f"counted {ORDER_TEXT[order]} ({how[0]}), the first pixel is {base} ({how[1]})"
    return order, base, said


def _looked_at(
    plain: FileSource, masks: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Runs and shape of some images that have objects, from all over the table."""
    filled = [index for index, runs in enumerate(masks) if len(runs)]
    for index in filled[:: max(1, len(filled) // LOOKED_AT)][:LOOKED_AT]:
        try:
            yield masks[index], plain.read_raw(index).image.shape[:2]
        except BadSample:  # the scan reports it
            continue
