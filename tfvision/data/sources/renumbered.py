"""A data set whose classes are numbered as those of a run are: matched by name."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfvision.data.sources.source import RawSample, Source
from tfvision.detection.crowds import renumbered


class Renumbered(Source):
    """A source of labels or boxes whose class numbers are others.

    Args:
        source: The samples.
        numbers: The new number of each class, in the order of its own.
        class_names: By the new numbers.
        class_labels: How the data writes them, in the same order.
    """

    def __init__(
        self,
        source: Source,
        numbers: Sequence[int],
        class_names: Sequence[str],
        class_labels: Sequence[str] | None,
    ):
        said = {"notes": source.notes, "problems": source.problems, "mask_values": None}
        described = source.described(class_names=class_names, class_labels=class_labels, **said)
        super().__init__(source.records, **described)
        self.coco_ids = source.coco_ids
        self._source, self._numbers = source, np.asarray(numbers, np.int32)

    def stamp(self, index: int) -> str:
        own = self._source.stamp(index)
        return f"{own}|{self._numbers.tolist()}" if own else own

    def white_of(self, index: int) -> float | None:
        return self._source.white_of(index) or self.white

    def read_raw(self, index: int) -> RawSample:
        sample = self._source.read_raw(index)
        label, classes = sample.label, sample.classes
        return replace(
            sample,
            label=None if label is None else int(self._numbers[label]),
            classes=None if classes is None else renumbered(classes, self._numbers),
        )
