"""What a scan keeps of each sample after one look at its pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import PIL

from tfvision.data.files.cache import read_json, write_json
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.timeout import map_in_time
from tfvision.data.scan.mask_fit import Fit
from tfvision.data.scan.patches import Patch
from tfvision.data.scan.sketch import Sketch, make_sketch
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.data.truth.base import sha256_of

FORMAT = 6  # of the kept facts; another number looks again


@dataclass(frozen=True)
class Facts:
    """One sample.

    Attributes:
        height, width, channels: Of the image.
        dtype: "uint8", "uint16" or "float32".
        mode: How the image is stored: "RGB", "L", "P", ...
        low, high: The range of its values.
        whole: Whether all its values are whole numbers.
        image_sha256: Of its shape, dtype and pixels.
        truth_sha256: Of the truth alone, a raw mask, say; "" without one.
        values: Raw value of the truth -> how often it stands there: pixels, images or boxes.
        warnings: What was done to read it.
        sketch: What the audit needs of its pixels; its borders are those of what the kind of
            truth says is drawn, a mask or a region.
        region_sha256: Of the region's shape, dtype and pixels; "" without one.
        region_pixels: How many pixels of the region are 1.
        boxes: `x1 y1 x2 y2` of each box, in pixels.
        box_classes: Of each box; empty where the data says none.
        mask_colours: The colour of each value of a mask that is stored with a palette.
    """

    height: int
    width: int
    channels: int
    dtype: str
    mode: str
    low: float
    high: float
    whole: bool
    image_sha256: str
    truth_sha256: str
    values: dict[int, int]
    warnings: tuple[str, ...]
    sketch: Sketch
    region_sha256: str = ""
    region_pixels: int = 0
    boxes: tuple[tuple[float, ...], ...] = ()
    box_classes: tuple[int, ...] = ()
    mask_colours: Mapping[int, str] = field(default_factory=dict)

    @property
    def region_share(self) -> float | None:
        """Share of the image's pixels that the region holds; None without a region."""
        return self.region_pixels / (self.height * self.width) if self.region_sha256 else None


@dataclass(frozen=True)
class Gathered:
    """`facts[i]` is None where sample i cannot be read; `issues[i]` then says why."""

    facts: list[Facts | None]
    stamps: list[str]
    issues: dict[int, Issue]
    notes: list[str]


def gather(source: Source, *, cache: bool = True, workers: int = 2) -> Gathered:
    """Looks at every sample, or takes what an earlier look at the same file found.

    Failures are never kept: they may be mended without a trace in the file.

    Raises:
        Stalled: A sample is not read in time; see `tfvision.data.files.timeout`.
    """
    name = _cache_name(source)
    known = _known(name) if cache else {}

    def one(index: int) -> tuple[str, Facts | None, Issue | None, bool]:
        stamp = source.stamp(index)
        kept = known.get(_key(source, index))
        if kept is not None and kept[0] == stamp != "":
            return stamp, kept[1], None, False
        try:
            fact = look(source, index)
        except BadSample as error:
            return stamp, None, _issue(source, index, error), True
        except Exception as error:  # a reader's bug must still name the file
            text = f"cannot be read ({type(error).__name__}: {error})"
            bad = BadSample(source.records[index].place, text, "Check the file.")
            return stamp, None, _issue(source, index, bad), True
        if source.stamp(index) != stamp:
            text, advice = "was changed while it was scanned", "Leave the data alone meanwhile."
            bad = BadSample(source.records[index].place, text, advice)
            return stamp, None, _issue(source, index, bad), True
        return stamp, fact, None, True

    results = map_in_time(
        one, len(source), workers=workers, place=lambda i: source.records[i].place
    )
    stamps = [result[0] for result in results]
    facts = [result[1] for result in results]
    issues = {i: result[2] for i, result in enumerate(results) if result[2] is not None}
    fresh = any(result[3] for result in results)
    notes = []
    if cache and fresh and any(stamps):
        try:
            write_json(name, _to_json(source, stamps, facts))
        except OSError as error:
            notes.append(f"the scan cannot be kept for the next run ({error})")
    return Gathered(facts, stamps, issues, notes)


def look(source: Source, index: int) -> Facts:
    """Reads one sample and measures it.

    Raises:
        BadSample: It cannot be read, or its truth does not fit the image: a mask of another
            size, a box outside it.
    """
    kind, sample = truth_kind(source.truth), source.read_raw(index)
    kind.check(sample, source.records[index].place)
    image, region, measured = sample.image, sample.region, kind.measure(sample)
    boxes, classes = (() if x is None else x for x in (sample.boxes, sample.classes))
    floating = image.dtype.kind == "f"
    return Facts(
        height=image.shape[0],
        width=image.shape[1],
        channels=image.shape[2],
        dtype=str(image.dtype),
        mode=sample.mode,
        low=float(image.min()),
        high=float(image.max()),
        whole=not floating or bool((image == np.rint(image)).all()),
        image_sha256=sha256_of(image),
        truth_sha256=measured.sha256,
        values=measured.values,
        warnings=sample.warnings,
        sketch=make_sketch(image, getattr(sample, kind.drawn) if kind.drawn else None),
        region_sha256="" if region is None else sha256_of(region),
        region_pixels=0 if region is None else int(np.count_nonzero(region)),
        boxes=tuple(tuple(float(side) for side in box) for box in boxes),
        box_classes=tuple(int(number) for number in classes),
        mask_colours=sample.mask_colours,
    )


def _issue(source: Source, index: int, error: BadSample) -> Issue:
    identity = source.records[index].id
    return Issue("error", identity, error.place, error.problem, advice=error.advice)


def _cache_name(source: Source) -> str:
    path = "" if source.path is None else str(source.path.resolve())
    text = "\n".join([str(FORMAT), PIL.__version__, source.name, path, source.options])
    return f"scan-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"


def _key(source: Source, index: int) -> str:
    record = source.records[index]
    return f"{record.part}\n{record.id}\n{record.labelled}"


def _known(name: str) -> dict[str, tuple[str, Facts]]:
    content = read_json(name)
    try:
        return {key: (stamp, _from_json(fact)) for key, (stamp, fact) in content.items()}
    except (AttributeError, TypeError, ValueError, KeyError):
        return {}


def _to_json(
    source: Source, stamps: Sequence[str], facts: Sequence[Facts | None]
) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        _key(source, index): (stamps[index], asdict(fact))
        for index, fact in enumerate(facts)
        if fact is not None
    }


def _from_json(fact: dict[str, Any]) -> Facts:
    values = {int(value): count for value, count in fact["values"].items()}
    kept = fact["sketch"]
    fit = None if kept["fit"] is None else Fit(**kept["fit"])
    patches = tuple(Patch(**{**p, "colour": tuple(p["colour"])}) for p in kept["patches"])
    sketch = Sketch(**{**kept, "fit": fit, "patches": patches})
    warnings = tuple(fact["warnings"])
    boxes, classes = tuple(map(tuple, fact["boxes"])), tuple(fact["box_classes"])
    colours = {int(value): colour for value, colour in fact["mask_colours"].items()}
    known = {"values": values, "warnings": warnings, "sketch": sketch, "mask_colours": colours}
    return Facts(**{**fact, **known, "boxes": boxes, "box_classes": classes})
