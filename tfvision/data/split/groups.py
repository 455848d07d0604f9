"""Groups of samples: those that ids name (one patient, video or place), those that pairs make."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tfvision.data.sources.source import Record
from tfvision.errors import InputError


def group_by(records: Sequence[Record], pattern: str) -> list[Record]:
    r"""Records whose group is what a pattern finds in their id.

    `^(patient\d+)_` gives `patient7_slice3` the group `patient7`. Records without labels are
    in no split that is made, and need no group.

    Args:
        records: Those of a source.
        pattern: A regular expression that is searched in each id. Its first group names
            the group of the sample, or the whole match where it has none.

    Raises:
        InputError: The pattern finds nothing in the id of a labelled sample, or the data
            names groups itself.
    """
    expression = re.compile(pattern)
    own = next((record for record in records if record.group is not None), None)
    if own is not None:
        raise InputError(
            f"data.groups is {pattern!r}, but the data names groups itself ({own.place}: "
            f"{own.group!r}). Leave data.groups out, or the column group."
        )
    grouped, missed = [], []
    for record in records:
        match = expression.search(record.id) if record.labelled else None
        name = match[1 if expression.groups else 0] if match else None
        grouped.append(replace(record, group=name or None))
        if record.labelled and not name:
            missed.append(record.id)
    if missed:
        labelled = sum(record.labelled for record in records)
        shown = ", ".join(repr(i) for i in missed[:3])
        raise InputError(
            f"data.groups {pattern!r} names no group for {len(missed)} of {labelled} samples: "
            f"{shown}{', ...' if len(missed) > 3 else ''}. Write one that finds a text in every id."
        )
    return grouped


def connected(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected groups, each sorted, in the order of their first members."""
    root: dict[int, int] = {}

    def find(index: int) -> int:
        root.setdefault(index, index)
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for i, j in pairs:
        first, second = sorted((find(i), find(j)))
        root[second] = first
    groups: dict[int, list[int]] = {}
    for index in sorted(root):
        groups.setdefault(find(index), []).append(index)
    return sorted(groups.values())
