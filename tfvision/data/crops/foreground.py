"""Where the object is, for data that has a box and no mask: no network, nothing learned elsewhere.

`grabcut` and `border_colour` tell the object in a box from the background around it, from the
colours of this one image. They fail where object and background look alike; `find_region`
therefore judges what they found and names the failure, so that failures can be counted and the
image be used another way. All of it is deterministic. NumPy and OpenCV.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from tfvision.data.crops.windows import Window, cut_window, window_of
from tfvision.data.files.pixels import white_of
from tfvision.errors import InputError

METHODS = ("grabcut", "border_colour")
FAILURES = {
    "box_fills_image": "the box leaves no background to learn from",
    "box_too_small": "the box has a side below 4 pixels",
    "nothing_found": "nothing in the box looks unlike what is around it",
    "found_too_small": "what was found is below 5 % of the box",
    "found_too_large": "what was found is above 98 % of the box",
    "found_off_middle": "what was found misses the middle of the box",
}
AROUND = 0.5  # of the box's sides: how far around it the background is looked at
MOST_PIXELS = 256  # side of what GrabCut works on; a larger window is shrunk for it
LEAST_SIDE = 4
LEAST_SHARE, MOST_SHARE = 0.05, 0.98  # of the box
FRAME = 0.05  # of the image's sides: its border, where there is no box
NOISE = 4.0  # grey values of 255: deviation that any background is taken to have, as of JPEG


def find_region(
    image: np.ndarray,
    box: np.ndarray | None,
    method: str = "grabcut",
    *,
    white: float | None = None,
) -> tuple[np.ndarray | None, str]:
    """The object's region, judged.

    Args:
        image: (H, W, C) uint8, uint16 or float32, C 1 or 3.
        box: (4,) x1 y1 x2 y2 in pixels; None: "border_colour" looks for it all over, "grabcut"
            cannot.
        method: "grabcut" or "border_colour".
        white: The pixel value that means 1.0; None: by the dtype.

    Returns:
        (H, W) uint8, 0 or 1, and ""; or None and the name of what failed: one of FAILURES, or
        "no_box".

    Raises:
        InputError: There is no such method, or the box is none.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    size = image.shape[:2]
    if box is None and method == "grabcut":
        return None, "no_box"
    inner = _frame(size) if box is None else window_of(box, size)
    if min(inner[2] - inner[0], inner[3] - inner[1]) < LEAST_SIDE:
        return None, "box_too_small"
    if inner == (0, 0, size[1], size[0]):
        return None, "box_fills_image"
    if method == "grabcut":
        region = grabcut(image, np.asarray(box).reshape(-1), white=white)
    else:
        region = border_colour(image, box, white=white)
    failure = judge(region, inner)
    return (None, failure) if failure else (region, "")


