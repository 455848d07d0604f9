"""What every source offers: records, and one raw sample at a time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.sources.ids import CocoIds
from tfvision.errors import InputError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """One sample, before it is read.

    Attributes:
        id: Path relative to the source, without extension where that is unique; the row
            index in an array. Unique within a part.
        part: The array or folder it stands in: "training_set", "test", "".
        split: "train", "val" or "test" where the data itself says so; None: to be split.
        labelled: Whether it has a truth: a mask, a label, boxes (none of them, too).
        group: Samples of one group stay in one split; None: on its own.
        place: For messages: "images/a.png", "row 7 of training_set in mars.npz".
        label: The class of an image with one label, as the data writes it; None without one.
    """

    id: str
    part: str
    split: str | None
    labelled: bool
    group: str | None
    place: str
    label: str | None = None


@dataclass(frozen=True)
class RawSample:
    """A sample as it is stored.

    Attributes:
        image: (H, W, C) uint8, uint16 or float32, C is 1 or 3; not scaled.
        mask: (H, W) int32, or None.
        label: The class number of an image that has one, or None.
        boxes: (N, 4) float32 `x1 y1 x2 y2` in pixels, or None.
        classes: (N,) int32, or None.
        mode: How the image is stored: Pillow's mode of a file, the dtype of an array.
        warnings: What was done to read it, one sentence each.
        region: (H, W) uint8, 1 where the object is, else 0, beside a label; or None.
        mask_colours: The colour "#rrggbb" of each value of a mask stored with a palette; else {}.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    boxes: np.ndarray | None = None
    classes: np.ndarray | None = None
    mode: str = ""
    warnings: tuple[str, ...] = ()
    region: np.ndarray | None = None
    label: int | None = None
    mask_colours: Mapping[int, str] = field(default_factory=dict)


class Source(ABC):
    """Records, and one raw sample at a time.

    Attributes:
        name: The builder's name: "npz", "folder", "manifest", "embedded".
        path: The file or folder, None for arrays in memory.
        layout: One sentence that states what was recognised.
        records: One a sample, in a fixed order.
        class_names: Where the data says them.
        notes: What was set aside, one line each.
        problems: What is wrong already with the list of files; a scan reports it.
        mask_values: The raw mask values in class order, or None where a mask holds the
            class numbers. A scan sets it to [0, 255] where it finds just these.
        ignore_label: The label that counts as "no label", which `mask_values` leaves as
            it is; None: there is none. A scan sets it.
        white: The pixel value that means 1.0; None: 255, 65535 or 1.0, by the dtype. A
            scan sets it to 255 where floating-point images hold whole numbers up to that.
        options: What else decides how a file is read, for the scan's cache.
        truth: The kind of truth it brings, a name of `tfvision.data.truth.TRUTHS`.
        class_labels: How the data writes each class, in class order, where an image has one
            label; the names too, unless these are listed apart from the labels.
        coco_ids: What COCO's JSON calls images and classes, where it is read from that.
    """

    coco_ids: CocoIds | None = None

    def __init__(
        self,
        records: Sequence[Record],
        *,
        name: str,
        layout: str,
        path: Path | None = None,
        class_names: Sequence[str] | None = None,
        mask_values: Sequence[int] | None = None,
        white: float | None = None,
        notes: Sequence[str] = (),
        problems: Sequence[Issue] = (),
        options: str = "",
        truth: str = "masks",
        class_labels: Sequence[str] | None = None,
        ignore_label: int | None = 255,
    ):
        self.records, self.truth = list(records), truth
        self.class_labels = None if class_labels is None else list(class_labels)
        self.name, self.layout, self.path, self.options = name, layout, path, options
        self.class_names = None if class_names is None else list(class_names)
        self.mask_values = check_mask_values(mask_values)
        self.ignore_label = ignore_label
        self.white = check_white(white)
        self.notes, self.problems = list(notes), list(problems)

    def described(self, **changed: Any) -> dict[str, Any]:
        """What another source that reads these samples says of itself, but for `changed`."""
        return {
            "name": self.name,
            "layout": self.layout,
            "path": self.path,
            "class_names": self.class_names,
            "mask_values": self.mask_values,
            "ignore_label": self.ignore_label,
            "white": self.white,
            "options": self.options,
            "truth": self.truth,
            "class_labels": self.class_labels,
            **changed,
        }

    def __len__(self) -> int:
        return len(self.records)

    @abstractmethod
    def read_raw(self, index: int) -> RawSample:
        """The sample with the values its mask has in the file.

        Raises:
            BadSample: It cannot be read as it stands.
        """

    def read_large(self, index: int) -> RawSample:
        """The image alone, whatever its size; it may be one that is decoded part by part.

        Raises:
            BadSample: It cannot be read as it stands, or does not fit into memory.
        """
        return replace(self.read_raw(index), mask=None)

    @abstractmethod
    def stamp(self, index: int) -> str:
        """Differs where the sample was written again since. "" where that is unknown."""

    def contradicted(self, index: int) -> list[tuple[tuple[float, ...], int]]:
        """Of boxes that are annotated with several classes, those that do not count: their sides
        and class number, -1 where that is none."""
        return []

    def white_of(self, index: int) -> float | None:
        """The pixel value of a sample that means 1.0; as `white`, which most have in common."""
        return self.white

    def read(self, index: int) -> RawSample:
        """The sample; its mask holds class numbers, as `mask_values` maps them.

        Raises:
            BadSample: It cannot be read, or its mask holds a value that is not listed.
        """
        sample = self.read_raw(index)
        if sample.mask is None or self.mask_values is None:
            return sample
        labels = to_labels(
            sample.mask, self.mask_values, self.ignore_label, place=self.records[index].place
        )
        return replace(sample, mask=labels)


def to_labels(
    mask: np.ndarray, mask_values: Sequence[int], ignore_label: int | None, *, place: str
) -> np.ndarray:
    """The class number of each raw value of a mask (H, W) int32.

    `ignore_label` stays as it is unless `mask_values` lists it.

    Raises:
        BadSample: Names the first pixel whose value is not listed.
    """
    values = np.asarray(mask_values, np.int32)
    order = np.argsort(values)
    position = np.searchsorted(values[order], mask).clip(max=len(values) - 1)
    known = values[order][position] == mask
    unknown = ~known if ignore_label is None else ~known & (mask != ignore_label)
    if unknown.any():
        y, x = (int(i) for i in np.argwhere(unknown)[0])
        raise BadSample(
            place,
            f"the mask holds {mask[y, x]} at pixel (y, x) = ({y}, {x}), mask_values are "
            f"{list(mask_values)}",
            "Correct the mask, or add the value to mask_values.",
        )
    labels = order[position].astype(np.int32)
    return labels if ignore_label is None else np.where(known, labels, np.int32(ignore_label))


def check_mask_values(mask_values: Sequence[int] | None) -> list[int] | None:
    """`mask_values` as a list of different whole numbers, at least two."""
    if mask_values is None:
        return None
    values = list(mask_values)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    if not whole or len(values) < 2 or len(set(values)) != len(values):
        raise InputError(
            "mask_values must list at least two different whole numbers, in class order, "
            f"e.g. [0, 255]; got {mask_values!r}."
        )
    return [int(v) for v in values]


def check_white(white: float | None) -> float | None:
    if white is not None and not white > 0:
        raise InputError(f"white, the pixel value that means 1.0, must be above 0; got {white!r}.")
    return white
