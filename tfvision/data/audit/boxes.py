"""The boxes of a data set: how many, how large, how crowded, and which contradict each other.

| name | shape | dtype | what it is |
|---|---|---|---|
| boxes | (N, 4) | float64 | `x1 y1 x2 y2` in pixels, far edges exclusive |
| classes, images, rows | (N,) | int64 | class, place of the image, row among the image's boxes |
| pairs | (P, 2) | int64 | places of two boxes of one image, the first below the second |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfvision.data.audit.finding import Finding
from tfvision.data.scan.measure import Facts
from tfvision.data.truth.boxes import clipped
from tfvision.detection.crowds import as_crowd, is_crowd
from tfvision.text import counted, verb

CROWDED, SAME = 0.5, 0.9  # IoU above which boxes crowd each other, and are of one object
SMALL, LARGE = 32**2, 96**2  # square pixels: COCO's bounds of small, medium and large objects
MOST_NAMED = 3  # pairs of an image that a finding writes out


@dataclass(frozen=True)
class BoxTable:
    """All boxes of some images, end on end; see the table above.

    Attributes:
        boxes, classes, images, rows: Of each box.
        of: The images, those without boxes too.
    """

    boxes: np.ndarray
    classes: np.ndarray
    images: np.ndarray
    rows: np.ndarray
    of: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, chosen: np.ndarray) -> "BoxTable":
        """Those boxes for which (N,) bool is True, of the same images."""
        columns = {k: getattr(self, k)[chosen] for k in ("boxes", "classes", "images", "rows")}
        return replace(self, **columns)

    def scaled(self, factors: dict[int, tuple[float, float]]) -> "BoxTable":
        """The boxes where each image is scaled by its factors (y, x)."""
        if not len(self):
            return self
        yx = np.array([factors[i] for i in self.images.tolist()])
        return replace(self, boxes=self.boxes * yx[:, [1, 0, 1, 0]])

    @property
    def sides(self) -> np.ndarray:
        """(N, 2) height and width."""
        return (self.boxes[:, 2:] - self.boxes[:, :2])[:, ::-1]


def collect(facts: Sequence[Facts | None], images: Sequence[int]) -> BoxTable:
    """The boxes of images, cut at their edges as a training does; crowds are left out.

    Args:
        facts: What the scan kept of all samples.
        images: Places of those that are meant; what could not be read is passed over.
    """
    read = [i for i in images if facts[i] is not None]
    boxes, classes, of, rows = [np.zeros((0, 4))], [], [], []
    for i in read:
        fact = facts[i]
        if not fact.box_classes:
            continue
        boxes.append(clipped(np.asarray(fact.boxes), (fact.height, fact.width)))
        classes += fact.box_classes
        rows += range(len(fact.boxes))
        of += [i] * len(fact.boxes)
    columns = [np.array(values, np.int64) for values in (classes, of, rows)]
    table = BoxTable(np.concatenate(boxes).astype(np.float64), *columns, of=tuple(read))
    return table.where(~is_crowd(table.classes))


def overlaps(table: BoxTable, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of boxes of one image whose IoU is greater than `above`, and that (P,)."""
    pairs, values = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    order = np.argsort(table.images, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(table.images[order])) + 1)
    for group in groups:
        ious = _iou(table.boxes[group])
        first, second = np.nonzero(np.triu(ious > above, k=1))
        pairs.append(np.stack([group[first], group[second]], axis=-1))
        values.append(ious[first, second])
    return np.concatenate(pairs), np.concatenate(values)


