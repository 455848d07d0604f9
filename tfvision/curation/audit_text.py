"""The summary of an audit as lines for a terminal."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from tfvision.curation import audit_classes
from tfvision.curation.audited import Audited
from tfvision.data.audit.finding import KINDS
from tfvision.data.files.issue import by_kind
from tfvision.data.truth import truth_kind
from tfvision.recipe import audit_findings
from tfvision.report.tables import percent
from tfvision.tasks.facts import facts_of
from tfvision.text import counted

MAX_LINES = 20  # findings, and problems of the scan
MAX_NOTES = 3  # findings of one kind that are in order, such as the chains of a video


def described(record: dict[str, Any]) -> dict[str, str]:
    """Sizes, channels and modes with their counts, and the fingerprint."""

    def listed(table: dict[str, int], limit: int = 5) -> str:
        some = ", ".join(f"{name} ({count})" for name, count in list(table.items())[:limit])
        return some + (f" and {len(table) - limit} more" if len(table) > limit else "")

    facts = {
        "sizes": listed(record["sizes"]),
        "channels": listed(record["channels"]),
        "stored as": listed(record["modes"]),
        "fingerprint": record["fingerprint"],
    }
    if record["excluded"]:
        facts["left out by the exclude list"] = str(len(record["excluded"]))
    return facts


def train_command(audited: Audited, folder: Path) -> str:
    """How a training that leaves out the exclude list is started."""
    script = facts_of(audited.config.task).script
    words = ["python", script, "--data", str(audited.source.path)]
    words += ["--set", f"data.exclude={folder / 'exclude.csv'}"]
    return shlex.join([*words, *audit_findings.reading_flags(audited.config)])


def summary_lines(
    audited: Audited, record: dict[str, Any], folder: Path, copied: dict[str, Any] | None
) -> list[str]:
    """Layout, counts, sizes, class shares, then the findings, worst first, and the files.

    Args:
        audited: What was looked through.
        record: What `audit.json` holds.
        folder: Where the files are.
        copied: What is said of a cleaned copy, or None.
    """
    lines = [record["layout"]]
    kind = truth_kind(audited.source.truth)
    for row in record["parts"]:
        counts = f"{counted(row['samples'], 'sample'):>15}, {row['labelled']:,} with {kind.many}"
        lines.append(f"  {row['part'] or 'all':16} {row['split']:12} {counts}")
    lines += [
        f"{name}: {text}" for name, text in described(record).items() if name != "fingerprint"
    ]
    lines += record["notes"]
    if kind.names_image:
        lines += audit_classes.class_lines(record)
    else:
        lines += _class_lines(record, kind.counted)
    lines += audited.task_audit.lines() if audited.task_audit else []
    lines += audited.excluded.notes()
    issues = record["issues"]
    if issues:
        scan = record["scan"]
        counts = [counted(scan[f"{severity}s"], severity) for severity in ("error", "warning")]
        lines.append(f"scan: {', '.join(counts)}")
        found = audited.scan
        errors = by_kind(found.errors)
        lines += [f"  error: {line}" for line in errors[:MAX_LINES]]
        lines += [f"  warning: {line}" for line in by_kind(found.warnings)]
        if len(errors) > MAX_LINES:
            lines.append(f"  ... and {len(errors) - MAX_LINES} more in {folder / 'audit.json'}")
    numbers = ", ".join(counted(count, severity) for severity, count in record["found"].items())
    lines.append(f"findings: {numbers}" if audited.audit.findings else "findings: none")
    lines += _finding_lines(audited, folder)
    lines.append(f"pictures: {folder / 'audit.html'}")
    if "boxes" in kind.targets:
        lines.append(f"every box as it was read, and what was done to it: {folder / 'boxes.csv'}")
    if audited.rows:
        many = f"{len(audited.rows)} sample{'s are' if len(audited.rows) > 1 else ' is'}"
        lines.append(f"{many} proposed to be left out; edit {folder / 'exclude.csv'}, then")
        lines.append(f"  {train_command(audited, folder)}")
    if copied:
        unread = copied["unreadable"]
        lines.append(
            f"cleaned copy: {copied['path']}, {counted(copied['samples'], 'sample')}; "
            f"{copied['left_out']} left out"
            + (f", of them {unread} that cannot be read" if unread else "")
        )
    return lines


def _finding_lines(audited: Audited, folder: Path) -> list[str]:
    """A sentence each, worst first; of notes of one kind, which are many, the first few."""
    records, found = audited.source.records, audited.audit.findings
    lines, notes = [], Counter()
    for finding in found:
        notes[finding.kind] += finding.severity == "note"
        if notes[finding.kind] <= MAX_NOTES:
            lines.append(f"  {finding.severity}: {audit_findings.sentence(finding, records)}")
    hidden = max(0, len(lines) - MAX_LINES)
    lines = lines[:MAX_LINES]
    lines += [f"  ... and {hidden} more in {folder / 'audit.html'}"] if hidden else []
    return lines + [
        f"  note: {KINDS[kind]}: {count - MAX_NOTES} more in {folder / 'audit.html'}"
        for kind, count in notes.items()
        if count > MAX_NOTES
    ]


def _class_lines(record: dict[str, Any], counted: str) -> list[str]:
    """A table: share of each class in pixels or boxes, and in images, by split."""
    splits = list(record["class_pixels"])
    if not splits or not record["class_names"]:
        return []
    width = max(5, *(min(30, len(name)) for name in record["class_names"]))
    lines = [f"{'class':{width}}" + "".join(f"  {s + f': {counted}, images':>27}" for s in splits)]
    for k, name in enumerate(record["class_names"]):
        line = f"{name[:30]:{width}}"
        for split in splits:
            pixels = record["class_pixels"][split]
            total, images = sum(pixels), record["class_images"][split][k]
            share = percent(pixels[k] / total if total else None)
            part = percent(images / record["class_samples"][split])
            line += f"  {share:>17}, {part:>8}"
        lines.append(line)
    return lines
