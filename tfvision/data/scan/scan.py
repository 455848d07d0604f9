"""One look at every sample before anything is trained: what is there, and what is wrong."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.scan.checks import find_notes, find_warnings, settle_white, value_range
from tfvision.data.scan.duplicates import leaks
from tfvision.data.scan.measure import Facts, gather
from tfvision.data.scan.quarantine import POLICIES, set_aside
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.data.truth.base import Truth
from tfvision.data.truth.classes import Classes
from tfvision.errors import InputError


def scan(
    source: Source,
    *,
    class_names: Sequence[str] | None = None,
    ignore_label: int | None = 255,
    settled: bool = False,
    on_bad_sample: str = "fail",
    cache: bool = True,
    workers: int = 2,
) -> Scan:
    """Reads every sample once and reports all problems together.

    Settles `mask_values`, `ignore_label` and `white` of the source, so that `source.read`
    then gives class numbers, and pixels whose scale is known.

    Args:
        source: The samples.
        class_names: The classes; by default what the source says, else as found in masks.
            Where an image has one label they name what the data only numbers, nothing else.
        ignore_label: The mask value that means "no label"; None: every value is a class.
        settled: Whether the values of masks were read before, by a run that is looked at again:
            then what may be meant otherwise is not asked.
        on_bad_sample: "fail": an error of a single sample is an error of the scan;
            "quarantine": the sample is left out, unless more than half would go; see
            `tfvision.data.scan.quarantine`.
        cache: Whether to keep what was found for the next scan of the same files.
        workers: Threads that read.
    """
    if on_bad_sample not in POLICIES:
        raise InputError(f"on_bad_sample must be fail or quarantine; got {on_bad_sample!r}.")
    gathered = gather(source, cache=cache, workers=workers)
    facts, records, kind = gathered.facts, source.records, truth_kind(source.truth)

    classes = kind.settle(
        facts,
        records,
        class_names=_class_names(source, kind, class_names),
        mask_values=source.mask_values,
        ignore_label=ignore_label,
        mask_of=lambda index: source.read_raw(index).mask,
        settled=settled,
    )
    if not settled:
        classes.issues += kind.look_again(facts, records, classes, source.read_raw)
    source.mask_values, source.ignore_label = classes.mask_values, classes.ignore_label
    white, white_issues, white_notes = settle_white(source, facts)
    source.white = white
    judged = [*classes.issues, *white_issues]
    issues, left_out = [*source.problems, *gathered.issues.values(), *judged], []
    if on_bad_sample == "quarantine":
        facts, issues, left_out = set_aside(source, facts, gathered.issues, judged)
    counts = [kind.counts({} if fact is None else fact.values, classes) for fact in facts]
    hashes = ["" if fact is None else fact.image_sha256 for fact in facts]
    result = Scan(
        source_name=str(source.path or source.name),
        heights=_column(facts, "height"),
        widths=_column(facts, "width"),
        channels=_column(facts, "channels"),
        dtypes=dict(Counter(fact.dtype for fact in facts if fact)),
        modes=dict(Counter(fact.mode for fact in facts if fact)),
        image_sha256=hashes,
        truth_sha256=["" if fact is None else fact.truth_sha256 for fact in facts],
        class_pixels=np.array([c for c, _ in counts], np.int64).reshape(
            len(facts), len(classes.names)
        ),
        ignored_pixels=np.array([n for _, n in counts], np.int64),
        class_names=classes.names,
        mask_values=classes.mask_values,
        ignore_label=classes.ignore_label,
        value_range=value_range(facts),
        white=white,
        stamps=gathered.stamps,
        fingerprint=_fingerprint(source, kind, facts, classes),
        facts=facts,
        truth=source.truth,
        notes=[*source.notes, *gathered.notes, *classes.notes, *white_notes],
    )
    result.issues, result.left_out = issues, left_out
    if not records and not result.errors:
        problem, advice = "holds no sample", "Check the path."
        result.issues.append(Issue("error", "", result.source_name, problem, advice=advice))
    gone = {left.index for left in left_out}
    splits = [None if i in gone else record.split for i, record in enumerate(records)]
    result.issues += leaks(records, hashes, splits)
    result.issues += find_warnings(source, facts, result)
    result.notes += find_notes(facts, result)
    return result


def _class_names(
    source: Source, kind: Truth, declared: Sequence[str] | None
) -> Sequence[str] | None:
    """The names that count: those declared, where they can mean what the data holds."""
    own = source.class_names
    if declared is None or not kind.names_image or own is None:
        return own if declared is None else declared
    numbers = [str(number) for number in range(len(own))]
    if list(declared) != own and (own != numbers or len(declared) != len(own)):
        raise InputError(
            f"class_names is {list(declared)}, but the data has the classes {own}, in this order. "
            "Leave class_names out, or put classes.txt beside the data for another order."
        )
    return declared


def _column(facts: Sequence[Facts | None], name: str) -> np.ndarray:
    return np.array([0 if fact is None else getattr(fact, name) for fact in facts], np.int64)


def _fingerprint(source: Source, kind: Truth, facts, classes: Classes) -> str:
    """SHA-256 over the content in order; paths and times do not count."""
    lines = [json.dumps([classes.names, classes.ignore_label, classes.mask_values])]
    for record, fact in zip(source.records, facts, strict=True):
        hashes = ["", ""] if fact is None else kind.fingerprint(fact)
        lines.append(json.dumps([record.part, record.id, *hashes]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
