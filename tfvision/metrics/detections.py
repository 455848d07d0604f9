"""Detections held against annotated boxes: what COCO's scores are computed from, image by image.

NumPy and SciPy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics import strings
from tfvision.metrics.average_precision import AveragePrecision, Ranked, Recalls
from tfvision.metrics.coco_matching import (
    MOST,
    RANGES,
    THRESHOLDS,
    Boxes,
    bits,
    checksums,
    match,
    ranks,
)
from tfvision.metrics.contract import Contract
from tfvision.metrics.operating_point import THRESHOLD, threshold_of
from tfvision.registry import unknown
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Measure, Ratios, by_group, group_numbers

_ALL = tuple(range(len(THRESHOLDS)))
# Name -> places of IoU thresholds, place of the area range.
_PRECISIONS = {
    "ap": (_ALL, 0),
    **{f"ap{50 + 5 * t}": ((t,), 0) for t in _ALL},
    **{f"ap_{name}": (_ALL, a) for a, name in enumerate(RANGES) if a},
}
# Name -> most detections of an image and class, place of the area range.
_RECALLS = {
    **{f"ar{most}": (most, 0) for most in (1, 10, MOST)},
    **{f"ar_{name}": (MOST, a) for a, name in enumerate(RANGES) if a},
}
_AT_THRESHOLD = ("f1", "precision", "recall")
_STRINGS = "string_accuracy"


@dataclass(frozen=True, eq=False)
class DetectionEvidence(Evidence):
    """Detections that take a truth or do not, of N images and K classes, D in all.

    Attributes:
        ids: N names of images.
        thresholds: (N, K) float64, the score from which a detection of the class counts for
            `f1`, `precision` and `recall`: the operating point of the model that predicted it.
        truths: (N, K, 4) int64, boxes that count in each area range of `coco_matching.RANGES`.
        checksum: (N,) int64 of the annotated boxes, in whatever order.
        number: (N,) int64, detections of each image.
        label: (D,) int64, their classes; by image, class and falling score.
        score: (D,) float64.
        matched, ignored: (D, 4) uint16 of each area range: bit t says whether the detection takes
            a truth at IoU threshold t of 0.5, 0.55, ..., 0.95, and whether it is left out.
        spans, read_from: See `metrics.strings`.
        before: Of the same predictions before post-processing; None where nothing changes them.
    """

    suffix: ClassVar[str] = "detections"
    scores: ClassVar[tuple[str, ...]] = (*_PRECISIONS, *_RECALLS, *_AT_THRESHOLD, _STRINGS)
    pools: ClassVar[bool] = False
    per_class: ClassVar[str] = "per_class_ap"
    text: ClassVar[str] = "matched detections"
    truth_text: ClassVar[str] = "annotated boxes"

    ids: list[str]
    thresholds: np.ndarray
    truths: np.ndarray
    checksum: np.ndarray
    number: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    spans: np.ndarray
    read_from: np.ndarray
    before: Self | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        answers: Sequence[dict[str, np.ndarray]],
        truths: Sequence[dict[str, np.ndarray]],
        num_classes: int,
        *,
        thresholds: float | Sequence[float] = THRESHOLD,
    ) -> Self:
        """Matches the detections of N images to their annotated boxes, by COCO's rules.

        Args:
            ids: Names of the images.
            answers: Of each `boxes` (n, 4) `x1 y1 x2 y2`, `scores` (n,), `classes` (n,). At most
                100 of an image and class count, those of the highest scores.
            truths: Of each `boxes` (m, 4), `classes` (m,) and, where there are any, `crowd` (m,)
                bool and `area` (m,) pixels; the area is else width times height. A class -2 - k
                is a crowd of class k, too. Boxes of class -1, which fill up a batch, are left out
                here and in `answers`.
            num_classes: K.
            thresholds: See the attribute; one for all classes, or K.

        Raises:
            InputError: Arrays that do not fit each other, unknown classes, numbers that are not
                finite.
        """
        if not len(ids) == len(answers) == len(truths):
            raise InputError(
                f"Detections and truths must be of the same images: {len(ids)} ids came with "
                f"detections of {len(answers)} images and truths of {len(truths)}."
            )
        annotated = Boxes.of(truths, num_classes, "truths")
        detected = Boxes.of(answers, num_classes, "detections")
        order, rank = ranks(detected, num_classes)
        detected = detected.take(order[rank < MOST])
        matched, ignored = match(detected, annotated, num_classes)
        counts = np.zeros((len(ids), num_classes, len(RANGES)), np.int64)
        np.add.at(counts, (annotated.image, annotated.label), ~annotated.ignored())
        shape = (len(ids), num_classes)
        return cls(
            ids=[str(name) for name in ids],
            thresholds=np.broadcast_to(np.asarray(thresholds, np.float64), shape).copy(),
            truths=counts,
            checksum=checksums(annotated, len(ids)),
            number=np.bincount(detected.image, minlength=len(ids)),
            label=detected.label,
            score=detected.score,
            matched=matched,
            ignored=ignored,
            **strings.unread(len(ids)),
        )

    @property
    def num_classes(self) -> int:
        """K."""
        return self.thresholds.shape[1]

    @property
    def image(self) -> np.ndarray:
        """(D,) int64, the place of the image of each detection."""
        return np.repeat(np.arange(len(self)), self.number)

    def at(self, thresholds: float | Sequence[float]) -> Self:
        """The same under other score thresholds, one for all classes or K."""
        shape = self.thresholds.shape
        return replace(
            self,
            thresholds=np.broadcast_to(np.asarray(thresholds, np.float64), shape).copy(),
            before=None if self.before is None else self.before.at(thresholds),
        )

    def at_operating_point(self, score: str, point: Mapping[str, Any] | None) -> tuple[Self, str]:
        if score not in _AT_THRESHOLD:
            return self, ""
        threshold, why = threshold_of(point)
        return self.at(threshold), f"detections from a score of {threshold:.3f} on ({why})"

    def after(self, before: Self) -> Self:
        """The same, as what post-processing made of `before`."""
        return replace(self, before=before)

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields; those of `before` under names that begin with `before_`."""
        own = [field.name for field in fields(self) if field.name not in ("ids", "before")]
        arrays = {"ids": np.array(self.ids, dtype=str), **{key: getattr(self, key) for key in own}}
        if self.before is not None:
            arrays |= {f"before_{key}": getattr(self.before, key) for key in own}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        own = [field.name for field in fields(cls) if field.name not in ("ids", "before")]
        ids = [str(name) for name in arrays["ids"]]
        old = {p + k: v for p in ("", "before_") for k, v in strings.unread(len(ids)).items()}
        arrays = {**old, **arrays}
        parts = [
            cls(ids, **{key: np.asarray(arrays[prefix + key]) for key in own})._checked()
            for prefix in ("", "before_")
            if f"{prefix}number" in arrays or not prefix
        ]
        return parts[0] if len(parts) == 1 else parts[0].after(parts[1])

    def _checked(self) -> Self:
        images, detections = len(self.ids), int(self.number.sum())
        shapes = {
            "thresholds": (images, self.thresholds.shape[-1]),
            "truths": (images, self.thresholds.shape[-1], len(RANGES)),
            "checksum": (images,),
            "number": (images,),
            "label": (detections,),
            "score": (detections,),
            "matched": (detections, len(RANGES)),
            "ignored": (detections, len(RANGES)),
            "spans": (images, 2),
            "read_from": (images,),
        }
        for key, shape in shapes.items():
            if getattr(self, key).shape != shape:
                raise ValueError(f"{key} must be {shape}; it is {getattr(self, key).shape}")
        return self

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        rows = np.asarray(rows, np.int64)
        number = self.number[rows]
        first = np.cumsum(self.number) - self.number
        own = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        places = np.repeat(first[rows], number) + own
        columns = {key: getattr(self, key)[places] for key in _OF_DETECTIONS}
        columns |= {key: getattr(self, key)[rows] for key in _OF_IMAGES}
        before = None if self.before is None else self.before.take(rows)
        return replace(self, ids=[self.ids[i] for i in rows], **columns, before=before)

    def digest(self) -> np.ndarray:
        """(N, 1 + 4 K): checksum of the boxes, and how many count of each class and range."""
        return np.column_stack([self.checksum, self.truths.reshape(len(self), -1)])

    def presence(self) -> np.ndarray:
        return self.truths[:, :, 0] > 0

    def measure(
        self,
        score: str,
        contract: Contract | None,
        *,
        groups: Sequence[str] | None = None,
        class_index: int | None = None,
    ) -> Measure:
        """A score, for the bootstrap; without weights COCO's to the last bit.

        Args:
            score: `ap` (mean over IoU 0.5, 0.55, ..., 0.95), `ap50`, `ap55`, ..., `ap95`,
                `ap_small`, `ap_medium`, `ap_large`; `ar1`, `ar10`, `ar100`, `ar_small`,
                `ar_medium`, `ar_large`: means over classes that have a truth. `precision`,
                `recall` and `f1` of all boxes together at IoU 0.5, of the detections that reach
                `thresholds`. `string_accuracy`, the share of strings that are read right; of a
                class: of those that hold it.
            contract: Its `exclude_classes` are left out; None: nothing is.
            groups, class_index: As `Evidence.measure` has them.
        """
        if score not in self.scores:
            raise InputError(unknown("score", score, self.scores))
        classes = list(range(self.num_classes)) if class_index is None else [class_index]
        if contract is not None:
            contract.check_classes(self.num_classes)
            if class_index is None:
                classes = [k for k in classes if k not in contract.exclude_classes]
        if score in _PRECISIONS:
            return self._average_precision(*_PRECISIONS[score], classes, groups)
        if score in _RECALLS:
            return self._average_recall(*_RECALLS[score], classes, groups)
        if score == _STRINGS:
            return self._string_accuracy(class_index, groups)
        return self._at_threshold(score, classes, groups)

    def summary(self, contract: Contract | None) -> dict[str, Any]:
        """All scores and AP of each class, None for NaN."""
        each = [one.value() for one in self.classes("ap", contract)]
        found = [None if np.isnan(value) else value for value in each]
        return {**super().summary(contract), "per_class_ap": found}

    def ranked(
        self,
        label: int,
        *,
        ious: Sequence[int] = _ALL,
        area: int = 0,
        groups: Sequence[str] | None = None,
    ) -> Ranked:
        """The detections of a class by falling score, equal ones in the order of images.

        Args:
            label: The class.
            ious: Places of IoU thresholds.
            area: Place of the area range.
            groups: As `measure` has them.
        """
        unit, _ = group_numbers(groups, len(self))
        of_class = np.flatnonzero(self.label == label)
        order = of_class[np.argsort(-self.score[of_class], kind="stable")]
        return Ranked(
            unit=unit[self.image[order]],
            score=self.score[order],
            right=bits(self.matched[order, area], ious),
            counted=~bits(self.ignored[order, area], ious),
            truths=by_group(self.truths[:, label, area, None].astype(np.float64), groups)[:, 0],
        )

    def _average_precision(self, ious, area: int, classes, groups) -> AveragePrecision:
        of_class = {"ious": ious, "area": area, "groups": groups}
        return AveragePrecision([self.ranked(k, **of_class) for k in classes])

    def _average_recall(self, most: int, area: int, classes, groups) -> Recalls:
        key = self.image * self.num_classes + self.label
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        rank = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
        counted = self.matched[:, area] & ~self.ignored[:, area]
        right = bits(counted, _ALL) & (rank < most)[:, None]
        size = len(self) * self.num_classes
        above = np.stack([np.bincount(key, hits, size) for hits in right.T])
        above = above.reshape(len(_ALL), len(self), self.num_classes).swapaxes(0, 1)
        below = np.repeat(self.truths[:, None, :, area], len(_ALL), axis=1).astype(np.float64)
        width = len(_ALL) * len(classes)
        sides = (side[:, :, classes].reshape(len(self), width) for side in (above, below))
        return Recalls(*(by_group(side, groups) for side in sides))

    def _string_accuracy(self, class_index: int | None, groups) -> Ratios:
        counted = self.read_from > 0
        if class_index is not None:
            counted &= self.truths[:, class_index, 0] > 0
        right = counted & strings.right_at(self.spans, self.read_from)
        sides = (by_group(side[:, None].astype(np.float64), groups) for side in (right, counted))
        return Ratios(*sides)

    def out_of_fold(self, folds: Sequence[int]) -> Self:
        chosen = strings.out_of_fold(self.spans, folds)
        return replace(self, read_from=np.where(self.read_from > 0, chosen, 0.0))

    def over_folds(self, score: str, contract, *, folds, groups=None) -> Measure:
        chosen = self if folds is None or score != _STRINGS else self.out_of_fold(folds)
        return super(DetectionEvidence, chosen).over_folds(
            score, contract, folds=folds, groups=groups
        )

    def _at_threshold(self, score: str, classes, groups) -> Ratios:
        taken = np.isin(self.label, classes)
        taken &= self.score >= self.thresholds[self.image, self.label]
        taken &= ~bits(self.ignored[:, 0], (0,))[:, 0]
        right = taken & bits(self.matched[:, 0], (0,))[:, 0]
        size = len(self)
        hits, counted = (np.bincount(self.image, one, size) for one in (right, taken))
        truths = self.truths[:, classes, 0].sum(axis=1)
        above, below = {
            "f1": (2 * hits, counted + truths),
            "precision": (hits, counted),
            "recall": (hits, truths.astype(np.float64)),
        }[score]
        return Ratios(by_group(above[:, None], groups), by_group(below[:, None], groups))


_OF_IMAGES = ("thresholds", "truths", "checksum", "number", "spans", "read_from")
_OF_DETECTIONS = ("label", "score", "matched", "ignored")
