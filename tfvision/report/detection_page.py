"""The report of a detection run: one HTML file, as `segmentation_page.py` has it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.detection.crowds import as_crowd, is_crowd
from tfvision.report import overlay, tables
from tfvision.report.boxes import box_colours
from tfvision.report.detection_charts import (
    calibration_chart,
    precision_recall,
    threshold_chart,
    training_charts,
)
from tfvision.report.detection_scores import SplitDetections
from tfvision.report.plots import number
from tfvision.report.shared import (
    MAX_MATRIX,
    RunReport,
    best_references,
    common,
    render_template,
)

KINDS = {
    "class": "the box lies well, its class is wrong",
    "localisation": "the class is right, the box lies badly (IoU 0.1 to 0.5)",
    "both": "a wrong class, and the box lies badly",
    "duplicate": "a second box of an object that is found already",
    "background": "a box where nothing is",
    "missed": "an object without a box",
}
SIZES = {
    "ap_small": "small, below 32² pixels",
    "ap_medium": "medium",
    "ap_large": "large, from 96² pixels on",
}
BESIDE = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar100": "AR100"}
BESIDE |= {"string_accuracy": "string accuracy"}
TAGS = 25  # boxes of an image that still have their names on them; those of more when pointed at
BUDGET = 700_000  # characters of all images


@dataclass
class BoxLayer:
    """Boxes over an image.

    Attributes:
        name: "truth", "prediction", "proposals" or "anchors".
        boxes: (n, 4) `x1 y1 x2 y2` in its pixels.
        classes: (n,) numbers, of crowds as `detection.crowds` has them; None: they have none.
        values: (n,) scores, or IoU of anchors; None: no number.
    """

    name: str
    boxes: np.ndarray
    classes: np.ndarray | None = None
    values: np.ndarray | None = None


@dataclass
class BoxedImage:
    """An image with its boxes.

    Attributes:
        id: As in the source.
        split: The split it is of.
        image: (H, W), (H, W, 1 or more) uint8.
        layers: What is drawn over it, the last on top.
        text: What is said of it.
    """

    id: str
    split: str
    image: np.ndarray
    layers: list[BoxLayer]
    text: str


@dataclass(kw_only=True)
class DetectionReport(RunReport):
    """What the page of a detection shows besides.

    `summary` has `operating_point` as `tasks.detection.results` makes it.

    Attributes:
        scores: By split; a split without annotated boxes has no entry.
        metric, title: The declared score, and what people call it.
        galleries: `worst` and `best` images, predictions at the operating point.
        stages: One image with its proposals, one with its anchors, where there are any.
        strings: As `strings_read` gives it; None where none are read.
        misread: Images whose string is read wrongly.
    """

    scores: dict[str, SplitDetections]
    metric: str = "ap"
    title: str = "AP"
    galleries: dict[str, list[BoxedImage]] = field(default_factory=dict)
    stages: list[BoxedImage] = field(default_factory=list)
    strings: dict[str, Any] | None = None
    misread: list[BoxedImage] = field(default_factory=list)


def render(report: DetectionReport) -> str:
    """The page as text."""
    context = common(report)
    classes, scores = _classes(report), context["scores"]
    point = report.summary.get("operating_point") or {}
    threshold, chosen = number(point.get("threshold")), _chosen(point)
    curves = [c for name, split in scores.items() for c in precision_recall(name, split, classes)]
    thresholds = [threshold_chart(n, s, threshold, chosen) for n, s in scores.items()]
    calibrations = [calibration_chart(name, split) for name, split in scores.items()]
    shown = [*report.galleries.values(), report.misread, report.stages]
    images = [item for items in shown for item in items]
    drawn = iter(overlay.draw_images([item.image for item in images], budget=BUDGET))
    galleries = [
        {"kind": kind, "images": [_figure(item, next(drawn), classes) for item in items]}
        for kind, items in report.galleries.items()
    ]
    return render_template(
        "detection.html",
        {
            **context,
            "classes": classes,
            "headlines": [_headline(report, name, split) for name, split in scores.items()],
            "charts": training_charts(report, report.metric),
            "class_rows": _class_rows(classes, scores, point),
            "size_rows": _size_rows(scores),
            "resampled": _resampled(scores),
            "curves": curves,
            "point": point,
            "threshold": threshold,
            "chosen": chosen,
            "point_rows": _point_rows(point),
            "thresholds": [chart for chart in thresholds if chart],
            "errors": [_errors(name, s.errors) for name, s in scores.items() if s.errors],
            "calibrations": [chart for chart in calibrations if chart],
            "with_background": [*classes, {"name": "background", **BACKGROUND}],
            "matrices": {
                name: _matrix(split.confusion, [item["name"] for item in classes])
                for name, split in scores.items()
                if split.confusion is not None
            },
            "galleries": [gallery for gallery in galleries if gallery["images"]],
            "strings": report.strings,
            "misread": [_figure(item, next(drawn), classes) for item in report.misread],
            "stages": [_figure(item, next(drawn), classes) for item in report.stages],
        },
    )


BACKGROUND = {"colour": overlay.hex_colours(1)[0]}


def _classes(report: DetectionReport) -> list[dict[str, Any]]:
    """Index, name and colour of every class."""
    names = list(report.data.get("class_names") or [])
    colours = box_colours(len(names))
    return [{"index": k, "name": str(name), "colour": colours[k]} for k, name in enumerate(names)]


def _chosen(point: dict[str, Any]) -> str:
    words = {"val": "chosen on validation", None: "since validation chose none"}
    return words.get(point.get("chosen_on"), f"chosen on {point.get('chosen_on')}")


def _headline(report: DetectionReport, name: str, split: SplitDetections) -> dict[str, Any]:
    """The score of a split with its interval, and the bars beside it."""
    value = number(split.metrics.get(report.metric))
    references, best = best_references(report.baselines, name)
    low, high = split.intervals.get(report.metric, (math.nan, math.nan))
    return {
        "split": name,
        "value": value,
        "low": number(low),
        "high": number(high),
        "beside": [
            (text, number(split.metrics.get(key)))
            for key, text in BESIDE.items()
            if key != report.metric and key in split.metrics
        ],
        "images": split.metrics.get("num_images"),
        "boxes": split.metrics.get("num_boxes"),
        "bars": references,
        "best": best,
        "gain": value - best["value"] if best else math.nan,
    }


def _class_rows(classes, scores: dict[str, SplitDetections], point) -> list[dict[str, Any]]:
    """One row a class, with its numbers on every split and its own threshold."""
    own = point.get("by_class") or []
    return [
        {
            **item,
            "threshold": number(own[item["index"]] if item["index"] < len(own) else None),
            "splits": [
                {
                    **_span(
                        _entry(split.metrics.get("per_class_ap"), item["index"]),
                        _entry(split.class_intervals, item["index"], (math.nan, math.nan)),
                    ),
                    "ap50": number(_entry(split.metrics.get("per_class_ap50"), item["index"])),
                    "boxes": number(_entry(split.metrics.get("per_class_boxes"), item["index"])),
                }
                for split in scores.values()
            ],
        }
        for item in classes
    ]


def _size_rows(scores: dict[str, SplitDetections]) -> list[dict[str, Any]]:
    """AP of all boxes and by size, with intervals, on every split."""
    names = {"ap": "AP, all boxes", "ap50": "AP50", "ap75": "AP75"}
    names |= {key: f"AP, {text}" for key, text in SIZES.items()}
    return [
        {
            "name": text,
            "splits": [
                _span(split.metrics.get(key), split.intervals.get(key, (math.nan, math.nan)))
                for split in scores.values()
            ],
        }
        for key, text in names.items()
    ]


def _span(value: Any, ends: tuple[float, float]) -> dict[str, float]:
    return {"value": number(value), "low": number(ends[0]), "high": number(ends[1])}


def _entry(values: Sequence | None, index: int, missing: Any = None) -> Any:
    return values[index] if values is not None and index < len(values) else missing


def _resampled(scores: dict[str, SplitDetections]) -> str:
    """What the intervals are, in a sentence."""
    done = [
        f"{name} {split.units}, {split.resamples} resamples"
        for name, split in scores.items()
        if split.resamples
    ]
    if not done:
        return "none here, for too few images, or so many boxes that they would take long."
    return f"bootstrap over {', '.join(done)}."


def _point_rows(point: dict[str, Any]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of every split at the operating point, and at each class's own."""
    rows = []
    for key, text in (("splits", "one threshold"), ("splits_by_class", "a threshold a class")):
        for split, entry in (point.get(key) or {}).items():
            values = [number(entry.get(name)) for name in ("precision", "recall", "f1")]
            rows.append({"split": split, "text": text, "values": values})
    return rows


