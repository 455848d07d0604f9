"""What a classifier sees of an image: all of it, a crop, patches, with or without background.

A builder of the table INPUTS returns a `Cut`, `cut(image, region, box) -> pieces`; one image has
one piece or more and never none. The truth does not enter, so training and prediction cut alike.
Images are split first and cut afterwards: all pieces of an image are in one split. The
probabilities of an image's pieces are made one by `aggregate`.

What cannot be cut as asked is cut another way and counted, by the names in `pieces.FALLBACKS`.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from tfvision.data.crops import foreground
from tfvision.data.crops.foreground import composite
from tfvision.data.crops.pieces import AGGREGATES, Cut, Piece, Whole, aggregate, count_pieces
from tfvision.data.crops.windows import cut_window, fit_image, window_of
from tfvision.errors import InputError

__all__ = [
    "AGGREGATES",
    "Cut",
    "Piece",
    "aggregate",
    "count_pieces",
    "crop",
    "dual",
    "fit_image",
    "full",
    "mask_channel",
    "masked",
    "patches",
    "removed",
]

FIND = ("grabcut", "border_colour", "box")


def full(find: str | None = None) -> Cut:
    """The whole image.

    Args:
        find: Where data has boxes and no masks, how the piece's region is found, which ops as
            `random_background` need: "grabcut", "border_colour" (see `background`), or "box",
            all that is in it. None: it is not.
    """
    find = _check_find("full", find)

    def pieces(whole: Whole) -> list[Piece]:
        whole, fallback = _found(whole, find)
        return [whole.piece(fallback=fallback)]

    return Cut("full", pieces)


def crop(margin: float = 0.1, find: str | None = None) -> Cut:
    """What lies in the box; without one, in the smallest box around the region.

    Args:
        margin: Added on each side, as a fraction of the box's sides, 0 to 10.
        find: As `full` has it.
    """
    margin = _check_margin("crop", margin)
    find = _check_find("crop", find)

    def pieces(whole: Whole) -> list[Piece]:
        window, fallback = whole.window(margin)
        whole, failed = _found(whole, find)
        return [whole.piece(window, fallback=fallback or failed)]

    return Cut("crop", pieces, frozenset({"region", "box"}), margin=margin)


def masked(fill: float = 0.0) -> Cut:
    """The whole image, its pixels outside the region set to one value.

    Args:
        fill: That value, 0 (black) to 1 (white).
    """
    fill = _check_fill("masked", fill)

    def pieces(whole: Whole) -> list[Piece]:
        region, fallback = _region_or_box(whole)
        if not region.any():
            return [whole.piece(fallback="empty_region")]
        image = composite(whole.image, region, fill, white=whole.white)
        return [replace(whole, image=image, region=region).piece(fallback=fallback)]

    return Cut("masked", pieces, frozenset({"region"}))


def mask_channel() -> Cut:
    """The whole image with the region as one channel more, 0 or white.

    An image without region gets its box there, or else white all over.
    """

    def pieces(whole: Whole) -> list[Piece]:
        region, fallback = _region_or_box(whole)
        channel = region[..., None] * np.asarray(whole.white).astype(whole.image.dtype)
        image = np.concatenate([whole.image, channel.astype(whole.image.dtype)], axis=-1)
        return [replace(whole, image=image, region=region).piece(fallback=fallback)]

    return Cut("mask_channel", pieces, frozenset({"region"}), lambda channels: channels + 1)


def dual(margin: float = 0.1) -> Cut:
    """The whole image and its crop in 2 C channels, for a network that looks at both.

    The crop, as `crop` cuts it, is brought to the image's size with its aspect ratio kept; black
    is what is left over.

    Args:
        margin: As `crop` has it.
    """
    margin = _check_margin("dual", margin)

    def pieces(whole: Whole) -> list[Piece]:
        window, fallback = whole.window(margin)
        near = fit_image(cut_window(whole.image, window), whole.image.shape[:2], "pad")
        image = np.concatenate([whole.image, near], axis=-1)
        # No region: it would be right for half of the channels only.
        return [replace(whole, image=image, region=None).piece(fallback=fallback)]

    return Cut("dual", pieces, frozenset({"region", "box"}), lambda channels: 2 * channels)


def patches(
    min_size: int = 0,
    size_by: str = "area",
    margin: float = 0.0,
    connectivity: int = 8,
    margins: Sequence[float] | None = None,
    max_pieces: int | None = None,
) -> Cut:
    """A crop around each connected component of the region, the largest first.

    Where all components are below `min_size` the largest is taken, where the region is empty or
    there is none, the whole image (or its box): an image never loses its prediction.

    Args:
        min_size: Components below it are left out, in training and in prediction; 0: none.
        size_by: What is compared: "area", the pixels of the component, or "side", the shorter
            side of its box in pixels.
        margin: Added on each side of a component's box, as a fraction of its sides, 0 to 10.
        connectivity: 8: pixels that touch by a corner are one component, 4: by a side only.
        margins: Several margins instead of one, for several scales: a component gives a piece
            for each.
        max_pieces: At most so many components an image, the largest; None: all.
    """
    if size_by not in ("area", "side"):
        raise InputError(f"patches: size_by must be 'area' or 'side', got {size_by!r}.")
    if connectivity not in (4, 8) or isinstance(connectivity, bool):
        raise InputError(f"patches: connectivity must be 4 or 8, got {connectivity!r}.")
    min_size = _check_count("min_size", min_size, 0)
    most = None if max_pieces is None else _check_count("max_pieces", max_pieces, 1)
    scales = _check_margins(margin, margins)

    def pieces(whole: Whole) -> list[Piece]:
        if whole.region is None or not whole.region.any():
            fallback = "no_region" if whole.region is None else "empty_region"
            known = replace(whole, region=None)
            windows = [known.window(scale)[0] for scale in scales]
            return [whole.piece(window, fallback=fallback) for window in dict.fromkeys(windows)]
        boxes, areas = _components(whole.region, connectivity)
        sizes = areas if size_by == "area" else (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        kept = np.flatnonzero(sizes >= min_size)
        fallback = "" if len(kept) else "all_small"
        kept = (kept if len(kept) else np.arange(1))[:most]
        facts = {"fallback": fallback, "left_out": len(areas) - len(kept)}
        size = whole.image.shape[:2]
        return [
            whole.piece(window_of(boxes[i], size, scale), weight=float(areas[i]), **facts)
            for i in kept
            for scale in scales
        ]

    return Cut("patches", pieces, frozenset({"region"}))


def removed(
    method: str = "grabcut",
    fill: float | Sequence[float] = 0.5,
    margin: float = 0.1,
    crop: bool = True,
) -> Cut:
    """The crop, as `crop` cuts it, with its background set to one value.

    The background is outside the region; where data has no mask, outside what `method` finds in
    the box (no network, nothing learned elsewhere). Where that fails the crop keeps its
    background, and the reason is counted.

    Args:
        method: "grabcut" or "border_colour", which can do without a box; see `background`.
        fill: Value of the background, 0 (black) to 1 (white); or three, for images in colour.
        margin: As `crop` has it.
        crop: False: the whole image instead of the crop.
    """
    if method not in foreground.METHODS:
        raise InputError(
            f"removed: method must be one of {', '.join(foreground.METHODS)}, got {method!r}."
        )
    fills = _check_fills("removed", fill)
    margin = _check_margin("removed", margin)
    if not isinstance(crop, bool):
        raise InputError(f"removed: crop must be true or false, got {crop!r}.")

    def pieces(whole: Whole) -> list[Piece]:
        channels = whole.image.shape[-1]
        if len(fills) not in (1, channels):
            raise InputError(
                f"removed: fill is {list(fills)}, a value for each of 3 channels, and an image has "
                f"{channels}. Give one value."
            )
        window, fallback = whole.window(margin)
        whole, failed = _found(whole, method)
        if whole.region is not None and whole.region.any():
            image = composite(whole.image, whole.region, fills, white=whole.white)
            whole = replace(whole, image=image)
            # A method that needs no box has cut out what it found: nothing fell back.
            fallback = "" if fallback == "no_box" else fallback
            window = window if whole.box is not None else whole.window(margin)[0]
        elif whole.region is not None:
            failed = "empty_region"
        return [whole.piece(window if crop else None, fallback=fallback or failed)]

    needs = frozenset() if method == "border_colour" else frozenset({"region", "box"})
    return Cut("removed", pieces, needs)


def _components(region: np.ndarray, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) and areas (n,) in pixels of the connected components, the largest first."""
    stats = cv2.connectedComponentsWithStats(region, connectivity=connectivity)[2][1:]
    left, top, width, height, areas = stats.T
    order = np.argsort(-areas, kind="stable")
    return np.stack([left, top, left + width, top + height], axis=1)[order], areas[order]


