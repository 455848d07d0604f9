"""What an audit found, for the audit command and for a training: ids, lines, lists.

Nothing here imports TensorFlow.
"""

import json
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from tfvision.config import DataConfig
from tfvision.data.audit.audit import audit
from tfvision.data.audit.finding import KINDS, Audit, Finding
from tfvision.data.files.issue import Issue
from tfvision.data.scan.checks import repeats
from tfvision.data.scan.duplicates import leaks
from tfvision.data.scan.result import Scan
from tfvision.data.scan.subset import subset
from tfvision.data.sources.source import Record, Source
from tfvision.registry import plain
from tfvision.tasks.facts import DEFAULT_TASK

MAX_IDS = 6  # named in a line; audit.json has all
ORDER = ("error", "warning", "note")


def find(
    source: Source,
    scan: Scan,
    *,
    splits: Sequence[str | None] | None = None,
    excluded: Collection[int] = (),
) -> Audit:
    """Audits what is not excluded. Indices are those of the whole source.

    Args:
        source, scan: The data set.
        splits: "train", "val", "test" or None of each record; None: what the records say.
        excluded: Places of the records that a list leaves out.
    """
    if not excluded:
        return audit(source, scan, splits=splits)
    keep = [i for i in range(len(source)) if i not in excluded]
    part, part_scan = subset(source, scan, keep)
    kept_splits = None if splits is None else [splits[i] for i in keep]
    found = audit(part, part_scan, splits=kept_splits)

    def whole(places: Sequence[int]) -> list[int]:
        return [keep[i] for i in places]

    return Audit(
        findings=[
            replace(
                f,
                members=tuple(whole(f.members)),
                suspects=tuple(whole(f.suspects)),
                evidence=_by_record(f.evidence, lambda i: keep[i]),
            )
            for f in found.findings
        ],
        pairs=[(keep[i], keep[j], similarity) for i, j, similarity in found.pairs],
        clusters=[whole(cluster) for cluster in found.clusters],
        chains=[whole(chain) for chain in found.chains],
        notes=found.notes,
    )


def without_issues_of(
    scan: Scan, records: Sequence[Record], excluded: Collection[int], *, leaks_too: bool = False
) -> Scan:
    """The scan, saying nothing more of records that are left out, nor what the audit says.

    Args:
        scan: The scan; its own lines on duplicates go, the audit says more of them.
        records: Those of the source.
        excluded: Places of the records that are left out. Leaks are looked for again among
            the others.
        leaks_too: Whether equal images in two splits are left to the audit as well. In a
            training they are an error of the data.
    """
    gone = {left.index for left in scan.left_out}
    splits = [None if i in gone else record.split for i, record in enumerate(records)]
    kept = [None if i in excluded else split for i, split in enumerate(splits)]
    hashes = scan.image_sha256
    said = {*repeats(records, scan), *leaks(records, hashes, splits)}
    of_id: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        of_id.setdefault(record.id, []).append(index)

    def of_excluded(issue: Issue) -> bool:
        same = of_id.get(issue.id, [])
        # Parts may share ids: the place tells, or else which of them cannot be read.
        meant = [i for i in same if records[i].place == issue.place]
        meant = meant or [i for i in same if not hashes[i]] or same
        return bool(meant) and all(i in excluded for i in meant)

    issues = [i for i in scan.issues if i not in said and not of_excluded(i)]
    unseen = range(len(records)) if leaks_too else excluded
    hashes = ["" if i in unseen else value for i, value in enumerate(hashes)]
    return replace(scan, issues=[*issues, *leaks(records, hashes, kept)])


def proposed(
    finding: Finding, records: Sequence[Record], splits: Sequence[str | None]
) -> list[tuple[int, str, str]]:
    """What an exclude list says of a finding: (index, reason, evidence) of each suspect.

    A finding without suspects lists nobody, but for one: an image that is trained on and
    stands in val or test too. Its training copy is proposed, as the score would be untrue.
    """
    if finding.suspects:
        return [
            (i, finding.kind, "; ".join([_end(finding.reading), *_measured(finding, i)]))
            for i in finding.suspects
            if records[i].labelled
        ]
    if finding.kind != "leak":
        return []
    other = [i for i in finding.members if splits[i] in ("val", "test")]
    where = ", ".join(f"{records[i].id} in {splits[i]}" for i in other[:MAX_IDS])
    where += f" and {len(other) - MAX_IDS} more" if len(other) > MAX_IDS else ""
    return [
        (i, "leak", f"the same image is {where}")
        for i in finding.members
        if other and splits[i] in ("train", None) and records[i].labelled
    ]


def exclude_rows(
    found: Audit, records: Sequence[Record], splits: Sequence[str | None]
) -> list[tuple[int, str, str]]:
    """The rows of an exclude list, one a record, in the order of the source.

    The reason is the kind of the worst finding; the evidence is that of all.
    """
    rows: dict[int, tuple[str, list[str]]] = {}
    for finding in found.findings:
        for index, reason, evidence in proposed(finding, records, splits):
            known = rows.setdefault(index, (reason, []))
            text = evidence if reason == known[0] else f"{reason}: {evidence}"
            if text not in known[1]:
                known[1].append(text)
    return [(index, reason, " | ".join(texts)) for index, (reason, texts) in sorted(rows.items())]


