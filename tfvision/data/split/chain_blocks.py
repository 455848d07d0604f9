"""Near-duplicates and splits: chains cut into blocks, and the gap that keeps splits apart.

The frames of a video or the slices of a volume form a chain in which each sample is nearly
the one before. Shuffled, they put nearly every test image into training as well; moved
as one, they leave nothing to share out. So a chain is cut into contiguous blocks, the
blocks are shared out, and what is too near to another split is left out. Where chains show
that a part of the data is in the order of time or place, all of it is cut so: frames
between two chains, of a faster drive, are of the same streets.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tfvision.data.sources.source import Record

LONG, ORDERED = 5, 0.25  # length of a chain, and share of a part in such: the part is in order
ROLES = {None: 0, "train": 1, "val": 2, "test": 3}  # the lower gives way to the higher


@dataclass(frozen=True)
class Near:
    """What is nearly equal in a data set, as an audit finds it.

    Attributes:
        pairs: (i, j, ...) of indices of records that are near-duplicates.
        clusters: Groups of indices that such pairs connect, chains among them or not.
        chains: Those that are runs of neighbours, each in the order of the run.
    """

    pairs: Sequence[Sequence[float]] = ()
    clusters: Sequence[Sequence[int]] = ()
    chains: Sequence[Sequence[int]] = ()

    def sequences(self, records: Sequence[Record]) -> list[list[int]]:
        """What may be cut: labelled samples in order, each of a part, or of a chain.

        A part is in order where chains of at least 5 hold a quarter of its samples.
        """
        chains = [[i for i in chain if records[i].labelled] for chain in self.chains]
        parts: dict[str, list[int]] = {}
        for index, record in enumerate(records):
            if record.labelled:
                parts.setdefault(record.part, []).append(index)
        linked = {i for chain in chains if len(chain) >= LONG for i in chain}
        ordered = [m for m in parts.values() if len(linked.intersection(m)) >= ORDERED * len(m)]
        inside = {i for members in ordered if linked for i in members}
        others = [chain for chain in chains if not inside.intersection(chain)]
        return [*(ordered if linked else []), *(chain for chain in others if len(chain) > 1)]

    def loose(self, records: Sequence[Record]) -> list[list[int]]:
        """The clusters that are in no sequence: they are never cut."""
        placed = {i for sequence in self.sequences(records) for i in sequence}
        return [list(cluster) for cluster in self.clusters if not placed.intersection(cluster)]

    def links(self, records: Sequence[Record]) -> np.ndarray:
        """(M, 2) indices of labelled records that may not stand in two splits.

        They are the near-duplicates, and the neighbours in a sequence: the gap at a border
        is one sample even where the pictures on its two sides differ, unless one group ends
        and another begins there.
        """
        neighbours = [pair for members in self.sequences(records) for pair in pairwise(members)]
        neighbours = [pair for pair in neighbours if not _other_group(records, *pair)]
        pairs = [pair[:2] for pair in self.pairs]
        links = np.asarray([*pairs, *neighbours], np.int64).reshape(-1, 2)
        labelled = np.array([record.labelled for record in records], bool)
        return links[labelled[links].all(axis=1)]


def _other_group(records: Sequence[Record], first: int, second: int) -> bool:
    """Whether two samples are of two groups."""
    return records[first].group != records[second].group


def parted(
    sequence: Sequence[int], records: Sequence[Record], crossing: np.ndarray
) -> list[list[int]]:
    """A sequence in pieces: parted where a group ends and no near-duplicates cross the border.

    Args:
        sequence: n indices, in order.
        records: Those of the source.
        crossing: (n + 1,) as `crossings` counts them.
    """
    borders = [
        place
        for place, pair in enumerate(pairwise(sequence), 1)
        if _other_group(records, *pair) and not crossing[place]
    ]
    return [list(sequence[a:b]) for a, b in pairwise([0, *borders, len(sequence)])]


def within_groups(chain: Sequence[int], records: Sequence[Record]) -> np.ndarray:
    """(n + 1,) bool: whether a border before each place of a chain would part a group."""
    inside = [
        records[i].group is not None and not _other_group(records, i, j) for i, j in pairwise(chain)
    ]
    return np.array([False, *inside, False])


def runs(sequence: Sequence[int], free: set[int]) -> list[list[int]]:
    """The stretches of two samples or more of a sequence that may be assigned."""
    found: list[list[int]] = [[]]
    for index in sequence:
        if index in free:
            found[-1].append(index)
        else:
            found.append([])
    return [run for run in found if len(run) > 1]


def cut(
    chain: Sequence[int], length: float, crossing: np.ndarray, *, phase: float
) -> list[list[int]]:
    """A chain in contiguous blocks of about a length.

    Each border moves by at most a quarter of the length to where the fewest pairs cross
    it: between two scenes rather than within one.

    Args:
        chain: Indices, in order.
        length: Of a block, in samples. The first and the last have half to one and a half
            of it; each border that moves adds or takes up to a quarter.
        crossing: (n + 1,) as `crossings` counts them.
        phase: In [0, 1): moves all borders by this share of the length.
    """
    count = round(len(chain) / length)
    if count < 2:
        return [list(chain)]
    step = len(chain) / count
    borders = {0, len(chain)}
    for nominal in ((k + phase) * step for k in range(count)):
        if step / 2 <= nominal <= len(chain) - step / 2:
            low, high = np.ceil(nominal - step / 4), np.floor(nominal + step / 4)
            window = [*range(int(low), int(high) + 1)] or [round(nominal)]
            borders.add(min(window, key=lambda p: (crossing[p], abs(p - nominal), p)))
    edges = sorted(borders)
    return [list(chain[a:b]) for a, b in pairwise(edges)]


def crossings(chain: Sequence[int], pairs: np.ndarray, num_records: int) -> np.ndarray:
    """How many pairs have one member before each place of a chain, and one behind.

    Args:
        chain: n indices, in order.
        pairs: (M, 2) indices of near-duplicates; those outside the chain do not count.
        num_records: Number of all records.

    Returns:
        (n + 1,) int64; entry p speaks of a border before the p-th member.
    """
    place = np.full(num_records, -1)
    place[list(chain)] = np.arange(len(chain))
    inside = np.sort(place[pairs], axis=1)
    inside = inside[inside[:, 0] >= 0]
    steps = np.zeros(len(chain) + 2, np.int64)
    np.add.at(steps, inside[:, 0] + 1, 1)
    np.add.at(steps, inside[:, 1] + 1, -1)
    return steps.cumsum()[:-1]


def leave_out(
    splits: Sequence[str | None], links: np.ndarray, *, given: Iterable[int] = ()
) -> list[str | None]:
    """Splits without the samples that stand too near to another split.

    Of a link between validation and test the validation sample is left out (None), of one
    between training and either the training sample, unless the data gives it its split:
    then the other one. Where the data gives both, both stay.

    Args:
        splits: "train", "val", "test" or None of each record.
        links: (M, 2) indices that may not stand in two splits; see `Near.links`.
        given: Indices of the records whose split the data gives.
    """
    role = np.array([ROLES[split] for split in splits], np.int64)
    fixed = np.zeros(len(role), bool)
    fixed[list(given)] = True
    links = np.concatenate([links, links[:, ::-1]])

    def drop(low: int, *, low_is_fixed: bool) -> None:
        low_end, high_end = links[:, 0], links[:, 1]
        near = (role[low_end] == low) & (role[high_end] > low) & (fixed[low_end] == low_is_fixed)
        gone = high_end[near & ~fixed[high_end]] if low_is_fixed else low_end[near]
        role[gone] = 0

    # What gives way to a given sample goes first: it may spare others.
    for low in (ROLES["val"], ROLES["train"]):
        drop(low, low_is_fixed=True)
        drop(low, low_is_fixed=False)
    names = {number: name for name, number in ROLES.items()}
    return [names[number] for number in role.tolist()]


def straddling(
    records: Sequence[Record],
    splits: Sequence[str | None],
    pairs: Iterable[Sequence[float]],
) -> list[str]:
    """One sentence for each two splits that near-duplicates of labelled samples stand in."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for pair in pairs:
        both = sorted((int(i) for i in pair[:2]), key=lambda i: ROLES[splits[i]])
        names = tuple(splits[i] for i in both)
        if names[0] in (None, names[1]) or not all(records[i].labelled for i in both):
            continue
        counts[names] += 1
        first.setdefault(names, " and ".join(repr(records[i].id) for i in both))
    return [
        f"{count} pairs of nearly equal images stand in {low} and {high} (first: "
        f"{first[low, high]}): scores on {high} are better than they would be on new images"
        for (low, high), count in sorted(counts.items())
    ]
