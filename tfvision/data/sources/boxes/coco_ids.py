"""The ids that a data set's own JSON gives its images and categories, for files of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tfvision.data.sources.file_source import stem
from tfvision.data.sources.source import Source


@dataclass(frozen=True)
class CocoIds:
    """What COCO files call what a source has read of them.

    Attributes:
        images: Path of an image below the data -> its id.
        categories: The id of each class, in their order.
    """

    images: Mapping[str, int | str]
    categories: Sequence[int | str]


def image_ids(source: Source, indices: Sequence[int]) -> list[int | str]:
    """What records are called in a file of results: by their JSON, else the number that is the
    name of the file (`17.png`), else the record's id."""
    known = {} if source.coco_ids is None else source.coco_ids.images
    records = [source.records[i] for i in indices]
    named = [stem(PurePosixPath(record.place).name) for record in records]
    return [
        known.get(record.place, as_id(name) if name.isdecimal() else record.id)
        for record, name in zip(records, named, strict=True)
    ]


def as_id(text: str) -> int | str:
    """A whole number as such."""
    return int(text) if text.isdecimal() else text
