"""The kind `masks`: a class for each pixel."""

from collections.abc import Callable, Mapping, Sequence
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
from tfvision.data.truth.mask_doubts import doubt
from tfvision.data.truth.mask_seams import MANY
from tfvision.data.truth.mask_values import THRESHOLD, MaskValues, middle, typed
from tfvision.data.truth.object_numbers import few_numbers
from tfvision.errors import InputError
from tfvision.text import counted, verb

MASK_IS_IMAGE = (
    "the mask holds the very pixels of its image",
    "Put the mask there in place of the copy: a mask holds a class number a pixel.",
)


class Masks(Truth):
    """`mask` (H, W) int32 raw values. Values are counted in pixels."""

    name = "masks"
    word, one, many, other, of_data = "mask", "a mask", "masks", "another mask", "masks"
    targets = ("mask",)
    drawn = "mask"

    def check(self, sample: Any, place: str) -> None:
        check_size(sample.image, sample.mask, place, sample.warnings)
        if sample.mask is not None and _is_image(sample.mask, sample.image):
            raise BadSample(place, *MASK_IS_IMAGE)

    def measure(self, sample: Any) -> Measured:
        if sample.mask is None:
            return Measured("", {})
        return Measured(sha256_of(sample.mask), _count(sample.mask))

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
        """Without names and `mask_values` the classes are 0..K-1 as found; {0, 255} reads as
        {0, 1}, any other gap is an error. 255 is a class, even where it is the ignore label,
        if more than 255 names are declared; a value that `mask_values` lists always is."""
        names = check_class_names(class_names)
        if names and mask_values and len(names) != len(mask_values):
            raise InputError(
                f"{len(names)} class_names and {len(mask_values)} mask_values are declared. There "
                "must be one value a class."
            )
        if ignore_label is not None and (
            ignore_label in (mask_values or ()) or (ignore_label == 255 and len(names) > 255)
        ):
            ignore_label = None
        values = [None if fact is None else fact.values for fact in facts]
        first = first_seen(values)

        def first_pixel(index: int, value: int) -> tuple[int, int]:
            y, x = np.argwhere(mask_of(index) == value)[0]
            return int(y), int(x)

        classes = Classes(names, None if mask_values is None else list(mask_values), ignore_label)
        found = MaskValues(facts, records, mask_of)
        if mask_values is not None:
            classes.names = names or numbered_names(len(mask_values))
        elif not settled and (issue := doubt(found, names, ignore_label)) is not None:
            classes.issues.append(issue)
            return classes
        elif not names and first:
            _infer(classes, first, records, first_pixel)
        elif len(names) == 2 and set(first) == {0, 255} and ignore_label == 255:
            classes.issues.append(_two_names_and_255(names))
        if not any(issue.severity == "error" for issue in classes.issues):
            _check_values(classes, values, records, first_pixel)
            if first:
                classes.notes.append(_reading(classes, first))
        return classes

    def look_again(
        self,
        facts: Sequence[Any],
        records: Sequence[Any],
        classes: Classes,
        sample_of: Callable[[int], Any],
    ) -> list[Issue]:
        declared = classes.mask_values or classes.names != numbered_names(len(classes.names))
        if declared or classes.issues:
            return []
        found = MaskValues(facts, records, lambda index: sample_of(index).mask)
        issue = few_numbers(found, sample_of)
        return [] if issue is None else [issue]

    def warnings(self, scan: Any, records: Sequence[Any]) -> list[Issue]:
        labelled = np.array([sha256 != "" for sha256 in scan.truth_sha256], bool)
        pixels, issues = scan.class_pixels[labelled], []
        for index, name in enumerate(scan.class_names):
            if pixels[:, index].sum() == 0 and index != scan.ignore_label:
                problem = f"the class {name!r} ({index}) stands in no mask"
                advice = "It cannot be learnt or scored: check class_names, or add samples."
                issues.append(Issue("warning", "", "masks", problem, advice=advice))
        empty = np.flatnonzero(labelled & (scan.class_pixels.sum(axis=1) == 0))
        if len(empty) == labelled.sum():
            problem = "no mask holds a labelled pixel"
            issues.append(Issue("error", "", "masks", problem, advice="Check ignore_label."))
        elif len(empty):
            problem = f"no pixel has a label ({counted(len(empty), 'such mask')})"
            advice = "They teach nothing: take them out, or check ignore_label."
            first = records[empty[0]]
            issues.append(Issue("warning", first.id, first.place, problem, advice=advice))
        only_first = int((pixels[:, 0] > 0)[pixels[:, 1:].sum(axis=1) == 0].sum())
        if only_first * 2 > len(pixels):
            name = scan.class_names[0]
            problem = (
                f"{only_first} of {counted(len(pixels), 'mask')} "
                f"{verb(only_first, 'holds', 'hold')} nothing but {name!r}"
            )
            issues.append(
                Issue("warning", "", "masks", problem, advice="Check that they are finished.")
            )
        return issues

    def drawing(self, sample: Any, num_classes: int) -> np.ndarray | None:
        return sample.mask