def _region_or_box(whole: Whole) -> tuple[np.ndarray, str]:
    """The region; without one, the pixels of the box, or else all."""
    if whole.region is not None:
        return whole.region, ""
    return _box_region(whole), "no_region"


def _box_region(whole: Whole) -> np.ndarray:
    """(H, W) uint8: 1 in the box, all over where there is none."""
    size = whole.image.shape[:2]
    if whole.box is None:
        return np.ones(size, np.uint8)
    region = np.zeros(size, np.uint8)
    x1, y1, x2, y2 = window_of(whole.box, size)
    region[y1:y2, x1:x2] = 1
    return region


def _found(whole: Whole, find: str | None) -> tuple[Whole, str]:
    """The image with its region where it had none, and the name of the failure, or ""."""
    if find is None or whole.region is not None:
        return whole, ""
    if find == "box":
        # A rectangle that is not known is no region: ops would take all for the object.
        if whole.box is None:
            return whole, "no_box"
        return replace(whole, region=_box_region(whole)), ""
    region, failure = foreground.find_region(whole.image, whole.box, find, white=whole.white)
    return replace(whole, region=region), failure


def _check_find(name: str, find: str | None) -> str | None:
    if find is not None and find not in FIND:
        raise InputError(f"{name}: find must be one of {', '.join(FIND)}, or none, got {find!r}.")
    return find


