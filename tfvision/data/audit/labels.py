"""Labels that contradict each other: one picture, two classes."""

from collections.abc import Sequence

from tfvision.data.audit.finding import Finding
from tfvision.data.audit.similar_images import Pictures
from tfvision.data.scan.measure import Facts
from tfvision.data.sources.source import Record


def label_of(record: Record, fact: Facts) -> str:
    """The class as the data writes it, or else its number."""
    return str(next(iter(fact.values))) if record.label is None else record.label


def exact_conflict(
    labelled: Sequence[int], facts: Sequence[Facts | None], records: Sequence[Record]
) -> Finding:
    """An error: the copies of one image have different labels.

    Args:
        labelled: Those of the copies that have a label.
        facts, records: Of all samples.
    """
    labels = {i: label_of(records[i], facts[i]) for i in labelled}
    known = sorted(set(labels.values()))
    reading = (
        f"the very same image is labelled {', '.join(known[:-1])} and {known[-1]}; which label "
        "is right is undecided: the pixels are equal"
    )
    evidence = {"image_sha256": facts[labelled[0]].image_sha256, "labels": labels}
    return Finding(
        "conflicting_labels", "error", tuple(labelled), (), reading=reading, evidence=evidence
    )


def near_conflicts(
    pictures: Pictures, facts: Sequence[Facts | None], records: Sequence[Record]
) -> list[Finding]:
    """A warning for each cluster of near-duplicates with different labels.

    Of a chain of neighbours, which may rightly go from one class to the next, only pairs
    that would be near-duplicates anywhere count; equal images are `exact_conflict`'s.
    """
    findings = []
    for inside in pictures.inside:
        pairs = [
            (i, j)
            for i, j in inside
            if (i, j) not in pictures.links
            and records[i].labelled
            and records[j].labelled
            and facts[i].truth_sha256 != facts[j].truth_sha256
        ]
        if not pairs:
            continue
        members = sorted({i for pair in pairs for i in pair})
        labels = {i: label_of(records[i], facts[i]) for i in members}
        known = sorted(set(labels.values()))
        reading = (
            f"{len(members)} images show nearly the same, and are labelled "
            f"{', '.join(known[:-1])} and {known[-1]}; either they differ in what the classes "
            "differ in, or a label is wrong: which one is undecided"
        )
        similarity = round(max(pictures.near[pair] for pair in pairs), 4)
        evidence = {"similarity": similarity, "labels": labels}
        findings.append(
            Finding(
                "near_conflict", "warning", tuple(members), (), reading=reading, evidence=evidence
            )
        )
    return findings
