"""Labels that stand in arrays: numbers, text, or a column a class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.sources.class_files import settle_labels
from tfvision.errors import InputError


def number_labels(
    parts: Mapping[str, Mapping[str, Any]], class_names: Sequence[str] | None, place: str
) -> tuple[dict[str, dict[str, Any]], list[str] | None, list[str] | None, list[Issue]]:
    """Parts whose `labels` become class numbers.

    They are numbers or text (N,) or (N, 1); or (N, K) with one 1 a row, at the place of its class.

    Args:
        parts: As `ArraySource` takes them.
        class_names: The names where they stand apart from the labels, or None.
        place: For messages.

    Returns:
        The parts, `class_names` and `class_labels` of the source, and what looks wrong.

    Raises:
        InputError: Labels that are neither whole numbers nor text; several an image; names that
            do not fit.
    """
    given = {
        name: _label_texts(content["labels"], name, place)
        for name, content in parts.items()
        if content.get("labels") is not None
    }
    if not given:
        return {k: dict(v) for k, v in parts.items()}, class_names, None, []
    every = [text for texts in given.values() for text in texts]
    widths = {
        np.shape(content["labels"])[1]
        for content in parts.values()
        if content.get("labels") is not None and is_one_hot(content["labels"])
    }
    if widths and class_names is None:  # a class without an image has its place, too
        class_names = [str(number) for number in range(max(widths))]
    settled = settle_labels(every, class_names, place=place)
    number = {label: index for index, label in enumerate(settled.labels)}
    numbered = {name: dict(content) for name, content in parts.items()}
    for name, texts in given.items():
        numbered[name]["labels"] = np.array([number[text] for text in texts], np.int64)
    return numbered, settled.names, settled.labels, settled.problems


def _label_texts(labels: Any, part: str, place: str) -> list[str]:
    """Labels as text: whole numbers without a point, text as it is."""
    array = np.asarray(labels)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    kind, where = array.dtype.kind, f"the labels of {part or 'the images'} in {place}"
    if array.ndim == 2:
        return [str(number) for number in _places_of_ones(array, where)]
    if kind == "U":
        return [str(value) for value in array]
    if kind == "S":
        return [value.decode("utf-8", "backslashreplace") for value in array]
    if kind not in "biuf":
        raise InputError(f"{where} are {array.dtype}; they must be whole numbers or text.")
    wrong = ~(np.isfinite(array) & (array == np.rint(array))) if kind == "f" else np.zeros(0, bool)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{where} hold {array[row]} in row {row}; they must be whole numbers or text. Round "
            "them, or take the row out."
        )
    return [str(int(value)) for value in array]


def is_one_hot(labels: Any) -> bool:
    """Whether labels have a row an image and a column a class."""
    array = np.asarray(labels)
    return array.ndim == 2 and array.shape[1] > 1


def _places_of_ones(array: np.ndarray, where: str) -> np.ndarray:
    """(N, K) of 0 and 1 -> (N,) the place of the 1 of each row."""
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"{where} have the shape {array.shape}. One label an image is what can be learned: "
            "store (N,), or (N, classes) of 0 and 1 with one 1 a row."
        )
    ones = (array == 1).sum(1)
    wrong = np.flatnonzero(ones != 1)
    if len(wrong):
        row, several = wrong[0], int((ones > 1).sum())
        found = f"row {row} holds {ones[row] or 'no'} label{'s' if ones[row] != 1 else ''}"
        raise InputError(
            f"{where} have the shape {array.shape}, and {found}; {several} rows hold several, "
            f"{int((ones == 0).sum())} none. One label an image is what can be learned: take "
            "these rows out, or keep one 1 in each."
        )
    return array.argmax(1)
