"""In which pixels boxes were drawn: of the file as it is seen, as it is stored, or of a copy."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tfvision.data.sources.boxes.told import leaving
from tfvision.data.sources.boxes.written import WrittenImage
from tfvision.errors import InputError
from tfvision.text import counted

_ORIENTATION = 0x0112
ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations


@dataclass(frozen=True)
class FileSize:
    """What the header of an image file says: size as stored, and EXIF orientation (1: upright)."""

    height: int
    width: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def seen(self) -> tuple[int, int]:
        """(H, W) once it is turned."""
        side = self.orientation in ON_ITS_SIDE
        return (self.width, self.height) if side else (self.height, self.width)


def read_size(path: Path, *, exif: str) -> FileSize | None:
    """The size of an image file, from its header; None where that cannot be read.

    Args:
        path: The file.
        exif: "ignore": the orientation counts as 1.
    """
    if not path.is_file():
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            height, width = image.height, image.width
            tags = Image.Exif()
            if "exif" in image.info:
                tags.load(image.info["exif"])
            orientation = getattr(image, "tag_v2", tags).get(_ORIENTATION, 1)
    except Exception:  # Pillow's readers raise a dozen types; the scan says what is wrong
        return None
    known = orientation in range(1, 9) and exif != "ignore"
    return FileSize(height, width, orientation if known else 1)


@dataclass
class Frame:
    """The pixels that the boxes of one image were drawn in.

    Attributes:
        extent: (H, W) of that image; (NaN, NaN) where it is not known.
        size: (H, W) of the image as it is read.
        turn: The EXIF orientation that its boxes are still to be turned by, 1 for none.
    """

    extent: tuple[float, float]
    size: tuple[float, float]
    turn: int = 1

    @property
    def scaled(self) -> bool:
        turned = self.extent[::-1] if self.turn in ON_ITS_SIDE else self.extent
        return turned != self.size and self.size == self.size

    def to_image(self, corners: np.ndarray) -> np.ndarray:
        """Corners (n, 4) in these pixels -> in pixels of the image as it is read; where they are
        scaled, to a thousandth."""
        turned = turn_boxes(corners, self.extent, self.turn)
        if not self.scaled:
            return turned
        height, width = self.extent[::-1] if self.turn in ON_ITS_SIDE else self.extent
        x, y = self.size[1] / width, self.size[0] / height
        return np.round(turned * np.array([x, y, x, y]), 3)


def turn_boxes(corners: np.ndarray, size: tuple[float, float], orientation: int) -> np.ndarray:
    """Boxes (n, 4) `x1 y1 x2 y2` on an image of (H, W) as stored -> on it as EXIF turns it."""
    height, width = size
    x1, y1, x2, y2 = corners.T
    left, right, top, bottom = x1, x2, y1, y2
    mirrored, flipped = (width - x2, width - x1), (height - y2, height - y1)
    (left, right), (top, bottom) = {
        1: ((x1, x2), (y1, y2)),
        2: (mirrored, (y1, y2)),
        3: (mirrored, flipped),
        4: ((x1, x2), flipped),
        5: ((y1, y2), (x1, x2)),
        6: (flipped, (x1, x2)),
        7: (flipped, mirrored),
        8: ((y1, y2), mirrored),
    }[orientation]
    return np.stack([left, top, right, bottom], axis=1)


def find_frames(
    images: Sequence[WrittenImage],
    files: Sequence[FileSize | None],
    annotated_size: Sequence[int] | str | None,
    where: str,
) -> tuple[list[Frame], list[str]]:
    """The frame of each image, and lines on what is said of them.

    Args:
        images: With the sizes that annotations say.
        files: What the file of each has.
        annotated_size: See `BoxOptions`.
        where: What messages call the annotations.

    Raises:
        InputError: Sizes have other proportions than the files.
    """
    frames: list[Frame] = []
    scaled: list[int] = []
    odd: list[int] = []
    swapped = 0
    for i, (image, file) in enumerate(zip(images, files, strict=True)):
        if file is None:
            frames.append(Frame((np.nan, np.nan), (np.nan, np.nan)))
            continue
        said = image.size if annotated_size in (None, "written") else annotated_size
        said = file.seen if said in (None, "file") or min(said) <= 0 else (said[0], said[1])
        frame = Frame(tuple(map(float, said)), tuple(map(float, file.seen)))
        side = file.orientation in ON_ITS_SIDE
        if said != file.seen and side and said == file.stored:
            frame.turn = file.orientation
        elif said != file.seen and annotated_size is None and said == file.seen[::-1]:
            frame.extent, swapped = frame.size, swapped + 1
        elif said != file.seen:
            (scaled if annotated_size or _alike(said, file.seen) else odd).append(i)
        frames.append(frame)
    if odd:
        raise InputError(_other_proportions(images[odd[0]], frames[odd[0]], len(odd), where))
    return frames, _notes(frames, scaled, swapped)


def fit_turned(
    frames: Sequence[Frame],
    files: Sequence[FileSize | None],
    images: Sequence[WrittenImage],
    corners: Sequence[np.ndarray],
    *,
    shares: bool,
) -> list[str]:
    """Settles whether boxes on images that EXIF turns were drawn on the pixels as stored.

    Boxes tell it where they fit into one of both alone, else the sizes that annotations say.
    Images that are turned upside down or mirrored go with the others.

    Args:
        frames: As `find_frames` makes them; changed.
        files, images: As it takes them.
        corners: (n, 4) each, in pixels of their frame.
        shares: Whether boxes are written in shares, which fit into both.

    Returns:
        Lines on it.
    """
    turned = [i for i, f in enumerate(files) if f and f.orientation != 1 and len(corners[i])]
    turned = [i for i in turned if {*frames[i].extent} == {*files[i].stored}]  # not scaled
    if not turned:
        return []
    sides = [i for i in turned if files[i].stored != files[i].seen]

    def leave(size: Callable[[FileSize], tuple[int, int]]) -> int:
        tiled = {i: np.tile(size(files[i]), (len(corners[i]), 1)) for i in sides}
        return sum(int(leaving(corners[i], extents).sum()) for i, extents in tiled.items())

    as_seen, as_stored = (0, 0) if shares else (leave(lambda f: f.seen), leave(lambda f: f.stored))
    declared = [i for i in sides if images[i].size and not shares]
    stored = [i for i in declared if frames[i].turn != 1]
    told = "as the sizes in the annotations say" if declared else ""
    if max(as_seen, as_stored) > 4 * min(as_seen, as_stored) + 2:
        fitting = sides if as_stored < as_seen else []
        agreed = declared and {*stored} == {*fitting} & {*declared}
        stored, told = fitting, told if agreed else "as they fit into these alone"
    if len(stored) * 2 > len(sides):
        stored = [*stored, *(i for i in turned if i not in declared)]
    for i in turned:
        is_stored = i in stored
        frames[i].turn = files[i].orientation if is_stored else 1
        size = files[i].stored if is_stored else files[i].seen
        frames[i].extent = (float(size[0]), float(size[1]))
    count = f"{counted(len(turned), 'image')} with boxes turned by an EXIF orientation: "
    if stored:
        return [f"{count}boxes were drawn on the pixels as stored, {told}, and are turned too"]
    if told:
        return [f"{count}boxes were drawn on the picture as it is seen, {told}"]
    return [
        f"{count}boxes are read as drawn on the picture as it is seen; nothing in the files tells "
        "it: where they were drawn on the pixels as stored, type --set data.source.exif=ignore"
    ]


def _alike(said: Sequence[int], size: Sequence[int]) -> bool:
    """Whether two sizes have the proportions of one image, to the rounding of a pixel."""
    scale = max(s / max(1, n) for s, n in zip(size, said, strict=True))
    return all(abs(n * scale - s) <= max(1, scale) for n, s in zip(said, size, strict=True))


def _other_proportions(image: WrittenImage, frame: Frame, number: int, where: str) -> str:
    said, size = ("{1:g} x {0:g}".format(*pair) for pair in (frame.extent, frame.size))
    return (
        f"{where}: {image.place} was annotated at {said} pixels (width x height), {image.image} "
        f"has {size}, other proportions; so have {counted(number, 'image')}. Either the image was "
        "stretched since: type --set data.source.annotated_size=written, and boxes are stretched "
        "too; or the boxes are in pixels of the files: type --set "
        "data.source.annotated_size=file. Of images that were cut or padded boxes cannot be told: "
        "annotate these anew."
    )


def _notes(frames: Sequence[Frame], scaled: Sequence[int], swapped: int) -> list[str]:
    notes = []
    if scaled:
        frame = frames[scaled[0]]
        said, size = ("{1:g} x {0:g}".format(*pair) for pair in (frame.extent, frame.size))
        notes.append(
            f"{counted(len(scaled), 'image')} annotated at another size than the file has (the "
            f"first at {said}, now {size}, width x height): boxes are scaled"
        )
    if swapped:
        notes.append(
            f"annotations of {counted(swapped, 'image')} say width and height the other way "
            "round: boxes are in pixels of the files"
        )
    return notes
