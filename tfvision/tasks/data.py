"""Opening, scanning, splitting and decoding a run's data."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import DataConfig
from tfvision.data import SOURCES
from tfvision.data.duplicates import leaks
from tfvision.data.issue import listing
from tfvision.data.pipeline import Samples
from tfvision.data.scan import Scan, scan
from tfvision.data.source import Source
from tfvision.data.split import find_record, holdout, read_splits
from tfvision.data.table import read_table
from tfvision.engine.files import write_json
from tfvision.errors import InputError
from tfvision.registry import Spec
from tfvision.tasks.decode import decode

LARGEST_SIDE = 512  # of the size chosen for images of different sizes


@dataclass(frozen=True)
class Prepared:
    """A data set that has been checked and split.

    Attributes:
        source: Where samples are read from.
        scan: What is in it.
        splits: `train`, `val`, `test` or None (left out) for each record.
        how: How the split came about, one sentence.
        size: (height, width) images are trained at.
        resized: Whether that is not the size of every image.
        channels: 1 or 3.
        excluded: Ids left out by `data.exclude`.
        exclude_sha256: Of that file, or None.
        notes: Lines for the user.
    """

    source: Source
    scan: Scan
    splits: list[str | None]
    how: str
    size: tuple[int, int]
    resized: bool
    channels: int
    excluded: list[str] = field(default_factory=list)
    exclude_sha256: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        return self.scan.num_classes

    @property
    def class_names(self) -> list[str]:
        return list(self.scan.class_names)

    def indices(self, split: str, *, labelled: bool = True) -> list[int]:
        """Places in the source of a split's records; those with masks only, or all."""
        return [
            i
            for i, (name, record) in enumerate(zip(self.splits, self.source.records, strict=True))
            if name == split and (record.labelled or not labelled)
        ]

    def class_pixels(self, split: str) -> np.ndarray:
        """(n, K) pixels of each class in each labelled image of a split."""
        return self.scan.class_pixels[self.indices(split)]

    def decoded(self, split: str) -> Samples:
        """The labelled samples of a split, read once, all at `size`."""
        return decode(self, self.indices(split))

    def record(self) -> dict[str, Any]:
        """What `data.json` holds."""
        parts = ("train", "val", "test")
        return {
            "source": self.source.name,
            "path": None if self.source.path is None else str(self.source.path),
            "layout": self.source.layout,
            "fingerprint": self.scan.fingerprint,
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "channels": self.channels,
            "image_size": list(self.size),
            "resized": self.resized,
            "white": self.source.white,
            "mask_values": self.source.mask_values,
            "how": self.how,
            "counts": {split: len(self.indices(split, labelled=False)) for split in parts},
            "labelled": {split: len(self.indices(split)) for split in parts},
            "class_pixels": {s: self.class_pixels(s).sum(axis=0).tolist() for s in parts},
            "class_images": {s: (self.class_pixels(s) > 0).sum(axis=0).tolist() for s in parts},
            "excluded": self.excluded,
            "exclude_sha256": self.exclude_sha256,
            "splits": {
                split: [self.source.records[i].id for i in self.indices(split, labelled=False)]
                for split in parts
            },
            "hashes": {
                split: [self._hash(i) for i in self.indices(split, labelled=False)]
                for split in parts
            },
            "notes": self.notes,
        }

    def _hash(self, index: int) -> str:
        """Tells one sample's image and mask from any others', short."""
        both = self.scan.image_sha256[index] + self.scan.mask_sha256[index]
        return hashlib.sha256(both.encode()).hexdigest()[:16]


def open_source(config: DataConfig) -> Source:
    """The source a config names."""
    return SOURCES.build(config.source)


def resolved_source(config: DataConfig, source: Source) -> Spec:
    """What a saved config calls the source: the layout that `auto` recognised."""
    if config.source.name != "auto":
        return config.source
    return Spec(name=source.name, **config.source.kwargs)


