"""Samples that are left out for an error of their own, where the user wants them left out.

An error is a sample's own where it names its id: it cannot be read, its mask has another
size or labels outside the classes, its pixels are no numbers or beyond white, it has no
mask though it stands among images with masks. All else is about the data set as a whole
(classes that are unclear, names that collide, paths that leave the root, images in two
splits) and is never set aside.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tfvision.data.files.issue import Issue
from tfvision.data.scan.measure import Facts
from tfvision.data.sources.source import Record, Source

POLICIES = ("fail", "quarantine")


@dataclass(frozen=True)
class LeftOut:
    """One problem of a sample that is left out.

    Attributes:
        index: Its place in the source that was scanned; None where the source has no record
            of it, as of an image without its mask.
        part: The record's part, "" without one.
        issue: What is wrong, as found.
    """

    index: int | None
    part: str
    issue: Issue


def set_aside(
    source: Source,
    facts: Sequence[Facts | None],
    unread: Mapping[int, Issue],
    judged: Sequence[Issue],
) -> tuple[list[Facts | None], list[Issue], list[LeftOut]]:
    """Takes the samples with errors of their own out of a scan.

    Args:
        source: The samples.
        facts: One a record, None where it cannot be read.
        unread: Index -> why it cannot be read.
        judged: What classes and pixel range found wrong afterwards.

    Returns:
        The facts, None for what is left out; all problems of the source, of reading and
        those judged, a warning for each that is left out; and what is left out. Where more
        than half of the samples would go, nothing is left out, and one more error says so.
    """
    index_of = {(r.id, r.place): i for i, r in enumerate(source.records)}
    problems: list[tuple[int | None, Issue]] = [(None, issue) for issue in source.problems]
    problems += unread.items()
    problems += [(index_of.get((issue.id, issue.place)), issue) for issue in judged]
    out = [
        LeftOut(index, _part(source.records, index), issue)
        for index, issue in problems
        if issue.severity == "error" and issue.id
    ]
    gone = {left.issue.place if left.index is None else left.index for left in out}
    total = len(source) + sum(isinstance(place, str) for place in gone)
    issues = [issue for _, issue in problems]
    if 2 * len(gone) > total:
        problem = f"{len(gone)} of {total} samples cannot be used: more than half is too many "
        problem += "to leave out (on_bad_sample: quarantine)"
        advice = "Something common must be wrong with them: see the problems below."
        name = str(source.path or source.name)
        return list(facts), [Issue("error", "", name, problem, advice=advice), *issues], []
    own = {id(left.issue) for left in out}
    issues = [
        replace(issue, severity="warning", problem=f"left out: {issue.problem}")
        if id(issue) in own
        else issue
        for issue in issues
    ]
    kept = [None if index in gone else fact for index, fact in enumerate(facts)]
    return kept, issues, out


def quarantine_csv(left_out: Sequence[LeftOut]) -> str:
    """The text of `quarantine.csv`: a row a problem, with the columns id, part, place, problem."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "part", "place", "problem"])
    for left in left_out:
        writer.writerow([left.issue.id, left.part, left.issue.place, left.issue.problem])
    return text.getvalue()


def left_out_ids(left_out: Sequence[LeftOut]) -> list[str]:
    """Ids of what is left out, once each, with their part where they have one."""
    return list(dict.fromkeys(f"{x.part}/{x.issue.id}".lstrip("/") for x in left_out))


def _part(records: Sequence[Record], index: int | None) -> str:
    return "" if index is None else records[index].part
