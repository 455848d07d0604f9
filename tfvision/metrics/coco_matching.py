"""Detections matched to annotated boxes as COCO does it, of all images at once. NumPy only.

The rules are those of `pycocotools.cocoeval.COCOeval.evaluateImg`, so that scores computed from
the matches equal its scores to the last bit. The IoU is of `x y w h` in its order of operations.
In order of falling score, equal scores as they came, each detection of an image and class takes,
of the truths whose IoU reaches the threshold, the one of the largest IoU that is left, of equal
ones the last; one that counts goes before one that is ignored. A crowd is ignored, may be taken
again and again, and its IoU divides by the area of the detection. Ignored in an area range are
truths whose area lies outside (bounds belong to the range), the detections that take ignored
truths, and those outside that take none.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.detection.crowds import as_crowd, is_crowd
from tfvision.errors import InputError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RANGES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MOST = 100  # detections of an image and class that are scored
_LOWS, _HIGHS = np.array(list(RANGES.values())).T
_PAIRS = 1 << 20  # pairs of a detection and a truth held at a time


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of N images, one after the other.

    Attributes:
        image, label: (D,) int64, the image's place and the class.
        xywh: (D, 4) float64: left, top, width, height.
        score: (D,) float64 of detections, zeros of truths.
        crowd, area: (D,) bool and float64 of truths; of detections False and w * h.
    """

    image: np.ndarray
    label: np.ndarray
    xywh: np.ndarray
    score: np.ndarray
    crowd: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, images: Sequence[dict[str, np.ndarray]], num_classes: int, what: str) -> "Boxes":
        """Boxes of images; those of class -1, which only fill up a batch, are left out.

        Args:
            images: Of each `boxes` (n, 4) `x1 y1 x2 y2` and `classes` (n,); `scores` (n,) of
                detections; of truths `crowd` (n,) bool and `area` (n,) where there are any. A
                truth of a class below -1 is a crowd, too, see `detection.crowds`.
            num_classes: K.
            what: "detections" or "truths", for messages.

        Raises:
            InputError: Arrays that do not fit each other, classes outside 0..K-1, numbers that
                are not finite.
        """
        numbers = [len(one["classes"]) for one in images]
        for key, shape in (("boxes", (4,)), ("scores", ()), ("crowd", ()), ("area", ())):
            for i, (one, number) in enumerate(zip(images, numbers, strict=True)):
                if key in one and np.shape(one[key]) != (number, *shape):
                    raise InputError(
                        f"The {what} of image {i} must have {key} of shape {(number, *shape)}, one "
                        f"for each of its {number} classes; received {np.shape(one[key])}."
                    )

        def column(key: str, default: float | None = None, width: int = 0) -> np.ndarray:
            blank = np.zeros((0, width) if width else 0)
            rows = [
                np.asarray(one[key] if default is None or key in one else np.full(n, default))
                for one, n in zip(images, numbers, strict=True)
            ]
            return np.concatenate([blank, *rows]).astype(np.float64)

        image, label = np.repeat(np.arange(len(images)), numbers), column("classes")
        corners, score = column("boxes", width=4), column("scores", 0 if what == "truths" else None)
        crowd = column("crowd", 0) != 0
        if what == "truths":
            crowd |= is_crowd(label)
            label = np.where(is_crowd(label), as_crowd(label), label)
        there = label >= 0
        wrong = there & ((label >= num_classes) | (label % 1 != 0))
        if wrong.any():
            raise InputError(
                f"Classes of {what} must be whole numbers in 0..{num_classes - 1}; received "
                f"{label[wrong][0]:g} in image {image[wrong][0]}."
            )
        xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        area = column("area", np.nan)
        area = np.where(np.isnan(area), xywh[:, 2] * xywh[:, 3], area)
        wrong = there & ~np.isfinite(np.column_stack([xywh, score, area])).all(axis=1)
        if wrong.any():
            raise InputError(
                f"Boxes, scores and areas of {what} must be finite numbers; those of image "
                f"{image[wrong][0]} are not: box {corners[wrong][0]}, score {score[wrong][0]:g}."
            )
        columns = (image, label.astype(np.int64), xywh, score, crowd, area)
        return cls(*(c[there] for c in columns))

    def __len__(self) -> int:
        return len(self.image)

    def take(self, places: np.ndarray) -> "Boxes":
        """The boxes at these places."""
        columns = (self.image, self.label, self.xywh, self.score, self.crowd, self.area)
        return Boxes(*(c[places] for c in columns))

    def ignored(self) -> np.ndarray:
        """(D, 4) bool, which do not count in each area range."""
        outside = (self.area[:, None] < _LOWS) | (self.area[:, None] > _HIGHS)
        return outside | self.crowd[:, None]


