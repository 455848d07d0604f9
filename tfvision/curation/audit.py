"""`python -m tfvision audit DATA`: what a data set holds, what is doubtful, and a cleaned copy.

Writes `audit.html`, `audit.json`, `exclude.csv`, and `boxes.csv` where there are boxes. Nothing
here imports TensorFlow.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import DataConfig
from tfvision.curation import audit_classes, audit_text, clean
from tfvision.curation.audited import Audited
from tfvision.data.audit.audit import worst_first
from tfvision.data.audit.boxes_table import boxes_csv
from tfvision.data.audit.finding import KINDS
from tfvision.data.files.issue import grouped
from tfvision.data.files.pixels import white_of
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import SPLITS, Source
from tfvision.data.split.exclude import exclude_csv, read_exclude
from tfvision.data.split.holdout import read_splits
from tfvision.data.truth import truth_kind
from tfvision.engine.files import check_free, write_json, write_text
from tfvision.engine.run_folder import free_folder
from tfvision.errors import EnvironmentFault, InputError
from tfvision.recipe import audit_findings
from tfvision.recipe.opening import open_source
from tfvision.registry import Spec
from tfvision.report.audit_boxes import BoxPicture
from tfvision.report.audit_page import AuditPage, Member, Picture, Shown, write_audit_page
from tfvision.tasks.facts import facts_of, load


def audit_data(
    config: DataConfig,
    *,
    model: Spec | None = None,
    out: Path | None = None,
    copy: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Looks through a data set, prints a summary, writes the files. Returns the summary.

    Args:
        config: Names the data, and says how it is read; `exclude` and `splits` count too.
        model: The model that the data are for, where the task looks at both (`TaskFacts.audit`).
        out: A new or empty folder for the files; None: the next free one below `runs/audit`.
        copy: Where a cleaned copy goes, or None: without what `config.exclude` names; where
            that is not given, without the suspects.
        quiet: Print nothing.

    Raises:
        InputError: No sample can be read; a folder is taken.
        EnvironmentFault: A file cannot be written.
    """
    if out is not None:
        check_free(out)
    source = open_source(config)
    if copy is not None:
        clean.check_target(source, copy)
        if out is not None and out.resolve() == copy.resolve():
            raise InputError(f"--out and --clean both name {out}. Name two folders.")
    audited = look_through(config, source, model)
    folder = out or free_folder(Path("runs") / "audit", Path(audited.name).stem)
    copied = None if copy is None else _copy(audited, copy, config)
    record = to_json(audited)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make the folder {folder}: {error.strerror}.") from error
    rows = [*audited.excluded.rows, *audited.rows]  # a second look adds to the first one's list
    write_json(folder / "audit.json", record)
    write_text(folder / "exclude.csv", exclude_csv(rows, source.records))
    if "boxes" in truth_kind(source.truth).targets:
        write_text(folder / "boxes.csv", boxes_csv(source, audited.scan))
    picture = _pictures(audited)
    section = audited.task_audit.html(picture) if audited.task_audit else ""
    page = replace(_page(audited, record, folder), section=section)
    write_audit_page(folder / "audit.html", page, picture)
    if not quiet:
        lines = audit_text.summary_lines(audited, record, folder, copied)
        print("\n".join(map(audit_findings.printable, lines)))
    return {
        "data": record["data"],
        "out": str(folder),
        **{key: record[key] for key in ("samples", "labelled", "found", "kinds", "scan")},
        "proposed": len(audited.rows),
        "excluded": len(audited.excluded.reasons),
        "clean": copied,
    }


