"""The audit of a data set: duplicates, leaks, chains, masks of other images."""

from collections.abc import Mapping, Sequence
from typing import Any

from tfvision.data.audit import masks
from tfvision.data.audit.boxes import one_object_twice
from tfvision.data.audit.finding import KINDS, Audit, Finding
from tfvision.data.audit.labels import exact_conflict, near_conflicts
from tfvision.data.audit.near_duplicates import compare
from tfvision.data.audit.odd_patches import Odd, findings_of, odd_patches
from tfvision.data.audit.regions import by_look
from tfvision.data.audit.shortcut import Tested, look_behind
from tfvision.data.audit.similar_images import Pictures, find_pictures
from tfvision.data.audit.stains import stained
from tfvision.data.scan.mask_fit import Calibration
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.result import Scan
from tfvision.data.scan.sketch import hash_distance, read_thumb
from tfvision.data.sources.source import Record, Source
from tfvision.data.truth import truth_kind
from tfvision.data.truth.base import Truth

SEVERITIES = ("error", "warning", "note")
LOOKS = 200  # pairs of a cluster in which a stain is looked for
FIT_MARGIN = 0.3  # of two fits that are alike


def audit(source: Source, scan: Scan, *, splits: Sequence[str | None] | None = None) -> Audit:
    """Looks for what spoils scores, in what the scan kept of each sample; reads no file.

    But where an image has one label: what surrounds the objects is looked at, in the files, once.

    Args:
        source: The samples.
        scan: What `tfvision.data.scan.scan.scan` found in them.
        splits: "train", "val", "test" or None of each sample; by default what the records
            say. Samples of None are in no split: they leak nowhere.
    """
    records, facts = source.records, scan.facts
    splits = [record.split for record in records] if splits is None else list(splits)
    pictures = find_pictures(facts, [record.part for record in records], scan.image_sha256)
    odd = odd_patches(facts)
    kind = truth_kind(source.truth)
    if kind.drawn == "mask":
        groups = masks.masks_under(facts, [record.labelled for record in records])
    else:
        groups = masks.regions_under(facts)
    usual = masks.settle(facts, groups, pictures.unit)
    shared = masks.shared(groups, facts, pictures, usual, ignore=source.ignore_label)
    one_label = kind.names_image
    seen = look_behind(source, scan, pictures, splits) if one_label else Tested()
    findings = [
        *_exact(pictures, facts, records, splits, usual=usual, kind=kind),
        *(near := _near(pictures, facts, records, splits, kind=kind, odd=odd)),
        *findings_of(odd, {i for finding in near for i in finding.members}),
        *_chains(pictures, records, splits),
        *(by_look(shared, source, scan, pictures.unit) if one_label else shared),
        *masks.misfits(groups, facts, pictures, usual),
        *(near_conflicts(pictures, facts, records) if one_label else ()),
        *one_object_twice(
            facts, scan.class_names, [source.contradicted(i) for i in range(len(source))]
        ),
        *seen.findings,
    ]
    notes = [*pictures.notes, *seen.notes]
    return Audit(
        worst_first(findings), pictures.pairs(), pictures.clusters, pictures.chains, notes=notes
    )


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By severity, then in the order of `KINDS`."""
    kinds = list(KINDS)
    return sorted(
        findings, key=lambda f: (SEVERITIES.index(f.severity), kinds.index(f.kind), f.members)
    )


def _exact(
    pictures: Pictures,
    facts: Sequence[Facts | None],
    records: Sequence[Record],
    splits: Sequence[str | None],
    usual: Calibration | None,
    kind: Truth,
) -> list[Finding]:
    findings = []
    for group in pictures.exact:
        members = tuple(group)
        labelled = [i for i in group if records[i].labelled and facts[i].truth_sha256]
        hashes = {facts[i].truth_sha256 for i in labelled}
        evidence = {
            "image_sha256": facts[group[0]].image_sha256,
            f"different_{kind.many}": len(hashes),
        }
        severity, where = _leak(group, records, splits)
        if severity:
            reading = f"the very same image stands in {where}"
            findings.append(
                Finding("leak", severity, members, (), reading=reading, evidence=evidence)
            )
        if len(hashes) > 1 and kind.names_image:
            findings.append(exact_conflict(labelled, facts, records))
        elif len(hashes) > 1:
            suspects, text, more = [], f"which {kind.many} are right is undecided", {}
            if kind.drawn == "mask":
                suspects, text, more = masks.better_mask(labelled, facts, usual)
            reading = f"the very same image with {len(hashes)} different {kind.many}; {text}"
            evidence, name = {**evidence, **more}, f"conflicting_{kind.many}"
            findings.append(
                Finding(
                    name, "warning", members, tuple(suspects), reading=reading, evidence=evidence
                )
            )
        elif not severity:
            same = f", with the same {kind.word}" if len(labelled) > 1 else ""
            reading = f"the very same image {len(group)} times{same}: none is wrong, all but one "
            reading += "can be left out"
            severity = "warning" if len(labelled) > 1 else "note"
            findings.append(
                Finding(
                    "duplicate_images", severity, members, (), reading=reading, evidence=evidence
                )
            )
    return findings


def _leak(
    group: Sequence[int], records: Sequence[Record], splits: Sequence[str | None]
) -> tuple[str, str]:
    """Severity, "" where nothing leaks, and the splits in words.

    An error where labelled samples stand in two splits; a warning where one does that has
    no labels: nobody's score is known to be untrue, but its predictions are no test.
    """
    with_labels = {splits[i] for i in group if records[i].labelled} - {None}
    without = {splits[i] for i in group if not records[i].labelled} - {None}
    where = [split for split in ("train", "val", "test") if split in with_labels | without]
    words = " and ".join(where)
    if len(with_labels) > 1:
        return "error", words
    labelled = any(records[i].labelled for i in group)
    # What is still to be split will be trained on; a test set without labels stays apart.
    if labelled and without - with_labels:
        return "warning", words if with_labels else f"{words}, and among samples still to be split"
    return "", ""


def _near(
    pictures: Pictures,
    facts: Sequence[Facts | None],
    records: Sequence[Record],
    splits: Sequence[str | None],
    kind: Truth,
    odd: Mapping[int, Odd],
) -> list[Finding]:
    """A finding for each cluster of near-duplicates that is no chain."""
    findings = []
    for cluster, inside in zip(pictures.clusters, pictures.inside, strict=True):
        if cluster in pictures.chains:  # copies may lie in it, with the very mask of a frame
            inside = [p for p in inside if p not in pictures.links and _drawn_alike(facts, *p)]
            cluster = sorted({i for pair in inside for i in pair})
        if not inside:
            continue
        severity, where = _leak(cluster, records, splits)
        suspects, difference, evidence = _altered(cluster, inside, pictures, facts, odd=odd)
        truths = {facts[i].truth_sha256 for i in cluster if records[i].labelled} - {""}
        labelled = sum(records[i].labelled for i in cluster)
        reading = f"{len(cluster)} images show nearly the same" * (len(cluster) > 2)
        reading = reading or "two images show nearly the same"
        if labelled > 1:
            differ = len(truths) > 1
            reading += f", with different {kind.many}" if differ else f", with the same {kind.word}"
        if severity:
            reading += f", and stand in {where}"
        name = "near_leak" if severity else "near_duplicates"
        members, suspects = tuple(cluster), tuple(suspects)
        reading += f"; {difference}"
        findings.append(
            Finding(name, "warning", members, suspects, reading=reading, evidence=evidence)
        )
    return findings


def _altered(
    cluster: Sequence[int],
    inside: Sequence[tuple[int, int]],
    pictures: Pictures,
    facts: Sequence[Facts | None],
    odd: Mapping[int, Odd],
) -> tuple[list[int], str, dict[str, Any]]:
    """Which members of a cluster hold a stain: suspects, the reading's end, evidence.

    A member is suspected where one pair speaks against it, and no pair for it, or where it has
    a patch that no other picture of the set has. A picture whose mask lies on its edges better
    than on the other's is not the stained one.
    """
    held, cleared, regions = set(), set(), 0
    first, second = min(inside)
    evidence: dict[str, Any] = {
        "similarity": round(max(pictures.near[pair] for pair in inside), 4),
        "hash_distance": hash_distance(facts[first].sketch.phash, facts[second].sketch.phash),
    }
    for pair in sorted(inside)[:LOOKS]:
        thumbs = [read_thumb(facts[i].sketch.thumb) for i in pair]
        same = pictures.looks.get(pair) or compare(*thumbs)
        if same is None or not same.altered.any():
            continue
        regions += 1
        if _drawn_apart(facts, *pair):
            continue
        answer, measured = stained(*thumbs, same)
        evidence.update(measured)
        if answer is not None and not _fits_better(facts, pair[answer], pair[1 - answer]):
            held.add(pair[answer])
            cleared.add(pair[1 - answer])
    patched = [i for i in cluster if i in odd]
    if patched:  # that is seen in the picture itself, and against the whole set
        evidence.update(odd[patched[0]].evidence)
        text = "suspected to be the altered copy, as of one " + odd[patched[0]].reading
        return patched, text, evidence
    suspects = sorted(held - cleared)
    if suspects:
        text = (
            "they differ in one region, which is an edge all around or covered in one of them "
            "only: that one is suspected to be the altered copy"
        )
    elif regions:
        text = "they differ in one region; which one is altered is undecided"
    else:
        text = "they may be one picture, saved or cut twice; which came first is undecided"
    return suspects, text, evidence


def _drawn(facts: Sequence[Facts | None], i: int) -> str:
    """The hash of a mask or region that has borders; "" without one."""
    return facts[i].sketch.borders and (facts[i].region_sha256 or facts[i].truth_sha256)


def _drawn_alike(facts: Sequence[Facts | None], i: int, j: int) -> bool:
    return _drawn(facts, i) == _drawn(facts, j) != ""


def _drawn_apart(facts: Sequence[Facts | None], i: int, j: int) -> bool:
    """Whether both have a mask or region, and another one: then neither is a copy."""
    return "" not in (one := _drawn(facts, i), other := _drawn(facts, j)) and one != other


def _fits_better(facts: Sequence[Facts | None], i: int, j: int) -> bool:
    """Whether the mask or region both hold lies better on i than on j."""
    held = [facts[k].region_sha256 or facts[k].truth_sha256 for k in (i, j)]
    if held[0] != held[1]:
        return False
    one, other = facts[i].sketch.fit, facts[j].sketch.fit
    return one is not None and other is not None and one.here > other.here + FIT_MARGIN


def _chains(
    pictures: Pictures, records: Sequence[Record], splits: Sequence[str | None]
) -> list[Finding]:
    findings = []
    for cluster, inside in zip(pictures.clusters, pictures.inside, strict=True):
        if cluster not in pictures.chains:
            continue
        values = sorted(pictures.near[pair] for pair in inside)
        evidence = {"pairs": len(inside), "median_similarity": values[len(values) // 2]}
        reading = (
            f"{len(cluster)} samples in a row are nearly the same as those next to them, like "
            "frames of a video or slices of a volume: nothing is wrong with them, but a split "
            "must not cut between them at random"
        )
        findings.append(
            Finding("chain", "note", tuple(cluster), (), reading=reading, evidence=evidence)
        )
        severity, where = _leak(cluster, records, splits)
        if severity:
            reading = f"a run of {len(cluster)} neighbours, each nearly the same as the next, "
            reading += f"stands in {where}"
            findings.append(
                Finding(
                    "near_leak", "warning", tuple(cluster), (), reading=reading, evidence=evidence
                )
            )
    return findings
