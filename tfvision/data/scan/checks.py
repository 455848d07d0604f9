"""What a scan says about a data set: pixel values that do not fit, doubles, rare sights."""

from collections.abc import Sequence

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.files.pixels import white_of
from tfvision.data.scan.duplicates import identical
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import SPLITS, Record, Source
from tfvision.data.truth import truth_kind
from tfvision.text import counted, verb


def value_range(facts: Sequence[Facts | None]) -> dict[str, tuple[float, float]]:
    """dtype -> (lowest, highest) pixel value of all images."""
    ranges: dict[str, tuple[float, float]] = {}
    for fact in facts:
        if fact is not None:
            low, high = ranges.get(fact.dtype, (fact.low, fact.high))
            ranges[fact.dtype] = (min(low, fact.low), max(high, fact.high))
    return ranges


def settle_white(
    source: Source, facts: Sequence[Facts | None]
) -> tuple[float | None, list[Issue], list[str]]:
    """The pixel value that means 1.0 (None: what the dtype says), and images beyond it.

    Floating-point images lie in [0, 1], or hold whole numbers 0..255 throughout.
    """
    ranges = value_range(facts)
    white, notes = source.white, []
    floats = [fact for fact in facts if fact is not None and fact.dtype == "float32"]
    whole = bool(floats) and all(fact.whole for fact in floats)
    if white is None and whole and 1 < ranges["float32"][1] <= 255 and "uint16" not in ranges:
        white = 255.0
        notes.append("floating-point images hold whole numbers up to 255: divided by 255")
    if white is None and ranges.get("uint16", (0, 65535))[1] < 16384:
        full = 2 ** int(ranges["uint16"][1]).bit_length() - 1
        notes.append(
            f"16-bit images reach {ranges['uint16'][1]:g} of 65535: they will be dark; where "
            f"{full} is full white, type --set data.source.white={full}"
            + (" (it is for them alone, not for those of 8 bits)" if "uint8" in ranges else "")
        )
    if white is not None and white > 255 and "uint8" in ranges:
        notes.append(f"white {white:g} is beyond 8 bits: 8-bit images are divided by 255")
    issues = []
    for record, fact in zip(source.records, facts, strict=True):
        limit = white_of(fact.dtype, white) if fact else 0
        if fact and (fact.low < 0 or fact.high > limit):
            problem = f"the {fact.dtype} image holds {fact.low:g}..{fact.high:g}, expected: "
            problem += f"0..{limit:g}"
            if white is None and fact.dtype == "float32":
                problem += ", or whole numbers 0..255 in all images"
            advice = "Rescale its values to 0 and above."
            if fact.low >= 0:
                advice = "Rescale it, or declare white, the value that means 1.0: --set "
                advice += f"data.source.white={fact.high:g}."
            issues.append(Issue("error", record.id, record.place, problem, advice=advice))
    return white, issues, notes


def find_warnings(source: Source, facts: Sequence[Facts | None], result: Scan) -> list[Issue]:
    """Warnings of the reader, and what the counts show once there is no error."""
    records = source.records
    kind = truth_kind(source.truth)
    issues = _turned_boxes(records, facts) if kind.names_image else []
    for record, fact in zip(records, facts, strict=True):
        for text in fact.warnings if fact else ():
            if not text.startswith("EXIF orientation") and "mask EXIF" not in text:
                issues.append(Issue("warning", record.id, record.place, text))
    if not any(result.truth_sha256) or result.errors:
        return issues + _doubles(records, result)
    issues += truth_kind(result.truth).warnings(result, records)
    return issues + _not_in_training(records, result) + repeats(records, result)


def _not_in_training(records: Sequence[Record], result: Scan) -> list[Issue]:
    """Classes that the data's own training part lacks, and another of its parts has."""
    parts = np.array([record.split if record.labelled else "" for record in records], object)
    if "train" not in parts:
        return []
    kind, issues = truth_kind(result.truth), []
    there = {part: result.class_pixels[parts == part].sum(axis=0) for part in SPLITS}
    for number, name in enumerate(result.class_names):
        others = [part for part in SPLITS if there[part][number]]
        if others and "train" not in others and number != result.ignore_label:
            problem = f"the class {name!r} ({number}) stands in {kind.many} of "
            problem += f"{' and '.join(others)}, and in none of train, as the data is split"
            advice = "It cannot be learnt: add samples of it to train, or give another split: "
            advice += "--set data.splits=FILE.csv (columns id, split)."
            issues.append(Issue("warning", "", kind.many, problem, advice=advice))
    return issues


