"""Which of two pictures, the same but for one region, holds the stain."""

from typing import Any

import cv2
import numpy as np

from tfvision.data.audit.near_duplicates import Same, grown

CLEAR, CLEAREST = 2.0, 4.0  # times as high a jump
LEAST = 6  # pixels of the region
FAINTER = 1.6  # times as much as a stain leaves of what it covers
CONSTANT = 4.0  # grey levels of a thumbnail, that a stain may have by noise
ALIKE = 0.9  # correlation of what lies below a stain with what it is without
EDGE = 5.0  # grey levels; the least jump at a stain's outline
ACROSS = 3  # pixels: the outline of a reduced picture is blurred


def stained(first: np.ndarray, second: np.ndarray, same: Same) -> tuple[int | None, dict[str, Any]]:
    """Which of a pair holds the stain: 0, 1, or None where that is undecided.

    A stain is constant but for noise, or lets through, fainter, what it covers; and its outline
    is an edge, which the other picture has there only by chance. So what lies inside is
    compared, and the mean jump across the outline. Frames of one scene differ in a region too,
    but what moved is neither.

    Args:
        first, second, same: Thumbnails (32, 32), and what `near.compare` found.

    Returns:
        The answer, and the measured values.
    """
    if same.altered.sum() < LEAST:
        return None, {}
    pair = first * same.gain, second
    inside = _inner(same.altered)
    jumps = [_jump(picture, same.altered) for picture in pair]
    spreads = [float(picture[inside].std()) for picture in pair]
    evidence = {
        "altered_share": round(float(same.altered.mean()), 3),
        "jump_at_outline": [round(jump, 1) for jump in jumps],
        "spread_inside": [round(spread, 1) for spread in spreads],
    }
    some = [picture[inside] - picture[inside].mean() for picture in pair]
    alike = float((some[0] * some[1]).mean()) / max(spreads[0] * spreads[1], 1e-6)
    covered = [
        spreads[i] <= CONSTANT
        or (alike >= ALIKE and (spreads[i] + 1) * FAINTER <= spreads[1 - i] + 1)
        for i in (0, 1)
    ]
    # Where both are constant the outline decides, but it may do so by chance.
    edge = [(jumps[i] + 2) / (jumps[1 - i] + 2) for i in (0, 1)]  # two grey levels are nothing
    held = [
        i
        for i in (0, 1)
        if covered[i]
        and jumps[i] >= EDGE
        and edge[i] >= (CLEAREST if covered[1 - i] else 1 / CLEAR)
    ]
    return (held[0] if len(held) == 1 else None), evidence


def _inner(region: np.ndarray) -> np.ndarray:
    """The region without its rim, which is blurred; all of it where little is left."""
    inner = cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return inner if inner.sum() >= LEAST else region


def _jump(picture: np.ndarray, region: np.ndarray) -> float:
    """Mean difference across the outline of the region, in grey levels; 0 without one."""
    outside = ~grown(region)
    jumps = []
    for turns in range(4):
        turned, inner, beyond = (np.rot90(x, turns) for x in (picture, region, outside))
        edge = inner[:-ACROSS] & ~inner[1 : 1 - ACROSS] & beyond[ACROSS:]
        jumps.append(np.abs(turned[:-ACROSS] - turned[ACROSS:])[edge])
    values = np.concatenate(jumps)
    return float(values.mean()) if len(values) else 0.0
