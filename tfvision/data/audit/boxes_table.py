"""Every box of a data set as it was read, in a table that can be checked by eye or by program."""

import csv
import io
from collections.abc import Iterable

import numpy as np

from tfvision.data.scan.result import Scan
from tfvision.data.sources.boxes.box_files import BoxFiles
from tfvision.data.sources.boxes.faults import CROWD
from tfvision.data.sources.source import Source
from tfvision.detection.crowds import as_crowd, is_crowd

COLUMNS = ("image", "x1", "y1", "x2", "y2", "label", "done")


def boxes_csv(source: Source, scan: Scan) -> str:
    """The text of `boxes.csv`: a row a box, in the order of samples and of their boxes.

    `image` is the path below the data; corners are in pixels of the image as it is seen, x2 and y2
    exclusive; `done` is "" or what was done: "clipped", "swapped corners", "left out: no area",
    ... A box that was left out stands there as it was before.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, sides, label, done in _rows(source, scan):
        writer.writerow([image, *(str(np.float32(side)) for side in sides), label, done])
    return text.getvalue()


def _rows(source: Source, scan: Scan) -> Iterable[tuple[str, Iterable[float], str, str]]:
    names = dict(enumerate(scan.class_names))
    if isinstance(source, BoxFiles):
        for image, number, box in source.listing():
            yield image, box.sides, names.get(number, box.label), box.done
        return
    for record, fact in zip(source.records, scan.facts, strict=True):
        if fact is not None:
            for box, number in zip(fact.boxes, fact.box_classes, strict=True):
                k, done = (as_crowd(number), CROWD) if is_crowd(number) else (number, "")
                yield record.place, box, names.get(k, str(k)), done
