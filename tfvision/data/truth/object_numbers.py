"""Numbers of objects in masks: 1, 2, 3, ... for the first, second, third cell are no classes."""

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.truth.classes import some
from tfvision.data.truth.mask_values import THRESHOLD, MaskValues, error, typed

FEWEST_IDS = 4  # numbers of objects, at most, that could as well be classes
LOOKED_AT = 60  # masks whose objects are compared where numbers are that few
ALIKE = (0.1, 0.9)  # how often what is numbered 1 is larger, higher, ... than what is numbered 2
OF_BORDER = 0.5  # of an object's rim, that touches other objects: parts of one thing
FEWEST = 6, 4  # objects numbered 1 and 2 that are compared


def object_numbers(found: MaskValues) -> Issue | None:
    """Why values number objects, by the masks alone; None: they may be classes.

    Each mask has 1, 2, ..., n, up to a number that is seldom one of classes; or numbers go on from
    mask to mask.
    """
    numbers = [v for v in found.pixels if v > 0]
    if len(numbers) < FEWEST_IDS or numbers[0] < 1 or min(found.pixels) < 0:
        return None
    own = [[v for v in values if v > 0] for values in found.of.values()]
    own = [sorted(values) for values in own if values]
    in_turn = sum(values == list(range(1, len(values) + 1)) for values in own)
    once = sum(found.images[v] == 1 for v in numbers)
    numbered = in_turn >= 0.9 * len(own) and len({len(values) for values in own}) > 2
    across = len(own) > 1 and once >= 0.9 * len(numbers) and len(numbers) > 1.2 * len(own)
    if not numbered and not across:
        return None
    if _single(found.masks_with(lambda values: max(values) > 0)) < 0.9:
        return None
    example = f"1 to {numbers[-1]}" if numbered else some(numbers, limit=4)
    return error(
        "masks",
        f"the masks number their objects ({example}): each value is one connected object, and "
        f"masks hold {min(map(len, own))} to {max(map(len, own))} of them. Numbers of objects are "
        "no classes",
        _advice(found),
    )


def few_numbers(found: MaskValues, sample_of: Callable[[int], Any]) -> Issue | None:
    """Why values up to 2 or 3, which classes have too, number objects; None: they may be classes.

    Each mask holds 1 to n, n differs, each is one object apart from the others, and first and
    second ones differ in nothing: neither in size nor in place nor in colour.

    Args:
        found: The values.
        sample_of: The sample of a place, with image and mask.
    """
    numbers = [v for v in found.pixels if v > 0]
    own = [sorted(v for v in values if v > 0) for values in found.of.values()]
    own = [values for values in own if values]
    in_turn = all(values == list(range(1, len(values) + 1)) for values in own)
    if not 2 <= len(numbers) < FEWEST_IDS or min(found.pixels) < 0 or not in_turn:
        return None
    several = sum(len(values) > 1 for values in own)
    if min(several, len(own) - several) < 2:
        return None
    first, second = _compared(found, sample_of)
    if len(first) < FEWEST[0] or len(second) < FEWEST[1]:
        return None
    more = first[:, None] - second
    share = ((more > 0) + 0.5 * (more == 0)).mean(axis=(0, 1))
    if share.min() < ALIKE[0] or share.max() > ALIKE[1]:
        return None
    counts = sorted({len(values) for values in own})
    return error(
        "masks",
        f"the masks may number their objects (1 to {numbers[-1]}): they hold "
        f"{' or '.join(map(str, counts))} values above 0, from 1 on without a gap, each of them "
        "one connected object apart from the others, and those of number 1 differ from those of "
        "number 2 neither in size nor in place nor in colour. Numbers of objects are no classes",
        _advice(found),
    )


def _compared(found: MaskValues, sample_of: Callable[[int], Any]) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) and (m, k): area, row, column and mean colour of the objects numbered 1, and 2; none
    where numbers are not mostly single objects that stand apart."""
    objects: dict[int, list[list[float]]] = {1: [], 2: []}
    single, apart = [], []
    for sample in map(sample_of, found.some(lambda values: max(values) > 0, LOOKED_AT)):
        mask = sample.mask
        for value in np.unique(mask[mask > 0]):
            area = mask == value
            single.append(_is_single(area))
            rim = (cv2.dilate(area.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~area
            apart.append(bool(rim.any()) and (mask[rim] > 0).mean() < OF_BORDER)
            if value in objects:
                place = np.argwhere(area).mean(axis=0) / mask.shape
                objects[int(value)].append([area.mean(), *place, *sample.image[area].mean(axis=0)])
    if not single or min(np.mean(single), np.mean(apart)) < 0.9:
        return np.zeros((0, 1)), np.zeros((0, 1))
    return np.array(objects[1]), np.array(objects[2])


def _advice(found: MaskValues) -> str:
    return (
        f"For object against background (mask > 0) type {THRESHOLD}1. If the numbers are classes "
        f"all the same, list them: --set data.source.mask_values={typed(list(found.pixels), 16)}."
    )


def _single(masks: Iterable[np.ndarray]) -> float:
    """The share of values above 0 that are one connected object of their mask."""
    single = [
        _is_single(mask == value) for mask in masks for value in np.unique(mask[mask > 0])[:64]
    ]
    return float(np.mean(single)) if single else 0.0


def _is_single(area: np.ndarray) -> bool:
    return cv2.connectedComponents(area.astype(np.uint8))[0] == 2