def _errors(name: str, errors: dict[str, Any]) -> dict[str, Any]:
    """The bars of a split: by how much AP50 would rise, and how many there are."""
    largest = max([*errors["gains"].values(), 1e-9])
    return {
        "split": name,
        "ap50": number(errors["ap50"]),
        "rows": [
            {
                "kind": kind,
                "text": text,
                "count": errors["counts"][kind],
                "gain": number(errors["gains"][kind]),
                "width": round(100 * max(errors["gains"][kind], 0) / largest, 1),
            }
            for kind, text in KINDS.items()
        ],
    }


def _matrix(confusion: np.ndarray, names: list[str]) -> dict[str, Any]:
    """The table of a confusion matrix with background, and its worst mix-ups in words."""
    table = tables.confusion_table(confusion, [*names, "background"], unit="boxes")
    counts = np.asarray(confusion, np.float64)[: len(names)]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    np.fill_diagonal(shares, 0)
    remarks = []
    for place in np.argsort(-shares, axis=None, kind="stable")[:4]:
        true, guess = divmod(int(place), len(names) + 1)
        if shares[true, guess] >= 0.01:
            share = tables.percent(shares[true, guess], 0)
            taken = "not found" if guess == len(names) else f"taken for {names[guess]}"
            remarks.append(f"{share} of {names[true]}: {taken}.")
    false = int(np.asarray(confusion)[-1].sum())
    remarks.append(f"{tables.count(false)} boxes lie on no object.")
    return {**table, "remarks": remarks, "legible": len(names) + 1 <= MAX_MATRIX}


