"""What the four numbers of a box are: told by the format and checked by the numbers, or refused."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.data.sources.boxes.written import COORDINATES
from tfvision.data.sources.exports.drawing import MOST_SHARE
from tfvision.errors import InputError
from tfvision.text import counted

FEW = 0.05  # of the boxes may be faulty without a doubt about the reading of all
MANY = 0.25  # with so many faulty ones no reading fits
AWAY = 0.1  # so many boxes wholly outside their images are not slips of the hand
MANY_BOXES = 20  # from here on it is no chance where they lie
TYPED = "--set data.source.coordinates="
PERCENT = 100.0


@dataclass(frozen=True)
class Boxes:
    """All boxes of a data set.

    Attributes:
        sides: (n, 4) float64 as they are written.
        extents: (n, 2) float64 (height, width) of the image that they were drawn on, in pixels;
            NaN where it is not known.
        places: What messages call each.
        where: What messages call them all: the file, or the first of the files.
    """

    sides: np.ndarray
    extents: np.ndarray
    places: Sequence[str]
    where: str

    def corners(self, coordinates: str, units: str) -> np.ndarray:
        """(n, 4) `x1 y1 x2 y2` in pixels of the image that they were drawn on.

        Shares become pixels to a thousandth, which undoes that they were written with few digits.
        """
        found = to_corners(self.sides, coordinates)
        if units == "pixels":
            return found
        height, width = self.extents.T
        return np.round(found * np.stack([width, height, width, height], axis=1), 3)


def to_corners(sides: np.ndarray, coordinates: str) -> np.ndarray:
    """Boxes (n, 4) as one of `COORDINATES` -> `x1 y1 x2 y2`."""
    a, b, c, d = sides.T
    found = {
        "corners": lambda: (a, b, c, d),
        "sizes": lambda: (a, b, a + c, b + d),
        "centres": lambda: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        "corners_by_axis": lambda: (a, c, b, d),
        "corners_y_first": lambda: (b, a, d, c),
    }[coordinates]()
    return np.stack(found, axis=1)


def tell_units(sides: np.ndarray, places: Sequence[str], where: str) -> str:
    """Whether boxes are in "pixels" or in "shares" of width and height.

    Args:
        sides: (n, 4) as they are written.
        places, where: As `Boxes` has them.

    Raises:
        InputError: Some are in pixels, others in shares.
    """
    if not len(sides):
        return "pixels"
    small = np.abs(sides).max(axis=1) <= MOST_SHARE
    shares = 2 * small.sum() >= len(small)
    fractions = small & (sides != np.rint(sides)).any(axis=1)
    odd = np.flatnonzero(~small if shares else fractions)
    if not len(odd):
        return "shares" if shares else "pixels"
    kinds = ("shares of width and height", "pixels")
    most, few = kinds if shares else kinds[::-1]
    raise InputError(
        f"{where}: most boxes are in {most}, {counted(len(odd), 'box')} of {len(small)} in "
        f"{few}, the first at {places[odd[0]]} ({_shown(sides[odd[0]])}). Correct "
        "them, or say what all are: --set data.source.units=pixels or --set "
        "data.source.units=shares."
    )


def tell_coordinates(boxes: Boxes, units: str, *, known: str | None, others: Sequence[str]) -> str:
    """What the four numbers of each box are, a name of `COORDINATES`.

    Args:
        boxes: All of them.
        units: What they are in.
        known: What the format or the names of columns say; None: nothing.
        others: What they may be instead, or may be where nothing is known.

    Raises:
        InputError: Another reading fits much better than the known one; or where none is known
            several fit, or none.
    """
    readings = [name for name in (known, *others) if name is not None]
    faulty = {name: int(misfits(boxes, name, units).sum()) for name in dict.fromkeys(readings)}
    best = min(faulty, key=lambda name: faulty[name])
    if known is not None:
        doubted = faulty[known] > max(1, FEW * len(boxes.sides))
        if doubted and faulty[known] > 4 * faulty[best] + 2:
            raise InputError(_two_readings(boxes, faulty, known, best))
        return known
    rest = sorted((name for name in faulty if name != best), key=lambda name: faulty[name])
    fits = faulty[best] <= MANY * len(boxes.sides)
    if len(boxes.sides) and fits and all(faulty[name] > 4 * faulty[best] + 2 for name in rest):
        return best
    raise InputError(_two_readings(boxes, faulty, best, rest[0]))


def misfits(boxes: Boxes, coordinates: str, units: str) -> np.ndarray:
    """(n,) bool: which boxes are inverted or clearly leave their image in a reading."""
    x1, y1, x2, y2 = boxes.corners(coordinates, units).T
    return (x2 <= x1) | (y2 <= y1) | leaving(np.stack([x1, y1, x2, y2], axis=1), boxes.extents)


def leaving(corners: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """(n,) bool: which boxes leave an image by more than a pixel and a hundredth of its side."""
    x1, y1, x2, y2 = corners.T
    height, width = extents.T
    far = np.maximum(1, 0.01 * extents)
    low = (np.minimum(x1, x2) < -far[:, 1]) | (np.minimum(y1, y2) < -far[:, 0])
    high = (np.maximum(x1, x2) > width + far[:, 1]) | (np.maximum(y1, y2) > height + far[:, 0])
    return low | high


def outside(corners: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """(n,) bool: which boxes have no part inside their image."""
    x1, y1, x2, y2 = corners.T
    height, width = extents.T
    beyond = (np.minimum(x1, x2) >= width) | (np.minimum(y1, y2) >= height)
    return beyond | (np.maximum(x1, x2) <= 0) | (np.maximum(y1, y2) <= 0)


def check_extents(
    corners: np.ndarray,
    extents: np.ndarray,
    where: str,
    places: Sequence[str],
    files: Sequence[str],
) -> None:
    """Raises an `InputError` where boxes are those of images of another size.

    Args:
        corners: (n, 4) `x1 y1 x2 y2` in pixels.
        extents: (n, 2) height and width of the images that they should lie in.
        where: What messages call the boxes.
        places, files: Place and image file of each.
    """
    _check_percent(corners, extents, where)
    away, out = outside(corners, extents), leaving(corners, extents)
    if away.sum() <= max(2, AWAY * len(away)) and out.sum() <= max(2, MANY * len(out)):
        return
    first = int(np.flatnonzero(out | away)[0])
    right, bottom = np.nanmax(np.maximum(corners[:, :2], corners[:, 2:]), axis=0)
    height, width = extents[first]
    raise InputError(
        f"{where}: {out.sum()} of {len(out)} boxes leave their images, {away.sum()} of them "
        f"wholly; the first is {places[first]} ({_shown(corners[first])}) on {files[first]}, "
        f"{width:g} x {height:g} pixels (width x height), and boxes reach to ({right:g}, "
        f"{bottom:g}). Either the images had another size when they were annotated: type --set "
        "data.source.annotated_size=[HEIGHT,WIDTH]; or the boxes are in pixels of these files and "
        "faulty: type --set data.source.annotated_size=file, and they are clipped."
    )


def _check_percent(corners: np.ndarray, extents: np.ndarray, where: str) -> None:
    """Raises an `InputError` where many boxes reach to 100 both ways, on larger images."""
    if len(corners) < MANY_BOXES or np.isnan(extents).any() or extents.min() <= 110:
        return
    right, bottom = np.maximum(corners[:, :2], corners[:, 2:]).max(axis=0)
    if all(99 < side <= 100.5 for side in (right, bottom)):
        raise InputError(
            f"{where}: the boxes of all images reach to ({right:g}, {bottom:g}), as percent of "
            "width and height do. Where they are in percent type --set "
            "data.source.annotated_size=[100,100]; where they are in pixels of these files, --set "
            "data.source.annotated_size=file."
        )


def within_a_corner(corners: np.ndarray, extents: np.ndarray, images: int) -> list[str]:
    """A line where all of many boxes lie in the upper left quarter of their images, as they do
    where they were drawn on smaller images, or are in percent."""
    if len(corners) < MANY_BOXES or images < MANY_BOXES / 2 or np.isnan(extents).any():
        return []
    right, bottom = (corners[:, 2:] / extents[:, ::-1]).max(axis=0)
    if max(right, bottom) > 0.5:
        return []
    return [
        f"no box reaches beyond {right:.0%} of the width and {bottom:.0%} of the height of its "
        "image: look at some. Where images were smaller when they were annotated, type --set "
        "data.source.annotated_size=[HEIGHT,WIDTH]; of boxes in percent [100,100]"
    ]


def in_percent(boxes: Boxes, corners: np.ndarray, images: int) -> bool:
    """Whether boxes that would be in pixels are in percent of width and height.

    They may be where none reaches beyond 100, and images are at least twice as large. They are
    where many have fractions and reach to the right and the bottom of images, to 98 at least; as
    pixels all of them would lie in one corner of their images, and end there together.

    Args:
        boxes: All of them.
        corners: (n, 4) `x1 y1 x2 y2`, the numbers taken for pixels.
        images: How many they are of.

    Raises:
        InputError: Both readings are possible; names them.
    """
    if not len(corners) or not (boxes.extents >= 2 * PERCENT).all():
        return False
    if corners.min() < -0.5 or corners.max() > PERCENT + 0.5:
        return False
    reach = float(corners[:, 2:].max(axis=0).min())
    many = len(corners) >= MANY_BOXES and images >= MANY_BOXES / 2
    fractions = 2 * (boxes.sides != np.rint(boxes.sides)).any(axis=1).sum() > len(corners)
    if many and fractions and reach >= 98:
        return True
    if not (many and fractions) and not ((many or fractions) and reach >= 90):
        return False
    height, width = boxes.extents.min(axis=0)
    right, bottom = corners[:, 2:].max(axis=0)
    raise InputError(
        f"{boxes.where}: the numbers of boxes can be read in two ways: in percent of width and "
        f"height, none is above 100; or in pixels, none reaches beyond ({right:g}, {bottom:g}) of "
        f"images of {width:g} x {height:g} pixels (width x height) or more. Say which is meant: "
        "--set 'data.source.annotated_size=[100,100]' for percent, --set "
        "data.source.annotated_size=file for pixels of these images, --set "
        "'data.source.annotated_size=[HEIGHT,WIDTH]' for pixels of smaller ones."
    )


def _two_readings(boxes: Boxes, faulty: dict[str, int], one: str, other: str) -> str:
    number = len(boxes.sides)
    first = f"the first box, {_shown(boxes.sides[0])} at {boxes.places[0]}" if number else "no box"

    def fitting(name: str) -> str:
        inside = number - faulty[name]
        return f"{name} ({COORDINATES[name]}), {inside} of {number} lie in their images"

    return (
        f"{boxes.where}: the four numbers of a box ({first}) can be read in two ways: as "
        f"{fitting(one)}; as {fitting(other)}. Say which is meant: {TYPED}{one} or "
        f"{TYPED}{other}."
    )


def _shown(sides: np.ndarray) -> str:
    return ", ".join(f"{side:g}" for side in sides)
