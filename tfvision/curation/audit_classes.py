"""What an audit says of a classification alone: shares of images and pieces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.data import INPUTS
from tfvision.data.files.issue import BadSample
from tfvision.data.files.timeout import map_in_time
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.registry import Spec
from tfvision.report.tables import percent
from tfvision.text import counted

UNBALANCED = 3.0  # times as many images of the commonest class as of the rarest


def record(
    source: Source, scan: Scan, rows: Mapping[str, Sequence[int]], *, task: str
) -> dict[str, Any]:
    """What `audit.json` holds besides: the task, and where there are regions, how many pieces
    of each class `data.input: patches` would make of them.

    Args:
        source, scan: The data set.
        rows: The labelled samples of each split.
        task: The task of the data.
    """
    if not truth_kind(source.truth).names_image:
        return {}
    said: dict[str, Any] = {"task": task}
    if any(fact is not None and fact.region_sha256 for fact in scan.facts):
        said["class_pieces"] = {
            split: _pieces(source, scan, places).tolist() for split, places in rows.items()
        }
    return said


def _pieces(source: Source, scan: Scan, places: Sequence[int]) -> np.ndarray:
    """(K,) int64: the pieces of the images of each class."""
    cut = INPUTS.build(Spec(name="patches"))

    def one(place: int) -> int:
        try:
            sample = source.read_raw(places[place])
        except (BadSample, OSError):  # the scan has said it, or the file went away since
            return 0
        box = None if sample.boxes is None else sample.boxes[0]
        return len(cut(sample.image, sample.region, box))

    numbers = map_in_time(
        one, len(places), workers=2, place=lambda i: source.records[places[i]].place
    )
    return np.array(numbers, np.int64) @ (scan.class_pixels[list(places)] > 0)


def balance(scan: Scan) -> list[str]:
    """A line where classes are far from equally frequent."""
    images = (scan.class_pixels > 0).sum(axis=0)
    if not truth_kind(scan.truth).names_image or len(images) < 2 or not images.any():
        return []
    least, most = int(images.argmin()), int(images.argmax())
    if images[most] < UNBALANCED * images[least]:
        return []
    return [
        f"classes are unbalanced: {counted(int(images[least]), 'image')} of "
        f"{scan.class_names[least]} to {images[most]} of {scan.class_names[most]}; always "
        f"predicting the commonest is right "
        f"for {percent(images[most] / images.sum())}. Judge by macro_f1, and weigh the loss "
        "(class_weights)"
    ]


def class_lines(said: Mapping[str, Any]) -> list[str]:
    """A table: images of each class with their share, and pieces, by split.

    Args:
        said: What `audit.json` holds.
    """
    names, splits = said["class_names"], list(said["class_images"])
    if not splits or not names:
        return []
    columns = [("images", said["class_images"])]
    columns += [("pieces", said["class_pieces"])] if "class_pieces" in said else []
    width = max(5, *(min(30, len(name)) for name in names))
    heads = [f"{split}: {word}" for split in splits for word, _ in columns]
    lines = [f"{'class':{width}}" + "".join(f"  {head:>24}" for head in heads)]
    for k, name in enumerate(names):
        line = f"{name[:30]:{width}}"
        for split in splits:
            for _, counts in columns:
                total = sum(counts[split])
                share = percent(counts[split][k] / total if total else None)
                line += f"  {counts[split][k]:>14,}, {share:>8}"
        lines.append(line)
    return lines