def ranks(detections: Boxes, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The order (D,) by image, class and falling score, and in it the rank (D,) in the class."""
    order = np.lexsort((-detections.score, detections.label, detections.image))
    return order, _from_start((detections.image * num_classes + detections.label)[order])


def match(detections: Boxes, truths: Boxes, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Which detections take a truth, and which are ignored.

    Args:
        detections: In the order of `ranks`, at most `MOST` of an image and class.
        truths: Annotated boxes, in their own order.
        num_classes: K.

    Returns:
        matched, ignored: (D, 4) uint16, of each area range; bit t is of threshold t.
    """
    ignored = truths.ignored()
    detection, truth, iou = _pairs(detections, truths, num_classes)
    better = _order_in_detection(detection, iou)  # of equal ones the later truth is larger
    taken = np.zeros((len(truths), len(THRESHOLDS), len(RANGES)), bool)
    found = np.zeros((len(detections), len(THRESHOLDS), len(RANGES)), bool)
    left_out = np.zeros_like(found)
    counts = len(truths) + 1
    for rows in _rounds(detection, detections, num_classes):
        d, g = detection[rows], truth[rows]
        free = ~taken[g] | truths.crowd[g][:, None, None]
        free &= (iou[rows, None] >= THRESHOLDS)[:, :, None]
        value = better[rows, None] + counts * ~ignored[g]
        value = np.where(free, value[:, None], -1)
        starts = np.flatnonzero(np.diff(d, prepend=-1))
        best = np.maximum.reduceat(value, starts)
        chosen = free & (value == np.repeat(best, np.diff(starts, append=len(d)), axis=0))
        taken[g] |= chosen
        found[d[starts]] = best >= 0
        left_out[d[starts]] = (best >= 0) & (best < counts)
    left_out |= ~found & detections.ignored()[:, None]
    bits = (1 << np.arange(len(THRESHOLDS)))[:, None]
    matched, ignored = ((one * bits).sum(axis=1).astype(np.uint16) for one in (found, left_out))
    return matched, ignored


def _pairs(detections: Boxes, truths: Boxes, num_classes: int) -> tuple[np.ndarray, ...]:
    """Detections, truths of the same image and class, IoU: pairs that reach a threshold."""
    of_truth = truths.image * num_classes + truths.label
    order = np.argsort(of_truth, kind="stable")
    of_detection = detections.image * num_classes + detections.label
    first = np.searchsorted(of_truth[order], of_detection, "left")
    number = np.searchsorted(of_truth[order], of_detection, "right") - first
    parts = []
    ends = np.cumsum(number)
    place = 0
    while place < len(detections):
        before = ends[place] - number[place]
        stop = max(place + 1, int(np.searchsorted(ends, before + _PAIRS, "right")))
        here = number[place:stop]
        detection = np.repeat(np.arange(place, stop), here)
        truth = order[np.repeat(first[place:stop], here) + _from_start(detection)]
        iou = _iou(detections.xywh[detection], truths.xywh[truth], truths.crowd[truth])
        near = iou >= THRESHOLDS[0]
        parts.append((detection[near], truth[near], iou[near]))
        place = stop
    blank = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return tuple(np.concatenate(columns) for columns in zip(blank, *parts, strict=True))


def _iou(a: np.ndarray, b: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(P,) IoU of boxes `x y w h`, row by row; of a crowd, over the area of `a`."""
    sides = np.minimum(a[:, 2:] + a[:, :2], b[:, 2:] + b[:, :2]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    own = a[:, 2] * a[:, 3]
    union = np.where(crowd, own, own + b[:, 2] * b[:, 3] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _from_start(keys: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... in each run of equal keys."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    return np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))


def _order_in_detection(detection: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """(P,) the place of each pair among those of its detection, from the smallest IoU."""
    order = np.lexsort((iou, detection))
    found = np.empty(len(order), np.int64)
    found[order] = _from_start(detection[order])
    return found


def _rounds(detection: np.ndarray, detections: Boxes, num_classes: int) -> list[np.ndarray]:
    """Places of pairs, so that each round holds one detection of an image and class."""
    near, of_pair = np.unique(detection, return_inverse=True)
    turn = _from_start((detections.image * num_classes + detections.label)[near])[of_pair]
    order = np.argsort(turn, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(turn[order])) + 1) if len(order) else []


def checksums(boxes: Boxes, num_images: int) -> np.ndarray:
    """(N,) int64: CRC-32 of the boxes of each image, whatever their order."""
    rows = np.column_stack([boxes.label, boxes.xywh, boxes.crowd, boxes.area]).astype(np.float64)
    order = np.lexsort((*rows.T, boxes.image))
    ends = np.cumsum(np.bincount(boxes.image, minlength=num_images))
    parts = np.split(rows[order], ends[:-1]) if num_images else []
    return np.array([zlib.crc32(part.tobytes()) for part in parts], np.int64)


def bits(values: np.ndarray, ious: Sequence[int]) -> np.ndarray:
    """(D,) integers -> (D, T) bool, the bits at these places."""
    return (values[:, None] >> np.asarray(ious, values.dtype) & 1).astype(bool)
