"""Image files with boxes: the source that every reader of boxes ends in."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample
from tfvision.data.sources.boxes import faults, frames
from tfvision.data.sources.boxes.annotations import Annotations, add_test, add_unlisted
from tfvision.data.sources.boxes.faults import CONFLICT, ReadBox
from tfvision.data.sources.boxes.settle import settle
from tfvision.data.sources.boxes.written import (
    OBJECT,
    WrittenImage,
    split_options,
)
from tfvision.data.sources.exports.image_finder import IMAGE_FOLDERS
from tfvision.data.sources.exports.samples import (
    Samples,
    counted,
    listed,
    numbered,
    short_ids,
)
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.source import RawSample, Record
from tfvision.detection.crowds import as_crowd
from tfvision.errors import InputError


@dataclass(frozen=True)
class ImageBoxes:
    """The boxes of one image.

    Attributes:
        read: Every box that is written of it, those that are left out too.
        size: (H, W) of the image by its header, or None.
        classes: Number of each label.
    """

    read: Sequence[ReadBox]
    size: tuple[int, int] | None
    classes: Mapping[str, int]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """`boxes` (n, 4) float32 and `classes` (n,) int32 of those that are not left out; of a
        crowd as `tfvision.detection.crowds` has them."""
        there = [box for box in self.read if box.stays]
        boxes = np.array([box.sides for box in there], np.float32).reshape(-1, 4)
        numbers = [(self.classes[box.label], box.crowd) for box in there]
        return boxes, np.array([as_crowd(k) if crowd else k for k, crowd in numbers], np.int32)


class BoxFiles(FileSource):
    """Image files with any number of boxes each.

    Args:
        records: One a sample.
        files: For each record its image file and its `ImageBoxes`, or None.
        places: What messages call the annotations.
        one_class: Whether all classes were read as one.
        **common: What `FileSource` takes.
    """

    def __init__(
        self,
        records: Sequence[Record],
        files: Sequence[tuple[Path, ImageBoxes | None]],
        places: Sequence[str],
        one_class: bool = False,
        **common: Any,
    ):
        self.one_class = one_class
        images = [(image, None) for image, _ in files]
        super().__init__(records, images, places, truth="boxes", **common)
        self._images_listed = [record.place for record in records]
        self._all = [boxes for _, boxes in files]
        self._boxes = [self._all[i] for i in self._listed]

    def stamp(self, index: int) -> str:
        """Says the boxes too: they stand in another file."""
        boxes = self._boxes[index]
        if boxes is None:
            return super().stamp(index)
        text = repr([array.tolist() for array in boxes.arrays()])
        return f"{super().stamp(index)}|{hashlib.sha256(text.encode()).hexdigest()}"

    def read_raw(self, index: int) -> RawSample:
        sample, boxes = super().read_raw(index), self._boxes[index]
        if boxes is None:
            return sample
        size = sample.image.shape[:2]
        if boxes.size not in (None, size):
            raise BadSample(
                self.records[index].place,
                f"has {size[0]} x {size[1]} pixels, and its header says {boxes.size[0]} x "
                f"{boxes.size[1]} (height x width)",
                "Save the image again.",
            )
        sides, classes = boxes.arrays()
        return replace(sample, boxes=sides, classes=classes)

    def classes_of(self, index: int) -> Sequence[int]:
        """The class numbers of the boxes of a record, without reading its image."""
        boxes = self._boxes[index]
        return () if boxes is None else boxes.arrays()[1].tolist()

    def written_classes(self) -> list[str]:
        """How the annotations write each class, in class order."""
        numbers = next((boxes.classes for boxes in self._all if boxes is not None), {})
        return sorted(numbers, key=numbers.get)

    def contradicted(self, index: int) -> list[tuple[tuple[float, ...], int]]:
        boxes = self._boxes[index]
        read = boxes.read if boxes else ()
        return [(b.sides, boxes.classes.get(b.label, -1)) for b in read if CONFLICT in b.done]

    def boxes_by_place(self) -> dict[str, ImageBoxes]:
        """Path of each annotated image below the data -> its boxes."""
        pairs = zip(self._images_listed, self._all, strict=True)
        return {image: boxes for image, boxes in pairs if boxes is not None}

    def listing(self) -> list[tuple[str, int, ReadBox]]:
        """Every box that is written: the path of its image below the data, the number of its class
        (-1 where it has none), and what was read."""
        return [
            (image, boxes.classes.get(box.label, -1), box)
            for image, boxes in zip(self._images_listed, self._all, strict=True)
            for box in (boxes.read if boxes else ())
        ]


def box_source(found: Annotations, options: Mapping[str, Any]) -> BoxFiles:
    """The source of what a reader found.

    Args:
        found: See there.
        options: Fields of `BoxOptions` and `Reading`.

    Raises:
        InputError: What the boxes are cannot be told, or what is told cannot be.
    """
    how, reading = split_options(dict(options))
    samples = found.samples
    if not found.images:
        raise InputError(f"{listed(found.files, limit=2)} names no image. Add rows or entries.")
    if how.one_class:
        found = _of_one_class(found)
    _check_once(found.images)
    left = add_unlisted(found, how)
    images = sorted(found.images, key=lambda image: (image.part, image.image))
    sizes = [_size(samples, image.image, reading.exif) for image in images]
    settled = settle(
        images,
        sizes,
        how,
        known=found.known,
        others=found.others,
        where=listed(found.files, limit=2),
    )
    boxes = settled.boxes
    samples.notes += settled.notes
    number = {label: index for index, label in enumerate(found.classes)}
    ids = _ids(images)
    for i, image in enumerate(images):
        size = None if sizes[i] is None else sizes[i].seen
        samples.add(
            ids[i],
            image.image,
            ImageBoxes(boxes[i], size, number),
            part=image.part,
            split=image.split,
            group=image.group,
            mask_place=image.place,
        )
    notes, issues = faults.report(list(zip(ids, boxes, strict=True)), how)
    samples.notes += notes
    samples.problems += issues
    add_test(found, left)
    names = found.class_names or found.classes
    known_by = found.said_by if how.coordinates is None else "as declared"
    counting = [sum(box.counts for box in of_image) for of_image in boxes]
    what = ", ".join(
        part for part in (f"{settled.coordinates} in {settled.units}", known_by) if part
    )
    text = f"{found.heading}, {what}: {samples.counts('boxes')}, {counted(sum(counting), 'box')} "
    text += f"of {counted(len(names), 'class')} ({numbered(names)})"
    empty = counting.count(0)
    return samples.source(
        build=BoxFiles,
        name=found.name,
        path=found.path,
        layout=text + (f", {empty} without any" if empty else ""),
        reads_also=found.files,
        class_names=names,
        white=how.white,
        reading=reading,
        one_class=how.one_class,
    )


def _of_one_class(found: Annotations) -> Annotations:
    """The same with every box an `object`: boxes of equal sides repeat each other then, whatever
    their classes were."""
    images = [
        replace(image, boxes=[replace(box, label=OBJECT) for box in image.boxes])
        for image in found.images
    ]
    return replace(found, images=images, classes=[OBJECT], class_names=None)


def _check_once(images: Sequence[WrittenImage]) -> None:
    """Raises an `InputError` where two annotations of one part are of one image."""
    first: dict[tuple[str, str], str] = {}
    twice = []
    for image in images:
        place = first.setdefault((image.part, image.image), image.place)
        twice += [(place, image)] if place != image.place else []
    if twice:
        place, image = twice[0]
        raise InputError(
            f"{place} and {image.place} are both of {image.image}; so it is with "
            f"{counted(len(twice), 'image')}. Keep one of them, or put the boxes of both into one."
        )


def _size(samples: Samples, image: str, exif: str) -> frames.FileSize | None:
    try:
        return frames.read_size(samples.path(image), exif=exif)
    except BadSample:  # a link out of the data: said where the sample is added
        return None


def _ids(images: Sequence[WrittenImage]) -> list[str]:
    """The id of each image; without the folders that all of them lie in."""
    ids = short_ids({image.image: image.part for image in images}, IMAGE_FOLDERS)
    return [ids[image.image] for image in images]
