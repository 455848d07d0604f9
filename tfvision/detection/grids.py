"""The anchors of each detector, from its arguments alone: nothing is built, TensorFlow not needed.

A function for each name of `tfvision.models.DETECTORS` takes the arguments of the builder that
anchors depend on, and returns the grid and the stride that sides of images are multiples of.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfvision.detection.anchors import AnchorGrid, anchor_shapes
from tfvision.errors import InputError

COARSEST = 32  # stride of a backbone's last map; a pyramid may go on behind it
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # Lin et al. 2017, arXiv 1708.02002, section 4


def strides_of(levels: Sequence[int]) -> tuple[int, ...]:
    """2^l of each level l.

    Raises:
        InputError: Levels that do not follow one another, or do not begin at one that a backbone
            has, 2 to 5.
    """
    levels = list(levels)
    whole = levels and all(isinstance(level, int) for level in levels)
    if not whole or levels != list(range(levels[0], levels[-1] + 1)) or not 2 <= levels[0] <= 5:
        raise InputError(
            "levels must follow one another and begin at 2 to 5, such as [3, 4, 5]. Received: "
            f"{levels}."
        )
    return tuple(2**level for level in levels)


def faster_rcnn(
    levels: Sequence[int] = (3, 4, 5),
    anchor_sizes: Sequence[Sequence[float]] | None = None,
    ratios_hw: Sequence[float] = (0.5, 1.0, 2.0),
    anchor_offset: float = 0.5,
    whole_anchors: bool = False,
) -> tuple[AnchorGrid, int]:
    """Sizes of 4 and 4 * sqrt(2) strides, unless others are given."""
    strides = strides_of(levels)
    sizes = anchor_sizes or [(4.0 * s, 4.0 * 2**0.5 * s) for s in strides]
    check_levels("anchor_sizes", sizes, len(strides))
    shapes = tuple(anchor_shapes(s, ratios_hw, whole=whole_anchors) for s in sizes)
    return AnchorGrid(strides, shapes, anchor_offset, whole_anchors), min(strides[-1], COARSEST)


def retinanet(
    levels: Sequence[int] = (3, 4, 5),
    anchor_sizes: Sequence[Sequence[float]] | None = None,
    ratios_hw: Sequence[float] = (0.5, 1.0, 2.0),
    anchor_offset: float = 0.5,
    whole_anchors: bool = False,
) -> tuple[AnchorGrid, int]:
    """Sizes of 3 strides, times 1, 2^(1/3) and 2^(2/3), unless others are given."""
    strides = strides_of(levels)
    sizes = anchor_sizes or [[3 * stride * step for step in OCTAVE] for stride in strides]
    check_levels("anchor_sizes", sizes, len(strides))
    shapes = tuple(anchor_shapes(s, ratios_hw, whole=whole_anchors) for s in sizes)
    return AnchorGrid(strides, shapes, anchor_offset, whole_anchors), min(strides[-1], COARSEST)


def ssd(
    levels: Sequence[int] = (3, 4, 5),
    extras: Sequence[Sequence[int]] = ((128, 2),),
    anchor_sizes: Sequence[float] | None = None,
    ratios: Sequence[Sequence[float]] | None = None,
    anchor_steps: Sequence[float] | None = None,
    longest: float | None = None,
) -> tuple[AnchorGrid, int]:
    """Of each level its square, one of the mean with the next one's, and pairs r : 1 and 1 : r.
    Squares of 3 strides, unless others are given."""
    strides = steps = strides_of(levels)
    for _, stride in extras:
        steps = (*steps, steps[-1] * stride)
    check_levels("anchor_steps", anchor_steps or steps, len(steps))
    steps = tuple(anchor_steps or steps)
    sizes = list(anchor_sizes or [3 * s for s in (*steps, 2 * steps[-1])])
    pairs = list(ratios or [[2]] * len(steps))
    check_levels("ratios", pairs, len(steps))
    check_levels("anchor_sizes, but for the last,", sizes[:-1], len(steps))
    for value in (*sizes, *steps, *(r for level in pairs for r in level)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise InputError(
                f"anchor_sizes, anchor_steps and ratios must be above 0. Received: {value!r}."
            )
    shapes, most = [], longest or math.inf
    for size, following, own in zip(sizes[:-1], sizes[1:], pairs, strict=True):
        between = math.sqrt(size * following)
        level = [(size, size), (between, between)]
        for ratio in own:
            long, short = size * math.sqrt(ratio), size / math.sqrt(ratio)
            level += [(short, long), (long, short)]
        shapes.append(tuple((min(height, most), min(width, most)) for height, width in level))
    return AnchorGrid(steps, tuple(shapes)), strides[-1]


GRIDS = {"faster_rcnn": faster_rcnn, "retinanet": retinanet, "ssd": ssd}


def grid_of(name: str, arguments: Mapping[str, Any]) -> tuple[AnchorGrid, int] | None:
    """Anchors and stride of a detector with these arguments; None of one that is not here.

    Raises:
        InputError: Arguments that make no anchors.
    """
    if name not in GRIDS:
        return None
    known = inspect.signature(GRIDS[name]).parameters
    given = {key: value for key, value in arguments.items() if key in known}
    try:
        return GRIDS[name](**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"The arguments {given} of {name} make no anchors: {error}.") from error


def ratios_of(name: str, arguments: Mapping[str, Any]) -> tuple[float, ...] | None:
    """`ratios_hw` of a detector whose anchors have every size of their level in each of these;
    None of another."""
    known = inspect.signature(GRIDS[name]).parameters.get("ratios_hw")
    return None if known is None else tuple(arguments.get("ratios_hw") or known.default)


def check_levels(word: str, values: Sequence, levels: int) -> None:
    """Raises an `InputError` unless there is one of `values` for each level."""
    if len(values) != levels:
        raise InputError(
            f"{word} must have one entry for each of the {levels} levels. Received: {values}."
        )