def prepare(config: DataConfig, *, seed: int, issues: Path | None = None) -> Prepared:
    """Opens, scans and splits the data of a config.

    Args:
        config: The config's section.
        seed: Of the hold-out split.
        issues: Where to write all that the scan found wrong, or None.

    Raises:
        InputError: The data cannot be used; the message lists up to 20 problems.
    """
    source = open_source(config)
    found = scan(source, class_names=config.class_names, ignore_label=config.ignore_label)
    if issues is not None:
        write_json(issues, found.to_json())
    found.raise_for_errors(full_list=issues)
    notes = [source.layout, *found.notes]
    excluded, digest = _excluded(config.exclude, source)
    splits, how = _split(config, source, found, excluded, seed, notes)
    if not any(r.labelled and s == "train" for r, s in zip(source.records, splits, strict=True)):
        raise InputError(
            "No labelled sample is left to train on. Check data.splits, data.exclude and the "
            "fractions."
        )
    used = [i for i, name in enumerate(splits) if name is not None]
    size, resized, said = _size(config, found, used)
    notes += said
    channels = config.channels or int(max(found.channels[i] for i in used))
    names = sorted(excluded.values())
    return Prepared(source, found, splits, how, size, resized, channels, names, digest, notes)


def _split(config, source, found, excluded, seed, notes):
    if config.splits is not None:
        splits = read_splits(config.splits, source.records, notes=notes)
        leaking = [
            issue
            for issue in leaks(source.records, found.image_sha256, splits)
            if issue.severity == "error"
        ]
        if leaking:
            raise InputError(
                f"data.splits {config.splits} puts what belongs together into different splits; "
                f"{len(leaking)} times:\n{listing(leaking)}"
            )
        how = f"given by {config.splits}"
    else:
        splits = holdout(
            found,
            source.records,
            val_fraction=config.val_fraction,
            test_fraction=config.test_fraction,
            seed=seed,
        )
        given = any(r.labelled and r.split is not None for r in source.records)
        how = (
            "as the data set gives it"
            if given
            else f"hold-out, seed {seed}, stratified by class presence; exact duplicates "
            "stay together"
        )
    return [None if i in excluded else split for i, split in enumerate(splits)], how


def _excluded(path: Path | None, source: Source) -> tuple[dict[int, str], str | None]:
    """Place and name of each sample of an exclude list, and the file's SHA-256.

    The list has the columns `id`, `reason` and `evidence`, and `part` where ids alone are
    not unique.
    """
    if path is None:
        return {}, None
    rows, _ = read_table(path, required=["id"], optional=["part"])
    places: dict[str, list[int]] = {}
    for index, record in enumerate(source.records):
        if record.labelled:
            places.setdefault(record.id, []).append(index)
    found = {}
    for row in rows:
        index, problem = find_record(row, places, source.records)
        if problem is not None:
            raise InputError(f"data.exclude {path}, line {row.line}: {problem}.")
        record = source.records[index]
        found[index] = record.id if len(places[record.id]) == 1 else f"{record.part}/{record.id}"
    return found, hashlib.sha256(path.read_bytes()).hexdigest()


def _size(config, found, used):
    """The size to train at, whether that resizes anything, and what to say of it."""
    heights, widths = np.asarray(found.heights)[used], np.asarray(found.widths)[used]
    if config.image_size is not None:
        size = tuple(config.image_size)
        resized = bool((heights != size[0]).any() or (widths != size[1]).any())
        return size, resized, []
    if len(set(heights)) == len(set(widths)) == 1:
        return (int(heights[0]), int(widths[0])), False, []
    height, width = float(np.median(heights)), float(np.median(widths))
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    size = tuple(max(16, 16 * round(side * shrink / 16)) for side in (height, width))
    return (
        size,
        True,
        [
            f"images have different sizes, {heights.min()}x{widths.min()} to "
            f"{heights.max()}x{widths.max()}: trained at {size[0]}x{size[1]}, the rounded median "
            f"(at most {LARGEST_SIDE}), scored and predicted at their own; data.image_size "
            "sets another"
        ],
    )
