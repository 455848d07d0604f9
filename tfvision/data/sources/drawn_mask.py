"""Masks drawn from outlines: COCO's polygons and run lengths, LabelMe's shapes, YOLO's polygons.

COCO's are drawn by hotcoco, whose pixels are pycocotools' (`annToMask`); the others by Pillow's
`ImageDraw`, as LabelMe itself does it. hotcoco: https://github.com/derekallman/hotcoco.
"""

import base64
import binascii
import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tfvision.data.files.issue import BadSample
from tfvision.errors import InputError

NO_LABEL = 255
MOST_SHARE = 1.5  # a share beyond it is no rounding and no object that leaves the picture
OVERLAPS = {
    "last": "the later of two overlapping objects counts",
    "first": "the earlier of two overlapping objects counts",
    "smallest": "the smaller of two overlapping objects counts",
}
UNDRAWN = {
    "background": "background where nothing is drawn",
    "no_label": "no label where nothing is drawn",
}


@dataclass(frozen=True)
class Rule:
    """How objects become one mask.

    Attributes:
        overlap: Which of two overlapping objects counts: "last" in the file, "first", or
            "smallest".
        undrawn: What a pixel is where nothing is drawn: class 0 ("background"), or "no_label".
        holes: Whether a polygon inside another one of the same object is a hole (even-odd);
            else all polygons of an object join.
    """

    overlap: str = "last"
    undrawn: str = "background"
    holes: bool = False

    def __post_init__(self):
        for name, known in (("overlap", OVERLAPS), ("undrawn", UNDRAWN)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )

    def classes(self, names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        """The classes in order, and the label of each name that is drawn.

        Where nothing drawn is background, that is class 0; a name that says so is this class.
        """
        if self.undrawn == "no_label":
            return list(names), {name: label for label, name in enumerate(names)}
        own = [name for name in names if name.strip("_").lower() != "background"]
        classes = ["background", *own]
        return classes, {name: classes.index(name) if name in own else 0 for name in names}

    def __str__(self) -> str:
        return f"{UNDRAWN[self.undrawn]}; {OVERLAPS[self.overlap]}"


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        what: For messages: "annotation 17 (leaf)".
        label: Its value in the mask.
        kind: A name of `DRAW`.
        content: What is drawn, as JSON holds it.
    """

    what: str
    label: int
    kind: str
    content: Any


@dataclass(frozen=True)
class DrawnMask:
    """A `MaskReader` of objects.

    Attributes:
        shapes: The objects of one image, in the order of the file.
        size: (H, W) of the image as the annotations say; None: they do not.
        rule: How they become one mask.
    """

    shapes: Sequence[Shape]
    size: tuple[int, int] | None
    rule: Rule

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) int32.

        Raises:
            BadSample: Another size than the annotations say, or an object that cannot be drawn.
        """
        _check_size(self.size, shape, place)
        empty = NO_LABEL if self.rule.undrawn == "no_label" else 0
        mask = np.full(shape, empty, np.int32)
        drawn = ((one.label, _pixels(one, place, shape, self.rule.holes)) for one in self.shapes)
        if self.rule.overlap == "smallest":
            drawn = sorted(drawn, key=lambda pair: -int(np.count_nonzero(pair[1])))
        if self.rule.overlap == "first":
            drawn = reversed(list(drawn))
        for label, pixels in drawn:
            mask[pixels] = label
        return mask

    def stamp(self) -> str:
        content = [[asdict(one) for one in self.shapes], self.size, asdict(self.rule)]
        text = json.dumps(content, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()


def _check_size(said: tuple[int, int] | None, shape: tuple[int, int], place: str) -> None:
    if said is None or said == tuple(shape):
        return
    turned = said == (shape[1], shape[0])
    raise BadSample(
        place,
        f"says {said[0]} x {said[1]} pixels, the image has {shape[0]} x {shape[1]} (height x "
        "width)",
        "Annotations must be those of this very image, at its size."
        + (" They fit when one is turned: set exif: ignore." if turned else ""),
    )


def _pixels(one: Shape, place: str, shape: tuple[int, int], holes: bool) -> np.ndarray:
    """Where an object is, (H, W) bool."""
    try:
        pixels = DRAW[one.kind](one.content, shape, holes)
        if not pixels.any() and beyond(coordinates(one.content), shape) == "all":
            raise ValueError(f"all of it lies beyond the picture of {shape[0]} x {shape[1]}")
        return pixels
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BadSample(
            place,
            f"{one.what} cannot be drawn: {error}",
            "Correct it in the annotations, or delete it there.",
        ) from error


def draw_coco(segmentation: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of a COCO segmentation: polygons, or run lengths in either form.

    Raises:
        ValueError, TypeError, KeyError: It is none, or has another size.
    """
    from hotcoco import mask as coco_mask

    height, width = shape
    if not segmentation:
        raise ValueError("it has no polygon and no run lengths, perhaps a box alone")
    if isinstance(segmentation, Mapping):
        return _run_lengths(segmentation, shape)
    for polygon in segmentation:
        _check_polygon(polygon)
    codes = coco_mask.frPyObjects([list(map(float, p)) for p in segmentation], height, width)
    if holes:
        parts = coco_mask.decode(codes)
        return (parts.sum(axis=-1) % 2).astype(bool)
    return np.ascontiguousarray(coco_mask.decode(coco_mask.merge(codes))).astype(bool)


def _run_lengths(segmentation: Mapping, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of `{"size": [H, W], "counts": [...] or text}`."""
    from hotcoco import mask as coco_mask

    if not {"size", "counts"} <= {*segmentation}:
        raise ValueError(f"run lengths need 'size' and 'counts'; found {list(segmentation)}")
    size, counts = tuple(segmentation["size"]), segmentation["counts"]
    if size != tuple(shape):
        raise ValueError(f"its run lengths have size {list(size)}, the image {list(shape)}")
    if not isinstance(counts, list | str):
        raise ValueError(f"counts must be a list of whole numbers or a text; got {_brief(counts)}")
    runs = counts if isinstance(counts, list) else run_lengths_of(counts)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in runs):
        raise ValueError("counts must be whole numbers from 0")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(
            f"its run lengths cover {sum(runs)} pixels, the image has {size[0] * size[1]}"
        )
    code = coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)
    return np.ascontiguousarray(coco_mask.decode(code)).astype(bool)


def run_lengths_of(text: str) -> list[int]:
    """The numbers of COCO's compressed run lengths: 5 bits a letter, and from the third number on
    the difference to the last but one (`rleFrString` of pycocotools).

    Raises:
        ValueError: It ends within a number, or holds another letter.
    """
    runs: list[int] = []
    value = bits = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"compressed counts hold {letter!r}")
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        value -= (1 << bits) if code & 16 else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = bits = 0
    if bits:
        raise ValueError("compressed counts are cut off")
    return runs