def look_through(config: DataConfig, source: Source, model: Spec | None = None) -> Audited:
    """Scan and audit of a source, as `open_source` opens it.

    Raises:
        InputError: Not one sample can be read.
    """
    found = scan(source, class_names=config.class_names, ignore_label=config.ignore_label)
    if not any(found.image_sha256):
        found.raise_for_errors()
        raise InputError(f"{found.source_name} holds no sample.")
    excluded = read_exclude(config.exclude, source.records, truth=source.truth)
    if config.splits is None:
        splits = [record.split for record in source.records]
    else:
        splits = read_splits(config.splits, source.records, truth=source.truth, notes=found.notes)
    splits = [None if i in excluded.reasons else split for i, split in enumerate(splits)]
    found = audit_findings.without_issues_of(
        found, source.records, excluded.reasons, leaks_too=True
    )
    audit = audit_findings.find(source, found, splits=splits, excluded=excluded.reasons)
    rows = audit_findings.exclude_rows(audit, source.records, splits)
    audited = Audited(config, source, found, splits, excluded=excluded, audit=audit, rows=rows)
    return audited if model is None else _with_task_audit(audited, model)


def _with_task_audit(audited: Audited, model: Spec) -> Audited:
    """What the task says besides, its findings among the others."""
    look = facts_of(audited.config.task).audit
    if not look:
        return audited
    kept = audited.kept
    used = kept if audited.config.splits is None else [i for i in kept if audited.splits[i]]
    said = load(look)(
        audited.config,
        model,
        audited.scan,
        used=used,
        labelled=[i for i in used if audited.source.records[i].labelled],
        splits=audited.splits,
    )
    if said is None:
        return audited
    findings = worst_first([*audited.audit.findings, *said.findings])
    return replace(audited, audit=replace(audited.audit, findings=findings), task_audit=said)


def to_json(audited: Audited) -> dict[str, Any]:
    """What `audit.json` holds."""
    source, found = audited.source, audited.scan
    records = source.records
    groups: dict[tuple[str, str], list[int]] = {}
    for i in audited.kept:
        groups.setdefault((records[i].part, audited.splits[i] or audited.unsplit), []).append(i)
    read = [i for i in audited.kept if found.image_sha256[i]]
    sizes = Counter(f"{found.heights[i]} x {found.widths[i]}" for i in read)
    channels = Counter(str(found.channels[i]) for i in read)
    pixels = {s: found.class_pixels[audited.class_rows(s)] for s in (*SPLITS, audited.unsplit)}
    pixels = {split: counts for split, counts in pixels.items() if len(counts)}
    return {
        "data": found.source_name,
        "layout": source.layout,
        "fingerprint": found.fingerprint,
        "samples": len(audited.kept),
        "labelled": sum(records[i].labelled for i in audited.kept),
        "parts": [
            {
                "part": part,
                "split": split,
                "samples": len(places),
                "labelled": sum(records[i].labelled for i in places),
            }
            for (part, split), places in groups.items()
        ],
        "sizes": dict(sizes.most_common()),
        "channels": dict(channels.most_common()),
        "modes": found.modes,
        "class_names": list(found.class_names),
        "ignored_pixels": int(found.ignored_pixels[read].sum()),
        "class_pixels": {s: counts.sum(axis=0).tolist() for s, counts in pixels.items()},
        "class_images": {s: (counts > 0).sum(axis=0).tolist() for s, counts in pixels.items()},
        "class_samples": {s: len(counts) for s, counts in pixels.items()},
        **audit_classes.record(
            source,
            found,
            {s: audited.class_rows(s) for s in pixels},
            task=audited.config.task,
        ),
        **({source.truth: audited.task_audit.record} if audited.task_audit else {}),
        "found": audit_findings.counts(audited.audit),
        "kinds": dict(Counter(f.kind for f in audited.audit.findings)),
        "findings": audit_findings.to_json(audited.audit, records, audited.splits),
        "proposed": [
            {"id": records[i].id, "part": records[i].part, "reason": reason, "evidence": evidence}
            for i, reason, evidence in audited.rows
        ],
        "excluded": audited.excluded.names,
        "exclude_sha256": audited.excluded.sha256,
        "scan": {"errors": len(found.errors), "warnings": len(found.warnings)},
        "issues": [issue.to_dict() for issue in found.issues],
        "notes": [*found.notes, *audited.audit.notes, *audit_classes.balance(found)],
    }


