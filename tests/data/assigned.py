"""Scans and records without pixels, and near-duplicates, to assign."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from tfvision.data.sources.source import Record
from tfvision.data.split.chain_blocks import Near


def data(present, *, hashes=None, groups=None, splits=None, labelled=None):
    """A scan and records of samples that hold the given classes (N, K) bool."""
    present = np.asarray(present)
    count = len(present)
    found = SimpleNamespace(
        source_name="data",
        truth="masks",
        class_pixels=present.astype(np.int64) * 7,
        image_sha256=hashes or [f"h{i}" for i in range(count)],
        num_classes=present.shape[1],
        class_names=[f"c{k}" for k in range(present.shape[1])],
    )
    records = [
        Record(
            str(i),
            "",
            splits[i] if splits else None,
            labelled[i] if labelled else True,
            groups[i] if groups else None,
            f"row {i}",
        )
        for i in range(count)
    ]
    return found, records


def random_data(seed=0, count=200, **options):
    """Five classes: two common, two less, one in 4 % of the samples."""
    rng = np.random.default_rng(seed)
    return data(rng.random((count, 5)) < [0.95, 0.7, 0.3, 0.2, 0.04], **options)


def shuffled(found, records, near, seed=0):
    """The same samples in another order: scan, records, near-duplicates, and the order."""
    order = np.random.default_rng(seed).permutation(len(records))
    place = np.argsort(order)
    again = SimpleNamespace(
        **{
            **vars(found),
            "class_pixels": found.class_pixels[order],
            "image_sha256": [found.image_sha256[i] for i in order],
        }
    )
    pairs = [tuple(sorted(int(place[i]) for i in pair)) for pair in near.pairs]
    moved = [[[int(place[i]) for i in group] for group in x] for x in (near.clusters, near.chains)]
    return again, [records[i] for i in order], Near(pairs, *moved), order


def chain_near(*chains, reach=2):
    """Near-duplicates: each member of a chain and the `reach` next ones."""
    pairs = [
        (chain[i], chain[j])
        for chain in chains
        for i in range(len(chain))
        for j in range(i + 1, min(i + 1 + reach, len(chain)))
    ]
    return Near(pairs, [list(c) for c in chains], [list(c) for c in chains])


def random_near(rng, count):
    """A chain of uneven density with a place seen twice, clusters, and samples on their own."""
    length = int(rng.integers(count // 8, count // 2))
    chain = list(range(5, 5 + length))
    reach = rng.integers(1, 4, length)
    pairs = {(i, j) for i, r in zip(chain, reach, strict=True) for j in range(i + 1, i + 1 + r)}
    pairs = {(i, j) for i, j in pairs if j < 5 + length} | {(chain[1], chain[-2])}
    rest, clusters = list(range(5 + length, count)), []
    while len(rest) > count // 4:
        size = int(rng.integers(2, 4))
        clusters.append(rest[:size])
        pairs |= set(pairwise(rest[:size]))
        rest = rest[size:]
    return Near(sorted(pairs), [chain, *clusters], [chain])


def straddles(splits, pairs):
    """Pairs whose members stand in two different splits."""
    return [(i, j) for i, j, *_ in pairs if len({splits[i], splits[j]} - {None}) == 2]


def groups_of(keys, splits):
    """Key -> the splits its samples stand in, left-out ones aside."""
    sides = {}
    for key, split in zip(keys, splits, strict=True):
        if key is not None and split is not None:
            sides.setdefault(key, set()).add(split)
    return sides
