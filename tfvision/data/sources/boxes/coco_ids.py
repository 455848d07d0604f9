"""What images are called in files of results."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from tfvision.data.sources.file_source import stem
from tfvision.data.sources.ids import as_id
from tfvision.data.sources.source import Source


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
