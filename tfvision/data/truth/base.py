"""What every kind of truth answers, and the named targets that stand in batches."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.truth.classes import Classes


@dataclass(frozen=True)
class Target:
    """A named array that a sample carries beside its image.

    Attributes:
        shape: Of one sample's; a letter stands for any length. "M", the number of objects,
            differs between samples: batches have one M, and rows of `pad` behind the true ones.
        dtype: In a batch.
        resized: What becomes of it where the image is resized: "nearest" pixels, "scaled"
            coordinates `x1 y1 x2 y2`, or "" where it stays as it is.
        pad: What fills the rows that a sample lacks.
    """

    shape: tuple[str | int, ...]
    dtype: str
    resized: str = ""
    pad: int = 0

    @property
    def ragged(self) -> bool:
        """Whether samples have different numbers of rows."""
        return self.shape[:1] == ("M",)


TARGETS = {
    "mask": Target(("H", "W"), "int32", resized="nearest"),
    "label": Target((), "int32"),
    "region": Target(("H", "W"), "uint8", resized="nearest"),
    "boxes": Target(("M", 4), "float32", resized="scaled"),
    "classes": Target(("M",), "int32", pad=-1),
}


@dataclass(frozen=True)
class Measured:
    """What a scan keeps of the truth of one sample.

    Attributes:
        sha256: Of the truth alone.
        values: Raw value -> how often it stands there: pixels, images (1) or boxes.
    """

    sha256: str
    values: dict[int, int]


class Truth(ABC):
    """One kind of truth.

    A sample here is a `RawSample`, or what has its fields; facts and scan are those of
    `tfvision.data.scan`.

    Attributes:
        name: Its key in `TRUTHS`.
        word, one, many, other, of_data: What it is called in messages: "mask", "a mask",
            "masks", "another mask"; and what a data set has of it: "a label for each image".
        targets: Names of the fields of a sample, and keys of `TARGETS`, that are its truth.
        drawn: The field of a sample that follows the edges of what the image shows, so that
            they show whose it is; "" where there is none.
        counted: What `counts` counts of a class: "pixels", "images", "boxes".
        names_image: Whether it is one class for the whole image. Then what surrounds the
            objects should not tell the class, and class names are what the data writes.
    """

    name: str
    word: str
    one: str
    many: str
    other: str
    of_data: str
    targets: tuple[str, ...]
    drawn: str = ""
    counted: str = "pixels"
    names_image: bool = False

    def arrays(self, sample: Any) -> dict[str, np.ndarray]:
        """The named targets of a sample that was read; {} where it has no truth."""
        values = {name: getattr(sample, name) for name in self.targets}
        if any(value is None for value in values.values()):
            return {}
        return {name: np.asarray(value) for name, value in values.items()}

    @abstractmethod
    def check(self, sample: Any, place: str) -> None:
        """Raises a `BadSample` where the truth cannot be that of the image.

        Args:
            sample: As its source reads it.
            place: For the message.
        """

    @abstractmethod
    def measure(self, sample: Any) -> Measured:
        """Hash and values of the truth; the hash is "" and the values {} without truth."""

    def fingerprint(self, fact: Any) -> list[Any]:
        """What of a sample's facts enters the fingerprint of a data set, ready for JSON."""
        return [fact.image_sha256, fact.truth_sha256]

    @abstractmethod
    def settle(
        self,
        facts: Sequence[Any],
        records: Sequence[Any],
        *,
        class_names: Sequence[str] | None,
        mask_values: Sequence[int] | None,
        ignore_label: int | None,
        mask_of: Callable[[int], np.ndarray],
        settled: bool = False,
    ) -> Classes:
        """Decides number and names of the classes, and finds values that are none.

        Args:
            facts: One a record, None where it cannot be read.
            records: The records.
            class_names: The names, where they are declared.
            mask_values: Raw values in class order, where they are declared.
            ignore_label: The value that is no class, or None.
            mask_of: The raw mask of a record.
            settled: Whether the values were read before, by a run that is looked at again: then
                what may be meant otherwise is not asked.
        """

    def look_again(
        self,
        facts: Sequence[Any],
        records: Sequence[Any],
        classes: Classes,
        sample_of: Callable[[int], Any],
    ) -> list[Issue]:
        """What images and truth together show of classes that nothing declares.

        Args:
            facts, records: As `settle` has them.
            classes: What it found.
            sample_of: The sample of a record, as its source reads it.
        """
        return []

    def counts(self, values: Mapping[int, int], classes: Classes) -> tuple[np.ndarray, int]:
        """(K,) int64, how often each class stands in a sample, and how much is ignored."""
        column = {value: index for index, value in enumerate(classes.raw_values())}
        counts, ignored = np.zeros(len(classes.names), np.int64), 0
        for value, count in values.items():
            if value == classes.ignore_label:
                ignored += count
            elif value in column:
                counts[column[value]] += count
        return counts, ignored

    def warnings(self, scan: Any, records: Sequence[Any]) -> list[Issue]:
        """What the counts of a scan without errors show: classes that nothing has, say."""
        return []

    @abstractmethod
    def drawing(self, sample: Any, num_classes: int) -> np.ndarray | None:
        """(H, W) int32 to draw over the image: classes, -1 for none, `num_classes` for what is
        marked without a class; None where there is nothing to draw."""


def label_map(targets: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(H, W) int32 class numbers, of one label (1, 1): what predictions are counted against.
    None without any."""
    if "label" in targets:
        return targets["label"].astype(np.int32).reshape(1, 1)
    return targets.get("mask")


def sha256_of(array: np.ndarray) -> str:
    """Of an array's shape, dtype and values."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
