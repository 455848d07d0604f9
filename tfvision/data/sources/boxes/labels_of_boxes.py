"""Images with boxes read as images with one label: the class of the boxes."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.data import SOURCES
from tfvision.data.files.csv_table import read_table
from tfvision.data.files.issue import BadSample
from tfvision.data.sources.boxes.box_files import BoxFiles
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.source import RawSample, Record, Source
from tfvision.data.split.holdout import find_record
from tfvision.errors import InputError
from tfvision.registry import Spec
from tfvision.text import counted, verb

SIDES = ("x1", "y1", "x2", "y2")
COLUMNS = ("id", *SIDES)


def labels_of_boxes(
    path: str | Path, *, boxes: str | Path | None = None, reader: str = "auto", **options
) -> Source:
    """Data with boxes as data with labels: the label of an image is the class of its boxes.

    Images without any box have no label, and are left out; images with boxes of several classes
    are faults of the data.

    Args:
        path: The data set, in any format that boxes are read from.
        boxes: CSV of `id,x1,y1,x2,y2[,part]` in pixels, a row a box: the boxes that samples get in
            place of their annotated ones; one that it does not name has none. None: the annotated.
        reader: The source that reads the annotations; "auto": the one that knows their format.
        **options: How boxes are read, as the reader of the format takes them.

    Raises:
        InputError: No boxes are there, or the file of boxes does not fit them.
    """
    if reader == "auto":
        read = open_source(path, truth="boxes", **options)
    else:
        read = SOURCES.build(Spec(name=reader, path=path, **options))
    source = LabelsOfBoxes(read)
    return source if boxes is None else source.with_boxes(Path(boxes))


class LabelsOfBoxes(Source):
    """A source of boxes read as one of labels.

    Args:
        source: The boxes; images alone stay without labels.
        boxes: Of each kept record `(n, 4)` that take the place of the annotated; None: these do.
        whole: Whether images without a box stay, as images without a label: to be predicted.
    """

    def __init__(
        self,
        source: Source,
        boxes: Mapping[int, np.ndarray] | None = None,
        *,
        whole: bool = False,
    ):
        self._source, self._given = source, boxes
        labels = [_labels(source, i) for i in range(len(source))]
        self._kept = [
            i for i, found in enumerate(labels) if found or whole or not source.records[i].labelled
        ]
        self._labels = [labels[i] for i in self._kept]
        written = _written(source)
        records = [
            replace(
                source.records[i],
                label=written[found[0]] if found else None,
                labelled=bool(found),
            )
            for i, found in zip(self._kept, self._labels, strict=True)
        ]
        described = source.described(truth="label", mask_values=None, ignore_label=None)
        described["class_labels"] = written or None
        left = len(source) - len(records)
        notes = list(source.notes)
        if left:
            notes.append(
                f"{counted(left, 'image')} without any box {verb(left, 'has', 'have')} no class "
                f"and {verb(left, 'is', 'are')} left out"
            )
        described["name"] = "labels_of_boxes"
        super().__init__(records, notes=notes, problems=source.problems, **described)
        self.coco_ids = source.coco_ids

    def with_boxes(self, path: Path) -> "LabelsOfBoxes":
        """The same with the boxes of a file in place of the annotated ones.

        Raises:
            InputError: It names samples that are not there, or what is no box.
        """
        return LabelsOfBoxes(self._source, _read_boxes(path, self._source))

    def boxed(self, splits: Sequence[str | None]) -> tuple[list[Record], list[str | None]]:
        """All records of the source of boxes, and their splits, where `splits` are those of the
        records here: an image without a box trains a detector, unless the data says otherwise."""
        records = list(self._source.records)
        every = [record.split or "train" for record in records]
        for place, split in zip(self._kept, splits, strict=True):
            every[place] = split
        return records, every

    def stamp(self, index: int) -> str:
        """Says the boxes too: they stand in another file."""
        own = self._source.stamp(self._kept[index])
        if self._given is None or not own:
            return own
        sides = self._given.get(self._kept[index], np.zeros((0, 4))).tolist()
        return f"{own}|{hashlib.sha256(repr(sides).encode()).hexdigest()}"

    def white_of(self, index: int) -> float | None:
        return self.white or self._source.white_of(self._kept[index])

    def read_raw(self, index: int) -> RawSample:
        place, found = self._kept[index], self._labels[index]
        sample = self._source.read_raw(place)
        if not found:
            return replace(sample, boxes=None, classes=None)
        if len(found) > 1:
            names = " and ".join(self.class_labels[k] for k in found[:3])
            raise BadSample(
                self.records[index].place,
                f"has boxes of the classes {names}, and an image has one label",
                "Leave it out (data.exclude, or data.on_bad_sample: quarantine), or train on its "
                "boxes with train_det.py.",
            )
        own = sample.boxes[sample.classes >= 0]  # the others are crowds
        boxes = own if self._given is None else self._given.get(place)
        if boxes is None or not len(boxes):
            return replace(sample, boxes=None, classes=None, label=found[0])
        classes = np.full(len(boxes), found[0], np.int32)
        return replace(sample, boxes=boxes, classes=classes, label=found[0])

    def read_large(self, index: int) -> RawSample:
        return self._source.read_large(self._kept[index])


def _labels(source: Source, index: int) -> list[int]:
    """The class numbers of an image's boxes, each once; of crowds and images alone none."""
    classes = source.classes_of(index) if isinstance(source, BoxFiles) else ()
    return sorted({int(k) for k in classes if k >= 0})


def _written(source: Source) -> list[str]:
    """How the annotations write each class, in class order."""
    return source.written_classes() if isinstance(source, BoxFiles) else []


def _read_boxes(path: Path, source: Source) -> dict[int, np.ndarray]:
    """Place in the source -> (n, 4) float32."""
    rows, _ = read_table(path, required=list(COLUMNS), optional=["part", "score"])
    places: dict[str, list[int]] = {}
    for index, record in enumerate(source.records):
        if record.labelled:
            places.setdefault(record.id, []).append(index)
    found: dict[int, list[list[float]]] = {}
    for row in rows:
        index, problem = find_record(row, places, source.records, truth="label")
        if problem is not None:
            raise InputError(f"{path}, line {row.line}: {problem}")
        try:
            found.setdefault(index, []).append([float(row.values[side]) for side in SIDES])
        except ValueError as error:
            raise InputError(f"{path}, line {row.line}: {error}; a box is {SIDES}.") from error
    return {index: np.array(sides, np.float32) for index, sides in found.items()}


def boxes_csv(rows: list[tuple[Any, np.ndarray]]) -> str:
    """What `boxes` of `labels_of_boxes` reads, of (record, its boxes (n, 4)) each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, "part"))
    for record, boxes in rows:
        for box in boxes:
            writer.writerow((record.id, *(f"{float(side):.9g}" for side in box), record.part))
    return text.getvalue()
