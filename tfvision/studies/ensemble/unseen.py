"""What no member of an ensemble trained on: the samples its scores may be made of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.recorded import PARTS, at
from tfvision.studies.ensemble.members import Member


def prepare_unseen(
    members: Sequence[Member], path: Path | None = None
) -> tuple[Prepared, list[str]]:
    """The members' data; a sample is test or val only where no member has trained on it.

    Test is what all members have in test; val what each of them has in val or test. All else,
    near-duplicates that one of them left out among it, counts as train.

    Args:
        members: The runs.
        path: Where the data of the first lies now; None: where it was.
    """
    first = members[0]
    try:
        prepared = prepare(at(first.config.data, path), seed=first.config.seed, known=first.data)
    except InputError as error:
        raise InputError(
            f"An ensemble is scored on its members' data. {first.path}: {error}"
        ) from error
    notes = []
    other = next((m for m in members if m.data["fingerprint"] != first.data["fingerprint"]), None)
    if other is not None:
        notes.append(
            f"{first.path} and {other.path} were trained on different data, so no sample is known "
            "to be new to all members: the ensemble has no scores of its own. Score it on new "
            "data: python -m tfvision evaluate, with --data."
        )
    where = [_splits_by_key(member.data) for member in members]
    new = list(prepared.splits)
    for key, places in _places_of(prepared).items():
        found = set().union(*(splits.get(key, {"left out"}) for splits in where))
        split = "test" if found == {"test"} else "val" if found <= {"val", "test"} else "train"
        for i in places:
            new[i] = "train" if other is not None else split
    if other is None and "test" in prepared.splits and "test" not in new:
        notes.append(
            "No sample is in the test part of all members: the ensemble has no test score. Train "
            "them with one data.splits, or one seed."
        )
    how = "what no member of the ensemble trained on: test where it is test in all, else val"
    return replace(prepared, splits=new, how=how), notes


def _splits_by_key(data: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """(id, hash) of a sample -> the splits it is in; equal rows of several parts share a key."""
    found: dict[tuple[str, str], set[str]] = {}
    for split in PARTS:
        for key in _keys_of(data, split):
            found.setdefault(key, set()).add(split)
    return found


def _keys_of(data: dict[str, Any], split: str) -> list[tuple[str, str]]:
    """(id, hash of its image and truth) of each sample of a split, as a `data.json` has them."""
    return list(zip(data["splits"][split], data["hashes"][split], strict=True))


def _places_of(prepared: Prepared) -> dict[tuple[str, str], list[int]]:
    """(id, hash) of a sample -> its places in the source; equal rows of parts share a key."""
    record = prepared.record()
    found: dict[tuple[str, str], list[int]] = {}
    for split in PARTS:
        rows = zip(prepared.indices(split, labelled=False), _keys_of(record, split), strict=True)
        for i, key in rows:
            found.setdefault(key, []).append(i)
    return found
