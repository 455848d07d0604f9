"""Samples that already are arrays in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.pixels import check_finite, integral, mask_numbers
from tfvision.data.files.reading import check_threshold, threshold_note
from tfvision.data.sources.class_files import EMPTY_REGION, to_region
from tfvision.data.sources.source import SPLITS, RawSample, Record, Source
from tfvision.errors import InputError

PART_KEYS = (
    *("images", "masks", "labels", "regions", "boxes", "classes", "split", "groups"),
    *("key", "mask_key"),
)
TRUTH_KEYS = {"masks": "masks", "label": "labels", "boxes": "boxes"}  # kind -> what holds it


class ArraySource(Source):
    """A source out of arrays.

    Args:
        parts: Name of each part and what it holds, a mapping of
            `images` (N, H, W) or (N, H, W, 1 or 3) of any real number type,
            and optionally `masks` (N, H, W) whole numbers, or `labels` (N,) class numbers and
            `regions` (N, H, W), not 0 where the object is; `boxes` N arrays (n, 4)
            `x1 y1 x2 y2` in pixels, `classes` N arrays (n,), `groups` N names,
            `split` ("train", "val", "test" or None; by default the part's name where it is
            one of these), and `key`, `mask_key`: what messages call the arrays.
        name, layout, path, class_names, mask_values, white, notes, problems, class_labels: As
            `Source` has them; labels need `class_names`.
        threshold: Mask values from this one on are 1, those below 0.
        truth: The kind of truth; by default what the parts hold: labels, else masks, else
            boxes where these are all there is.
        stamp: Says which content this is, so that a scan can be kept. None: unknown.
    """

    def __init__(
        self,
        parts: Mapping[str, Mapping[str, Any]],
        *,
        name: str = "arrays",
        layout: str = "arrays in memory",
        path: Path | None = None,
        class_names: Sequence[str] | None = None,
        mask_values: Sequence[int] | None = None,
        threshold: float | None = None,
        white: float | None = None,
        notes: Sequence[str] = (),
        stamp: str | None = None,
        class_labels: Sequence[str] | None = None,
        problems: Sequence[Issue] = (),
        truth: str | None = None,
    ):
        where = f" in {path.name}" if path else ""
        check_threshold(threshold, mask_values)
        self._stamp, self._threshold = stamp, threshold
        self._rows: list[tuple[dict[str, Any], int]] = []
        records = []
        truth = truth or _truth_in(parts)
        if truth == "label":
            class_labels = class_labels or class_names
        for part, content in parts.items():
            unknown = set(content) - set(PART_KEYS)
            if unknown:
                raise InputError(
                    f"Part {part!r} holds {sorted(unknown)}; known: {', '.join(PART_KEYS)}."
                )
            data = _check_part(part, content, where)
            if truth == "label":
                _check_labels(data, len(class_labels or ()), where)
            truths = data[TRUTH_KEYS[truth]]
            for row in range(len(data["images"])):
                place = f"row {row} of {data['key']}{where}"
                group = None if data["groups"] is None else str(data["groups"][row])
                label = None if data["labels"] is None else class_labels[data["labels"][row]]
                records.append(
                    Record(
                        id=str(row),
                        part=part,
                        split=data["split"],
                        labelled=truths is not None,
                        group=group,
                        place=place,
                        label=label,
                    )
                )
                self._rows.append((data, row))
        super().__init__(
            records,
            name=name,
            layout=layout,
            path=path,
            class_names=class_names,
            mask_values=mask_values,
            white=white,
            notes=[*notes, *threshold_note(threshold)],
            problems=problems,
            truth=truth,
            class_labels=class_labels,
            options="" if threshold is None else f"threshold={threshold}",
        )

    def stamp(self, index: int) -> str:
        if self._stamp is None:
            return ""
        record = self.records[index]
        return f"{self._stamp}|{record.part}|{record.id}"

    def arrays(self, index: int) -> tuple[str, str | None, int]:
        """What a sample stands in: the names of its images, of its masks, and its row."""
        data, row = self._rows[index]
        return data["key"], None if data["masks"] is None else data["mask_key"], row

    def read_raw(self, index: int) -> RawSample:
        data, row = self._rows[index]
        place = self.records[index].place
        stored = data["images"][row]
        image = stored.astype(data["dtype"])
        if stored.dtype.kind == "b":
            image *= 255
        if image.dtype.kind == "f":
            check_finite(image, place)
        mask = boxes = classes = region = label = None
        if data["masks"] is not None:
            mask = data["masks"][row]
            mask_place = place.replace(data["key"], data["mask_key"], 1)
            mask = mask_numbers(mask, mask_place, threshold=self._threshold)
        if data["labels"] is not None:
            label = int(data["labels"][row])
        warnings = []
        if data["regions"] is not None:
            region = to_region(integral(data["regions"][row], place))
            warnings += [] if region.any() else [EMPTY_REGION]
        if data["boxes"] is not None:
            boxes = np.asarray(data["boxes"][row], np.float32)
            classes = np.asarray(data["classes"][row], np.int32)
        image = image[..., None] if image.ndim == 2 else image
        mode = str(stored.dtype)
        return RawSample(
            image=image,
            mask=mask,
            boxes=boxes,
            classes=classes,
            mode=mode,
            warnings=tuple(warnings),
            region=region,
            label=label,
        )


def _truth_in(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The kind of truth that parts hold: labels, else masks, else boxes; masks of none."""
    return next(
        (
            truth
            for truth in ("label", "masks", "boxes")
            if any(content.get(TRUTH_KEYS[truth]) is not None for content in parts.values())
        ),
        "masks",
    )