def _figure(item: BoxedImage, uri: str, classes) -> dict[str, Any]:
    height, width = item.image.shape[:2]
    return {
        "id": str(item.id),
        "split": item.split,
        "text": item.text,
        "image": uri,
        "height": height,
        "width": width,
        "small": max(height, width) <= 256,
        "layers": [
            {"name": layer.name, "boxes": _boxes(layer, (height, width), classes)}
            for layer in item.layers
        ],
    }


def _boxes(layer: BoxLayer, size: tuple[int, int], classes) -> list[dict[str, Any]]:
    """Boxes as the page draws them: places in per cent of the image, the best on top."""
    sides = np.array([size[1], size[0]] * 2, np.float64) / 100
    shares = np.asarray(layer.boxes, np.float64).reshape(-1, 4) / sides
    found = []
    for row, (x1, y1, x2, y2) in enumerate(shares.tolist()):
        k = None if layer.classes is None else int(layer.classes[row])
        crowd = k is not None and is_crowd(k)
        item = None if k is None else classes[as_crowd(k) if crowd else k]
        value = "" if layer.values is None else f"{float(layer.values[row]):.2f}"
        words = ("crowd of" if crowd else "", item["name"] if item else "", value)
        text = " ".join(part for part in words if part)
        found.append(
            {
                "left": round(x1, 2),
                "top": round(y1, 2),
                "width": round(x2 - x1, 2),
                "height": round(y2 - y1, 2),
                "colour": item["colour"] if item else "",
                "text": text,
                "crowd": crowd,
                "inside": y1 < 5,  # above it the tag would be cut off
                "tag": text if len(shares) <= TAGS and layer.name == "prediction" else "",
            }
        )
    return found[::-1]
