"""How well anchors lie on boxes, and which sizes and ratios would lie better.

Boxes (N, 4) are `x1 y1 x2 y2` in pixels of the network's input, whose size is (height, width).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.detection.anchors import AnchorGrid, anchor_shapes

LOSS = 0.005  # of one recall, that a proposal may cost where it gains more of the other
ALIKE = 1.05  # times another ratio, up to which one is not given besides
ROUNDS, STARTS = 25, 8  # of k-means
MOST_BOXES = 3000  # that k-means looks at


def nearest(boxes: np.ndarray, grid: AnchorGrid, size: tuple[int, int]):
    """The anchor of the highest IoU with each box, of all places of all levels.

    For one shape the IoU falls with the distance of the centres, along x and y each, so the
    nearest place of a level is its best, and no other is looked at.

    Returns:
        Anchors (N, 4), their IoU (N,) and which shape it is (N,), counted level by level.
    """
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    best, ious = np.zeros((len(boxes), 4)), np.full(len(boxes), -1.0)
    chosen = np.zeros(len(boxes), np.int64)
    levels = zip(grid.strides, grid.shapes, strict=True)
    shapes = [(stride, shape) for stride, of_level in levels for shape in of_level]
    for number, (stride, (height, width)) in enumerate(shapes):
        last = np.ceil(np.array(size[::-1]) / stride) - 1
        place = np.clip(np.rint(centres / stride - grid.offset), 0, last) + grid.offset
        middle, own = place * stride, np.array([width, height])
        low = np.maximum(boxes[:, :2], middle - own / 2)
        high = np.minimum(boxes[:, 2:], middle + own / 2)
        common = np.clip(high - low, 0, None).prod(axis=-1)
        iou = common / (sides.prod(axis=-1) + height * width - common)
        better = iou > ious
        ious = np.where(better, iou, ious)
        chosen = np.where(better, number, chosen)
        anchor = np.concatenate([middle - own / 2, middle + own / 2], axis=-1)
        best = np.where(better[:, None], anchor, best)
    return best, ious, chosen


@dataclass(frozen=True)
class Sizes:
    """Anchors as detectors are given them: each size of a level in each ratio.

    Attributes:
        sizes: For each level square roots of areas, as many on every level.
        ratios_hw: Heights over widths, for all levels.
    """

    sizes: tuple[tuple[float, ...], ...]
    ratios_hw: tuple[float, ...]

    def grid(self, grid: AnchorGrid) -> AnchorGrid:
        """These anchors at the places of `grid`."""
        shapes = tuple(anchor_shapes(sizes, self.ratios_hw) for sizes in self.sizes)
        return AnchorGrid(grid.strides, shapes, grid.offset)


def propose(
    boxes: np.ndarray,
    classes: np.ndarray,
    grid: AnchorGrid,
    size: tuple[int, int],
    *,
    ratios_hw: Sequence[float],
    seed: int = 0,
) -> Sizes | None:
    """Sizes by level and ratios by k-means, the distance being 1 - IoU with the nearest anchor.

    Redmon and Farhadi, "YOLO9000", 2017, Section 2. https://arxiv.org/abs/1612.08242. Two things
    are otherwise: what is moved are the sizes and ratios whose combinations are the anchors, each
    to the mean (of logarithms) of the boxes that fall to it; and anchors lie where their level
    has places, which the IoU counts. Classes count alike, however many boxes they have. Of all
    rounds the one with the highest recall at IoU 0.5 and 0.7 together is taken.

    Args:
        boxes, size: See above; boxes of some area, at least one.
        classes: (N,)
        grid: The anchors there are: every size of a level in each of `ratios_hw`.
        ratios_hw: Height over width.
        seed: Of starts and of the choice among very many boxes.

    Returns:
        As many sizes a level and at most as many ratios; None where nothing is better than
        `grid`, or only at one of the two IoU and worse at the other.
    """
    rng = np.random.default_rng(seed)
    if len(boxes) > MOST_BOXES:
        some = rng.permutation(len(boxes))[:MOST_BOXES]
        boxes, classes = boxes[some], classes[some]
    weights = 1 / np.bincount(classes)[classes]
    sides = boxes[:, 2:] - boxes[:, :2]
    size_of, ratio_of = np.log(sides.prod(axis=-1)) / 2, np.log(sides[:, 1] / sides[:, 0])
    a_level, ratios = len(grid.shapes[0]) // len(ratios_hw), len(ratios_hw)
    number = len(grid.shapes) * a_level

    def recalls(of: AnchorGrid):
        _, ious, chosen = nearest(boxes, of, size)
        return np.array([np.average(ious >= t, weights=weights) for t in (0.5, 0.7)]), chosen

    own, _ = recalls(grid)
    best, highest = None, own.sum()
    for start in range(STARTS):
        log_sizes = np.quantile(size_of, (np.arange(number) + 0.5) / number)
        log_ratios = np.quantile(ratio_of, (np.arange(ratios) + 0.5) / ratios)
        if start == 1:
            log_sizes = np.log([math.sqrt(h * w) for s in grid.shapes for h, w in s[:a_level]])
            log_ratios = np.log(ratios_hw)
        elif start:
            log_sizes, log_ratios = rng.choice(size_of, number), rng.choice(ratio_of, ratios)
        for _ in range(ROUNDS):
            made = _rounded(np.sort(log_sizes), log_ratios, a_level)
            reached, chosen = recalls(made.grid(grid))
            if reached.sum() > highest and (reached >= own - LOSS).all():
                best, highest = made, reached.sum()
            # Shapes are counted by level, then by ratio, then by size.
            level, rest = np.divmod(chosen, a_level * len(made.ratios_hw))
            ratio, within = np.divmod(rest, a_level)
            log_sizes = _means(size_of, weights, level * a_level + within, np.sort(log_sizes))
            log_ratios = _means(ratio_of, weights, ratio, np.log(made.ratios_hw))
    return best


def _rounded(log_sizes: np.ndarray, log_ratios: np.ndarray, a_level: int) -> Sizes:
    """As people write them: sizes to three digits, ratios to two decimals, none nearly twice."""
    flat = [float(f"{value:.3g}") for value in np.exp(log_sizes)]
    sizes = tuple(tuple(flat[i : i + a_level]) for i in range(0, len(flat), a_level))
    ratios: list[float] = []
    for value in np.sort(np.exp(log_ratios)):
        if not ratios or value > ALIKE * ratios[-1]:
            ratios.append(max(0.01, round(float(value), 2)))
    return Sizes(sizes, tuple(ratios))


def _means(values, weights, groups, before: Sequence[float]) -> np.ndarray:
    """The mean of each group; what it was before where nothing fell to it."""
    total = np.bincount(groups, weights, minlength=len(before))
    sums = np.bincount(groups, weights * values, minlength=len(before))
    return np.where(total > 0, sums / np.maximum(total, 1e-12), before)