def crowding(table: BoxTable) -> dict[str, float]:
    """Boxes an image, images without any, and pairs above `CROWDED`, of one class and of two."""
    number = dict(zip(*np.unique(table.images, return_counts=True), strict=True))
    counts = np.array([number.get(i, 0) for i in table.of] or [0])
    pairs, _ = overlaps(table, CROWDED)
    same = table.classes[pairs[:, 0]] == table.classes[pairs[:, 1]]
    return {
        "fewest": int(counts.min()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
        "images_without": int((counts == 0).sum()) if table.of else 0,
        "overlapping_same_class": int(same.sum()),
        "overlapping_other_class": int((~same).sum()),
    }


def sizes(table: BoxTable) -> dict[str, float | int | list[float]]:
    """Square roots of areas and heights over widths (lowest, median, highest), COCO's three
    counts, and how many boxes are below 8 and 16 pixels, in the pixels of the table."""
    height, width = np.maximum(table.sides, 1e-9).T
    area = height * width
    return {
        "size": _spread(np.sqrt(area)),
        "ratio_hw": _spread(height / width),
        "small": int((area < SMALL).sum()),
        "medium": int(((area >= SMALL) & (area < LARGE)).sum()),
        "large": int((area >= LARGE).sum()),
        "below_8": int((area < 8**2).sum()),
        "below_16": int((area < 16**2).sum()),
    }


def one_object_twice(
    facts: Sequence[Facts | None],
    class_names: Sequence[str],
    contradicted: Sequence[Sequence[tuple[tuple[float, ...], int]]],
) -> list[Finding]:
    """Boxes of one image that are the same by IoU > `SAME`: with two labels a warning, which of
    them is right being undecided; with one label a note. A finding each, at most.

    Args:
        facts: Of all samples.
        class_names: The classes.
        contradicted: Of each sample sides and class numbers of boxes that the source left out,
            since another one has their very sides.
    """
    table = collect(facts, range(len(facts)))
    pairs, ious = overlaps(table, SAME)
    same = table.classes[pairs[:, 0]] == table.classes[pairs[:, 1]]
    conflicts = _named(table, pairs[~same], ious[~same], class_names)
    left_out = sum(map(len, contradicted))
    for image, boxes in enumerate(contradicted):
        for sides, number in boxes:
            rows = _rows_with(sides, facts[image])
            kept = [_name(class_names, facts[image].box_classes[row]) for row in rows]
            text = f"{written(sides, _name(class_names, number))}, left out"
            text += f"; counted as {kept[0]}" if kept else ""
            conflicts.setdefault(image, []).append((rows, text))
    end = (
        f"; {counted(left_out, 'box')} of these {verb(left_out, 'is', 'are')} left out of training"
    )
    end = f"{end} (data.source.conflicts)" if left_out else ""
    return [
        *_finding(
            "conflicting_box_labels",
            "warning",
            conflicts,
            f"on one object with two labels{end}. Which label is right is undecided: correct the "
            "annotations, audit.json lists the boxes",
        ),
        *_finding(
            "repeated_boxes",
            "note",
            _named(table, pairs[same], ious[same], class_names),
            "on one object with one label: a detector gives one box an object, so the other "
            "counts as missed. Leave one out, audit.json lists the boxes",
        ),
    ]


def _finding(
    kind: str, severity: str, named: dict[int, list[tuple[list[int], str]]], text: str
) -> list[Finding]:
    number = sum(map(len, named.values()))
    if not number:
        return []
    rows = {i: sorted({row for pair, _ in of for row in pair}) for i, of in named.items()}
    return [
        Finding(
            kind,
            severity,
            tuple(sorted(named)),
            reading=f"{counted(number, 'pair')} of boxes (IoU above {SAME}) {text}",
            evidence={
                "pairs": number,
                "rows": rows,
                "boxes": {i: [said for _, said in of] for i, of in named.items()},
            },
        )
    ]


def written(box: Sequence[float], label: str) -> str:
    """A box for people: `RBC (12, 30.5, 40, 61)`."""
    return f"{label} ({', '.join(f'{side:.5g}' for side in box)})"


def _named(table: BoxTable, pairs, ious, class_names) -> dict[int, list[tuple[list[int], str]]]:
    """Image -> rows and text of each pair of its boxes."""
    named: dict[int, list[tuple[list[int], str]]] = {}
    for pair, iou in zip(pairs, ious, strict=True):
        texts = [written(table.boxes[k], _name(class_names, table.classes[k])) for k in pair]
        text = f"{texts[0]} and {texts[1]}, IoU {iou:.3g}"
        rows = [int(table.rows[k]) for k in pair]
        named.setdefault(int(table.images[pair[0]]), []).append((rows, text))
    return named


def _rows_with(sides: Sequence[float], fact: Facts | None) -> list[int]:
    """The boxes of an image that have these sides."""
    return [] if fact is None else [r for r, box in enumerate(fact.boxes) if box == tuple(sides)]


def _name(class_names: Sequence[str], number: int) -> str:
    if is_crowd(number):
        return f"crowd of {_name(class_names, as_crowd(number))}"
    return class_names[number] if 0 <= number < len(class_names) else str(number)


def _iou(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) -> (n, n)."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
    return common / np.maximum(areas[:, None] + areas[None] - common, 1e-12)


def _spread(values: np.ndarray) -> list[float]:
    if not len(values):
        return []
    return [round(float(v), 4) for v in (values.min(), np.median(values), values.max())]
