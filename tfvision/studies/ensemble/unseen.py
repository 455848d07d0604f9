"""What no member of an ensemble trained on: the samples its scores may be made of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.resplit import PARTS, keys_of, places_of
from tfvision.runs.record import data_differences
from tfvision.studies.ensemble.members import Member


def prepare_unseen(members: Sequence[Member]) -> tuple[Prepared, list[str]]:
    """The members' data; a sample is test or val only where no member has trained on it.

    Test is what all members have in test; val what each of them has in val or test. All else,
    near-duplicates that one of them left out among it, counts as train.
    """
    first = members[0]
    prepared = prepare(first.config.data, seed=first.config.seed)
    changed = data_differences(first.data, prepared)
    if changed:
        raise InputError(
            f"The data set of {first.path} is not what it was:\n  "
            + "\n  ".join(changed)
            + "\nAn ensemble is scored on its members' data."
        )
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
    for key, places in places_of(prepared).items():
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
        for key in keys_of(data, split):
            found.setdefault(key, set()).add(split)
    return found
