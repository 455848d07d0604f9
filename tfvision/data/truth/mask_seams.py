"""Grey seams: values that stand along borders of others, as interpolation leaves them."""

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.truth.classes import some
from tfvision.data.truth.mask_values import MaskValues, error, middle, typed

MANY = 8  # grey values beside the commonest, from here on they may be a seam
VERY_MANY = 32  # and from here on however often they are
OF_BORDER = 0.88  # of a value's pixels beside others, that have a lower and a higher one there
FEWEST = 10  # such pixels of a mask, in the mean, below which nothing is said
LARGEST_CLASS = 64  # where a value is larger, 255 is no "no label" but the highest of them
FEW_MASKS = 6  # that are looked at for a thin seam


def seam(found: MaskValues) -> Issue | None:
    """Why some values are those of a seam; None: they need not be."""
    return _grey_seam(found) or _thin_seam(found)


def _grey_seam(found: MaskValues) -> Issue | None:
    """Grey values beside one or two that hold most pixels, mostly between a lower and a higher."""
    common = sorted(found.pixels, key=lambda v: -found.pixels[v])
    low, high = min(found.pixels), max(found.pixels)
    rest = [v for v in common if v not in (common[0], high if high != common[0] else low)]
    seldom = [v for v in rest if 5 * found.pixels[v] < found.pixels[common[0]]]
    if len(rest) < MANY or (len(seldom) < len(rest) and len(rest) < VERY_MANY):
        return None
    chosen = set(rest)
    between, total = Counter(), Counter()
    for mask in found.masks_with(lambda values: not chosen.isdisjoint(values)):
        grey = np.isin(mask, rest)
        between.update(_counts(mask[_between(mask) & grey]))
        total.update(_counts(mask[grey]))
    if 2 * between.total() < total.total():
        return _seam_of_classes(found, [v for v in rest if 2 * between[v] >= total[v] > 0])
    share = sum(found.pixels[v] for v in rest) / sum(found.pixels.values())
    if share > 0.9:
        return error(
            "masks",
            f"the masks hold {len(found.pixels)} values, {low} to {high}, that change from pixel "
            "to pixel: they look like pictures, not labels",
            "Check that these are the masks; a mask holds a class number a pixel. For a picture of "
            f"one object that is brighter, type {middle(low, high)}.",
        )
    return error(
        "masks",
        f"the masks hold {len(found.pixels)} values: {share:.1%} of the pixels hold one of "
        f"{len(rest)} between {low} and {high}, along borders: a grey seam, as from resizing with "
        "interpolation or from smooth drawing",
        f"Where there is one object, type {middle(low, high)}: values from there on are the "
        "object. Else make the masks anew, and resize them by nearest neighbour.",
    )


def _seam_of_classes(found: MaskValues, grey: Sequence[int]) -> Issue | None:
    """Grey values that lie mostly between others, of masks of several classes in other values."""
    classes = [v for v in found.pixels if v not in set(grey)]
    share = sum(found.pixels[v] for v in grey) / sum(found.pixels.values())
    if len(grey) < max(MANY, 2 * len(classes)) or share > 0.5:
        return None
    return error(
        "masks",
        f"the masks hold {len(found.pixels)} values, and {share:.1%} of the pixels hold one of "
        f"{len(grey)} that stand along borders of others ({some(classes)}): a grey seam, as from "
        "resizing with interpolation",
        "Make the masks anew, and resize them by nearest neighbour.",
    )


def _thin_seam(found: MaskValues) -> Issue | None:
    """Few values, of which one is mostly a line one pixel wide between a lower and a higher."""
    values = [v for v in found.pixels if v != 255]
    if not values or values[-1] > LARGEST_CLASS:
        values = list(found.pixels)
    if not 3 <= len(values) < VERY_MANY:
        return None
    pixels, direct, masks, changing = np.zeros((3, len(values)), np.int64), Counter(), 0, 0.0
    inner = values[1:-1]
    for mask in found.masks_with(lambda held: not held.keys().isdisjoint(inner), FEW_MASKS):
        counts, pairs, share = _lines(mask, values)
        pixels, direct, masks, changing = (
            pixels + counts,
            direct + pairs,
            masks + 1,
            changing + share,
        )
    if not masks or changing > 0.5 * masks:  # noise, and masks of a few pixels
        return None
    line, beside, held = pixels
    between = [v for v in range(len(values)) if beside[v] >= FEWEST * masks]
    thin = [v for v in between if line[v] >= OF_BORDER * beside[v]]
    if thin != between:  # a tissue that lies like a skin between two others; steps of one quantity
        return None
    rest = [v for v in range(len(values)) if v not in thin]
    across = [(a, b) for a in rest for b in rest if any(a < v < b for v in thin)]
    if not thin or sum(direct[pair] for pair in across) > 2 * line[thin].sum():
        return None
    listed, kept = [values[v] for v in thin], [values[v] for v in rest]
    advice = "Make the masks anew, and resize them by nearest neighbour"
    if len(kept) == 2 and (2 * line[thin] > held[thin]).all():
        advice = f"Where there is one object, type {middle(*kept)}: values from there on are the "
        advice += "object. Else make the masks anew, and resize them by nearest neighbour"
    return error(
        "masks",
        f"the masks hold {some(values)}, of which {some(listed)} stand{'s' * (len(thin) == 1)} "
        "mostly along borders, one pixel wide, between a lower and a higher value: a grey seam, as "
        "from resizing with interpolation",
        f"{advice}. If all are classes, list them: --set data.source.mask_values={typed(values)}.",
    )


def _lines(mask: np.ndarray, values: Sequence[int]) -> tuple[np.ndarray, Counter, float]:
    """What stands beside what in a mask.

    Returns:
        (3, K) pixels of each of the values: those with a lower and a higher one among their eight
        neighbours; those with one of these, the rarer of the two; all. How often two of them, by
        their places among the values, stand side by side. The share of pixels beside another.
    """
    count, order = len(values), np.searchsorted(values, mask)
    known, window = order < count, np.ones((3, 3), np.uint8)
    low = cv2.erode(np.where(known, order, count).astype(np.float32), window)
    high = cv2.dilate(np.where(known, order, -1).astype(np.float32), window)
    lower, higher = known & (low < order), known & (high > order)
    line, below, above, held = (
        np.bincount(order[where], minlength=count)
        for where in (lower & higher, lower, higher, known)
    )
    pairs: Counter[tuple[int, int]] = Counter()
    for one, other in ((order[1:], order[:-1]), (order[:, 1:], order[:, :-1])):
        low, high = np.minimum(one, other), np.maximum(one, other)
        apart = (low < high) & (high < count)
        codes = _counts(low[apart] * count + high[apart])
        pairs.update({divmod(code, count): number for code, number in codes.items()})
    counts = np.stack([line, np.minimum(below, above), held])
    return counts, pairs, float((lower | higher).mean())


def _counts(values: np.ndarray) -> dict[int, int]:
    return {int(v): int(n) for v, n in zip(*np.unique(values, return_counts=True), strict=True)}


def _between(mask: np.ndarray) -> np.ndarray:
    """Which pixels have a lower and a higher value among their eight neighbours."""
    values, window = mask.astype(np.float32), np.ones((3, 3), np.uint8)
    return (cv2.erode(values, window) < values) & (values < cv2.dilate(values, window))