def _copy(audited: Audited, target: Path, config: DataConfig) -> dict[str, Any]:
    """Writes the cleaned copy; returns its path and how many samples were left out, why."""
    listed = audited.excluded.reasons if audited.excluded.path else [i for i, *_ in audited.rows]
    without = {*listed, *audited.unreadable}
    given = config.source.kwargs
    options = {"columns": given.get("columns"), "encoding": given.get("encoding") or "utf-8"}
    path = clean.write_clean(audited.source, audited.scan, target, without, **options)
    return {
        "path": str(path),
        "samples": len(audited.source) - len(without),
        "left_out": len(without),
        "listed": len(set(listed)),
        "unreadable": len(set(audited.unreadable) - set(listed)),
    }


def _pictures(audited: Audited):
    """Reads a sample for the page: image uint8, and mask of class numbers or boxes."""

    def picture(index: int) -> Picture | None:
        try:
            sample = audited.source.read(index)
        except (InputError, OSError):  # the scan has said it, or the file went away since
            return None
        image = sample.image
        white = white_of(image.dtype, audited.source.white)
        if image.dtype != np.uint8 or white != 255:
            image = np.clip(np.rint(image.astype(np.float64) * (255 / white)), 0, 255)
        kind, image = truth_kind(audited.source.truth), image.astype(np.uint8)
        if kind.counted == "boxes" and sample.boxes is not None:
            return BoxPicture(image, sample.boxes, sample.classes, audited.scan.class_names)
        return image, kind.drawing(sample, audited.scan.num_classes)

    return picture


def _page(audited: Audited, record: dict[str, Any], folder: Path) -> AuditPage:
    records, kind = audited.source.records, truth_kind(audited.source.truth)

    def member(i: int, suspect: bool = False, rows=(), label: str = "") -> Member:
        record, split = records[i], audited.splits[i] or ""
        label = label or record.label or ""
        return Member(
            i, record.id, record.part, split, suspect=suspect, label=label, rows=tuple(rows)
        )

    def members(finding) -> list[Member]:
        held, rows = set(finding.suspects), finding.evidence.get("rows", {})
        boxes = finding.evidence.get("boxes", {})
        found = [
            member(i, i in held, rows.get(i, ()), _first(boxes.get(i, ()))) for i in finding.members
        ]
        # Of a finding on a whole data set its examples stand first: these are pictured.
        examples = finding.evidence.get("examples", {})
        return sorted(found, key=lambda m: (not m.suspect, m.index not in examples))

    def shown(finding) -> Shown:
        evidence = audit_findings.evidence_of(finding, records)
        title = KINDS[finding.kind]
        return Shown(title, finding.severity, finding.reading, members(finding), evidence=evidence)

    return AuditPage(
        name=audited.name,
        layout=record["layout"],
        facts=audit_text.described(record),
        parts=record["parts"],
        class_names=record["class_names"],
        class_pixels=record["class_pixels"],
        class_images=record["class_images"],
        labelled=record["class_samples"],
        findings=[shown(f) for f in audited.audit.findings],
        issues=[issue.to_dict() for issue in grouped(audited.scan.issues)],
        notes=record["notes"],
        proposed=len(audited.rows),
        truth=kind.word,
        of_images=kind.names_image,
        class_pieces=record.get("class_pieces", {}),
        samples=[member(i) for i in _some_labelled(audited)],
        command=audit_text.train_command(audited, folder) if audited.rows else "",
        counted=kind.counted,
    )


def _first(texts: Sequence[str]) -> str:
    """The first of what is said of a sample, and how much more there is."""
    return "".join(texts[:1]) + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")


def _some_labelled(audited: Audited, most: int = 6) -> list[int]:
    """A few samples with a truth, spread over all."""
    read = [i for i in audited.kept if audited.scan.image_sha256[i]]
    labelled = [i for i in read if audited.source.records[i].labelled] or read
    shown = min(most, len(labelled))
    return [labelled[i * len(labelled) // shown] for i in range(shown)]
