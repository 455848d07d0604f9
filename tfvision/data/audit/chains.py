"""Runs of neighbours: frames of a video or slices of a volume, as opposed to chance pairs."""

from collections.abc import Sequence

import numpy as np

from tfvision.data.audit.near_duplicates import similarity

REACH = 8  # places in the order of the source that a link may span: a few breaks are allowed
FLOOR = 0.5  # mean correlation of blocks that a link needs at least
MARGIN = 0.05  # beyond what samples far apart reach once in a thousand
FEWEST = 12  # samples of a part below which nothing is said


def neighbour_links(
    blocks: np.ndarray, counts: np.ndarray, parts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Links between neighbours of a part that is in the order of time or place.

    What counts as alike is taken from the data: neighbours must be more alike than samples
    far apart ever are. A part is in order where links follow each other, i to i + 1 to
    i + 2, in at least 3 % of the places; single duplicates side by side do not make one.

    Args:
        blocks, counts: As `near.blocks_of` gives them.
        parts: The part of each sample; samples of a part stand together.

    Returns:
        Pairs (P, 2), i < j, and their similarity (P,).
    """
    pairs, values = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for members in _members(parts):
        limit = _limit(blocks, counts, members)
        linked = [
            (i, j, similarity(blocks, counts, i, j))
            for i, j in ((members[:-lag], members[lag:]) for lag in range(1, REACH + 1))
        ]
        next_one = linked[0][2] >= limit
        successive = int((next_one[1:] & next_one[:-1]).sum())
        if successive < max(2, 0.03 * len(members)):
            continue
        for i, j, alike in linked:
            keep = alike >= limit
            pairs.append(np.stack([i[keep], j[keep]], axis=1))
            values.append(alike[keep])
    return np.concatenate(pairs), np.concatenate(values)


def _members(parts: Sequence[str]) -> list[np.ndarray]:
    places: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        places.setdefault(part, []).append(index)
    return [np.array(found) for found in places.values() if len(found) >= FEWEST]


def _limit(blocks: np.ndarray, counts: np.ndarray, members: np.ndarray) -> float:
    """What samples a quarter to three quarters of the part apart seldom reach."""
    number = len(members)
    lags = sorted({max(3, int(number * share)) for share in np.linspace(0.25, 0.75, 9)})
    far = [similarity(blocks, counts, members[:-lag], members[lag:]) for lag in lags]
    return max(FLOOR, float(np.quantile(np.concatenate(far), 0.999)) + MARGIN)


def is_chain(members: Sequence[int], links: set[tuple[int, int]]) -> bool:
    """Whether at least four fifths of a sorted cluster are linked to one of the next three
    members or of the three before."""
    linked = set()
    for place, i in enumerate(members):
        for j in members[place + 1 : place + 4]:
            if (i, j) in links:
                linked |= {i, j}
    return len(linked) >= 0.8 * len(members)
