"""The report of a classification run: one HTML file, as `segmentation_page.py` has it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.report import overlay, tables
from tfvision.report.classification_charts import calibrations, class_curves, training_charts
from tfvision.report.classification_scores import SplitResult
from tfvision.report.plots import number
from tfvision.report.shared import (
    MAX_MATRIX,
    SCORE_NAMES,
    RunReport,
    best_references,
    classes_of,
    common,
    render_template,
)

MEANINGS = {
    "accuracy": "Accuracy is the share of the images that are right. Frequent classes decide it.",
    "macro_f1": "F1 of a class is 2 TP / (2 TP + FP + FN), high only where precision and recall "
    "both are; macro-F1 is its mean over the classes, so that a rare class counts as much as a "
    "frequent one. 1 is perfect.",
    "weighted_f1": "F1 of a class is 2 TP / (2 TP + FP + FN); here its mean, each class weighted "
    "by its images. 1 is perfect.",
    "balanced_accuracy": "Balanced accuracy is the mean over the classes of the share of their "
    "images that are found. 1 is perfect, 1 / classes is guessing.",
}
_MAX_MISTAKES = 24


@dataclass
class Mistake:
    """An image that is wrong.

    Attributes:
        id: The image's id, as in the source.
        split: The split it is of.
        image: (H, W), (H, W, 1) or (H, W, C) uint8 in 0..255.
        truth, prediction: Names of classes.
        confidence: The probability of the prediction, or NaN.
        attention: (H, W, 3) uint8, a Grad-CAM overlay of the prediction, or None.
    """

    id: str
    split: str
    image: np.ndarray
    truth: str
    prediction: str
    confidence: float
    attention: np.ndarray | None = None


@dataclass(kw_only=True)
class ClassificationReport(RunReport):
    """What the page of a classification shows besides.

    `data` may have `class_pieces`, `input` and `aggregate`, where the network sees pieces;
    `history` `val_<score>` of any score, `val_piece_accuracy` and `val_f1_<class>`.

    Attributes:
        scores: By split, as `split_result` makes them; a split without labels has no entry.
        mistakes: The most confident first.
    """

    scores: dict[str, SplitResult]
    mistakes: list[Mistake]


def render(report: ClassificationReport) -> str:
    """The page as text."""
    context = common(report)
    classes, scores = classes_of(report), context["scores"]
    names = [item["name"] for item in classes]
    metric = _metric(report)
    return render_template(
        "classification.html",
        {
            **context,
            "classes": classes,
            "metric": SCORE_NAMES.get(metric, metric),
            "meaning": MEANINGS.get(metric, ""),
            "headlines": [_headline(report, name, split) for name, split in scores.items()],
            "charts": training_charts(report, classes, metric),
            "class_rows": _class_rows(classes, scores),
            "mean_rows": _mean_rows(scores),
            "post_processed": any(split.post_processed for split in scores.values()),
            "with_pieces": any(split.pieces for split in scores.values()),
            "matrices": {
                name: {
                    **tables.confusion_table(split.confusion, names, unit="images"),
                    "legible": len(classes) <= MAX_MATRIX,
                }
                for name, split in scores.items()
            },
            "curves": [
                chart for name, s in scores.items() for chart in class_curves(name, s, classes)
            ],
            "calibrations": calibrations(scores),
            "mistakes": _mistakes(report),
            "shares": _shares(report.data),
        },
    )


def _metric(report: ClassificationReport) -> str:
    """The run's metric, which chose the epoch."""
    return next((split.metric for split in report.scores.values()), "accuracy")


def _headline(report: ClassificationReport, name: str, split: SplitResult) -> dict[str, Any]:
    """The score of a split, its interval, the bars beside it, and what it amounts to."""
    bars = [{"name": report.arch, "value": number(split.value), "own": True}]
    if split.post_processed:
        post = number(split.post_value)
        bars.append({"name": "after post-processing", "value": post, "own": True})
    value = bars[-1]["value"]
    references, best = best_references(report.baselines, name)
    low, high = (number(end) for end in split.interval)
    if not math.isfinite(value):
        best = None  # nothing to set against it
    verdict, good = "", True
    if best and not value > best["value"]:
        verdict, good = f"Not better than {best['name']}: don't use this model yet.", False
    elif best and math.isfinite(low):
        good = low > best["value"]
        verdict = (
            f"The whole interval lies above {best['name']}."
            if good
            else f"The interval reaches down to {best['name']}: these images cannot tell the two "
            "apart."
        )
    return {
        "split": name,
        "value": value,
        "low": low,
        "high": high,
        "images": (split.post_processed or split.scores).get("num_images"),
        "accuracy": (split.post_processed or split.scores).get("accuracy"),
        "pieces": split.pieces,
        "bars": bars + references,
        "best": best,
        "gain": value - best["value"] if best else math.nan,
        "verdict": verdict,
        "good": good,
    }


def _class_rows(classes, scores: dict[str, SplitResult]) -> list[dict[str, Any]]:
    """One row a class, with its numbers on every split."""

    def entry(found: dict[str, Any] | None, item) -> dict[str, Any]:
        return ((found or {}).get("per_class") or {}).get(item["name"], {})

    keys = ("precision", "recall", "f1", "support", "roc_auc")
    return [
        {
            **item,
            "splits": [
                {
                    **{key: number(entry(split.scores, item).get(key)) for key in keys},
                    "post": number(entry(split.post_processed, item).get("f1")),
                    "piece": number(entry(split.pieces, item).get("f1")),
                }
                for split in scores.values()
            ],
        }
        for item in classes
    ]


def _mean_rows(scores: dict[str, SplitResult]) -> list[dict[str, Any]]:
    """One row a score of all classes, with (value, after post-processing, of pieces) a split."""
    texts = (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("macro_f1", "macro-F1"),
        ("macro_precision", "macro precision"),
        ("macro_recall", "macro recall"),
        ("weighted_f1", "weighted F1"),
        ("weighted_precision", "weighted precision"),
        ("weighted_recall", "weighted recall"),
        ("roc_auc", "ROC AUC, mean of the classes"),
        ("average_precision", "average precision, mean of the classes"),
        ("log_loss", "log loss, nats"),
        ("brier", "Brier score, 0 to 2"),
        ("ece", "calibration error, 15 bins"),
    )
    return [
        {
            "name": text,
            "share": key not in ("log_loss", "brier", "ece"),
            "splits": [
                [number((found or {}).get(key)) for found in (s.scores, s.post_processed, s.pieces)]
                for s in scores.values()
            ],
        }
        for key, text in texts
    ]


def _mistakes(report: ClassificationReport) -> list[dict[str, Any]]:
    """The gallery; all pictures share one budget of characters."""
    shown = report.mistakes[:_MAX_MISTAKES]
    pictures = [p for item in shown for p in (item.image, item.attention) if p is not None]
    drawn = iter(overlay.draw_images(pictures))
    return [
        {
            "id": str(item.id),
            "split": item.split,
            "truth": str(item.truth),
            "prediction": str(item.prediction),
            "confidence": number(item.confidence),
            "small": max(item.image.shape[:2]) <= 128,
            "image": next(drawn),
            "attention": None if item.attention is None else next(drawn),
        }
        for item in shown
    ]


def _shares(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Images and pieces of each class in each split: {what, split, counts, shares}."""
    found = []
    for key, what in (("class_images", "images"), ("class_pieces", "pieces")):
        counted = data.get(key) or {}
        for split, shares in tables.pixel_shares(counted).items():
            counts = list(counted[split])
            found.append({"what": what, "split": split, "counts": counts, "shares": shares})
    return found
