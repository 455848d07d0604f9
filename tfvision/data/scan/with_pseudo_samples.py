"""A data set of labels with images of another behind it, whose labels are given."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfvision.data.scan.result import Scan
from tfvision.data.scan.subset import A_RECORD_EACH, subset
from tfvision.data.sources.source import RawSample, Source


class Joined(Source):
    """All samples of one source, then some images of another with labels that are given.

    Args:
        first: A data set of labels, scanned already: what the scan settled is taken over.
        second: Holds the images, scanned already; it may be `first`.
        places: Which of its records they are; these have no label of their own.
        numbers: The class number of each.
        class_names: Of these numbers.
    """

    def __init__(
        self,
        first: Source,
        second: Source,
        places: Sequence[int],
        numbers: Sequence[int],
        *,
        class_names: Sequence[str],
    ):
        added = [
            replace(second.records[i], split="train", labelled=True, label=class_names[k])
            for i, k in zip(places, numbers, strict=True)
        ]
        super().__init__([*first.records, *added], **first.described())
        self._parts, self._own = (first, second), len(first)
        self._places, self._numbers = list(places), list(numbers)

    def _where(self, index: int) -> tuple[Source, int]:
        if index < self._own:
            return self._parts[0], index
        return self._parts[1], self._places[index - self._own]

    def white_of(self, index: int) -> float | None:
        source, place = self._where(index)
        return source.white_of(place)

    def stamp(self, index: int) -> str:
        source, place = self._where(index)
        return source.stamp(place)

    def read_raw(self, index: int) -> RawSample:
        source, place = self._where(index)
        sample = source.read_raw(place)
        if index < self._own:
            return sample
        return replace(sample, mask=None, label=int(self._numbers[index - self._own]))

    def read(self, index: int) -> RawSample:
        if index < self._own:
            return self._parts[0].read(index)
        return self.read_raw(index)  # the number is one of a class, whatever masks hold


def join(
    first: tuple[Source, Scan],
    second: tuple[Source, Scan],
    places: Sequence[int],
    numbers: Sequence[int],
) -> tuple[Source, Scan]:
    """Source and scan of `first` with images of `second` behind it; see `Joined`.

    What a scan holds a row or an item of for each record goes on with those of the images,
    each with the one label; counts of the whole and the fingerprint stay those of
    `first`.
    """
    (source, found), (other, other_found) = first, second
    names = found.class_names
    added = subset(other, other_found, places)[1]
    added = replace(
        added,
        class_pixels=np.eye(len(names), dtype=np.int64)[np.asarray(numbers, int)],
        ignored_pixels=np.zeros(len(places), np.int64),
        truth_sha256=[f"given: {k}" for k in numbers],
    )
    rows = {
        key: np.concatenate([own, more]) if isinstance(own, np.ndarray) else [*own, *more]
        for key, own, more in (
            (key, getattr(found, key), getattr(added, key)) for key in A_RECORD_EACH
        )
    }
    joined = Joined(source, other, places, numbers, class_names=names)
    return joined, replace(found, **rows)
