"""A data set that has been looked through: what every part of an audit's report is made of."""

from dataclasses import dataclass
from typing import Any

from tfvision.config import DataConfig
from tfvision.data.audit.finding import Audit
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Source
from tfvision.data.split.exclude import ExcludeList


@dataclass(frozen=True)
class Audited:
    """A data set that has been looked through.

    Attributes:
        config: Names the data and how it is read.
        source, scan: The data set.
        splits: Split of each record; None: `unsplit` says why.
        excluded: What a list leaves out; the audit did not look at it.
        audit: The findings.
        rows: Who is proposed to be left out too: (index, reason, evidence).
        task_audit: What the task says besides (`TaskFacts.audit`), or None.
    """

    config: DataConfig
    source: Source
    scan: Scan
    splits: list[str | None]
    excluded: ExcludeList
    audit: Audit
    rows: list[tuple[int, str, str]]
    task_audit: Any = None

    @property
    def kept(self) -> list[int]:
        return [i for i in range(len(self.source)) if i not in self.excluded.reasons]

    @property
    def unsplit(self) -> str:
        """What a sample is that has no split."""
        return "to be split" if self.config.splits is None else "left out"

    @property
    def unreadable(self) -> list[int]:
        return [i for i, sha256 in enumerate(self.scan.image_sha256) if not sha256]

    @property
    def name(self) -> str:
        path = self.source.path
        if path is None:
            return self.source.name
        return path.resolve().name or "data"

    def class_rows(self, split: str) -> list[int]:
        """Labelled samples of a split (or `unsplit`) that are kept."""
        records, names = self.source.records, self.splits
        return [i for i in self.kept if records[i].labelled and (names[i] or self.unsplit) == split]
