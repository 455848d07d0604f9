"""Rules that need connected components (OpenCV); they act on the labels of a whole image.

They come after the rules of single pixels, at the image's own size, wherever predictions are
scored or written. They are no part of an exported graph, nor of validation while training.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from tfvision.errors import InputError
from tfvision.postprocess.pixelwise import Rule, decode

ComponentRule = Callable[[np.ndarray], np.ndarray]


def smallest_component(
    *, num_classes: int, pixels: int, classes: Sequence[int] | None = None
) -> ComponentRule:
    """Components of fewer than `pixels` pixels get the label that surrounds them.

    A component is a set of pixels of one label that touch by side or corner. All small ones
    of all `classes` go at once: each gets the label it shares most of its border with,
    counted in pixel sides, the lowest of equal ones; other small components do not count
    before they have got a label themselves. So no small component of `classes` is left, and
    the order of classes does not matter. Labels are never new ones, as a runner-up class
    could be. An image of nothing but small components stays as it is.

    Args:
        num_classes: K.
        pixels: At least 2.
        classes: Those whose components may go; None: all.

    Returns:
        `labels (H, W) -> labels (H, W)` of the same dtype, a new array.

    Raises:
        InputError: `pixels` is no such number, or there is no such class.
    """
    chosen = _check("smallest_component", num_classes, pixels, classes)

    def rule(labels: np.ndarray) -> np.ndarray:
        regions, count = np.zeros(labels.shape, np.int32), 0
        for k in np.intersect1d(chosen, labels):
            of_class, areas = _components(labels == k, connectivity=8)[:2]
            small = areas < pixels
            small[0] = False  # what is not of the class
            numbers = np.where(small, count + np.cumsum(small), 0)
            regions += numbers[of_class].astype(np.int32)
            count += int(small.sum())
        return _fill_from_borders(labels.copy(), regions, count, num_classes)

    return rule


def fill_holes(
    *, num_classes: int, pixels: int, classes: Sequence[int] | None = None
) -> ComponentRule:
    """Holes of fewer than `pixels` pixels get the class around them.

    A hole of a class is a set of pixels of other labels, of one or several, that touch by
    their sides, lie all around against pixels of the class, and do not touch the border of
    the image. Classes are taken in the order given, each with the labels the one before left.

    Args:
        num_classes: K.
        pixels: At least 2.
        classes: Those whose holes are filled; None: all, 0 first.

    Returns:
        `labels (H, W) -> labels (H, W)` of the same dtype, a new array.

    Raises:
        InputError: `pixels` is no such number, or there is no such class.
    """
    chosen = _check("fill_holes", num_classes, pixels, classes)

    def rule(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        height, width = labels.shape
        for k in chosen:
            others, areas, boxes = _components(labels != k, connectivity=4)
            left, top, right, bottom = boxes.T
            inside = (left > 0) & (top > 0) & (right < width) & (bottom < height)
            hole = inside & (areas < pixels)
            hole[0] = False  # the class itself
            labels[hole[others]] = k
        return labels

    return rule


def decode_images(
    rules: Sequence[Rule], component_rules: Sequence[ComponentRule]
) -> Callable[[np.ndarray], np.ndarray]:
    """`probabilities (B, H, W, K) -> labels (B, H, W) uint8`: all that stands between them.

    Args:
        rules: Of single pixels; they come first.
        component_rules: In order.
    """
    of_pixels = decode(rules)

    def labels(probabilities: np.ndarray) -> np.ndarray:
        found = np.asarray(of_pixels(probabilities))
        for rule in component_rules:
            found = np.stack([rule(image) for image in found])
        return found

    return labels


def _components(mask: np.ndarray, *, connectivity: int):
    """Numbers (H, W) int32, 0 off the mask; areas (n,); boxes (n, 4) left, top, right, bottom."""
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    corner, size = stats[:, :2], stats[:, 2:4]
    return numbers, stats[:, cv2.CC_STAT_AREA], np.concatenate([corner, corner + size], axis=1)


def _fill_from_borders(
    labels: np.ndarray, regions: np.ndarray, count: int, num_classes: int
) -> np.ndarray:
    """Gives regions 1 to `count` the label they border on most, from the outside in."""
    while regions.any():
        votes = np.zeros((count + 1) * num_classes, np.int64)
        for near, far in _neighbours(regions, labels):
            for (region, _), (other, label) in ((near, far), (far, near)):
                counts = (region > 0) & (other == 0)
                pairs = region[counts].astype(np.int64) * num_classes + label[counts]
                votes += np.bincount(pairs, minlength=votes.size)
        votes = votes.reshape(-1, num_classes)
        bordering = votes.any(axis=1)[regions]
        if not bordering.any():  # nothing but small components
            break
        labels[bordering] = np.argmax(votes, axis=1)[regions[bordering]]
        regions = np.where(bordering, 0, regions)
    return labels


def _neighbours(*arrays: np.ndarray):
    """Each pixel of the arrays beside the one below it, and beside the one to its right."""
    yield [a[:-1] for a in arrays], [a[1:] for a in arrays]
    yield [a[:, :-1] for a in arrays], [a[:, 1:] for a in arrays]


def _check(name: str, num_classes: int, pixels: int, classes: Sequence[int] | None) -> list[int]:
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 2:
        raise InputError(
            f"{name}(pixels=...) is a number of pixels, a whole number of at least 2: what has "
            f"fewer goes. Received: {pixels!r}."
        )
    chosen = list(range(num_classes)) if classes is None else classes
    right = isinstance(chosen, list | tuple) and chosen and len(set(chosen)) == len(chosen)
    if not right or not all(type(k) is int and 0 <= k < num_classes for k in chosen):
        raise InputError(
            f"{name}(classes=...) must list classes of 0 to {num_classes - 1}, each once, or be "
            f"left out for all. Received: {classes!r}."
        )
    return list(chosen)