def judge(region: np.ndarray, window: Window) -> str:
    """The name in FAILURES of what is wrong with a region (H, W) found in `window`, or ""."""
    found = cut_window(region, window)
    share = found.mean()
    if share == 0:
        return "nothing_found"
    if share < LEAST_SHARE:
        return "found_too_small"
    if share > MOST_SHARE:
        return "found_too_large"
    # The middle is the inner third of each side: a ring around an empty middle is filled before.
    third = [slice(side // 3, side - side // 3) for side in found.shape]
    return "" if found[tuple(third)].any() else "found_off_middle"


def grabcut(
    image: np.ndarray, box: np.ndarray, *, iterations: int = 5, white: float | None = None
) -> np.ndarray:
    """GrabCut (Rother, Kolmogorov and Blake, 2004), seeded by the box.

    What is outside the box, up to half its sides away, is background for certain; what is inside
    is found by mixtures of colours and by edges. Of the outcome the largest component stays, its
    holes filled. OpenCV's generator is seeded, so that the same image gives the same region.

    Args:
        image: (H, W, C) uint8, uint16 or float32, C 1 or 3.
        box: (4,) x1 y1 x2 y2 in pixels, which does not fill the image.
        iterations: Rounds of fitting and cutting, from 1 up.
        white: The pixel value that means 1.0; None: by the dtype.

    Returns:
        (H, W) uint8, 0 or 1, 0 outside the box; all 0 where nothing was found.

    Raises:
        InputError: The box is none, or fills the image.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise InputError(f"iterations must be a whole number from 1 up, got {iterations!r}.")
    inner, outer = _windows(image.shape[:2], box)
    pixels = cut_window(as_colours(image, white), outer)
    seeds = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    seeds[inner[1] : inner[3], inner[0] : inner[2]] = cv2.GC_PR_FGD
    seeds = cut_window(seeds, outer)
    full_size = pixels.shape[1::-1]
    shrink = MOST_PIXELS / max(full_size)
    if shrink < 1:
        small = tuple(max(round(side * shrink), 1) for side in full_size)
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        seeds = cv2.resize(seeds, small, interpolation=cv2.INTER_NEAREST)
    region = _cut_by_colours(pixels, seeds, iterations)
    if shrink < 1:
        region = cv2.resize(region, full_size, interpolation=cv2.INTER_NEAREST)
    return _placed(region, image.shape[:2], inner, outer)


def border_colour(
    image: np.ndarray, box: np.ndarray | None = None, *, white: float | None = None
) -> np.ndarray:
    """What has another colour than the background: one Gaussian and a threshold.

    The background's mean and covariance are those of the pixels outside the box, up to half its
    sides away; without a box, of the image's border, a twentieth of its sides wide. A pixel is
    the object's where its Mahalanobis distance is above Otsu's threshold of all distances in the
    box. Of these the largest component stays, its holes filled. Right for backgrounds of one
    colour; many times faster than `grabcut`.

    Args:
        image, white: As `grabcut` has them.
        box: (4,) x1 y1 x2 y2 in pixels, which does not fill the image; None: its border is the
            background.

    Returns:
        As `grabcut`.

    Raises:
        InputError: As `grabcut`.
    """
    size = image.shape[:2]
    if box is None:
        inner, outer = _frame(size), (0, 0, size[1], size[0])
    else:
        inner, outer = _windows(size, box)
    pixels = cut_window(as_colours(image, white), outer).astype(np.float64)
    outside = np.ones(pixels.shape[:2], bool)
    left, top = inner[0] - outer[0], inner[1] - outer[1]
    right, bottom = inner[2] - outer[0], inner[3] - outer[1]
    outside[top:bottom, left:right] = False
    if outside.all():  # an image too small to have a border and a middle
        return np.zeros(size, np.uint8)
    background = pixels[outside]
    away = pixels - background.mean(axis=0)
    spread = np.cov(background, rowvar=False, bias=True) + NOISE**2 * np.eye(3)
    squared = np.einsum("hwi,ij,hwj->hw", away, np.linalg.inv(spread), away)
    distance = np.sqrt(np.maximum(squared, 0))[top:bottom, left:right]
    levels = np.rint(distance * (255 / max(distance.max(), 1e-9))).astype(np.uint8)
    _, above = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # Otsu halves noise too. Within two deviations nothing differs from the background.
    above &= (distance > 2).astype(np.uint8)
    region = np.zeros(pixels.shape[:2], np.uint8)
    region[top:bottom, left:right] = above
    return _placed(region, size, inner, outer)


def composite(
    image: np.ndarray,
    region: np.ndarray,
    colour: float | Sequence[float],
    *,
    white: float | None = None,
) -> np.ndarray:
    """The image with one colour outside its region; a new array of its dtype.

    Args:
        image: (H, W, C).
        region: (H, W), 0 outside.
        colour: 0 to 1 of white, the same for all channels, or C such numbers.
        white: The pixel value that means 1.0; None: by the dtype.
    """
    value = np.asarray(colour, np.float64) * white_of(image.dtype, white)
    if image.dtype.kind in "iu":
        value = np.rint(value)
    return np.where(region[..., None] != 0, image, value.astype(image.dtype))


def as_colours(image: np.ndarray, white: float | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of an image (H, W, 1 or 3) of any dtype."""
    scale = 255 / white_of(image.dtype, white)
    if image.dtype != np.uint8 or scale != 1:
        image = np.clip(np.rint(image.astype(np.float64) * scale), 0, 255).astype(np.uint8)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


def _windows(size: tuple[int, int], box: np.ndarray) -> tuple[Window, Window]:
    """The box in whole pixels, and the same with what is looked at around it."""
    inner, outer = window_of(box, size), window_of(box, size, AROUND)
    if inner == outer:
        raise InputError(
            "The box fills its image: there is no background around it to tell it from. Use a "
            "box that leaves some, or keep the background."
        )
    return inner, outer


def _frame(size: tuple[int, int]) -> Window:
    """The image without its border."""
    rows, columns = (max(round(FRAME * side), 1) for side in size)
    return columns, rows, size[1] - columns, size[0] - rows


def _cut_by_colours(pixels: np.ndarray, seeds: np.ndarray, iterations: int) -> np.ndarray:
    """(h, w) uint8 0 or 1: OpenCV's GrabCut from `seeds`; all 0 where it cannot tell."""
    inside = seeds == cv2.GC_PR_FGD
    if not inside.any() or inside.all():
        return np.zeros(seeds.shape, np.uint8)  # shrinking left one side without a pixel
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    seeds = seeds.copy()
    cv2.grabCut(
        np.ascontiguousarray(pixels), seeds, None, *models, iterations, cv2.GC_INIT_WITH_MASK
    )
    return np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _placed(region: np.ndarray, size: tuple[int, int], inner: Window, outer: Window) -> np.ndarray:
    """The largest component inside the box, without holes, in an image of `size`."""
    whole = np.zeros(size, np.uint8)
    whole[outer[1] : outer[3], outer[0] : outer[2]] = region
    found = cut_window(whole, inner)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    whole[:] = 0
    if count > 1:
        largest = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
        whole[inner[1] : inner[3], inner[0] : inner[2]] = _without_holes(largest)
    return whole


def _without_holes(region: np.ndarray) -> np.ndarray:
    """The region with what it encloses; an opening to the window's edge is no hole."""
    outside = np.pad(1 - region, 1, constant_values=1)
    labels = cv2.connectedComponents(outside, connectivity=4)[1]
    return (labels[1:-1, 1:-1] != labels[0, 0]).astype(np.uint8)