def _check_margin(name: str, margin: float) -> float:
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin <= 10:
        raise InputError(f"{name}: margin must be a number from 0 to 10, got {margin!r}.")
    return float(margin)


def _check_margins(margin: float, margins: Sequence[float] | None) -> list[float]:
    if margins is None:
        return [_check_margin("patches", margin)]
    if isinstance(margins, str) or not isinstance(margins, list | tuple) or not margins:
        raise InputError(
            f"patches: margins must be a list with a margin or more, [0, 0.5], got {margins!r}."
        )
    if margin:
        raise InputError("patches: give margin or margins, not both.")
    return [_check_margin("patches", value) for value in margins]


def _check_fill(name: str, fill: float) -> float:
    if isinstance(fill, bool) or not isinstance(fill, int | float) or not 0 <= fill <= 1:
        raise InputError(f"{name}: fill must be a number from 0 to 1, got {fill!r}.")
    return float(fill)


def _check_fills(name: str, fill: float | Sequence[float]) -> tuple[float, ...]:
    """One value, or three."""
    if not isinstance(fill, list | tuple):
        return (_check_fill(name, fill),)
    if len(fill) != 3:
        raise InputError(f"{name}: fill must be a number or three of them, got {list(fill)}.")
    return tuple(_check_fill(name, value) for value in fill)


def _check_count(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"patches: {name} must be a whole number from {least} up, got {value!r}.")
    return value