def to_json(
    found: Audit, records: Sequence[Record], splits: Sequence[str | None]
) -> list[dict[str, Any]]:
    """All findings with ids, ready for JSON."""

    def named(places: Sequence[int]) -> list[dict[str, Any]]:
        return [{"id": records[i].id, "part": records[i].part, "split": splits[i]} for i in places]

    return [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "meaning": KINDS[finding.kind],
            "reading": finding.reading,
            "members": named(finding.members),
            "suspects": named(finding.suspects),
            "evidence": evidence_of(finding, records),
        }
        for finding in found.findings
    ]


def evidence_of(finding: Finding, records: Sequence[Record]) -> dict[str, Any]:
    """The evidence of a finding, values of single records under their ids."""
    return _by_record(finding.evidence, lambda i: _name(i, finding.members, records))


def sentence(finding: Finding, records: Sequence[Record]) -> str:
    """A finding in one line: what it is, who takes part, who is suspected and why."""
    text = f"{KINDS[finding.kind]}: {id_list(finding.members, records)}"
    if finding.suspects and set(finding.suspects) != set(finding.members):
        text += f"; suspected: {id_list(finding.suspects, records)}"
    reading = finding.reading[:1].upper() + finding.reading[1:]
    return printable(f"{_end(text)}. {reading}".rstrip(" .") + ".")


def id_list(places: Sequence[int], records: Sequence[Record]) -> str:
    """Some ids of many, with their part where there are several parts."""
    names = [_name(i, places, records) for i in places[:MAX_IDS]]
    more = f" and {len(places) - MAX_IDS} more" if len(places) > MAX_IDS else ""
    return ", ".join(names) + more


def warning_lines(found: Audit, config: DataConfig) -> list[str]:
    """One line for each kind of error or warning, with counts and what shows them.

    Near-duplicates in two splits are left to the check of the splits, made ones too.
    """
    shown = f"; `{command(config)}` shows them" if command(config) else ""
    lines = []
    for kind, meaning in KINDS.items():
        some = [f for f in found.findings if f.kind == kind and f.severity != "note"]
        if some and kind != "near_leak":
            samples = len({i for f in some for i in f.members})
            suspects = len({i for f in some for i in f.suspects})
            doubt = f", {suspects} suspected" if suspects else ""
            lines.append(
                f"audit: {meaning}: {_times(len(some), 'finding')}, "
                f"{_times(samples, 'sample')}{doubt}{shown}"
            )
    return lines


def command(config: DataConfig) -> str:
    """What shows the findings on a run's data; "" for data that is no file or folder."""
    path = config.source.kwargs.get("path")
    if path is None:
        return ""
    words = ["python", "-m", "tfvision", "audit", str(path)]
    if config.task != DEFAULT_TASK:  # what its layout says may be another
        words += ["--task", config.task]
    for key in ("splits", "exclude"):
        if getattr(config, key) is not None:
            words += [f"--{key}", str(getattr(config, key))]
    return shlex.join([*words, *reading_flags(config)])


def reading_flags(config: DataConfig) -> list[str]:
    """The `--set` that say how the data is read, where they are not the defaults."""
    options = {key: value for key, value in config.source.kwargs.items() if key != "path"}
    given = {f"source.{key}": value for key, value in options.items() if value is not None}
    default = type(config)()
    for key in ("class_names", "ignore_label"):
        if getattr(config, key) != getattr(default, key):
            given[key] = getattr(config, key)
    words = []
    for key, value in given.items():
        words += ["--set", f"data.{key}={json.dumps(plain(value), ensure_ascii=False)}"]
    return words


def counts(found: Audit) -> dict[str, int]:
    """How many findings there are of each severity."""
    return {s: sum(f.severity == s for f in found.findings) for s in ORDER}


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control characters are written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _name(index: int, among: Sequence[int], records: Sequence[Record]) -> str:
    """The id of one of some records, with its part where they are of several parts."""
    record = records[index]
    parts = len({records[i].part for i in among}) > 1
    return f"{record.part}/{record.id}" if parts and record.part else record.id


def _by_record(evidence: dict[str, Any], name: Callable[[int], Any]) -> dict[str, Any]:
    """Evidence whose tables by index (`{3: 0.7, 8: 0.1}`) are by another name of the record."""
    return {
        key: {name(i) if isinstance(i, int) else i: v for i, v in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in evidence.items()
    }


def _measured(finding: Finding, index: int) -> list[str]:
    """The single numbers and words of the evidence, and those of one record."""
    values = []
    for key, value in finding.evidence.items():
        if isinstance(value, dict):
            value = value.get(index)
        if isinstance(value, float):
            values.append(f"{key} {value:.3g}")
        elif isinstance(value, bool | int | str):
            values.append(f"{key} {value}")
    return values


def _times(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _end(text: str) -> str:
    return text.rstrip(" .")