def check_size(
    image: np.ndarray, drawn: np.ndarray | None, place: str, warnings: Sequence[str] = ()
) -> None:
    """Raises a `BadSample` where a mask or a region has another size than its image.

    Args:
        image, drawn, place: The pixels, and what messages call the sample.
        warnings: What was done to read it: one of the two may have been turned.
    """
    size, drawn_size = image.shape[:2], None if drawn is None else drawn.shape
    if drawn_size is None or drawn_size == size:
        return
    advice = "Resize the mask by nearest neighbour."
    if drawn_size[::-1] == size:
        turned = [w.startswith("mask ") for w in warnings if "EXIF orientation" in w]
        advice = (
            "The mask lies on its side, and no EXIF orientation says so. If its rows and columns "
            "are swapped, type (on a copy; ROTATE_90 or ROTATE_270 where it is turned) "
            'python -c "from PIL import Image; from pathlib import Path; [Image.open(p).transpose('
            "Image.Transpose.TRANSPOSE).save(p) for p in Path('FOLDER OF THE MASKS').iterdir()]\"."
        )
        if len(turned) == 1:
            which, other = ("mask", "image") if turned[0] else ("image", "mask")
            advice = (
                f"The {which} was turned by its EXIF orientation, the {other} has none. They fit "
                "as they are stored: --set data.source.exif=ignore."
            )
    raise BadSample(
        place,
        f"the image has {size[0]} x {size[1]} pixels, its mask {drawn_size[0]} x {drawn_size[1]} "
        "(height x width)",
        f"Image and mask must have one size. {advice}",
    )


def _is_image(mask: np.ndarray, image: np.ndarray) -> bool:
    """Whether a mask (H, W) holds the very grey levels of its image, more than two of them."""
    row = len(mask) // 2
    if not np.array_equal(mask[row], image[row, :, 0]):  # most masks are told by one row
        return False
    return bool((mask[..., None] == image).all()) and len(np.unique(mask)) > 2


