"""The kind `label`: one class for the whole image, and where there is one, the object's place."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.truth.base import Measured, Truth, sha256_of
from tfvision.data.truth.classes import Classes, check_class_names, first_seen, numbered_names
from tfvision.data.truth.masks import check_size


class Label(Truth):
    """`label`, a class number. `region` (H, W) and `boxes` (n, 4) say where the object is."""

    name = "label"
    word, one, many, other = "label", "a label", "labels", "another label"
    of_data = "a label for each image"
    targets = ("label",)
    drawn = "region"
    names_image, counted = True, "images"

    def check(self, sample: Any, place: str) -> None:
        check_size(sample.image, sample.region, place, sample.warnings)

    def measure(self, sample: Any) -> Measured:
        if sample.label is None:
            return Measured("", {})
        # As a mask of one pixel: so fingerprints of old runs hold.
        return Measured(sha256_of(np.full((1, 1), sample.label, np.int32)), {int(sample.label): 1})

    def fingerprint(self, fact: Any) -> list[Any]:
        return [*super().fingerprint(fact), fact.region_sha256, fact.boxes]

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
        """The names are the source's, which has numbered its labels by them."""
        names = check_class_names(class_names)
        if not names:
            highest = max(first_seen([fact.values if fact else None for fact in facts]), default=-1)
            names = numbered_names(highest + 1)
        classes = Classes(names, None, None if len(names) > 255 else ignore_label)
        for record, fact in zip(records, facts, strict=True):
            odd = [value for value in (fact.values if fact else ()) if not 0 <= value < len(names)]
            if odd:
                problem = f"the label is {odd[0]}; expected: a class number below {len(names)}"
                advice = "Correct the label, or the class names."
                classes.issues.append(
                    Issue("error", record.id, record.place, problem, advice=advice)
                )
        return classes

    def warnings(self, scan: Any, records: Sequence[Any]) -> list[Issue]:
        issues = []
        images = (scan.class_pixels > 0).sum(axis=0)
        for name, count in zip(scan.class_names, images, strict=True):
            if count == 0:
                problem = f"the class {name!r} has no image"
                advice = "It cannot be learnt or scored: add images, or take the name out."
                issues.append(Issue("warning", "", "labels", problem, advice=advice))
            elif count == 1:
                problem = f"the class {name!r} has one image: it stands in one split only"
                advice = "It cannot be learnt and scored both: add images, or leave the class out."
                issues.append(Issue("warning", "", "labels", problem, advice=advice))
        return issues

    def drawing(self, sample: Any, num_classes: int) -> np.ndarray | None:
        """Of its class all over, so that the frame has its colour, but for the object, which
        has no class, so that a grey line goes around it."""
        if sample.label is None and sample.region is None and sample.boxes is None:
            return None
        label = -1 if sample.label is None else sample.label
        drawn = np.full(sample.image.shape[:2], label, np.int32)
        if sample.region is not None:
            drawn[sample.region > 0] = num_classes
        elif sample.boxes is not None:
            for x1, y1, x2, y2 in np.clip(np.rint(sample.boxes), 0, None).astype(int):
                drawn[y1:y2, x1:x2] = num_classes
        return drawn