def _check_polygon(polygon: Any) -> None:
    """Raises where it is not at least three finite points `[x1, y1, x2, y2, ...]`."""
    if not isinstance(polygon, list | tuple) or any(
        isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v)
        for v in polygon
    ):
        raise ValueError(
            f"a polygon must be a list of numbers x1, y1, x2, y2, ...; got {_brief(polygon)}"
        )
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(
            f"a polygon needs at least three points, x and y each; got {len(polygon)} numbers"
        )


def draw_polygon(points: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of a polygon `[x1, y1, x2, y2, ...]`, its border included."""
    _check_polygon(points)
    xy = list(zip(points[::2], points[1::2], strict=True))
    return _draw(shape, lambda canvas: canvas.polygon(xy, fill=1, outline=1))


def draw_shares(points: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of a polygon whose coordinates are shares of width and height."""
    if len(points) == 4:
        raise ValueError("it has five numbers, a box, where a polygon must stand")
    _check_polygon(points)
    if max(points) > MOST_SHARE or min(points) < 1 - MOST_SHARE:
        raise ValueError(
            f"its coordinates must be shares of width and height, 0 to 1; got {min(points):g} to "
            f"{max(points):g}, as in pixels"
        )
    scaled = [v * (shape[0] if i % 2 else shape[1]) for i, v in enumerate(points)]
    return draw_polygon(scaled, shape)


def draw_rectangle(points: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of the rectangle between two corners `[x1, y1, x2, y2]`, in any order."""
    x1, y1, x2, y2 = _numbers(points, "a rectangle has two corners")
    box = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
    return _draw(shape, lambda canvas: canvas.rectangle(box, fill=1, outline=1))


def draw_circle(points: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of a circle: its centre, and a point of its edge."""
    x, y, edge_x, edge_y = _numbers(points, "a circle has a centre and a point of its edge")
    r = math.hypot(x - edge_x, y - edge_y)
    return _draw(
        shape, lambda canvas: canvas.ellipse([x - r, y - r, x + r, y + r], fill=1, outline=1)
    )


def draw_pixels(content: Any, shape: tuple[int, int], holes: bool = False) -> np.ndarray:
    """(H, W) bool of LabelMe's kind `mask`: the corners of its box, and its pixels as a PNG in
    base64 (`{"points": [x1, y1, x2, y2], "png": text}`)."""
    x, y, *_ = (int(v) for v in _numbers(content["points"], "a mask has two corners"))
    try:
        with Image.open(io.BytesIO(base64.b64decode(content["png"])), formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("L")) > 0
    except (OSError, binascii.Error) as error:
        raise ValueError(f"its mask is no PNG in base64 ({error})") from error
    height, width = pixels.shape
    if x < 0 or y < 0 or y + height > shape[0] or x + width > shape[1]:
        raise ValueError(f"its mask of {height} x {width} at ({x}, {y}) leaves the image")
    drawn = np.zeros(shape, bool)
    drawn[y : y + height, x : x + width] = pixels
    return drawn


DRAW: dict[str, Callable[[Any, tuple[int, int], bool], np.ndarray]] = {
    "coco": draw_coco,
    "polygon": draw_polygon,
    "shares": draw_shares,
    "rectangle": draw_rectangle,
    "circle": draw_circle,
    "pixels": draw_pixels,
}


def _draw(shape: tuple[int, int], paint: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    image = Image.new("L", (shape[1], shape[0]))
    paint(ImageDraw.Draw(image))
    return np.asarray(image) > 0


def _numbers(values: Any, what: str) -> list[float]:
    good = isinstance(values, list | tuple) and len(values) == 4
    if not good or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ValueError(f"{what}, x1, y1, x2, y2; got {_brief(values)}")
    return [float(v) for v in values]


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def coordinates(content: Any) -> list[float]:
    """All numbers `[x1, y1, x2, y2, ...]` of a list of points or of polygons; [] of run lengths
    and pixels, and where a number is none."""
    if not isinstance(content, list | tuple):
        return []
    parts = content if content and isinstance(content[0], list | tuple) else [content]
    values = [v for part in parts if isinstance(part, list | tuple) for v in part]
    good = all(isinstance(v, int | float) and math.isfinite(v) for v in values)
    return values if good and all(len(part) % 2 == 0 for part in parts) else []


def beyond(points: Sequence[float], size: tuple[int, int]) -> str:
    """How points `[x1, y1, x2, y2, ...]` lie beyond a picture (H, W): "" (they do not), "some" of
    them do, or "all" lie on one side of it, so that nothing can be drawn."""
    if not points:
        return ""
    xs, ys = points[::2], points[1::2]
    height, width = size
    if min(xs) >= width or max(xs) < 0 or min(ys) >= height or max(ys) < 0:
        return "all"
    inside = min(xs) >= 0 and min(ys) >= 0 and max(xs) <= width and max(ys) <= height
    return "" if inside else "some"
