"""Which samples show the same picture, or nearly: pairs, clusters, chains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from tfvision.data.audit import chains as runs
from tfvision.data.audit.near_duplicates import (
    Same,
    blocks_of,
    candidates,
    compare,
    detail_where_alike,
    similarity,
)
from tfvision.data.scan.duplicates import identical
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.sketch import read_thumb
from tfvision.data.split.groups import connected

WHOLE = 0.8  # mean correlation of blocks from which a pair is near without a closer look
DETAIL = 0.7  # and correlation of its detail
LIKELY = 0.6  # detail of the blocks that agree, below which a closer look would find nothing
ABOVE = 0.1  # and so much beyond what chance pairs reach once in a thousand
LOOKS = 10_000  # pairs looked at pixel by pixel, at most; the most alike ones first
COPIES = 8  # of one image, that take part in pairs with near-duplicates of it


@dataclass
class Pictures:
    """Attributes:
    near: (i, j), i < j -> similarity of images that show the same but are not equal.
    links: Those of `near` that are neighbours in a part that is in order.
    loose: Those of `links` that would not be near by themselves.
    exact: Groups of equal images.
    clusters: Connected groups of exact and near ones.
    inside: The keys of `near` that lie in each cluster.
    chains: Those of the clusters that are runs of neighbours.
    unit: A number of each sample's picture, shared by its duplicates, links aside.
    looks: What a closer look found, for those pairs that had one.
    notes: Lines to print.
    """

    near: dict[tuple[int, int], float]
    links: set[tuple[int, int]]
    loose: set[tuple[int, int]]
    exact: list[list[int]]
    clusters: list[list[int]] = field(default_factory=list)
    inside: list[list[tuple[int, int]]] = field(default_factory=list)
    chains: list[list[int]] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)
    looks: dict[tuple[int, int], Same | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def apart(self, members: Sequence[int]) -> dict[int, int]:
        """A number of each member's picture. Only what is near to each other among the members
        is one picture: `unit` has all of a long run of slices as one."""
        among = set(members)
        pairs = [(i, j) for i in among for j in self._beside.get(i, ()) if i < j and j in among]
        for group in self.exact:
            pairs += pairwise([i for i in group if i in among])
        number = {i: i for i in members}
        for group in connected(pairs):
            number.update(dict.fromkeys(group, group[0]))
        return number

    @cached_property
    def _beside(self) -> dict[int, list[int]]:
        beside: dict[int, list[int]] = {}
        for i, j in set(self.near) - self.loose:
            beside.setdefault(i, []).append(j)
            beside.setdefault(j, []).append(i)
        return beside

    def pairs(self) -> list[tuple[int, int, float]]:
        """(i, j, similarity), sorted; of equal images each with the next, 1.0."""
        exact = {pair: 1.0 for group in self.exact for pair in pairwise(group)}
        return [(i, j, value) for (i, j), value in sorted({**self.near, **exact}.items())]


def find_pictures(
    facts: Sequence[Facts | None], parts: Sequence[str], image_sha256: Sequence[str]
) -> Pictures:
    """Compares all images with all others, by their thumbnails.

    Args:
        facts: Of each sample, None where it was not read.
        parts: The part each sample stands in; neighbours are looked for within one.
        image_sha256: Of each image, "" where it was not read.
    """
    exact = identical(image_sha256)
    read = [i for i, value in enumerate(image_sha256) if value and facts[i] is not None]
    if len(read) < 2:
        return _clustered(Pictures({}, set(), set(), exact), facts)
    thumbs = np.stack([read_thumb(facts[i].sketch.thumb) for i in read])
    blocks, counts = blocks_of(thumbs)
    hashes = [image_sha256[i] for i in read]
    alone = _first_of_each(hashes)
    linked, alike = runs.neighbour_links(blocks, counts, [parts[i] for i in read])
    ordered = {(i, j) for i, j in linked.tolist()}
    near, looks, notes = _near(thumbs, blocks, counts, alone, hashes=hashes, linked=ordered)
    found = Pictures({}, set(), set(), exact, notes=notes)
    copies = {group[0]: group for group in exact}
    for (a, b), value in near.items():
        for i in copies.get(read[a], [read[a]])[:COPIES]:
            for j in copies.get(read[b], [read[b]])[:COPIES]:
                found.near[min(i, j), max(i, j)] = value
    found.looks = {(read[a], read[b]): same for (a, b), same in looks.items()}
    for (a, b), value in zip(linked.tolist(), alike.tolist(), strict=True):
        if image_sha256[read[a]] != image_sha256[read[b]]:
            pair = read[a], read[b]
            found.links.add(pair)
            if pair not in found.near:
                found.loose.add(pair)
                found.near[pair] = round(float(value), 4)
    return _clustered(found, facts)


def _first_of_each(hashes: Sequence[str]) -> np.ndarray:
    return np.array(sorted({value: i for i, value in reversed(list(enumerate(hashes)))}.values()))


def _near(thumbs, blocks, counts, alone, hashes, linked):
    """Near pairs (places in `thumbs`) -> similarity, closer looks, notes."""
    pairs = alone[candidates(blocks[:, alone], counts[alone])]
    values = similarity(blocks, counts, pairs[:, 0], pairs[:, 1])
    whole, alike = detail_where_alike(thumbs, blocks, pairs[:, 0], pairs[:, 1])
    sure = (values >= _whole(blocks, counts, alone, hashes)) & (whole >= DETAIL)
    near, looks, notes = {}, {}, []
    for place in np.argsort(-values, kind="stable").tolist():
        pair = int(pairs[place, 0]), int(pairs[place, 1])
        if not sure[place]:
            # Neighbours in order are near as it is; what is unlike in detail needs no look.
            if pair in linked or alike[place] < LIKELY:
                continue
            if len(looks) == LOOKS:
                notes = [f"more than {LOOKS} pairs of images are alike: not all were compared"]
                break
            looks[pair] = compare(thumbs[pair[0]], thumbs[pair[1]])
            if looks[pair] is None:
                continue
        near[pair] = round(float(np.clip(values[place], 0, 1)), 4)
    return near, looks, notes


def _whole(blocks, counts, alone, hashes) -> float:
    """From which similarity a pair is near at once. Where all pictures are alike, as aligned
    scans of many people are, more is asked."""
    order = np.array(sorted(alone.tolist(), key=lambda i: hashes[i]))  # by chance, yet the same
    chance = [
        similarity(blocks, counts, order[:-lag], order[lag:])
        for lag in range(1, 9)
        if lag < len(order)
    ]
    usual = float(np.quantile(np.concatenate(chance), 0.999)) if len(order) >= 50 else 0.0
    return max(WHOLE, min(usual + ABOVE, 0.97))


def _clustered(found: Pictures, facts: Sequence[Facts | None]) -> Pictures:
    exact = [pair for group in found.exact for pair in pairwise(group)]
    found.clusters = connected([*found.near, *exact])
    found.unit = list(range(len(facts)))
    for group in connected([*(set(found.near) - found.loose), *exact]):
        for i in group:
            found.unit[i] = group[0]
    place = {i: number for number, cluster in enumerate(found.clusters) for i in cluster}
    found.inside = [[] for _ in found.clusters]
    for pair in sorted(found.near):
        found.inside[place[pair[0]]].append(pair)
    together = zip(found.clusters, found.inside, strict=True)
    found.chains = [c for c, inside in together if _is_chain(c, inside, found, facts)]
    return found


def _is_chain(
    cluster: list[int],
    inside: list[tuple[int, int]],
    found: Pictures,
    facts: Sequence[Facts | None],
) -> bool:
    """A run of different frames, not copies of one, nor a picture and its stained copy."""
    if not found.links.intersection(inside):
        return False
    if len({facts[i].image_sha256 for i in cluster}) > 2:
        return runs.is_chain(cluster, set(inside))
    same = compare(*(read_thumb(facts[i].sketch.thumb) for i in inside[0]))
    return found.links.issuperset(inside) and (same is None or not same.altered.any())
