"""Samples that are the same image, or of the same group: what must not straddle splits."""

from collections.abc import Sequence

from tfvision.data.files.issue import Issue
from tfvision.data.sources.source import Record
from tfvision.text import counted, verb


def identical(hashes: Sequence[str]) -> list[list[int]]:
    """Indices that share a hash, two or more each, in order; "" is never shared."""
    groups: dict[str, list[int]] = {}
    for index, value in enumerate(hashes):
        if value:
            groups.setdefault(value, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def leaks(
    records: Sequence[Record], image_sha256: Sequence[str], splits: Sequence[str | None]
) -> list[Issue]:
    """What stands in two splits at once.

    Args:
        records: The records.
        image_sha256: Hash of each image, "" where unknown.
        splits: "train", "val", "test" or None (left out, or still to be split) of each.

    Returns:
        An error for each image with labels, and for each group, that stands in several
        splits, and for each image that is labelled twice, differently; one warning for
        training images that recur in a test set without labels.
    """
    issues, shared = [], []
    for group in identical(image_sha256):
        issues += _two_labels(group, records)
        issue = _straddling(group, records, splits, "is the very image of")
        if issue is not None:
            issues.append(issue)
            continue
        unlabelled = [i for i in group if not records[i].labelled and splits[i] == "test"]
        labelled = [i for i in group if records[i].labelled]
        if unlabelled and labelled:
            shared.append((labelled[0], unlabelled[0]))
    members: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        if record.group is not None:
            members.setdefault(record.group, []).append(index)
    for name, group in members.items():
        issue = _straddling(group, records, splits, f"is of the same group, {name!r}, as")
        if issue is not None:
            issues.append(issue)
    if shared:
        labelled, unlabelled = (records[i].place for i in shared[0])
        problem = (
            f"{counted(len(shared), 'image')} with labels "
            f"{verb(len(shared), 'recurs', 'recur')} in the test set without labels "
            f"(first: {unlabelled})"
        )
        advice = "Their predictions are no test."
        issues.append(Issue("warning", records[shared[0][0]].id, labelled, problem, advice=advice))
    return issues


def _two_labels(group: list[int], records: Sequence[Record]) -> list[Issue]:
    """An error where the copies of one image have different labels."""
    first = next((i for i in group if records[i].label is not None), None)
    for other in group:
        if first is not None and records[other].label not in (None, records[first].label):
            problem = f"is the very image of {records[first].place}, labelled "
            problem += f"{records[first].label!r}, but is itself labelled {records[other].label!r}"
            advice = "Correct a label, delete one, or list one in data.exclude."
            return [Issue("error", records[other].id, records[other].place, problem, advice=advice)]
    return []


def _straddling(
    group: list[int], records: Sequence[Record], splits: Sequence[str | None], relation: str
) -> Issue | None:
    """An error where labelled members of a group stand in different splits."""
    first: dict[str, int] = {}
    for index in group:
        split = splits[index]
        if split is not None and records[index].labelled:
            first.setdefault(split, index)
    if len(first) < 2:
        return None
    (split, index), (other_split, other) = list(first.items())[:2]
    return Issue(
        "error",
        records[other].id,
        records[other].place,
        f"in {other_split}, {relation} {records[index].place}, in {split}",
        advice="Put both in one split, or leave one out: the score would not be honest.",
    )
