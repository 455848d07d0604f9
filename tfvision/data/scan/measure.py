"""What a scan keeps of each sample after one look at its pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import PIL

from tfvision.data.files.cache import read_json, write_json
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.timeout import map_in_time
from tfvision.data.scan.mask_fit import Fit
from tfvision.data.scan.sketch import Sketch, make_sketch
from tfvision.data.sources.source import Source

FORMAT = 3  # of the kept facts; another number looks again


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
        mask_sha256: The same of the raw mask; "" without one.
        values: Raw mask value -> number of pixels.
        warnings: What was done to read it.
        sketch: What the audit needs of its pixels; in a classification the borders are those
            of the region.
        region_sha256: Of the region's shape, dtype and pixels; "" without one.
        region_pixels: How many pixels of the region are 1.
        boxes: In a classification: `x1 y1 x2 y2` of each box, in pixels.
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
    mask_sha256: str
    values: dict[int, int]
    warnings: tuple[str, ...]
    sketch: Sketch
    region_sha256: str = ""
    region_pixels: int = 0
    boxes: tuple[tuple[float, ...], ...] = ()

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
        BadSample: It cannot be read, or its mask (in a classification its region) has another
            size than its image.
    """
    sample = source.read_raw(index)
    image, mask, region = sample.image, sample.mask, sample.region
    labels = source.task == "classification"
    drawn = region if labels else mask
    if drawn is not None and drawn.shape != image.shape[:2]:
        raise _other_size(source.records[index].place, image.shape[:2], drawn.shape)
    boxes = sample.boxes if labels and sample.boxes is not None else ()
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
        image_sha256=_sha256(image),
        mask_sha256="" if mask is None else _sha256(mask),
        values={} if mask is None else _count(mask),
        warnings=sample.warnings,
        sketch=make_sketch(image, drawn),
        region_sha256="" if region is None else _sha256(region),
        region_pixels=0 if region is None else int(np.count_nonzero(region)),
        boxes=tuple(tuple(float(side) for side in box) for box in boxes),
    )


def _other_size(place: str, image: tuple[int, ...], mask: tuple[int, ...]) -> BadSample:
    turned = " They fit when one is turned: check its EXIF orientation, or set exif: ignore."
    return BadSample(
        place,
        f"the image has {image[0]} x {image[1]} pixels, its mask {mask[0]} x {mask[1]} "
        "(height x width)",
        "Image and mask must have one size." + (turned if mask[::-1] == image else ""),
    )


def _count(mask: np.ndarray) -> dict[int, int]:
    if mask.min() >= 0 and mask.max() < 4096:
        counts = np.bincount(mask.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, counts = np.unique(mask, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _sha256(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _issue(source: Source, index: int, error: BadSample) -> Issue:
    identity = source.records[index].id
    return Issue("error", identity, error.place, error.problem, error.advice)


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
    sketch = Sketch(**{**kept, "fit": None if kept["fit"] is None else Fit(**kept["fit"])})
    warnings = tuple(fact["warnings"])
    boxes = tuple(tuple(box) for box in fact["boxes"])
    known = {"values": values, "warnings": warnings, "sketch": sketch, "boxes": boxes}
    return Facts(**{**fact, **known})
