"""Boxes, windows of whole pixels, and pieces brought to one size. NumPy and OpenCV.

A box is x1 y1 x2 y2 in pixels with edges: pixel i covers [i, i + 1], so an image W pixels wide
spans 0 to W. A window is such a box in whole pixels inside the image.
"""

import cv2
import numpy as np

from tfvision.errors import InputError

FITS = ("stretch", "pad")

Window = tuple[int, int, int, int]


def window_of(box: np.ndarray, size: tuple[int, int], margin: float = 0.0) -> Window:
    """The whole pixels that a box touches, widened and clipped to the image.

    Rounded outwards: floor of the first corner, ceil of the second, so that no part of the box is
    lost and the window has at least one pixel.

    Args:
        box: (4,) x1 y1 x2 y2 in pixels.
        size: (height, width) of the image.
        margin: Added on each side, as a fraction of the box's width and of its height.

    Raises:
        InputError: The box has no area, or lies outside the image.
    """
    height, width = size
    x1, y1, x2, y2 = (float(edge) for edge in box)
    if not (np.isfinite([x1, y1, x2, y2]).all() and x1 < x2 and y1 < y2):
        raise InputError(
            f"A box must be x1 y1 x2 y2 in pixels with x1 < x2 and y1 < y2, got {_text(box)}. "
            "Correct it in the annotations."
        )
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        raise InputError(
            f"The box {_text(box)} lies outside its image of {width} x {height} pixels (width x "
            "height). Boxes are x1 y1 x2 y2 in pixels of the stored image."
        )
    wider, higher = margin * (x2 - x1), margin * (y2 - y1)
    return (
        max(int(np.floor(x1 - wider)), 0),
        max(int(np.floor(y1 - higher)), 0),
        min(int(np.ceil(x2 + wider)), width),
        min(int(np.ceil(y2 + higher)), height),
    )


def bounding_box(region: np.ndarray) -> np.ndarray | None:
    """(4,) float32: the smallest box around what is not 0 in (H, W); None where all is 0."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def cut_window(pixels: np.ndarray, window: Window) -> np.ndarray:
    """A copy of the pixels (H, W, ...) in the window, so that the image can be freed."""
    x1, y1, x2, y2 = window
    return pixels[y1:y2, x1:x2].copy()


def fit_image(
    image: np.ndarray,
    size: tuple[int, int],
    how: str = "stretch",
    *,
    fill: float = 0.0,
    nearest: bool = False,
) -> np.ndarray:
    """Brings an image, or a region, to a size.

    A side that shrinks is averaged over the area of each new pixel, one that grows is
    interpolated linearly.

    Args:
        image: (H, W, C) or (H, W), uint8, uint16 or float32.
        size: (height, width) of the result.
        how: "stretch": both sides to the size, whatever that does to the shape of things;
            "pad": the aspect ratio is kept, the image lies in the middle, the rest is `fill`.
        fill: Pixel value of the padding, in the image's own range.
        nearest: Takes the nearest pixel instead: for regions, which stay 0 and 1.

    Returns:
        (height, width, C) or (height, width), of the dtype that came.

    Raises:
        InputError: `how` is neither, or the image has no pixel.
    """
    if how not in FITS:
        raise InputError(f"data.fit must be one of {', '.join(FITS)}; got {how!r}.")
    if 0 in image.shape:
        raise InputError(f"An image must have pixels; got the shape {image.shape}.")
    if how == "stretch":
        return _resize(image, size, nearest)
    # To the pixel as `engine.classify.fit_pieces` does: a region fitted here lies over an image
    # fitted there.
    sides, most = np.float64(image.shape[:2]), np.array(size)
    exact = sides * np.min(most / sides)
    inner = tuple(int(side) for side in np.clip(np.round(exact), 1, most))
    top, left = ((have - want) // 2 for have, want in zip(size, inner, strict=True))
    out = np.full((*size, *image.shape[2:]), fill, image.dtype)
    out[top : top + inner[0], left : left + inner[1]] = _resize(image, inner, nearest)
    return out


def _resize(image: np.ndarray, size: tuple[int, int], nearest: bool) -> np.ndarray:
    if image.shape[:2] == tuple(size):
        return image.copy()
    if nearest:
        return _by_fours(image, size, cv2.INTER_NEAREST_EXACT)
    # Where one side grows, OpenCV takes no area of the other: so it shrinks first.
    smaller = tuple(min(side, most) for side, most in zip(image.shape[:2], size, strict=True))
    if smaller != image.shape[:2]:
        image = _by_fours(image, smaller, cv2.INTER_AREA)
    return image if smaller == tuple(size) else _by_fours(image, size, cv2.INTER_LINEAR)


def _by_fours(image: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """OpenCV promises four channels, `dual` has six; it also drops a last axis of one."""
    height, width = size
    if image.ndim == 2:
        return cv2.resize(image, (width, height), interpolation=interpolation)
    parts = [
        cv2.resize(
            np.ascontiguousarray(image[..., i : i + 4]),
            (width, height),
            interpolation=interpolation,
        ).reshape(height, width, -1)
        for i in range(0, image.shape[2], 4)
    ]
    return np.concatenate(parts, axis=-1)


def _text(box: np.ndarray) -> str:
    return " ".join(f"{float(edge):g}" for edge in box)
