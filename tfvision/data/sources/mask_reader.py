"""Masks that are not one file of labels: run lengths, outlines, a file an object."""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class MaskReader(Protocol):
    """Where the mask of one sample comes from; stands in `FileSource`'s list of mask files."""

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) int32 of raw values.

        Args:
            place: What messages call the mask.
            shape: (H, W) of the image, turned as its EXIF orientation wants it seen unless
                `exif` is "ignore".

        Raises:
            BadSample: It cannot be drawn, or belongs to an image of another size.
        """
        ...

    def stamp(self) -> str:
        """Differs where what the mask is drawn from, or how, is another."""
        ...
