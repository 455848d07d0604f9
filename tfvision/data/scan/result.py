"""What a scan of a data set found."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.files.issue import Issue, listing
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.quarantine import LeftOut
from tfvision.errors import InputError


@dataclass
class Scan:
    """What a scan found. Arrays have one row a record; a sample that cannot be read has
    zeros and "" there, and an error among the issues.

    Attributes:
        source_name: The data set, for messages.
        heights, widths, channels: (N,) int64.
        dtypes, modes: How many images have each dtype, each storage mode.
        image_sha256: Of the decoded pixels.
        truth_sha256: Of the truth alone, a raw mask, say; "" without one.
        class_pixels: (N, K) int64, how often each class stands in the truth of a sample: pixels
            of a mask, 1 for a label, boxes.
        ignored_pixels: (N,) int64.
        num_classes, class_names: K and one name a class; 0 and [] where nothing says them.
        mask_values: Raw values in class order, None where they are 0, 1, 2, ...
        ignore_label: The label in masks that is no class, None: there is none.
        value_range: dtype -> (lowest, highest) pixel value.
        white: The pixel value that means 1.0; None: 255, 65535 or 1.0, by the dtype.
        stamps: What `source.stamp` said before each sample was read.
        facts: What was measured of each sample; None where it cannot be read.
        fingerprint: Of ids, parts, pixels, truth, class names and ignore label.
        issues: Errors and warnings.
        notes: Lines to print.
        truth: The kind of truth, that of the source.
        left_out: Samples with an error of their own, set aside (`on_bad_sample`); they have
            zeros and "" as those that cannot be read, and a warning each.
    """

    source_name: str
    heights: np.ndarray
    widths: np.ndarray
    channels: np.ndarray
    dtypes: dict[str, int]
    modes: dict[str, int]
    image_sha256: list[str]
    truth_sha256: list[str]
    class_pixels: np.ndarray
    ignored_pixels: np.ndarray
    class_names: list[str]
    mask_values: list[int] | None
    ignore_label: int | None
    value_range: dict[str, tuple[float, float]]
    white: float | None
    stamps: list[str]
    fingerprint: str
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[Facts | None] = field(default_factory=list)
    truth: str = "masks"
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def sample_hashes(self) -> list[str]:
        """What tells image and truth of each sample from any others', short; "" of one unread."""
        both = zip(self.image_sha256, self.truth_sha256, strict=True)
        return [hashlib.sha256((i + t).encode()).hexdigest()[:16] if i else "" for i, t in both]

    @property
    def errors(self) -> list[Issue]:
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def warnings(self) -> list[Issue]:
        return [issue for issue in self.issues if issue.severity == "warning"]

    def raise_for_errors(self, limit: int = 20, *, full_list: str | Path | None = None) -> None:
        """Raises where there is any error.

        Args:
            limit: How many are written out.
            full_list: The file that holds all of them, for the message.
        """
        errors = self.errors
        if errors:
            count = f"{len(errors)} problem{'s' * (len(errors) > 1)}"
            where = f"\nThe full list: {full_list}" if full_list else ""
            raise InputError(
                f"{self.source_name}: {count} in the data.\n{listing(errors, limit=limit)}{where}"
            )

    def to_json(self) -> dict[str, Any]:
        """Everything found wrong, for `issues.json`."""
        return {
            "data": self.source_name,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "issues": [issue.to_dict() for issue in self.issues],
            "notes": self.notes,
        }
