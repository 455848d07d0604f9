"""Pictures of the images on which two runs differ most, where data and predictions are there."""

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data import SOURCES
from tfvision.data.files.pixels import white_of
from tfvision.errors import InputError
from tfvision.report.overlay import colour_labels, palette, png_uri
from tfvision.runs.kept_samples import read_kept
from tfvision.stats.evidence import Evidence
from tfvision.studies.compare.scored_run import ScoredRun

SIDE = 256  # pixels of the longer side of a picture, at most


def pictures(
    first: ScoredRun,
    second: ScoredRun,
    split: str,
    images: list[dict[str, Any]],
    evidence: Evidence,
) -> tuple[dict[str, dict[str, str]], str]:
    """Image, truth and both predictions of each listed image.

    Args:
        first, second: The runs.
        split: Of the images.
        images: Entries with an `id`.
        evidence: Of the first run, against which the masks are checked.

    Returns:
        PNG data URIs by id under `image`, `truth`, `baseline` and `run`, and why there are
        none, "" where there are.
    """
    ids = [entry["id"] for entry in images]
    if not ids:
        return {}, ""
    try:
        drawn = [_labels(run.folder.predictions / split, ids) for run in (first, second)]
        try:
            samples = _samples(first, ids, evidence)
        except InputError as error:
            samples = _kept_samples(first, ids, evidence, split, error)
    except (InputError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        # The page is about numbers; pictures are what it can do without.
        return {}, f"There are no pictures: {error}"
    colours = palette(first.data["num_classes"])
    return {
        name: {
            "image": png_uri(_thin(image)),
            "truth": png_uri(colour_labels(_thin(mask), colours)),
            "baseline": png_uri(colour_labels(_thin(drawn[0][name]), colours)),
            "run": png_uri(colour_labels(_thin(drawn[1][name]), colours)),
        }
        for name, (image, mask) in samples.items()
    }, ""


def _labels(target: Path, ids: list[str]) -> dict[str, np.ndarray]:
    """Predicted labels (H, W) by id, as `write_predictions` left them."""
    packed = target.with_name(target.name + ".npz")
    if packed.is_file():
        with np.load(packed, allow_pickle=False) as file:
            places = {str(name): place for place, name in enumerate(file["ids"])}
            labels = file["labels"]
        return {name: labels[places[name]].astype(np.int32) for name in ids}
    from PIL import Image

    with open(target / "index.csv", newline="", encoding="utf-8") as file:
        files = {row["id"]: row["file"] for row in csv.DictReader(file)}
    return {name: np.asarray(Image.open(target / files[name])).astype(np.int32) for name in ids}


def _samples(run: ScoredRun, ids: list[str], evidence: Evidence) -> dict[str, tuple]:
    """Image (H, W) or (H, W, 3) uint8 and mask (H, W) of each id, from the run's own source."""
    source = SOURCES.build(run.config.data.source)
    source.mask_values = run.data["mask_values"]
    source.white = source.white or run.data["white"]
    source.ignore_label = run.config.data.ignore_label
    places: dict[str, list[int]] = {}
    for place, record in enumerate(source.records):
        if record.labelled:
            places.setdefault(record.id, []).append(place)
    samples, digest = {}, evidence.digest()
    for name in ids:
        truth = digest[evidence.ids.index(name)]
        # One id can stand in two parts of a data set: the mask tells which was scored.
        read = (source.read(place) for place in places.get(name, []))
        sample = next((s for s in read if np.array_equal(_pixels(s.mask, len(truth)), truth)), None)
        if sample is None:
            raise InputError(f"the data has no image {name!r} with the mask that was scored.")
        samples[name] = (_as_bytes(sample.image, source.white), sample.mask)
    return samples


def _kept_samples(
    run: ScoredRun, ids: list[str], evidence: Evidence, split: str, error: InputError
) -> dict[str, tuple]:
    """The same from what the run keeps of its data, where the data itself cannot be read."""
    kept, digest = {one.id: one for one in read_kept(run.folder.path, split)}, evidence.digest()
    samples = {}
    for name in ids:
        one, truth = kept.get(name), digest[evidence.ids.index(name)]
        if one is None or not np.array_equal(_pixels(one.targets["mask"], len(truth)), truth):
            raise error
        samples[name] = (_as_bytes(one.image, 1 / one.scale), one.targets["mask"])
    return samples


def _pixels(mask: np.ndarray, num_classes: int) -> np.ndarray:
    inside = mask[(mask >= 0) & (mask < num_classes)]
    return np.bincount(inside, minlength=num_classes)


def _as_bytes(image: np.ndarray, white: float | None) -> np.ndarray:
    """(H, W, C) as stored -> (H, W) or (H, W, 3) uint8."""
    image = np.clip(image.astype(np.float64) * (255 / white_of(image.dtype, white)), 0, 255)
    image = np.rint(image).astype(np.uint8)
    return image[..., :3] if image.shape[-1] >= 3 else image[..., 0]


def _thin(array: np.ndarray) -> np.ndarray:
    """Every n-th pixel, so that no side is longer than `SIDE`."""
    step = -(-max(array.shape[:2]) // SIDE)
    return array[::step, ::step]
