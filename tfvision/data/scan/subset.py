"""A part of a data set that has been scanned, as a data set of its own."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import RawSample, Source

A_RECORD_EACH = {
    *("heights", "widths", "channels", "class_pixels", "ignored_pixels"),
    *("image_sha256", "truth_sha256", "stamps", "facts"),
}


class Subset(Source):
    """Some samples of a source, in its order.

    Args:
        source: All of them, scanned already: what the scan settled is taken over.
        keep: Places of those that are kept.
    """

    def __init__(self, source: Source, keep: Sequence[int]):
        super().__init__([source.records[i] for i in keep], **source.described())
        self._source, self._keep = source, list(keep)

    def stamp(self, index: int) -> str:
        return self._source.stamp(self._keep[index])

    def contradicted(self, index: int) -> list[tuple[tuple[float, ...], int]]:
        return self._source.contradicted(self._keep[index])

    def read_raw(self, index: int) -> RawSample:
        return self._source.read_raw(self._keep[index])


def subset(source: Source, scan: Scan, keep: Sequence[int]) -> tuple[Source, Scan]:
    """Source and scan of the samples at `keep`.

    What a scan holds a row or an item of for each record is cut; counts of the whole and
    the fingerprint stay those of all.
    """

    def cut(value):
        return value[list(keep)] if isinstance(value, np.ndarray) else [value[i] for i in keep]

    parts = {f.name: cut(getattr(scan, f.name)) for f in fields(scan) if f.name in A_RECORD_EACH}
    return Subset(source, keep), replace(scan, **parts)
