"""What an audit can find, in words a person can check."""

from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "leak": "the same image in two splits",
    "near_leak": "nearly the same image in two splits",
    "duplicate_images": "the same image more than once in one split, with the same mask or label",
    "conflicting_masks": "the same image with different masks",
    "conflicting_labels": "the same image with different labels",
    "conflicting_boxes": "the same image with different boxes",
    "conflicting_box_labels": "one object with boxes of two classes",
    "unreached_boxes": "boxes that no anchor lies well on",
    "small_boxes": "boxes that are tiny as the network sees them",
    "near_conflict": "nearly the same image with different labels",
    "shortcut": "the background alone predicts the class",
    "background_shift": "the background of the test images is not that of the training images",
    "near_duplicates": "nearly the same image more than once",
    "repeated_boxes": "one object with two boxes of one class",
    "stained_image": "a patch of one colour that no other picture has",
    "chain": "a run of neighbouring frames or slices, each nearly the one before",
    "shared_mask": "one mask under different images",
    "uniform_masks": "equal masks that are rightly equal: one class throughout",
    "shifted_mask": "a mask that fits its image only when it is moved",
    "doubtful_mask": "a mask that does not fit its image, where others fit theirs",
}


@dataclass(frozen=True)
class Finding:
    """One thing an audit found.

    Attributes:
        kind: A key of `KINDS`.
        severity: "error" (scores would be untrue), "warning" (look at it), "note".
        members: Indices of all records that take part, in the order of the source.
        suspects: Those among them that are probably faulty; empty where that is undecided, or
            where nothing is faulty.
        reading: What is probably wrong, and why; or that it is undecided. A sentence.
        evidence: Measured values behind the reading, ready for JSON.
    """

    kind: str
    severity: str
    members: tuple[int, ...]
    suspects: tuple[int, ...] = ()
    reading: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of finding: {self.kind!r}")


@dataclass(frozen=True)
class Audit:
    """All findings on one data set.

    Attributes:
        findings: Worst first.
        pairs: (i, j, similarity) of near-duplicate records, i < j; exact ones have 1.0.
        clusters: Connected groups of exact and near-duplicates, chains among them; each
            sorted, two members or more.
        chains: Those of the clusters that are runs of neighbours in the order of the
            source, as frames of a video or slices of a volume are.
        notes: Lines to print.
    """

    findings: list[Finding]
    pairs: list[tuple[int, int, float]]
    clusters: list[list[int]]
    chains: list[list[int]]
    notes: list[str] = field(default_factory=list)
