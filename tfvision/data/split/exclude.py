"""Exclude lists: CSV files of the samples that a person has decided to leave out.

    id,reason,evidence
    17,shared_mask,"the mask is that of 4, whose edges it follows"

A fourth column `part` stands there where ids alone are not unique. Only samples with masks
can be listed: the others are never trained on.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfvision.data.files.csv_table import read_table
from tfvision.data.files.paths import read_bytes
from tfvision.data.sources.source import Record
from tfvision.data.split.holdout import find_record
from tfvision.errors import InputError


@dataclass(frozen=True)
class ExcludeList:
    """What an exclude list says; empty where there is none.

    Attributes:
        reasons: Index of each record that is left out -> why, "" where nothing is said.
        evidence: The same indices -> what is given as evidence, or "".
        names: Ids of these, with their part where ids alone are not unique; sorted.
        path, sha256: Of the file, None without one.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    evidence: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    path: Path | None = None
    sha256: str | None = None

    @property
    def rows(self) -> list[tuple[int, str, str]]:
        """(index, reason, evidence) of each record, as `exclude_csv` takes them."""
        return [(index, reason, self.evidence[index]) for index, reason in self.reasons.items()]

    def notes(self) -> list[str]:
        """One line where there is a list: how many it leaves out, and why."""
        if self.path is None:
            return []
        counts = Counter(reason or "no reason given" for reason in self.reasons.values())
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        number = len(self.reasons)
        return [
            f"{self.path}: {number} sample{'s' * (number != 1)} left out"
            f"{f' ({why})' if why else ''}; SHA-256 {(self.sha256 or '')[:12]}"
        ]


def read_exclude(
    path: str | Path | None, records: Sequence[Record], *, truth: str = "masks"
) -> ExcludeList:
    """Reads an exclude list with the columns `id[,reason,evidence,part]`.

    Args:
        path: The file; None: nothing is left out.
        records: Those of the source.
        truth: Their kind of truth, for messages.

    Raises:
        InputError: Ids that no sample with a truth has, with their line.
    """
    if path is None:
        return ExcludeList()
    path = Path(path)
    rows, _ = read_table(path, required=["id"], optional=["reason", "evidence", "part"])
    places: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        if record.labelled:
            places.setdefault(record.id, []).append(index)
    reasons, evidence, names = {}, {}, {}
    for row in rows:
        index, problem = find_record(row, places, records, truth=truth)
        if problem is not None:
            raise InputError(f"data.exclude {path}, line {row.line}: {problem}.")
        record = records[index]
        reasons[index], evidence[index] = row.values["reason"], row.values["evidence"]
        unique = len(places[record.id]) == 1
        names[index] = record.id if unique else f"{record.part}/{record.id}"
    digest = hashlib.sha256(read_bytes(path, place=str(path))).hexdigest()
    return ExcludeList(reasons, evidence, sorted(names.values()), path, sha256=digest)


def exclude_csv(rows: Sequence[tuple[int, str, str]], records: Sequence[Record]) -> str:
    """The text of an exclude list that `read_exclude` reads.

    Args:
        rows: (index of the record, reason, evidence), one a record.
        records: Those of the source.
    """
    labelled = [record.id for record in records if record.labelled]
    parts = len(set(labelled)) < len(labelled)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "reason", "evidence", *(["part"] if parts else [])])
    for index, reason, evidence in rows:
        record = records[index]
        writer.writerow([record.id, reason, evidence, *([record.part] if parts else [])])
    return text.getvalue()
