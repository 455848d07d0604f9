"""What every detector is: outputs to predict from, heads to learn from, detections.

A box is `x1 y1 x2 y2` float32 in pixels, classes are 0..K-1. Height and width of images are
multiples of `stride`; what an image was padded with lies below and to the right.
"""

from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from tfvision.detection.anchors import AnchorGrid
from tfvision.detection.boxes import clip, has_sides
from tfvision.detection.matched import Matched
from tfvision.detection.nms import suppress
from tfvision.errors import InputError

LEAST_SIDE = 0.01  # of a detection, in pixels, as torchvision has it


@dataclass(frozen=True)
class DetectionSettings:
    """What is done with the scored boxes of an image.

    Attributes:
        score_threshold: Only above this; low, since average precision counts every detection.
        nms: IoU above which the lower of two detections is dropped.
        max_detections: An image.
        by_class: Whether a detection suppresses those of its own class alone.
    """

    score_threshold: float = 0.05
    nms: float = 0.5
    max_detections: int = 100
    by_class: bool = True

    def __post_init__(self):
        for key in ("score_threshold", "nms"):
            if not 0 <= getattr(self, key) <= 1:
                raise InputError(f"{key} must be in [0, 1]. Received: {getattr(self, key)}.")
        if not isinstance(self.max_detections, int) or self.max_detections < 1:
            raise InputError(
                "max_detections must be a whole number of at least 1. Received: "
                f"{self.max_detections}."
            )


class Detector(keras.Model):
    """Base of the detectors, which hold functional Keras models as attributes.

    A subclass writes `call`, `training_outputs` and `scored_boxes`, and sets `stride`.

    Example:
        model = FasterRCNN((None, None, 3), num_classes=2)
        found = model.detections(model(images), size=(480, 640))  # images (B, 480, 640, 3)
        found["boxes"], found["scores"], found["classes"]  # (B, 100, 4), (B, 100), (B, 100)

    Args:
        num_classes: K.
        settings: Of `detections`.
        name: Of the model.

    Attributes:
        stride: What height and width of images are multiples of.
        heads: Keys of `training_outputs`.
        settings: What `detections` uses where it is given nothing else.
        anchors: The grid of its anchors; None where it has none to be shown.
        xla: Set to True before the first step where steps are compiled by XLA: pooling and
            suppression then use ops that it has.
    """

    stride: int
    heads: tuple[str, ...] = ("head",)
    anchors: AnchorGrid | None = None

    def __init__(self, num_classes: int, settings: DetectionSettings, *, name: str):
        super().__init__(name=name)
        self.num_classes, self.settings, self.xla = num_classes, settings, False

    def call(self, images: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """What `detections` needs of images (B, H, W, C) in [0, 1]: tensors (B, ...)."""
        raise NotImplementedError

    def training_outputs(
        self, batch: dict[str, tf.Tensor], training: bool = True
    ) -> dict[str, Matched]:
        """What each head says and should say, by head, after one pass through the backbone.

        Args:
            batch: `image` (B, H, W, C), `boxes` (B, M, 4), `classes` (B, M), `seed` (B, 2) of
                all that is drawn.
            training: Of the layers.
        """
        raise NotImplementedError

    def validation_outputs(
        self, batch: dict[str, tf.Tensor]
    ) -> tuple[dict[str, Matched], tuple[tf.Tensor, tf.Tensor] | None]:
        """`training_outputs` without training, and of a detector of two stages the boxes (B, R, 4)
        and scores (B, R) of its proposals, padded with score 0; None of one stage."""
        return self.training_outputs(batch, False), None

    def scored_boxes(self, outputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, N, 1 or K, 4) and scores (B, N, K) in [0, 1] of what `call` gave."""
        raise NotImplementedError

    def proposals_of(self, outputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Boxes (B, R, 4) and scores (B, R) of the first of two stages in what `call` gave,
        padded with score 0; None of a detector of one stage."""
        return None

    def detections(
        self, outputs: list[tf.Tensor], size: tf.Tensor, **settings
    ) -> dict[str, tf.Tensor]:
        """The detections of a batch, by falling score, padded.

        Args:
            outputs: What `call` gave.
            size: (2,) or (B, 2), height and width of the images without padding.
            **settings: What shall differ from `self.settings`.

        Returns:
            `boxes` (B, D, 4) float32 within the images, `scores` (B, D) float32, `classes`
            (B, D) int32; D is `max_detections`; padded with 0, 0 and -1.
        """
        use = replace(self.settings, **settings)
        boxes, scores = self.scored_boxes(outputs)
        boxes = clip(boxes, size)
        scores = tf.where(has_sides(boxes, LEAST_SIDE), scores, 0.0)
        boxes, scores, classes = suppress(
            boxes,
            scores,
            iou=use.nms,
            most=use.max_detections,
            score=use.score_threshold,
            by_class=use.by_class,
            xla=self.xla,
        )
        return {"boxes": boxes, "scores": scores, "classes": classes}
