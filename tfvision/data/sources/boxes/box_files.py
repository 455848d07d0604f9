"""Image files with boxes: the source that every reader of boxes ends in."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample
from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.boxes import faults, frames, told
from tfvision.data.sources.boxes.faults import CONFLICT, ReadBox
from tfvision.data.sources.boxes.written import (
    COORDINATES,
    BoxOptions,
    WrittenImage,
    split_options,
)
from tfvision.data.sources.exports.image_finder import IMAGE_FOLDERS
from tfvision.data.sources.exports.samples import (
    Samples,
    counted,
    join,
    listed,
    numbered,
    part_of,
    settle_split,
    short_ids,
)
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.source import RawSample, Record
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
        """`boxes` (n, 4) float32 and `classes` (n,) int32 of those that count."""
        counting = [box for box in self.read if box.counts]
        boxes = np.array([box.sides for box in counting], np.float32).reshape(-1, 4)
        return boxes, np.array([self.classes[box.label] for box in counting], np.int32)


class BoxFiles(FileSource):
    """Image files with any number of boxes each.

    Args:
        records: One a sample.
        files: For each record its image file and its `ImageBoxes`, or None.
        places: What messages call the annotations.
        **common: What `FileSource` takes.
    """

    def __init__(
        self,
        records: Sequence[Record],
        files: Sequence[tuple[Path, ImageBoxes | None]],
        places: Sequence[str],
        **common: Any,
    ):
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

    def dropped_labels(self, index: int) -> list[tuple[tuple[float, ...], str]]:
        boxes = self._boxes[index]
        return [(b.sides, b.label) for b in (boxes.read if boxes else ()) if CONFLICT in b.done]

    def listing(self) -> list[tuple[str, ReadBox]]:
        """Every box that is written: the path of its image below the data, and what was read."""
        return [
            (image, box)
            for image, boxes in zip(self._images_listed, self._all, strict=True)
            for box in (boxes.read if boxes else ())
        ]


@dataclass
class Annotations:
    """What a reader found.

    Attributes:
        tree: The names below the data set's folder.
        path: What was given.
        name: The builder's name.
        heading: What was recognised: "CSV annotations.csv".
        files: Annotation files that were read, below the folder.
        images: With their boxes.
        known: What the format says of the four numbers, or None.
        said_by: What says it, for the layout: "by column names"; "" for the format itself.
        others: What they may be instead.
        classes: The labels in class order.
        class_names: Their names, where these are not the labels.
        unlisted: What images that no annotation names are, where the user does not say.
        samples: Gathers problems and notes.
    """

    tree: Tree
    path: Path
    name: str
    heading: str
    files: list[str]
    images: list[WrittenImage]
    known: str | None
    classes: list[str]
    samples: Samples
    said_by: str = ""
    others: Sequence[str] = tuple(COORDINATES)
    class_names: list[str] | None = None
    unlisted: str = "left_out"
    options: BoxOptions = field(default_factory=BoxOptions)


def open_samples(tree: Tree, options: Mapping[str, Any]) -> Samples:
    """Where the samples of a reader are gathered."""
    return Samples(tree, split_options(dict(options))[0].allow_outside_root)


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
    left = _add_unlisted(found, how)
    images = sorted(found.images, key=lambda image: (image.part, image.image))
    sizes = [_size(samples, image.image, reading.exif) for image in images]
    boxes, coordinates, units = _settle(found, images, sizes, how)
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
    _add_test(found, left)
    names = found.class_names or found.classes
    known_by = found.said_by if how.coordinates is None else "as declared"
    counting = [sum(box.counts for box in of_image) for of_image in boxes]
    what = ", ".join(part for part in (f"{coordinates} in {units}", known_by) if part)
    text = f"{found.heading}, {what}: {samples.counts('boxes')}, {counted(sum(counting), 'box')} "
    text += f"of {counted(len(names), 'class')} ({numbered(names)})"
    empty = counting.count(0)
    return samples.source(
        build=BoxFiles,
        name=found.name,
        path=found.path,
        layout=text + (f", {counted(empty, 'image')} without any" if empty else ""),
        reads_also=found.files,
        class_names=names,
        white=how.white,
        reading=reading,
    )


def _size(samples: Samples, image: str, exif: str) -> frames.FileSize | None:
    try:
        return frames.read_size(samples.path(image), exif=exif)
    except BadSample:  # a link out of the data: said where the sample is added
        return None


def _settle(
    found: Annotations,
    images: Sequence[WrittenImage],
    sizes: Sequence[frames.FileSize | None],
    how: BoxOptions,
) -> tuple[list[list[ReadBox]], str, str]:
    """The boxes of each image, mended; what their numbers are, and in which units."""
    where = listed(found.files, limit=2) if found.files else str(found.path)
    rows = np.array([i for i, image in enumerate(images) for _ in image.boxes], int)
    written = [box for image in images for box in image.boxes]
    sides = np.array([box.sides for box in written], np.float64).reshape(-1, 4)
    places = [box.place for box in written]
    blank = told.Boxes(sides, np.zeros((len(sides), 2)), places, where)
    units = how.units or told.tell_units(blank)
    size = how.annotated_size if units == "pixels" else "file"
    in_frames, notes = frames.find_frames(images, sizes, size, where)
    found.samples.notes += notes

    def extents() -> np.ndarray:
        every = np.array([frame.extent for frame in in_frames], np.float64).reshape(-1, 2)
        return every[rows]

    def corners_of(coordinates: str) -> np.ndarray:
        return replace(blank, extents=extents()).corners(coordinates, units)

    here = replace(blank, extents=extents())
    truths = np.array([not box.left_out for box in written], bool)
    judged = told.Boxes(
        sides[truths],
        here.extents[truths],
        [place for place, true in zip(places, truths, strict=True) if true],
        where,
    )
    coordinates = how.coordinates or (
        told.tell_coordinates(judged, units, known=found.known, others=found.others)
        if len(judged.sides)
        else found.known or "corners"
    )
    corners = corners_of(coordinates)
    of_image = (
        [corners[rows == i] for i in range(len(images))]
        if len(images) < 2
        else np.split(corners, np.cumsum([len(image.boxes) for image in images])[:-1])
    )
    found.samples.notes += frames.fit_turned(in_frames, sizes, images, of_image)
    if units == "pixels" and how.annotated_size is None and len(judged.sides):
        files = [images[row].image for row in rows[truths]]
        told.check_extents(
            corners[truths], extents()[truths], where, places=judged.places, files=files
        )
    read = []
    for image, frame, own in zip(images, in_frames, of_image, strict=True):
        moved = frame.to_image(own)
        moved = np.round(moved, 3) if frame.scaled else moved
        read.append(faults.mend(image.boxes, moved, frame.size, how.conflicts))
    return read, coordinates, units


def _ids(images: Sequence[WrittenImage]) -> list[str]:
    """The id of each image; without the folders that all of them lie in."""
    ids = short_ids({image.image: image.part for image in images}, IMAGE_FOLDERS)
    return [ids[image.image] for image in images]


def _add_unlisted(found: Annotations, how: BoxOptions) -> list[str]:
    """Adds images that no annotation names where they are negatives; returns those left."""
    used = {image.image for image in found.images}
    spoken = found.samples.spoken_of
    folders = {image.image.rpartition("/")[0] for image in found.images}
    like = {image.image.rpartition("/")[0]: image for image in reversed(found.images)}
    left = [path for path in found.tree.images("") if path not in used and path not in spoken]
    beside = [path for path in left if path.rpartition("/")[0] in folders]
    choice = how.unlisted or found.unlisted
    if not beside:
        return left
    if choice == "negatives" and how.unlisted is None and len(beside) > len(used):
        raise InputError(
            f"{listed(found.files, limit=2)}: {counted(len(beside), 'image')} beside the annotated "
            f"ones, {beside[0]}, ..., have no annotation, more than have one ({len(used)}). Where "
            "there is nothing to see on them type --set data.source.unlisted=negatives; where they "
            "were not annotated, --set data.source.unlisted=left_out."
        )
    count = counted(len(beside), "image")
    if choice == "negatives":
        for path in beside:
            sibling = like[path.rpartition("/")[0]]
            found.images.append(WrittenImage(path, path, part=sibling.part, split=sibling.split))
        found.samples.notes.append(
            f"{count} that no annotation names count as images without any box (first: "
            f"{beside[0]}); --set data.source.unlisted=left_out leaves them out"
        )
        return [path for path in left if path not in {*beside}]
    problem = f"{count} beside the annotated ones, {beside[0]}, ..., have no annotation: left out"
    advice = "Where there is nothing to see on them type --set data.source.unlisted=negatives."
    found.samples.problem("", beside[0], problem, advice, severity="warning")
    spoken.update(beside)
    return [path for path in left if path not in {*beside}]


def _add_test(found: Annotations, left: Sequence[str]) -> None:
    """Adds images of a test folder without annotations; warns of those of other folders."""
    samples = found.samples
    test = {path: "test" for path in left if part_of(path.rpartition("/")[0]) == "test"}
    if not any(image.part == "test" for image in found.images):
        for path, identity in short_ids(test, IMAGE_FOLDERS).items():
            samples.add(identity, path, None, part="test", split="test")
    rest = [path for path in left if path not in samples.spoken_of]
    samples.spoken_of.update(rest)
    if rest:
        problem = f"{counted(len(rest), 'image')} in folders without any annotation: not used"
        advice = "Add annotations where they are meant, or move the images away."
        samples.problem("", rest[0], problem, advice, severity="warning")


def settle_parts(images: Sequence[WrittenImage]) -> None:
    """Gives images the part that their folder says where nothing else does, and splits."""
    for image in images:
        image.part = image.part or part_of(image.image.rpartition("/")[0])
    given = {image.part for image in images}
    for image in images:
        image.split = image.split or settle_split(image.part, given)


def check_found(found: int, names: Sequence[str], tree: Tree, where: str, option: str = "") -> None:
    """Raises an `InputError` where none of the images that annotations name is there."""
    if found or not names:
        return
    there = [join(f, n) for f, files in tree.files.items() for n in files if is_image(n)]
    raise InputError(
        f"{where} names {counted(len(names), 'image')} ({listed(list(names), limit=3)}), and none "
        f"of them is below {tree.root}, which holds {counted(len(there), 'image')} "
        f"({listed(there, limit=3) or 'none'}). Are these the annotations of other images? Give "
        f"the folder of both{option}."
    )
