"""Checking and splitting a run's data."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfvision.config import DataConfig
from tfvision.data.audit.finding import Audit
from tfvision.data.scan.quarantine import left_out_ids, quarantine_csv
from tfvision.data.scan.result import Scan
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Source
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.data.split.chain_blocks import Near
from tfvision.data.split.exclude import ExcludeList, read_exclude
from tfvision.data.split.holdout import read_splits
from tfvision.data.truth import truth_kind
from tfvision.engine.files import write_json, write_text
from tfvision.errors import InputError
from tfvision.recipe import audit_findings
from tfvision.recipe.opening import open_source
from tfvision.recipe.recorded import as_recorded, check_same, recorded_splits
from tfvision.recipe.splits import make_splits
from tfvision.tasks.facts import DEFAULT_TASK, task_entry

LARGEST_SIDE = 512  # of the size chosen for images of different sizes
LARGEST_CLASSIFIED = 224  # the same of what a classifier sees


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
        audit: What is doubtful in it, of what is not left out.
        exclude: What `data.exclude` leaves out.
        notes: Lines for the user.
        pseudo: What `data.pseudo` adds to the training, for records; None: nothing.
        task: What it was prepared for.
        fit: How images are brought to `size`: "stretch", each side by itself, or "pad",
            as `tfvision.recipe.letterbox` has it.
        enlarge: Whether a letterbox enlarges small images.
    """

    source: Source
    scan: Scan
    splits: list[str | None]
    how: str
    size: tuple[int, int]
    resized: bool
    channels: int
    audit: Audit
    exclude: ExcludeList = field(default_factory=ExcludeList)
    notes: list[str] = field(default_factory=list)
    pseudo: dict[str, Any] | None = None
    task: str = DEFAULT_TASK
    fit: Literal["stretch", "pad"] = "stretch"
    enlarge: bool = False

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

    @property
    def facts(self) -> dict[str, Any]:
        """What a recipe depends on, by the names of its arguments."""
        return {
            "num_classes": self.num_classes,
            "channels": self.channels,
            "size": self.size,
            "resized": self.resized,
        }

    def class_pixels(self, split: str) -> np.ndarray:
        """(n, K) pixels of each class in each labelled image of a split."""
        return self.scan.class_pixels[self.indices(split)]

    def record(self) -> dict[str, Any]:
        """What `data.json` holds."""
        parts, hashes = ("train", "val", "test"), self.scan.sample_hashes
        return {
            "source": self.source.name,
            "path": None if self.source.path is None else str(self.source.path),
            "layout": self.source.layout,
            "fingerprint": self.scan.fingerprint,
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "channels": self.channels,
            **self._of_classes(),
            "image_size": list(self.size),
            "resized": self.resized,
            "white": self.source.white,
            "mask_values": self.source.mask_values,
            "how": self.how,
            "counts": {split: len(self.indices(split, labelled=False)) for split in parts},
            "labelled": {split: len(self.indices(split)) for split in parts},
            "class_pixels": {s: self.class_pixels(s).sum(axis=0).tolist() for s in parts},
            "class_images": {s: (self.class_pixels(s) > 0).sum(axis=0).tolist() for s in parts},
            "excluded": self.exclude.names,
            "exclude_sha256": self.exclude.sha256,
            "quarantined": left_out_ids(self.scan.left_out),
            "source_options": self.source.options,
            "splits": {
                split: [self.source.records[i].id for i in self.indices(split, labelled=False)]
                for split in parts
            },
            "hashes": {
                split: [hashes[i] for i in self.indices(split, labelled=False)] for split in parts
            },
            "left_out": [
                [record.id, content]
                for record, split, content in zip(
                    self.source.records, self.splits, hashes, strict=True
                )
                if split is None and record.labelled and content
            ],
            "groups": self._groups(parts),
            "notes": self.notes,
            **({} if self.pseudo is None else {"pseudo": self.pseudo}),
        }

    def _of_classes(self) -> dict[str, Any]:
        """The task, where it is not that of old; how the data writes its classes, where an image
        has one label."""
        said: dict[str, Any] = {**task_entry(self.task)}
        if truth_kind(self.source.truth).names_image:
            said["class_labels"] = self.source.class_labels or self.class_names
        if self.source.coco_ids is not None:
            said["category_ids"] = list(self.source.coco_ids.categories)
        return said

    def write_quarantine(self, path: Path) -> None:
        """Writes the table of samples left out for an error of their own, where there are any."""
        if self.scan.left_out:
            write_text(path, quarantine_csv(self.scan.left_out))

    def _groups(self, parts) -> dict[str, list[str | None]] | None:
        """The group of each sample of a split, in the order of its ids; None without groups."""
        records = self.source.records
        if all(record.group is None for record in records):
            return None
        return {s: [records[i].group for i in self.indices(s, labelled=False)] for s in parts}