def _check_part(part: str, content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The part with every key filled in, shapes and lengths checked."""
    default = part if part in SPLITS else None
    data = {**dict.fromkeys(PART_KEYS), "split": default, **content}
    key = data["key"] = data["key"] or part or "images"
    mask_key = data["mask_key"] = data["mask_key"] or (f"{part}_masks" if part else "masks")
    if data["split"] not in (None, *SPLITS):
        raise InputError(f"Part {part!r}: split must be one of {SPLITS}; got {data['split']!r}.")
    images = data["images"] = np.asarray(data["images"])
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise InputError(
            f"{key}{where} must have the shape (N, H, W), (N, H, W, 1) or (N, H, W, 3); got "
            f"{images.shape}.{_channels_first(images.shape)}"
        )
    if 0 in images.shape[1:]:
        raise InputError(f"{key}{where} holds images without a pixel: {images.shape}.")
    data["dtype"] = _image_dtype(images, key, where)
    if data["masks"] is not None:
        data["masks"] = _check_masks(np.asarray(data["masks"]), images, key, mask_key, where=where)
    if data["regions"] is not None:
        data["regions"] = _check_masks(
            np.asarray(data["regions"]), images, key, mask_key, where=where
        )
    for name in ("boxes", "classes", "groups"):
        if data[name] is not None and len(data[name]) != len(images):
            raise InputError(
                f"{key}{where} holds {len(images)} images, its {name} are {len(data[name])}. "
                "They must be as many."
            )
    if (data["boxes"] is None) != (data["classes"] is None):
        raise InputError(f"{key}{where}: boxes and classes must be given together.")
    return data


def _check_labels(data: dict[str, Any], num_classes: int, where: str) -> None:
    """Raises where a part holds labels that are no class numbers, or masks beside them."""
    labels, key = data["labels"], data["key"]
    if data["masks"] is not None:
        raise InputError(f"{key}{where}: give labels or masks; beside labels masks are `regions`.")
    if labels is None:
        return
    labels = data["labels"] = np.asarray(labels)
    if labels.shape != (len(data["images"]),):
        raise InputError(
            f"{key}{where} holds {len(data['images'])} images, its labels have the shape "
            f"{labels.shape}. They must be one an image."
        )
    if labels.dtype.kind not in "iu" or (
        len(labels) and not 0 <= labels.min() <= labels.max() < num_classes
    ):
        raise InputError(
            f"{key}{where}: labels must be class numbers 0 to {num_classes - 1}, one for each of "
            "the class_names."
        )


def _channels_first(shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] in (1, 3):
        return " Channels must come last: np.moveaxis(images, 1, -1)."
    return ""


def _check_masks(masks, images, key: str, mask_key: str, where: str) -> np.ndarray:
    """The masks (N, H, W), fitting the images."""
    if masks.dtype.kind not in "biuf":
        raise InputError(f"{mask_key}{where} holds {masks.dtype}; masks are whole numbers.")
    found = masks.shape
    if masks.ndim == 4 and masks.shape[3] == 1:
        masks = masks[..., 0]
    if masks.ndim == 1:
        raise InputError(
            f"{mask_key}{where} has the shape {found}: one number an image. Segmentation needs "
            f"a mask an image, {images.shape[:3]}."
        )
    if masks.shape != images.shape[:3]:
        advice = f"They must be {images.shape[:3]}."
        if masks.ndim == 4 and masks.shape[:3] == images.shape[:3]:
            advice = _of_planes(masks)
        elif masks.ndim == 4 and masks.shape[:1] + masks.shape[2:] == images.shape[:3]:
            advice = "Planes must come last, masks = np.moveaxis(masks, 1, -1). "
            advice += _of_planes(np.moveaxis(masks, 1, -1))
        elif masks.ndim == 3 and len(masks) != len(images):
            advice = f"Lengths differ: {len(images)} images, {len(masks)} masks."
        raise InputError(
            f"{mask_key}{where} has the shape {found}, {key} has {images.shape}. {advice}"
        )
    return masks


def _of_planes(masks: np.ndarray) -> str:
    """What to store in place of masks (N, H, W, K), a plane a class."""
    planes = (masks != 0).sum(-1)
    if (planes == 1).all():
        return "One-hot masks: store masks.argmax(-1)."
    if (planes <= 1).all():
        return (
            "One-hot masks without a plane for the background: store "
            "np.where(masks.any(-1), masks.argmax(-1) + 1, 0)."
        )
    row, y, x = (int(i) for i in np.argwhere(planes > 1)[0])
    return (
        f"A pixel has one class, and {planes[row, y, x]} planes are not 0 at row {row}, pixel "
        f"(y, x) = ({y}, {x}). Decide for one, and store its number: masks {masks.shape[:3]}."
    )


def _image_dtype(images: np.ndarray, key: str, where: str) -> np.dtype:
    """uint8, uint16 or float32: the smallest that holds the values."""
    kind = images.dtype.kind
    if kind == "b":
        return np.dtype(np.uint8)
    if kind == "f":
        return np.dtype(np.float32)
    if images.dtype in (np.uint8, np.uint16):
        return images.dtype
    if kind not in "iu":
        raise InputError(f"{key}{where} holds {images.dtype}; images are real numbers.")
    if images.size == 0 or (images.min() >= 0 and images.max() <= 255):
        return np.dtype(np.uint8)
    if images.min() >= 0 and images.max() <= 65535:
        return np.dtype(np.uint16)
    at = np.argwhere((images < 0) | (images > 65535))[0]
    row, pixel = int(at[0]), tuple(int(i) for i in at[1:3])
    raise BadSample(
        f"row {row} of {key}{where}",
        f"holds {images[tuple(at)]} at pixel (y, x) = {pixel}, whole numbers must lie in 0..65535",
        "Rescale the images, e.g. to float32 in [0, 1].",
    )
