"""From boxes as they are written to boxes in pixels of their images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfvision.data.sources.boxes import frames, told
from tfvision.data.sources.boxes.faults import ReadBox, mend
from tfvision.data.sources.boxes.written import BoxOptions, WrittenImage


@dataclass(frozen=True)
class Settled:
    """What boxes were found to be.

    Attributes:
        boxes: Those of each image, faulty ones mended or marked.
        coordinates, units: What their four numbers are.
        notes: Lines on it.
    """

    boxes: list[list[ReadBox]]
    coordinates: str
    units: str
    notes: list[str]


def settle(
    images: Sequence[WrittenImage],
    sizes: Sequence[frames.FileSize | None],
    how: BoxOptions,
    *,
    known: str | None,
    others: Sequence[str],
    where: str,
) -> Settled:
    """Tells what boxes are, checks it by the images, and mends them.

    Args:
        images: With their boxes.
        sizes: What the file of each has.
        how: What the user declares.
        known, others: See `told.tell_coordinates`.
        where: What messages call the annotations.

    Raises:
        InputError: What the numbers are cannot be told, or they are of other images.
    """
    written = [box for image in images for box in image.boxes]
    counts = [len(image.boxes) for image in images]
    rows = np.repeat(np.arange(len(images)), counts)
    sides = np.array([box.sides for box in written], np.float64).reshape(-1, 4)
    places = [box.place for box in written]
    units = how.units or told.tell_units(sides, places, where)
    size = how.annotated_size if units == "pixels" else "file"
    in_frames, notes = frames.find_frames(images, sizes, size, where)
    boxes = told.Boxes(sides, _extents(in_frames)[rows], places, where)
    coordinates = how.coordinates
    if coordinates is None and written:
        coordinates = told.tell_coordinates(boxes, units, known=known, others=others)
    coordinates = coordinates or known or "corners"
    corners = boxes.corners(coordinates, units)
    declared = (how.units, how.annotated_size) != (None, None) or units != "pixels"
    if not declared and told.in_percent(boxes, corners, len({*rows.tolist()})):
        percent = replace(how, annotated_size=[100, 100], coordinates=coordinates)
        found = settle(images, sizes, percent, known=known, others=others, where=where)
        said = "the numbers of boxes are percent of width and height: none is above 100, on "
        said += "images that are larger; --set data.source.annotated_size=file reads pixels"
        return replace(found, units="percent", notes=[said, *found.notes])
    ends = np.cumsum(counts)
    of_image = [corners[end - count : end] for count, end in zip(counts, ends, strict=True)]
    shares = units == "shares"
    notes += frames.fit_turned(in_frames, sizes, images, of_image, shares=shares)
    if not shares and how.annotated_size is None:
        files, extents = [images[row].image for row in rows], _extents(in_frames)[rows]
        told.check_extents(corners, extents, where, places, files)
        notes += told.within_a_corner(corners, extents, len({*rows.tolist()}))
    read = []
    for image, frame, own in zip(images, in_frames, of_image, strict=True):
        read.append(mend(image.boxes, frame.to_image(own), frame.size, how.conflicts))
    return Settled(read, coordinates, units, notes)


def _extents(in_frames: Sequence[frames.Frame]) -> np.ndarray:
    """(N, 2) height and width that boxes were drawn in."""
    return np.array([frame.extent for frame in in_frames], np.float64).reshape(-1, 2)
