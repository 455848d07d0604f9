"""Data split anew by the record of another run, samples recognised by their content."""

from dataclasses import replace
from typing import Any

from tfvision.recipe.dataset import Prepared

PARTS = ("train", "val", "test")


def resplit(prepared: Prepared, known: dict[str, Any]) -> Prepared:
    """The data of an ensemble's first member, split as the ensemble's `data.json` says."""
    splits = {key: split for split in PARTS for key in keys_of(known, split)}
    new = list(prepared.splits)
    for key, places in places_of(prepared).items():
        for i in places:
            new[i] = splits.get(key, new[i])
    return replace(prepared, splits=new, how=known["how"])


def keys_of(data: dict[str, Any], split: str) -> list[tuple[str, str]]:
    """(id, hash of its image and truth) of each sample of a split, as a `data.json` has them."""
    return list(zip(data["splits"][split], data["hashes"][split], strict=True))


def places_of(prepared: Prepared) -> dict[tuple[str, str], list[int]]:
    """(id, hash) of a sample -> its places in the source; equal rows of parts share a key."""
    record = prepared.record()
    found: dict[tuple[str, str], list[int]] = {}
    for split in PARTS:
        rows = zip(prepared.indices(split, labelled=False), keys_of(record, split), strict=True)
        for i, key in rows:
            found.setdefault(key, []).append(i)
    return found
