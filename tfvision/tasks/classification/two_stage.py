"""Detect, crop, classify: a detector finds the boxes by which a classifier's images are cut.

`TwoStage` is one predictor made of two. Where pieces are cut in Python (`pieces.py`), it gives
samples the boxes that were found; as an exported module it does all of it in the graph, by the
same functions. What each stage loses is scored here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.detection.boxes import iou
from tfvision.engine.inference import Predictor, signatures
from tfvision.engine.predict import as_float, batches_of_one_size
from tfvision.errors import InputError
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.intervals import wilson
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.read import Native
from tfvision.tasks.classification.recipe import ClassRecipe
from tfvision.tasks.classification.scoring import score_samples
from tfvision.tasks.scored import ScoredLabels
from tfvision.text import counted, figure

FALLBACKS = ("whole", "centre")
GOOD = 0.5  # IoU with an annotated box from which a kept box is good


class TwoStage(tf.Module, Predictor):
    """Detects, keeps boxes, cuts them out, classifies: as one module, for images of any size.

    Args:
        detector: Gives `boxes` (B, D, 4) in pixels, `scores` (B, D) falling, `classes` (B, D), -1
            for no box. Classes are not looked at.
        classifier: Has `serve_float` of pieces, and `fitted`, what its model sees of them.
        recipe: Of the classifier: how boxes are cut out, and how several answers become one.
        channels: C of the images.
        keep: "best": the box of the highest score; or a number: all boxes with this score or more.
        fallback: What is cut out of an image without such a box: "whole", all of it, or "centre",
            the middle half of each side.

    Raises:
        InputError: The classifier does not see what a box cuts out.
    """

    def __init__(
        self,
        detector: Any,
        classifier: Any,
        *,
        recipe: ClassRecipe,
        channels: int,
        keep: str | float = "best",
        fallback: str = "whole",
    ):
        super().__init__(name="tfvision_two_stage")
        if recipe.cut.margin is None:
            raise InputError(
                f"A classifier behind a detector sees what lies in a box: data.input must be "
                f"crop(margin=...); this one has `{recipe.cut.name}`."
            )
        self.detector, self.classifier, self.recipe = detector, classifier, recipe
        self.channels, self.keep, self.fallback = channels, keep, fallback
        self.serving_default, self.serve_float = signatures(self._serve, channels)
        self._locate = tf.function(
            self._boxes,
            input_signature=[tf.TensorSpec((None, None, None, channels), tf.float32)],
            autograph=False,
        )

    @property
    def members(self) -> list[Predictor]:
        return [*self.detector.members, *self.classifier.members]

    @property
    def weights(self) -> list[float]:
        return [1.0] * len(self.members)

    def with_classifier(self, classifier: Any) -> "TwoStage":
        """The same with another classifier behind the detector: one that averages views, say."""
        return TwoStage(
            self.detector,
            classifier,
            recipe=self.recipe,
            channels=self.channels,
            keep=self.keep,
            fallback=self.fallback,
        )

    def found(
        self, samples: Iterable[tuple[Any, Native]], *, at_once: int
    ) -> Iterator[tuple[Any, Native, dict[str, np.ndarray]]]:
        """(key, sample, detections) of each (key, sample), in order.

        Detections are `boxes` (D, 4), `scores` (D,), `classes` (D,) without empty rows, `kept`
        (n, 4), n from 1 up, and `fell` (), whether that is the fallback.
        """
        numbered = ((key, sample.image, sample) for key, sample in samples)
        for group in batches_of_one_size(numbered, at_once):
            images = as_float([image for _, image, _ in group], [s.scale for _, _, s in group])
            arrays = {k: v.numpy() for k, v in self._locate(tf.constant(images)).items()}
            for i, (key, _, sample) in enumerate(group):
                there = arrays["classes"][i] >= 0
                one = {k: arrays[k][i][there] for k in ("boxes", "scores", "classes")}
                one["kept"] = arrays["candidates"][i][arrays["kept"][i]]
                yield key, sample, {**one, "fell": arrays["fell"][i]}

    def located(
        self, samples: Iterable[Native], *, counter: Counter | None = None, at_once: int = 32
    ) -> Iterator[Native]:
        """The samples with the boxes that were found in place of those that came with them."""
        for _, sample, one in self.found(((None, s) for s in samples), at_once=at_once):
            if counter is not None and one["fell"]:
                counter["undetected"] += 1
            yield with_box(sample, one["kept"])

    def _boxes(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the detector gives of images (B, H, W, C), `candidates` (B, 1 + D, 4), the fallback
        and the detections, `kept` (B, 1 + D), which of them are cut out, and `fell` (B,)."""
        detected = self.detector.serve_float(image)
        detected = {name: detected[name] for name in ("boxes", "scores", "classes")}
        size = tf.shape(image)[1:3]
        return {**detected, **choose(detected, size, keep=self.keep, fallback=self.fallback)}

    def _serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, C) in [0, 1] -> labels (B, 1, 1) uint8, probabilities (B, 1, 1, K)."""
        located = self._boxes(image)
        owner = tf.where(located["kept"])[:, 0]
        boxes = tf.boolean_mask(located["candidates"], located["kept"])
        windows = windows_of(boxes, tf.shape(image)[1:3], self.recipe.cut.margin)

        def piece(of: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            x1, y1, x2, y2 = tf.unstack(of[1])
            return self.classifier.fitted(image[of[0]][None, y1:y2, x1:x2])[0]

        seen = tf.TensorSpec((*self.recipe.size, self.channels), tf.float32)
        pieces = tf.map_fn(piece, (owner, windows), fn_output_signature=seen)
        each = self.classifier.serve_float(pieces)["probabilities"][:, 0, 0]
        areas = tf.reduce_prod(windows[:, 2:] - windows[:, :2], axis=1)
        how = self.recipe.config.data.aggregate

        def joined(number: tf.Tensor) -> tf.Tensor:
            own = owner == number
            return aggregated(tf.boolean_mask(each, own), tf.boolean_mask(areas, own), how)

        numbers = tf.range(tf.cast(tf.shape(image)[0], tf.int64))
        spec = tf.TensorSpec((each.shape[-1],), tf.float32)
        probabilities = tf.map_fn(joined, numbers, fn_output_signature=spec)[:, None, None]
        return {"labels": decode(self.recipe.rules)(probabilities), "probabilities": probabilities}


def choose(
    detected: dict[str, tf.Tensor], size: tf.Tensor, *, keep: str | float, fallback: str
) -> dict[str, tf.Tensor]:
    """What is cut out of images of (height, width) pixels.

    Args:
        detected: `boxes` (B, D, 4), `scores` (B, D) falling, `classes` (B, D), -1 for no box.
        size: (2,) int32.
        keep, fallback: As `TwoStage` has them.

    Returns:
        `candidates` (B, 1 + D, 4), the fallback and the boxes; `kept` (B, 1 + D) bool, which of
        them are cut out, one at least; `fell` (B,) bool, whether that is the fallback.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    boxes = tf.convert_to_tensor(detected["boxes"], tf.float32)
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    seen = (x1 < x2) & (y1 < y2) & (x1 < width) & (y1 < height) & (x2 > 0) & (y2 > 0)
    kept = seen & (detected["classes"] >= 0)
    if keep == "best":
        kept &= tf.cumsum(tf.cast(kept, tf.int32), axis=1) == 1
    else:
        kept &= detected["scores"] >= keep
    fell = ~tf.reduce_any(kept, axis=1)
    share = 0.0 if fallback == "whole" else 0.25
    stand_in = tf.stack([width, height, width, height])
    stand_in *= tf.constant([share, share, 1 - share, 1 - share])
    stand_in = tf.broadcast_to(stand_in, [tf.shape(boxes)[0], 1, 4])
    return {
        "candidates": tf.concat([stand_in, boxes], axis=1),
        "kept": tf.concat([fell[:, None], kept], axis=1),
        "fell": fell,
    }


