"""COCO's numbers and what lies behind them, by hotcoco, from arrays and without a file.

Its numbers are pycocotools' to the last bit. The scores of `DetectionEvidence` are the same and
can be resampled; here are the twelve of large sets at once, and hotcoco's errors, calibration and
confusion. https://github.com/derekallman/hotcoco
"""

from collections.abc import Sequence
from typing import Any

import hotcoco
import numpy as np

from tfvision.errors import InputError
from tfvision.metrics.coco_matching import Boxes

NUMBERS = (  # as pycocotools' `stats` has them
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
ERRORS = {  # of Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors"
    "class": "Cls",
    "localisation": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
}


class CocoEvaluation:
    """Detections of N images held against their annotated boxes by hotcoco.

    Args:
        answers, truths, num_classes: As `DetectionEvidence.of` has them.

    Raises:
        InputError: As there.
    """

    def __init__(
        self,
        answers: Sequence[dict[str, np.ndarray]],
        truths: Sequence[dict[str, np.ndarray]],
        num_classes: int,
    ):
        if len(answers) != len(truths):
            raise InputError(
                f"Detections and truths must be of the same images; received {len(answers)} and "
                f"{len(truths)}."
            )
        self._classes = num_classes
        annotated = Boxes.of(truths, num_classes, "truths")
        detected = Boxes.of(answers, num_classes, "detections")
        # Every id is a place + 1: an annotation of id 0 would count as unmatched.
        truth = hotcoco.COCO.from_arrays(
            [{"id": i + 1} for i in range(len(truths))],
            [{"id": k + 1, "name": str(k)} for k in range(num_classes)],
            annotated.image + 1,
            annotated.label + 1,
            annotated.xywh,
            area=annotated.area,
            iscrowd=annotated.crowd,
        )
        columns = (detected.image + 1, detected.xywh, detected.score, detected.label + 1)
        self._evaluation = hotcoco.COCOeval(truth, truth.load_res(np.column_stack(columns)), "bbox")
        self._evaluation.evaluate()

    def numbers(self) -> dict[str, Any]:
        """The twelve numbers by name, and `per_class_ap`, a list of K; None where no truth is."""
        self._evaluation.accumulate()
        self._evaluation.summary_lines()  # `summarize` that does not print
        precision = self._evaluation.eval["precision"][:, :, :, 0, -1]
        each = [float(np.mean(precision[:, :, k])) for k in range(self._classes)]
        values = zip(NUMBERS, self._evaluation.stats, strict=True)
        return {
            **{name: None if value < 0 else float(value) for name, value in values},
            "per_class_ap": [None if value < 0 else value for value in each],
        }

    def errors(self) -> dict[str, Any]:
        """What goes wrong at IoU 0.5, and what mending it would bring.

        A detection that takes no truth is of the wrong `class` (its box fits a truth of another),
        badly placed (`localisation`: IoU 0.1 to 0.5 with a truth of its class), `both`, a
        `duplicate` of a truth that is taken, or on the `background` (IoU below 0.1 with all). A
        truth is `missed` where no detection is of it but for class or place.

        Returns:
            `ap50`: without mending; `counts` and `gains` by kind: how many, and how much AP50
            would rise were all of the kind mended, 0..1.
        """
        found = self._evaluation.tide_errors()
        return {
            "ap50": found["ap_base"],
            "counts": {name: int(found["counts"][key]) for name, key in ERRORS.items()},
            "gains": {name: float(found["delta_ap"][key]) for name, key in ERRORS.items()},
        }

    def calibration(self, bins: int = 10) -> dict[str, Any]:
        """Whether of detections of a score s the share s is right at IoU 0.5.

        Args:
            bins: Of equal width in 0..1.

        Returns:
            `low`, `high`, `score`, `right`, `count`: (bins,) each, ends of the bin, mean score and
            share of right ones (NaN where it holds none), number; `ece`, `mce`: the mean and the
            largest gap between score and share; `per_class_ece`: a list of K, None without
            detections.
        """
        found = self._evaluation.calibration(n_bins=bins)
        keys = ("bin_lower", "bin_upper", "avg_confidence", "avg_accuracy", "count")
        low, high, score, right, count = (
            np.array([one[key] for one in found["bins"]]) for key in keys
        )
        empty = count == 0
        return {
            "low": low,
            "high": high,
            "score": np.where(empty, np.nan, score),
            "right": np.where(empty, np.nan, right),
            "count": count.astype(np.int64),
            "ece": float(found["ece"]),
            "mce": float(found["mce"]),
            "per_class_ece": [found["per_category"].get(str(k)) for k in range(self._classes)],
        }

    def confusion(self, threshold: float = 0.5) -> np.ndarray:
        """(K + 1, K + 1) int64: true class by predicted class of the boxes that lie together.

        At IoU 0.5 by falling score, whatever the classes; the last row is the background, on
        which detections lie, the last column that of truths without a detection.

        Args:
            threshold: The score from which detections count.
        """
        found = self._evaluation.confusion_matrix(iou_thr=0.5, min_score=threshold)
        return found["matrix"].astype(np.int64)


def coco_numbers(
    answers: Sequence[dict[str, np.ndarray]],
    truths: Sequence[dict[str, np.ndarray]],
    num_classes: int,
) -> dict[str, Any]:
    """`CocoEvaluation.numbers`: the twelve numbers of COCO by name, and AP of each class.

    Args:
        answers: Of each image `boxes` (n, 4) `x1 y1 x2 y2` in pixels, `scores` (n,) in [0, 1],
            `classes` (n,) in 0..K-1.
        truths: Of each `boxes` (m, 4), `classes` (m,).
        num_classes: K.

    Example:
        `coco_numbers(answers, truths, 2)["ap50"]`
    """
    return CocoEvaluation(answers, truths, num_classes).numbers()
