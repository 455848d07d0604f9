"""The values that masks hold, counted, and how messages speak of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.data.files.images import JPEG_MASK
from tfvision.data.files.issue import Issue

LOOKED_AT = 12  # masks that are read again where counts alone do not tell
FEW_PIXELS, FEW_OF_ALL, FEW_OF_IMAGE = 10, 1e-6, 0.02
THRESHOLD = "--set data.source.threshold="


class MaskValues:
    """The raw values of all masks.

    Attributes:
        of: Place of a record -> its mask's values and how many pixels hold each.
        pixels: Value -> pixels that hold it, in all masks, in the order of the values.
        images: Value -> masks that hold it.
    """

    def __init__(
        self,
        facts: Sequence[Any],
        records: Sequence[Any],
        mask_of: Callable[[int], np.ndarray],
    ):
        self._facts, self._records, self._mask_of = facts, records, mask_of
        self.of: dict[int, Mapping[int, int]] = {
            i: fact.values for i, fact in enumerate(facts) if fact is not None and fact.values
        }
        total, images = Counter(), Counter()
        for values in self.of.values():
            total.update(values)
            images.update(values.keys())
        self.pixels = dict(sorted(total.items()))
        self.images = dict(sorted(images.items()))

    def place(self, index: int) -> str:
        return self._records[index].place

    def jpeg(self) -> list[int]:
        """Places of the masks that are JPEG files."""
        said = f"mask {JPEG_MASK}"
        return [i for i in self.of if said in self._facts[i].warnings]

    def colours(self, index: int) -> Mapping[int, str]:
        return self._facts[index].mask_colours

    def masks_with(
        self, wanted: Callable[[Mapping[int, int]], bool], most: int = LOOKED_AT
    ) -> Iterable[np.ndarray]:
        """Some of the masks whose values are wanted."""
        return (self._mask_of(i) for i in self.some(wanted, most))

    def some(self, wanted: Callable[[Mapping[int, int]], bool], most: int) -> list[int]:
        """Places of some of the masks whose values are wanted."""
        chosen = [i for i, values in self.of.items() if wanted(values)]
        return chosen[:: -(-len(chosen) // most) or 1]

    def few(self) -> list[int]:
        """Values on less than a millionth of all pixels, or on fewer than ten, and a fiftieth, of
        each mask that holds them."""
        everything = sum(self.pixels.values())
        return [v for v, n in self.pixels.items() if n < FEW_OF_ALL * everything or self._tiny(v)]

    def _tiny(self, value: int) -> bool:
        return all(
            values[value] < min(FEW_PIXELS, FEW_OF_IMAGE * sum(values.values()))
            for values in self.of.values()
            if value in values
        )


def middle(low: int, high: int) -> str:
    return f"{THRESHOLD}{-(-(low + high) // 2)}"


def typed(values: Sequence[int], most: int = 64) -> str:
    """Numbers as they are typed after `--set key=`: without spaces."""
    return f"[{','.join(map(str, values[:most]))}{',...' * (len(values) > most)}]"


def error(place: str, problem: str, advice: str) -> Issue:
    return Issue("error", "", place, problem, advice=advice)