def with_box(sample: Native, kept: np.ndarray) -> Native:
    """A sample with boxes (n, 4) in place of its own, and without a region."""
    return replace(sample, box=kept[0] if len(kept) == 1 else kept, region=None)


def windows_of(boxes: tf.Tensor, size: tf.Tensor, margin: float) -> tf.Tensor:
    """(n, 4) int32: `data.crops.windows.window_of` of each of the boxes (n, 4), in the graph."""
    boxes = tf.cast(boxes, tf.float64)
    wider = margin * (boxes[:, 2:] - boxes[:, :2])
    least = tf.cast(tf.floor(boxes[:, :2] - wider), tf.int32)
    most = tf.cast(tf.math.ceil(boxes[:, 2:] + wider), tf.int32)
    return tf.concat([tf.maximum(least, 0), tf.minimum(most, size[::-1])], axis=1)


def aggregated(probabilities: tf.Tensor, weights: tf.Tensor, how: str) -> tf.Tensor:
    """(K,) float32: `data.crops.pieces.aggregate` of (n, K) and (n,), in the graph."""
    values = tf.cast(probabilities, tf.float64)
    if how == "area":
        out = tf.reduce_sum(tf.cast(weights, tf.float64)[:, None] * values, axis=0)
    elif how == "log_mean":
        logs = tf.reduce_mean(tf.math.log(tf.maximum(values, 1e-7)), axis=0)
        out = tf.exp(logs - tf.reduce_max(logs))
    elif how == "median":
        ordered, number = tf.sort(values, axis=0), tf.shape(values)[0]
        out = (ordered[(number - 1) // 2] + ordered[number // 2]) / 2
    else:
        out = {"mean": tf.reduce_mean, "max": tf.reduce_max}[how](values, axis=0)
    out = tf.where(tf.reduce_sum(out) > 0, out, tf.reduce_mean(values, axis=0))
    return tf.cast(out / tf.reduce_sum(out), tf.float32)


def score_stages(
    recipe: ClassRecipe, predictor: TwoStage, samples: Iterable[tuple[str, Native]]
) -> ScoredLabels:
    """As `score_samples`, by detected boxes alone; `details` has `stages` besides.

    Where samples have boxes, these show what each stage loses, and enter no score of both.
    """
    finds: list[dict[str, Any]] = []
    places: list[int] = []  # rows of what follows with detected boxes
    own: list[int] = []  # and with the annotated ones, of the same images
    rows = 0

    def twice() -> Iterator[tuple[str, Native]]:
        nonlocal rows
        at_once = recipe.config.data.batch_size
        for name, sample, one in predictor.found(samples, at_once=at_once):
            boxes = None if sample.box is None else np.reshape(sample.box, (-1, 4))
            finds.append({**one, "truth": boxes, "id": name})
            places.append(rows)
            rows += 1
            yield name, with_box(sample, one["kept"])
            if boxes is not None:
                own.append(rows)
                rows += 1
                yield f"{name}, annotated", replace(sample, region=None)

    both = score_samples(recipe, predictor.classifier, twice())
    return ScoredLabels(
        both.evidence.take(places),
        answers=[both.answers[i] for i in places],
        details={
            **{key: both.details[key][places] for key in ("truth", "probabilities")},
            "pieces": [both.details["pieces"][i] for i in places],
            "finds": finds,
            "stages": _stages(both, places, own, finds),
        },
    )


def _stages(both: ScoredLabels, places, own, finds) -> dict[str, Any]:
    """What `summary.json` says of the stages of a split."""
    right = np.trace(both.final, axis1=1, axis2=2)
    boxed = [one for one in finds if one["truth"] is not None]
    good = [float(tf.reduce_max(iou(one["kept"], one["truth"]))) >= GOOD for one in boxed]
    stages: dict[str, Any] = {
        "both": _share(right[places]),
        "annotated_boxes": _share(right[own]),
        "perfect_classifier": _share(good),
        "undetected": sum(bool(one["fell"]) for one in finds),
        "detector_ap50": None,
    }
    if boxed:
        answers = [{**one, "classes": np.zeros(len(one["boxes"]), int)} for one in boxed]
        truths = [
            {"boxes": one["truth"], "classes": np.zeros(len(one["truth"]), int)} for one in boxed
        ]
        names = [one["id"] for one in boxed]
        evidence = DetectionEvidence.of(names, answers, truths, num_classes=1)
        stages["detector_ap50"] = float(evidence.measure("ap50", None).value())
    return stages


def _share(right) -> dict[str, Any] | None:
    """How many are right, with the 95 % interval of the share; None of no image."""
    right = np.asarray(right, bool)
    if not len(right):
        return None
    low, high = wilson(int(right.sum()), len(right))
    return {"share": float(right.mean()), "low": low, "high": high, "images": len(right)}


def stage_lines(stages: dict[str, Any]) -> list[str]:
    """What the terminal says of the stages of a split."""
    lines = [
        f"  detected, cut and classified: accuracy {shown(stages['both'])}",
        f"  the classifier on annotated boxes: accuracy {shown(stages['annotated_boxes'])}",
        f"  a perfect classifier on what was cut out (IoU {GOOD:g} with an annotated box): "
        f"{shown(stages['perfect_classifier'])}",
        f"  the detector: AP50 {figure(stages['detector_ap50'], '-')}; "
        f"{counted(stages['undetected'], 'image')} without a detection",
    ]
    return [line for line in lines if not line.endswith(" -")]


def shown(share: dict[str, Any] | None) -> str:
    """`0.930 (0.901 to 0.951)`, or "-"."""
    if share is None:
        return "-"
    return f"{share['share']:.3f} ({share['low']:.3f} to {share['high']:.3f})"
