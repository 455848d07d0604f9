"""Which of two pictures, the same but for one region, holds the stain."""

from typing import Any

import numpy as np

from tfvision.data.audit.near_duplicates import Same, grown

CLEAR = 2.0  # times as much
LEAST = 6  # pixels of the region
ACROSS = 3  # pixels: the outline of a reduced picture is blurred


def stained(first: np.ndarray, second: np.ndarray, same: Same) -> tuple[int | None, dict[str, Any]]:
    """Which of a pair holds the stain: 0, 1, or None where that is undecided.

    A stain's outline is an edge in the picture that holds it, and none in the other, but
    by chance; so the mean jumps across the outline are compared. How smooth the region is
    inside says nothing: covers are smooth, but so is much that a stain covers.

    Args:
        first, second, same: Thumbnails (32, 32), and what `near.compare` found.

    Returns:
        The answer, and the measured values.
    """
    if same.altered.sum() < LEAST:
        return None, {}
    jumps = [_jump(picture, same.altered) for picture in (first * same.gain, second)]
    evidence = {
        "altered_share": round(float(same.altered.mean()), 3),
        "jump_at_outline": [round(jump, 1) for jump in jumps],
    }
    ratio = (jumps[0] + 2) / (jumps[1] + 2)  # grey levels; two are nothing
    if max(ratio, 1 / ratio) < CLEAR:
        return None, evidence
    return (0 if ratio > 1 else 1), evidence


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