def _count(mask: np.ndarray) -> dict[int, int]:
    if mask.min() >= 0 and mask.max() < 4096:
        counts = np.bincount(mask.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, counts = np.unique(mask, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _infer(classes: Classes, first: dict[int, int], records, first_pixel) -> None:
    """Classes from the values alone."""
    if set(first) == {0, 255}:
        classes.mask_values, classes.ignore_label = [0, 255], None
        classes.names = numbered_names(2)
        return
    values = [value for value in first if value != classes.ignore_label]
    if not values:
        problem = f"every pixel of every mask is {classes.ignore_label}, which means no label"
        advice = f"If {classes.ignore_label} is a class, type --set data.ignore_label=null."
        classes.issues.append(Issue("error", "", "masks", problem, advice=advice))
        return
    expected = (v for v in range(len(values) + 1) if v != classes.ignore_label)
    odd = next((v for v, e in zip(values, expected, strict=False) if v != e), None)
    if odd is not None:
        y, x = first_pixel(first[odd], odd)
        record = records[first[odd]]
        classes.issues.append(
            Issue(
                "error",
                "",  # about all masks: this is where the odd value is first seen
                record.place,
                f"the masks hold {some(list(first))}, classes are 0, 1, 2, ... without a gap; "
                f"{odd} first stands here, at pixel (y, x) = ({y}, {x})",
                advice=_declare(list(first)),
            )
        )
        return
    if len(values) < 2:
        problem = f"the masks hold the label {values[0]} alone: there is nothing to tell apart"
        advice = "Check the masks, or declare class_names."
        classes.issues.append(Issue("error", "", "masks", problem, advice=advice))
    classes.names = numbered_names(values[-1] + 1)


def _declare(values: list[int]) -> str:
    """What to type where values are no class numbers."""
    if len(values) > 64:
        return (
            "So many are seldom classes. For one object against background type --set "
            "data.source.threshold=1 (or another value, from which on it is the object)."
        )
    text = "If all are classes, list them in class order: --set data.source.mask_values="
    text += f"{typed(values)}. Else correct the masks"
    if len(values) > 2 and 100 < values[-1] < 256:
        text += f", or, for one object, type {middle(values[0], values[-1])}"
    if len(values) > 2 and values[0] == 0:
        text += f", or, where what is above 0 is the object, or numbers of objects, {THRESHOLD}1"
    return f"{text}."


def _reading(classes: Classes, first: Mapping[int, int]) -> str:
    """What the values were taken for, in one line."""
    raw, names = classes.raw_values(), classes.names
    ignored = classes.ignore_label in first
    last = f"; {classes.ignore_label} no label" if ignored else ""
    if names == numbered_names(2):
        names = ["background", "object"]
    elif names == numbered_names(len(names)) and raw == list(range(len(raw))):
        return f"values of masks: 0 to {raw[-1]} are the classes of these numbers{last}"
    listed = [f"{value} {name}" for value, name in zip(raw, names, strict=True)]
    return f"values of masks: {', '.join(listed[:12])}{', ...' * (len(listed) > 12)}{last}"


def _two_names_and_255(names: list[str]) -> Issue:
    return Issue(
        "error",
        "",
        "masks",
        f"two classes are declared ({names[0]}, {names[1]}), the masks hold {{0, 255}}, and 255 "
        "means no label: nothing would be left to learn",
        advice=f"Declare mask_values: [0, 255] where 255 is {names[1]}, or [0, 1] where it means "
        "no label indeed: --set data.source.mask_values=[0,255].",
    )


def _check_values(
    classes: Classes, values: Sequence[Mapping[int, int] | None], records, first_pixel
) -> None:
    """An error for each sample that holds a value which is no class."""
    raw = classes.raw_values()
    known = {*raw} if classes.ignore_label is None else {*raw, classes.ignore_label}
    for index, of_sample in enumerate(values):
        odd = sorted(set(of_sample or ()) - known)
        if not odd:
            continue
        y, x = first_pixel(index, odd[0])
        advice = (
            "Correct the mask, or declare class_names, mask_values or ignore_label to fit, e.g. "
            f"--set data.source.mask_values={typed([*raw, *odd])}."
        )
        if len(odd) >= MANY:
            advice = (
                "So many values are not classes: they come from JPEG, or from resizing with "
                "interpolation. Where there is one object, leave mask_values out and type --set "
                f"data.source.threshold={-(-(min(raw) + max(raw)) // 2)}."
            )
        ignored = "" if classes.ignore_label is None else f" or {classes.ignore_label} (no label)"
        classes.issues.append(
            Issue(
                "error",
                records[index].id,
                records[index].place,
                f"the mask holds {some(odd)}, first at pixel (y, x) = ({y}, {x}); expected: "
                f"{some(raw)}{ignored}",
                advice=advice,
            )
        )
