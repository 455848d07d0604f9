"""Drawing of one object: COCO's polygons and run lengths, LabelMe's shapes, YOLO's polygons.

COCO's are drawn by hotcoco, whose pixels are pycocotools' (`annToMask`); the others by Pillow's
`ImageDraw`, as LabelMe itself does it. hotcoco: https://github.com/derekallman/hotcoco.
"""

import base64
import binascii
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

MOST_SHARE = 1.5  # a share beyond it is no rounding and no object that leaves the picture


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
    if len(numbers_of(polygon)) == 0:
        raise ValueError(
            f"a polygon must be a list of numbers x1, y1, x2, y2, ...; got {_brief(polygon)}"
        )
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(
            f"a polygon needs at least three points, x and y each; got {len(polygon)} numbers"
        )


def numbers_of(values: Any) -> np.ndarray:
    """A list of finite numbers as an array (N,); an empty one where it is none."""
    try:
        array = np.asarray(values if isinstance(values, list | tuple) else ())
    except ValueError:  # lists of several lengths
        return np.empty(0)
    good = array.ndim == 1 and array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    return array if good else np.empty(0)


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


def coordinates(content: Any) -> np.ndarray:
    """All points (N, 2) of a list of numbers `[x1, y1, x2, y2, ...]` or of a list of such lists;
    none of run lengths and pixels, and where one of the lists is no list of points."""
    if not isinstance(content, list | tuple) or not content:
        return np.empty((0, 2))
    parts = content if isinstance(content[0], list | tuple) else [content]
    arrays = [numbers_of(part) for part in parts]
    if any(len(array) == 0 or len(array) % 2 for array in arrays):
        return np.empty((0, 2))
    return np.concatenate(arrays).reshape(-1, 2)


def beyond(points: np.ndarray, size: tuple[int, int]) -> str:
    """How points (N, 2) of x, y lie beyond a picture (H, W): "" (they do not), "some" of them do,
    or "all" lie on one side of it, so that nothing can be drawn."""
    if len(points) == 0:
        return ""
    low, high, limit = points.min(axis=0), points.max(axis=0), (size[1], size[0])
    if (low >= limit).any() or (high < 0).any():
        return "all"
    return "some" if (low < 0).any() or (high > limit).any() else ""
