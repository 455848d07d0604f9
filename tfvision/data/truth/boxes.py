"""The kind `boxes`: any number of boxes, each with a class; none is an image without objects."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.truth.base import Measured, Truth, sha256_of
from tfvision.data.truth.classes import (
    Classes,
    check_class_names,
    first_seen,
    numbered_names,
    some,
)
from tfvision.detection.crowds import as_crowd, is_crowd

OUTSIDE = 1.0  # pixels that a box may reach over its image's edge; it is cut there
SIDES = "x1 y1 x2 y2 in pixels of the image, x1 < x2 and y1 < y2"


class Boxes(Truth):
    """`boxes` (n, 4) float32 `x1 y1 x2 y2` in pixels and `classes` (n,) int32; n may be 0.

    A class -2 - k is a crowd of class k, see `tfvision.detection.crowds`: it is counted nowhere.
    """

    name = "boxes"
    word, one, many, other, of_data = "boxes", "boxes", "boxes", "other boxes", "boxes"
    targets = ("boxes", "classes")
    counted = "boxes"

    def arrays(self, sample: Any) -> dict[str, np.ndarray]:
        """The targets, boxes cut at the edges of the image."""
        arrays = super().arrays(sample)
        if arrays:
            arrays["boxes"] = clipped(arrays["boxes"], sample.image.shape[:2])
        return arrays

    def check(self, sample: Any, place: str) -> None:
        if sample.boxes is None:
            return
        boxes, size = np.asarray(sample.boxes), sample.image.shape[:2]
        number = -1 if sample.classes is None else len(sample.classes)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != number:
            classes = "no classes" if number < 0 else f"{number} classes"
            problem = f"its boxes have the shape {boxes.shape}, with {classes}"
            raise BadSample(place, problem, f"A box is {SIDES}, and each has a class.")
        for row, box in enumerate(boxes):
            problem = _what_is_wrong(box, size)
            if problem:
                shown = ", ".join(f"{side:g}" for side in box)
                raise BadSample(
                    place, f"box {row} ({shown}) {problem}", f"Correct it or take it out: {SIDES}."
                )

    def measure(self, sample: Any) -> Measured:
        if sample.boxes is None:
            return Measured("", {})
        boxes, classes = np.asarray(sample.boxes, np.float32), np.asarray(sample.classes, np.int32)
        both = sha256_of(boxes) + sha256_of(classes)
        return Measured(hashlib.sha256(both.encode()).hexdigest(), dict(Counter(classes.tolist())))

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
        """Without names the classes are 0 to the highest number found. No number is ignored."""
        names = check_class_names(class_names)
        if not names:
            highest = max(first_seen([fact.values if fact else None for fact in facts]), default=-1)
            names = numbered_names(highest + 1)
        classes = Classes(names, None, None)
        for record, fact in zip(records, facts, strict=True):
            numbers = fact.box_classes if fact else ()
            numbers = [as_crowd(k) if is_crowd(k) else k for k in numbers]
            rows = [row for row, number in enumerate(numbers) if not 0 <= number < len(names)]
            if rows:
                problem = (
                    f"box {rows[0]} has the class {numbers[rows[0]]}; expected: "
                    f"{some(range(len(names)))}"
                )
                advice = "Correct the class, or declare class_names for all classes."
                classes.issues.append(
                    Issue("error", record.id, record.place, problem, advice=advice)
                )
        return classes

    def warnings(self, scan: Any, records: Sequence[Any]) -> list[Issue]:
        boxes = scan.class_pixels.sum(axis=0)
        if not boxes.any():
            problem, advice = "no image has a box", "There is nothing to learn: check the boxes."
            return [Issue("error", "", "boxes", problem, advice=advice)]
        advice = "It cannot be learnt or scored: check class_names, or add boxes."
        return [
            Issue("warning", "", "boxes", f"the class {name!r} ({index}) has no box", advice=advice)
            for index, name in enumerate(scan.class_names)
            if boxes[index] == 0
        ]

    def drawing(self, sample: Any, num_classes: int) -> np.ndarray | None:
        """Each box filled with its class, large ones first; -1 where there is none. Crowds are
        filled as what has no class, below the boxes."""
        if sample.boxes is None:
            return None
        drawn = np.full(sample.image.shape[:2], -1, np.int32)
        boxes = np.clip(np.rint(sample.boxes), 0, None).astype(int)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        crowd = is_crowd(np.asarray(sample.classes))
        for row in np.lexsort((-areas, ~crowd)):
            x1, y1, x2, y2 = boxes[row]
            drawn[y1:y2, x1:x2] = num_classes if crowd[row] else sample.classes[row]
        return drawn


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) cut at the edges of an image of (height, width) pixels, float32."""
    height, width = size
    return np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)


def _what_is_wrong(box: np.ndarray, size: tuple[int, int]) -> str:
    """The end of a sentence on one box; "" for a sound one."""
    height, width = size
    x1, y1, x2, y2 = (float(side) for side in box)
    if not np.isfinite(box).all():
        return "holds what is no number"
    if x1 >= x2 or y1 >= y2:
        return "has no area"
    if min(x1, y1) < -OUTSIDE or x2 > width + OUTSIDE or y2 > height + OUTSIDE:
        return f"leaves the image, {width} x {height} pixels (width x height)"
    x1, y1, x2, y2 = clipped(np.asarray(box)[None], size)[0]
    return "" if x1 < x2 and y1 < y2 else "has no area inside the image"