def _turned_boxes(records: Sequence[Record], facts: Sequence[Facts | None]) -> list[Issue]:
    """One warning where images with a box were turned by their EXIF orientation.

    A box does not say whether it was drawn on the picture as it is seen or on the pixels as they
    are stored. The only hint is one that fits into one of them alone.
    """
    turned = [
        (record, fact, next((w for w in fact.warnings if w.startswith("EXIF orientation")), ""))
        for record, fact in zip(records, facts, strict=True)
        if fact and fact.boxes
    ]
    turned = [found for found in turned if found[2]]
    if not turned:
        return []
    record, fact, text = turned[0]
    orientation = text.split()[2]
    unsure = sum(_fits_as_stored(fact, text) for _, fact, text in turned)
    problem = (
        f"has the EXIF orientation {orientation}, and its box ({_sides(fact.boxes[0])}) was read "
        f"in the turned image, {fact.width} x {fact.height} pixels (width x height); so with "
        f"{counted(len(turned), 'image')} of the data set. {unsure} of their boxes would fit "
        f"the stored "
        "pixels as well"
    )
    advice = (
        "Look at some of them. Where boxes were drawn on the pixels as they are stored, set exif: "
        "ignore, or turn the boxes; where on the picture as it is seen, all is well."
    )
    return [Issue("warning", record.id, record.place, problem, advice=advice)]


def _fits_as_stored(fact: Facts, text: str) -> bool:
    """Whether the box lies inside the image before it was turned, as `text` says it was."""
    swapped = int(text.split()[2]) > 4  # 5 to 8 lay an image on its side
    width, height = (fact.height, fact.width) if swapped else (fact.width, fact.height)
    _, _, right, bottom = fact.boxes[0]
    return right <= width and bottom <= height


def _sides(box: Sequence[float]) -> str:
    return ", ".join(f"{side:g}" for side in box)


def repeats(records: Sequence[Record], result: Scan) -> list[Issue]:
    """What equal hashes alone say of doubles; an audit says more."""
    return _doubles(records, result) + _repeated_masks(records, result)


def _doubles(records: Sequence[Record], result: Scan) -> list[Issue]:
    """Images that occur twice; and whether their truth agrees. (Labels: see `leaks`.)"""
    kind = truth_kind(result.truth)
    groups = [[i for i in group if records[i].labelled] for group in identical(result.image_sha256)]
    groups = [group for group in groups if len(group) > 1]
    issues = []
    for group in groups:
        other = next(
            (i for i in group if result.truth_sha256[i] != result.truth_sha256[group[0]]), 0
        )
        if other and not kind.names_image:
            problem = f"the very image of {records[group[0]].place}, but with {kind.other}"
            advice = f"One of the {kind.many} is wrong: delete one sample."
            issues.append(
                Issue("warning", records[other].id, records[other].place, problem, advice=advice)
            )
    if groups:
        first, second = (records[i] for i in groups[0][:2])
        more = sum(len(group) - 1 for group in groups)
        problem = (
            f"the very image of {first.place} ({counted(more, 'image')} "
            f"{verb(more, 'repeats', 'repeat')} another)"
        )
        advice = "They stay in one split; delete repeats that are not meant."
        issues.append(Issue("warning", second.id, second.place, problem, advice=advice))
    return issues


def _repeated_masks(records: Sequence[Record], result: Scan) -> list[Issue]:
    """One truth, not of one class alone, of many different images: it is seldom right."""
    issues, word = [], truth_kind(result.truth).word
    labelled = sum(value != "" for value in result.truth_sha256)
    for group in identical(result.truth_sha256):
        images = len({result.image_sha256[i] for i in group})
        if images < 3 or images <= 0.01 * labelled:
            continue
        if (result.class_pixels[group[0]] > 0).sum() < 2:
            continue
        record = records[group[0]]
        problem = f"{images} different images have the very {word} of this one"
        issues.append(Issue("warning", record.id, record.place, problem, advice="Look at them."))
    return issues


def find_notes(facts: Sequence[Facts | None], result: Scan) -> list[str]:
    """Lines to print on what the images are."""
    notes = []
    if len(result.modes) > 1:
        modes = ", ".join(f"{count} {mode}" for mode, count in sorted(result.modes.items()))
        notes.append(f"images are stored as {modes}")
    sizes = {(fact.height, fact.width) for fact in facts if fact}
    if len(sizes) > 1:
        (low, high) = (min(sizes), max(sizes))
        notes.append(
            f"images have {len(sizes)} sizes, {low[0]} x {low[1]} to {high[0]} x {high[1]}"
        )
    turned = sum(any(w.startswith("EXIF") for w in fact.warnings) for fact in facts if fact)
    if turned:
        notes.append(
            f"{counted(turned, 'image')} {verb(turned, 'carries', 'carry')} an EXIF "
            f"orientation: applied"
        )
    notes += _region_notes(facts)
    total = int(result.ignored_pixels.sum())
    if total and result.class_names:
        share = total / max(1, total + int(result.class_pixels.sum()))
        notes.append(f"label {result.ignore_label} means no label: {share:.1%} of all pixels")
    return notes


def _region_notes(facts: Sequence[Facts | None]) -> list[str]:
    """How many images have a region, and what share of them it covers."""
    shares = [fact.region_share for fact in facts if fact and fact.region_share is not None]
    if not shares:
        return []
    low, middle, high = np.quantile(shares, [0, 0.5, 1])
    return [
        f"{counted(len(shares), 'image')} {verb(len(shares), 'has', 'have')} a region (a mask "
        f"file): {low:.1%} to {high:.1%} of the pixels, "
        f"median {middle:.1%}"
    ]
