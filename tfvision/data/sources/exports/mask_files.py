"""Masks that are files, but not one file of class numbers: values mapped, a file an object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.data.files.images import read_mask
from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import stamp_of
from tfvision.data.truth.masks import check_size


@dataclass(frozen=True)
class MappedMask:
    """A `MaskReader` of a file whose values stand for classes, several for one.

    Attributes:
        file: The mask file.
        labels: Value in the file -> label.
    """

    file: Path
    labels: Mapping[int, int]

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The labels (H, W) int32.

        Raises:
            BadSample: It cannot be read, or holds a value that stands for nothing.
        """
        values = read_mask(self.file, place=place).pixels
        found, index = np.unique(values, return_inverse=True)
        odd = [int(value) for value in found if int(value) not in self.labels]
        if odd:
            y, x = (int(i) for i in np.argwhere(values == odd[0])[0])
            raise BadSample(
                place,
                f"the mask holds {odd[0]} at pixel (y, x) = ({y}, {x}); known: "
                f"{', '.join(map(str, self.labels))}",
                "Correct the mask.",
            )
        labels = np.array([self.labels[int(value)] for value in found], np.int32)
        return labels[index].reshape(values.shape)

    def stamp(self) -> str:
        return f"{stamp_of(self.file)}|{sorted(self.labels.items())}"


@dataclass(frozen=True)
class ObjectMasks:
    """A `MaskReader` that joins the masks of single objects: 1 where any object is, else 0.

    Attributes:
        files: A mask file an object; none: no object.
        root: What places in messages are relative to.
    """

    files: Sequence[Path]
    root: Path

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) int32.

        Raises:
            BadSample: A file cannot be read, has another size, or more than two values.
        """
        joined = np.zeros(shape, np.int32)
        for file in self.files:
            where = file.relative_to(self.root).as_posix()
            mask = read_mask(file, place=where).pixels
            check_size(joined, mask, where)
            values = np.unique(mask)
            if len(values) > 2 or (len(values) == 2 and values[0] != 0):
                raise BadSample(
                    where,
                    f"holds the values {', '.join(map(str, values[:6]))}; the mask of one object "
                    "has 0 and one other",
                    "Save it as PNG of 0 and 255, without interpolation.",
                )
            joined[mask != 0] = 1
        return joined

    def stamp(self) -> str:
        return "|".join(["objects", *(stamp_of(file) for file in self.files)])
