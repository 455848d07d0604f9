"""Boxes that are given after the training, for images that have none: `evaluate --labels`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data.sources.boxes.given_later import GivenBoxes, read_boxes_given_later
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.source import Source
from tfvision.errors import InputError
from tfvision.postprocess.strings import Reading
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, native
from tfvision.tasks.detection.strings_given_later import holds_strings, read_strings


def samples_with_boxes(
    path: Path,
    source: Source,
    indices: list[int],
    channels: int,
    class_names: list[str],
    options: dict[str, Any],
    reading: Reading | None = None,
) -> tuple[Iterator[tuple[str, Native]], list[str]]:
    """(id, sample) of those records that annotations name, and notes for the user.

    The targets of a sample are its boxes, or, of a table of strings, no boxes and its `string`.

    Raises:
        InputError: As `read_boxes_given_later`; or, when it is read, an image that has another
            size than its header says.
    """
    if holds_strings(path):
        if reading is None:
            raise InputError(
                f"--labels {path} holds strings, and the run reads none from its boxes. Train "
                "with --set reading={} where each class is a character, or give boxes."
            )
        strings, notes = read_strings(path, source, indices, reading)
        pairs = [pair for pair in zip(indices, strings, strict=True) if pair[1] is not None]
        found = ((source.records[i].id, native(source, i, channels), text) for i, text in pairs)
        return ((name, replace(one, targets=_read_as(text))) for name, one, text in found), notes
    given = _read(path, source, indices, class_names, options)

    def samples() -> Iterator[tuple[str, Native]]:
        for i, truth, size in zip(indices, given.truths, given.sizes, strict=True):
            if truth is None:
                continue
            sample, name = native(source, i, channels), source.records[i].id
            if size not in (None, sample.image.shape[:2]):
                raise InputError(
                    f"--labels {path}: the image {name} is {sample.image.shape[0]} x "
                    f"{sample.image.shape[1]} (height x width), and its header says {size[0]} x "
                    f"{size[1]}. Save the image again."
                )
            yield name, replace(sample, targets=truth)

    return samples(), given.notes


def _read_as(text: str) -> dict[str, np.ndarray]:
    no_boxes = {"boxes": np.zeros((0, 4), np.float32), "classes": np.zeros(0, np.int32)}
    return {**no_boxes, "string": np.array(text)}


def named_in(path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
    """Those of some records that annotations name.

    Raises:
        InputError: As `read_boxes_given_later` and `read_strings`.
    """
    if holds_strings(path):
        strings, _ = read_strings(path, prepared.source, indices, None)
        return [i for i, text in zip(indices, strings, strict=True) if text is not None]
    options = {"one_class": True} if getattr(prepared.source, "one_class", False) else {}
    given = _read(path, prepared.source, indices, list(prepared.class_names), options)
    return [i for i, truth in zip(indices, given.truths, strict=True) if truth is not None]


def _read(path, source, indices, class_names, options) -> GivenBoxes:
    if not isinstance(source, FileSource):
        raise InputError(f"--labels {path}: boxes are matched by files, and this data has none.")
    return read_boxes_given_later(path, source, indices, class_names, options)
