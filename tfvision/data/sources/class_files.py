"""Image files with a label each: what labels become as classes, and regions beside images."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.sources.file_source import FileSource, name_key, stem
from tfvision.data.sources.folders.paired_names import JOIN_MASKS, pair
from tfvision.data.sources.source import RawSample, Record
from tfvision.errors import InputError

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
EMPTY_REGION = "its region (the mask file) is empty: the whole image is used"
GREY = 128  # from here on a pixel of a grey mask belongs to the region


class LabelledFiles(FileSource):
    """Image files with a label each, and where there are any a region and a box.

    Args:
        records: One a sample; `label` is one of the `class_labels`, or None.
        files: For each record its image file and the mask file of its region, or None.
        region_places: What messages call the mask files.
        boxes: For each record (4,) `x1 y1 x2 y2` in pixels, or None; None: no boxes.
        class_names, class_labels: As `Source` has them; `settle_labels` makes them.
        **common: What `FileSource` takes.
    """

    def __init__(
        self,
        records: Sequence[Record],
        files: Sequence[tuple[Path, Path | None]],
        region_places: Sequence[str],
        *,
        boxes: Sequence[Sequence[float] | None] | None = None,
        class_names: Sequence[str],
        class_labels: Sequence[str],
        **common,
    ):
        super().__init__(
            records,
            files,
            region_places,
            truth="label",
            class_names=class_names or None,
            class_labels=class_labels or None,
            **common,
        )
        number = {label: index for index, label in enumerate(class_labels)}
        self._numbers = [None if r.label is None else number[r.label] for r in self.records]
        self._boxes = [None if boxes is None else boxes[i] for i in self._listed]

    def box(self, index: int) -> Sequence[float] | None:
        """The box of a sample, (4,) `x1 y1 x2 y2` in pixels, as its table has it."""
        return self._boxes[index]

    def stamp(self, index: int) -> str:
        """Says the label and the box too: they stand in another file, or in no file."""
        return f"{super().stamp(index)}|{self._numbers[index]}|{self._boxes[index]}"

    def read_raw(self, index: int) -> RawSample:
        sample, number, box = super().read_raw(index), self._numbers[index], self._boxes[index]
        warnings, region = list(sample.warnings), None
        if sample.mask is not None:
            region = to_region(sample.mask)
            if not region.any():
                warnings.append(EMPTY_REGION)
        boxes = None if box is None else np.array([box], np.float32)
        if box is not None:
            turned = any(text.startswith("EXIF orientation") for text in warnings)
            place = self.records[index].place
            check_box(box, sample.image.shape[:2], place=place, turned=turned)
        return replace(
            sample,
            mask=None,
            label=number,
            region=region,
            boxes=boxes,
            classes=None if boxes is None or number is None else np.array([number], np.int32),
            warnings=tuple(warnings),
        )


@dataclass(frozen=True)
class Labels:
    """What the labels of a data set become.

    Attributes:
        names: One a class.
        labels: How the data writes each class, in the same order.
        problems: Labels that look like one another; a single class.
    """

    names: list[str]
    labels: list[str]
    problems: list[Issue] = field(default_factory=list)


def settle_labels(labels: Iterable[str], names: Sequence[str] | None, *, place: str) -> Labels:
    """Decides the classes and their order.

    Args:
        labels: The label of each sample, as text.
        names: The names that the data lists apart from its labels, in class order, or None.
            They are the labels themselves, or the labels are their numbers 0, 1, 2, ...
        place: For messages: the table or folder.

    Without names the labels are the names; numbers are sorted as numbers, else as text.

    Raises:
        InputError: The names do not fit the labels.
    """
    found = sorted(set(labels), key=str)
    if found and all(_NUMBER.match(label) for label in found):
        found.sort(key=lambda label: (float(label), label))
    problems = _alike(found, place)
    if len(found) == 1:
        problem = f"every sample has the label {found[0]!r}: there is nothing to tell apart"
        problems.append(Issue("error", "", place, problem, advice="Add samples of another class."))
    if names is None:
        return Labels(found, found, problems)
    names = list(names)
    if set(found) <= set(names):
        return Labels(names, names, problems)
    numbers = [str(number) for number in range(len(names))]
    odd = next((label for label in found if label not in numbers), None)
    if odd is None:
        return Labels(names, numbers, problems)
    raise InputError(
        f"{place}: the label {odd!r} is no name in classes.txt, nor the number of one: it names "
        f"{len(names)} classes ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}), "
        f"numbered 0 to {len(names) - 1}. Correct either of them."
    )


def _alike(labels: Sequence[str], place: str) -> list[Issue]:
    """A warning for labels that a reader may take for one: "1" and "01", "cat" and "Cat"."""
    seen: dict[object, str] = {}
    issues = []
    for label in labels:
        text = name_key(label).casefold()
        key = float(label) if _NUMBER.match(label) else re.sub(r"[\s_-]+", " ", text).strip()
        first = seen.setdefault(key, label)
        if first != label:
            problem = f"{first!r} and {label!r} are two classes"
            advice = "Write them alike if one is meant: labels are text, and stay as written."
            issues.append(Issue("warning", "", place, problem, advice=advice))
    return issues


def to_region(mask: np.ndarray) -> np.ndarray:
    """The region of a mask file: (H, W) int32 raw values -> uint8, 1 where the object is.

    A pixel belongs to it where it is not 0; in a mask that reaches 128, from 128 on, so that
    the blurred borders of a JPEG or of a scaled mask do not widen it.
    """
    least = GREY if mask.size and mask.max() >= GREY else 1
    return (mask >= least).astype(np.uint8)


def check_box(
    box: Sequence[float], size: tuple[int, int], *, place: str, turned: bool = False
) -> None:
    """Raises a `BadSample` where `x1 y1 x2 y2` is not inside an image of (height, width).

    Args:
        box, size: In pixels.
        place: For messages.
        turned: Whether the image was turned by its EXIF orientation, which may be the reason.
    """
    x1, y1, x2, y2 = box
    height, width = size
    shown = f"the box ({', '.join(f'{side:g}' for side in box)})"
    if max(box) <= 1 < min(size):
        problem = f"{shown} looks like shares of the image, pixels are expected"
        advice = "Multiply x by the width and y by the height of the image."
        raise BadSample(place, problem, advice)
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        problem = f"{shown} leaves the image, {width} x {height} pixels (width x height)"
        advice = "Correct it: x1 y1 x2 y2, in pixels."
        if turned:
            problem += ", after its EXIF orientation was applied"
            advice += " If boxes were drawn on the pixels as they are stored, set exif: ignore."
        raise BadSample(place, problem, advice)


def regions_beside(paths: Mapping[Path, str], *, folder: str) -> tuple[dict[Path, Path], set[Path]]:
    """Mask files that lie beside their images, recognised by words in the names.

    Args:
        paths: File -> its path below the folder.
        folder: What messages call the folder.

    Returns:
        Image file -> mask file, and all files that are masks.

    Raises:
        InputError: It is unclear what belongs together.
    """
    try:
        pairs = pair(paths, folder=folder)
    except InputError as error:
        text = str(error).split(" Say what belongs together")[0]
        join = f" {JOIN_MASKS}" if str(error).endswith(JOIN_MASKS) else ""
        raise InputError(
            f"{text} Say what belongs together in a CSV file beside them: a first line "
            "`file,label,mask`, then a line for each image; and give the path of that file." + join
        ) from error
    if pairs is None:
        return {}, set()
    both = {file: pairs.masks[key] for key, file in pairs.images.items() if key in pairs.masks}
    return both, set(pairs.masks.values())


def regions_in(masks: Mapping[Path, str], images: Mapping[Path, str]) -> dict[Path, Path]:
    """Image file -> its mask file in a folder of masks, named alike, extension aside.

    Args:
        masks, images: File -> its path below its folder.
    """
    by_name = {name_key(stem(path)): file for file, path in masks.items()}
    keys = {file: name_key(stem(path)) for file, path in images.items()}
    return {file: by_name[key] for file, key in keys.items() if key in by_name}