def prepare(
    config: DataConfig,
    *,
    seed: int,
    issues: Path | None = None,
    known: dict[str, Any] | None = None,
) -> Prepared:
    """Opens, scans and splits the data of a config.

    Args:
        config: The config's section.
        seed: Of the hold-out split.
        issues: Where to write all that the scan found wrong, or None.
        known: `data.json` of the run whose data it is: the data must be the same, and is split
            as that says. None: of a new run.

    Raises:
        InputError: The data cannot be used; the message lists up to 20 problems. Or it is not
            what the run recorded.
    """
    if known is not None:
        config = as_recorded(config, known)
    source = open_source(config)
    check_has_truth(source)
    found = scan(
        source,
        class_names=config.class_names,
        ignore_label=config.ignore_label,
        settled=_saved(config),
        on_bad_sample=config.on_bad_sample,
    )
    records = source.records
    if known is None:
        exclude = read_exclude(config.exclude, records, truth=source.truth)
    else:
        exclude = check_same(config, known, source, found)
    found = audit_findings.without_issues_of(found, records, exclude.reasons)
    if issues is not None:
        write_json(issues, found.to_json())
    found.raise_for_errors(full_list=issues)
    left_out = {*exclude.reasons, *(x.index for x in found.left_out if x.index is not None)}
    audit = _audit(config, source, found, left_out, issues=issues, known=known)
    notes = [source.layout, *found.notes, *_quarantine_note(found), *exclude.notes()]
    notes += [*audit.notes, *audit_findings.warning_lines(audit, config)]
    splits, how = make_splits(
        config,
        source,
        found,
        Near(audit.pairs, audit.clusters, audit.chains),
        left_out=left_out,
        seed=seed,
        notes=notes,
        known=known,
    )
    if not any(r.labelled and s == "train" for r, s in zip(source.records, splits, strict=True)):
        raise InputError(
            "No labelled sample is left to train on. Check data.splits, data.exclude and the "
            "fractions."
        )
    used = [i for i, name in enumerate(splits) if name is not None]
    size, resized, said = _size(config, found, used)
    notes += said
    return Prepared(
        source=source,
        scan=found,
        splits=splits,
        how=how,
        size=size,
        resized=resized,
        channels=_channels(config, found, used),
        audit=audit,
        exclude=exclude,
        notes=notes,
        task=config.task,
    )


def shown_as(config: DataConfig, prepared: Prepared) -> Prepared:
    """The same data at the size and with the channels of another config, which shows the same
    samples in another way."""
    used = [i for i, name in enumerate(prepared.splits) if name is not None]
    size, resized, _ = _size(config, prepared.scan, used)
    channels = _channels(config, prepared.scan, used)
    return replace(prepared, size=size, resized=resized, channels=channels)


def _saved(config: DataConfig) -> bool:
    """Whether a config is one that a run saved: it writes down what nobody types, that classes
    come from the data and which label is none."""
    written = {"class_names", "ignore_label"} <= config.model_fields_set
    return written and config.class_names is None


def _audit(config: DataConfig, source: Source, found: Scan, left_out, issues, known) -> Audit:
    """The audit of what is not left out; its findings join what the scan found, on disk."""
    given = [record.split for record in source.records]
    if config.splits is not None and known is not None:
        given = recorded_splits(known, source.records, found.sample_hashes)
    elif config.splits is not None:
        given = read_splits(config.splits, source.records, truth=source.truth)
    audit = audit_findings.find(source, found, splits=given, excluded=left_out)
    if issues is not None:
        listed = audit_findings.to_json(audit, source.records, given)
        write_json(issues, {**found.to_json(), "audit": listed})
    return audit


def _quarantine_note(found: Scan) -> list[str]:
    """One line on the samples that were left out for an error of their own."""
    if not found.left_out:
        return []
    ids = left_out_ids(found.left_out)
    shown = ", ".join(ids[:3]) + ", ..." * (len(ids) > 3)
    return [
        f"{len(ids)} sample{'s' * (len(ids) > 1)} left out for errors of their own "
        f"(on_bad_sample: quarantine): {shown}; quarantine.csv of a run lists them"
    ]


def _size(config, found, used):
    """The size to train at, whether that resizes anything, and what to say of it."""
    heights, widths = np.asarray(found.heights)[used], np.asarray(found.widths)[used]
    if config.image_size is not None:
        size = tuple(config.image_size)
        resized = bool((heights != size[0]).any() or (widths != size[1]).any())
        return size, resized, []
    if len(set(heights)) == len(set(widths)) == 1 or not config.sized_by_images:
        return (int(heights[0]), int(widths[0])), False, []
    size = rounded_size((np.median(heights), np.median(widths)), LARGEST_SIDE)
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


def _channels(config: DataConfig, found: Scan, used: list[int]) -> int:
    """1 or 3: what the config says, else as many as the images have."""
    return config.channels or int(max(found.channels[i] for i in used))


def rounded_size(size: tuple[float, float] | np.ndarray, largest: int) -> tuple[int, int]:
    """(height, width) in multiples of 16, the longer side at most `largest`."""
    height, width = (float(side) for side in size)
    shrink = min(1.0, largest / max(height, width))
    return tuple(max(16, 16 * round(side * shrink / 16)) for side in (height, width))
