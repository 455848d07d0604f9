"""Masks that are given after the training, for images that have none: `evaluate --labels`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfvision.data.files.images import read_mask
from tfvision.data.files.reading import Reading
from tfvision.data.sources.npz import read_headers
from tfvision.data.sources.source import Source, to_labels
from tfvision.data.truth.alike import read_alike
from tfvision.errors import InputError
from tfvision.recipe.read import Native, native


def samples_with_masks(
    path: Path, source: Source, indices: list[int], channels: int, num_classes: int
) -> tuple[Iterator[tuple[str, Native]], list[str]]:
    """(id, sample) of those records for which `path` has a mask, and notes for the user.

    Raises:
        InputError: As `read_labels`; or, when it is read, a mask of another size than its image.
    """
    notes: list[str] = []
    ids = [source.records[i].id for i in indices]
    masks = read_labels(path, ids, source, num_classes=num_classes, notes=notes)

    def samples() -> Iterator[tuple[str, Native]]:
        for i, mask in zip(indices, masks, strict=True):
            if mask is None:
                continue
            sample, name = native(source, i, channels), source.records[i].id
            if mask.shape != sample.image.shape[:2]:
                raise InputError(
                    f"--labels {path}: the mask of {name} is {mask.shape[0]}x{mask.shape[1]}, its "
                    f"image {sample.image.shape[0]}x{sample.image.shape[1]}."
                )
            yield name, replace(sample, targets={"mask": mask})

    return samples(), notes


def read_labels(
    path: Path,
    ids: list[str],
    source: Source,
    *,
    num_classes: int = 0,
    notes: list[str] | None = None,
) -> list[np.ndarray | None]:
    """Masks by id: an npz (`labels`, `masks` or `y`, with `ids` or in order) or a folder.

    Args:
        path: The file, or a folder of mask files named as the images.
        ids: Of the images.
        source: Its `mask_values` and `ignore_label` say what a mask's values mean.
        num_classes: K of the run: two classes may be 0 and 1, or 0 and 255. 0: not known.
        notes: Takes a line where these are not what the run's masks held.

    Returns:
        One (H, W) int32 an id, None where there is none.

    Raises:
        InputError: The file holds no such array, none of the ids, or unknown values.
    """
    reading = getattr(source, "reading", None)  # as the masks of the data are read, if in files
    masks = _masks_of_folder(path, ids, reading) if path.is_dir() else _masks_of_file(path, ids)
    if all(mask is None for mask in masks):
        raise InputError(f"--labels {path} has none of the ids, such as {ids[0]!r}.")
    values = source.mask_values
    if len(values or ()) == 2 or num_classes == 2:
        seen = {int(value) for mask in masks if mask is not None for value in np.unique(mask)}
        values, said = read_alike(seen, values, 2)
        if said and notes is not None:
            notes.append(f"--labels {path}: {said}")
    if values is None:
        return masks
    return [
        None
        if mask is None
        else to_labels(mask, values, source.ignore_label, place=f"{path}, id {name}")
        for name, mask in zip(ids, masks, strict=True)
    ]


def _masks_of_folder(
    path: Path, ids: list[str], reading: Reading | None
) -> list[np.ndarray | None]:
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    by_path = {p.relative_to(path).with_suffix("").as_posix(): p for p in files}
    found = [by_path.get(name) for name in ids]
    if all(file is None for file in found):  # ids with a folder in front, files without
        found = [by_path.get(Path(name).name) for name in ids]
    return [None if file is None else read_mask(file, reading).pixels for file in found]


def _masks_of_file(path: Path, ids: list[str]) -> list[np.ndarray | None]:
    headers = read_headers(path)  # no bomb, no objects, and every array whole
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in headers}
    key = next((k for k in ("labels", "masks", "y") if k in arrays), None)
    if key is None:
        raise InputError(
            f"--labels {path} must hold `labels`, `masks` or `y`. It has: {', '.join(arrays)}."
        )
    names = arrays["ids"].tolist() if "ids" in arrays else ids
    if len(names) != len(arrays[key]):
        raise InputError(f"--labels {path}: {len(arrays[key])} masks for {len(names)} images.")
    by_id = {str(name): np.asarray(m, np.int32) for name, m in zip(names, arrays[key], strict=True)}
    return [by_id.get(name) for name in ids]
