"""Faster R-CNN on a feature pyramid: proposals, then a class and a box for each.

    image - backbone - pyramid -+- RPN: objectness, deltas at anchors -> proposals --+
                                +------------- RoIAlign of each proposal <-----------+
                                                     |
                                                 box head: class logits, deltas -> detections

Ren, He, Girshick, Sun 2015, https://arxiv.org/abs/1506.01497; Lin et al. 2017,
https://arxiv.org/abs/1612.03144. Numbers that are no arguments are torchvision's.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from tfvision.detection import grids
from tfvision.detection.boxes import decode
from tfvision.detection.matched import Matched, matched_of
from tfvision.detection.matching import IGNORED, match
from tfvision.detection.proposals import propose
from tfvision.detection.roi_align import roi_align
from tfvision.detection.sampling import sample
from tfvision.errors import InputError
from tfvision.models import blocks
from tfvision.models.backbones import backbone_maps
from tfvision.models.detector import DetectionSettings, Detector
from tfvision.models.fpn import feature_pyramid

CODER = (10.0, 10.0, 5.0, 5.0)  # weights of the box head's deltas
RPN_SAMPLED = 256
SIDE = 7  # of a pooled map


class FasterRCNN(Detector):
    """Images (B, H, W, C) in [0, 1] to detections; see `Detector`.

    Args:
        input_shape: (H or None, W or None, C), H and W multiples of `stride`.
        num_classes: K, background not counted.
        backbone: See `models.backbones`.
        channels: Of the pyramid; 256 in torchvision.
        levels: Of the pyramid, one after the other; level l has stride 2^l. Those from 6 on are
            for the RPN alone.
        anchor_sizes: For each level the square roots of the anchors' areas, in pixels. None: 4
            and 4 * sqrt(2) strides.
        ratios_hw: Height over width of the anchors.
        anchor_offset: See `AnchorGrid`.
        whole_anchors: Rounds half sides of anchors and steps between them to whole pixels, as
            torchvision does.
        version: 1, the box head of two dense layers; 2, torchvision's V2: a second convolution in
            the RPN, four convolutions and a dense layer in the box head, and normalisation there
            and in the pyramid.
        units: Of a dense layer of the box head; 1024 in torchvision.
        normalization: Of what version 2 normalises; the backbone's is an argument of its own.
        class_agnostic: One box for all classes instead of one a class.
        proposals, test_proposals: Of an image, in training and at prediction; 2000 and 1000 in
            torchvision.
        proposals_before_nms: Of each level.
        sampled: Proposals of an image that the box head learns from; 512 in torchvision.
        positive_share: Of these, at most.
        canonical, aligned: Side in pixels of the boxes that are pooled at level 4, and the other:
            see `roi_align`; torchvision's is not aligned.
        score_threshold, nms, max_detections, by_class: Of `DetectionSettings`.
        name: Of the model.

    Raises:
        InputError: An argument has an impossible value.
    """

    heads = ("rpn", "head")

    def __init__(
        self,
        input_shape: tuple[int | None, int | None, int],
        num_classes: int,
        *,
        backbone: str | dict[str, Any] = "slim_resnet",
        channels: int = 96,
        levels: Sequence[int] = (3, 4, 5),
        anchor_sizes: Sequence[Sequence[float]] | None = None,
        ratios_hw: Sequence[float] = (0.5, 1.0, 2.0),
        anchor_offset: float = 0.5,
        whole_anchors: bool = False,
        version: int = 1,
        units: int = 256,
        normalization: str = "group",
        class_agnostic: bool = False,
        proposals: int = 300,
        test_proposals: int = 300,
        proposals_before_nms: int = 1000,
        sampled: int = 128,
        positive_share: float = 0.25,
        canonical: float = 224.0,
        aligned: bool = True,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        max_detections: int = 100,
        by_class: bool = True,
        name: str = "faster_rcnn",
    ):
        settings = DetectionSettings(score_threshold, nms, max_detections, by_class)
        super().__init__(num_classes, settings, name=name)
        blocks.check_counts(
            num_classes=num_classes,
            channels=channels,
            units=units,
            proposals=proposals,
            test_proposals=test_proposals,
            proposals_before_nms=proposals_before_nms,
            sampled=sampled,
        )
        _check_values(version, positive_share, canonical)
        self.anchors, self.stride = grids.faster_rcnn(
            levels, anchor_sizes, ratios_hw, anchor_offset, whole_anchors
        )
        strides = self.anchors.strides
        self.pooled = tuple(s for s in strides if s <= self.stride)
        self.proposals, self.test_proposals = proposals, test_proposals
        self.before, self.canonical, self.aligned = proposals_before_nms, canonical, aligned
        self.sampled, self.positive_share = sampled, positive_share

        style = normalization if version == 2 else "none"
        image = keras.Input(input_shape, name="image")
        maps = feature_pyramid(
            backbone_maps(image, backbone, self.pooled),
            channels,
            extra_levels=len(strides) - len(self.pooled),
            normalization=style,
        )
        self.features = keras.Model(image, [maps[s] for s in strides], name="features")
        self.rpn = _rpn(channels, self.anchors.at_a_place(), convs=version)
        boxes = 1 if class_agnostic else num_classes
        self.box_head = _box_head(channels, units, num_classes + 1, boxes, version, style)
        self.built = True  # its parts are

    def call(self, images, training=False):
        """Class logits (B, R, K + 1), the last of background; deltas (B, R, K or 1, 4); proposals
        (B, R, 4) and their scores (B, R), 0 for padding. R is `test_proposals`."""
        maps = self._maps(images, training)
        logits, deltas, anchors = self._objects(maps, training)
        size = tf.shape(images)[1:3]
        boxes, scores = self._propose(logits, deltas, anchors, size, self.test_proposals)
        return [*self._classify(maps, boxes, training), boxes, scores]

    def scored_boxes(self, outputs):
        logits, deltas, proposals, objectness = outputs
        boxes = decode(deltas, proposals[:, :, None], CODER)
        scores = tf.nn.softmax(logits)[..., :-1]
        return boxes, tf.where(objectness[..., None] > 0, scores, 0.0)

    def proposals_of(self, outputs):
        return outputs[2], outputs[3]

    def training_outputs(self, batch, training=True) -> dict[str, Matched]:
        """Heads `rpn` (`sigmoid`, one class) and `head` (`softmax`), each of what was sampled."""
        return self._learn(batch, training)[0]

    def validation_outputs(self, batch):
        return self._learn(batch, False)

    def _learn(self, batch, training: bool):
        """`training_outputs`, and the proposals (boxes, scores) that the second stage chose of."""
        maps = self._maps(batch["image"], training)
        logits, deltas, anchors = self._objects(maps, training)
        rpn = self._matched_anchors(logits, deltas, tf.concat(anchors, 0), batch)

        logits, deltas = ([tf.stop_gradient(x) for x in each] for each in (logits, deltas))
        size = tf.shape(batch["image"])[1:3]
        boxes, scores = self._propose(logits, deltas, anchors, size, self.proposals)
        proposals = boxes, scores
        # The annotated boxes are proposals, too, so that there are good ones from the start.
        boxes = tf.concat([boxes, batch["boxes"]], 1)
        there = tf.concat([scores > 0, batch["classes"] >= 0], 1)
        found = match(boxes, batch["boxes"], batch["classes"], high=0.5, low=0.5)
        rows, chosen = sample(
            tf.where(there, found, IGNORED),
            batch["seed"] + [0, 1],
            number=self.sampled,
            positive_share=self.positive_share,
        )
        boxes, found = (tf.gather(x, rows, batch_dims=1) for x in (boxes, found))
        logits, deltas = self._classify(maps, boxes, training)
        head = matched_of(
            logits,
            deltas,
            boxes,
            found,
            batch,
            kind="softmax",
            weights=chosen,
            coder=CODER,
            normalise_by="sampled",
        )
        return {"rpn": rpn, "head": head}, proposals

    def _maps(self, images, training: bool) -> list[tf.Tensor]:
        """The levels of the pyramid; Keras gives a list of one output as that output."""
        return tf.nest.flatten(self.features(images, training=training))

    def _objects(self, maps, training: bool):
        """Of each level: logits (B, N_l), deltas (B, N_l, 4), anchors (N_l, 4)."""
        logits, deltas, shapes = [], [], []
        for x in maps:
            score, shift = self.rpn(x, training=training)
            batch = tf.shape(x)[0]
            logits.append(tf.reshape(score, [batch, -1]))
            deltas.append(tf.reshape(shift, [batch, -1, 4]))
            dynamic = tf.shape(x)
            shapes.append(tuple(x.shape[i] or dynamic[i] for i in (1, 2)))
        return logits, deltas, self.anchors.of(shapes)

    def _propose(self, logits, deltas, anchors, size, most: int):
        return propose(logits, deltas, anchors, size, before=self.before, most=most, xla=self.xla)

    def _classify(self, maps, boxes, training: bool):
        """Class logits (B, R, K + 1) and deltas (B, R, K or 1, 4) of boxes (B, R, 4)."""
        own = maps[: len(self.pooled)]
        pooled = roi_align(
            own,
            self.pooled,
            boxes,
            side=SIDE,
            canonical=self.canonical,
            aligned=self.aligned,
            xla=self.xla,
        )
        pooled = tf.reshape(pooled, [-1, *pooled.shape[2:]])
        logits, deltas = self.box_head(pooled, training=training)
        shape = [boxes.shape[0] or -1, boxes.shape[1]]
        return (
            tf.reshape(logits, [*shape, logits.shape[-1]]),
            tf.reshape(deltas, [*shape, deltas.shape[-1] // 4, 4]),
        )

    def _matched_anchors(self, logits, deltas, anchors, batch) -> Matched:
        """The RPN's head, of the anchors that are drawn."""
        found = match(
            anchors, batch["boxes"], batch["classes"], high=0.7, low=0.3, low_quality=True
        )
        rows, chosen = sample(found, batch["seed"], number=RPN_SAMPLED, positive_share=0.5)
        logits, deltas = tf.concat(logits, 1), tf.concat(deltas, 1)
        return matched_of(
            tf.gather(logits, rows, batch_dims=1)[..., None],
            tf.gather(deltas, rows, batch_dims=1),
            tf.gather(anchors, rows),
            tf.gather(found, rows, batch_dims=1),
            batch,
            kind="sigmoid",
            weights=chosen,
            normalise_by="sampled",
            one_class=True,
        )


def _check_values(version: int, positive_share: float, canonical: float) -> None:
    if version not in (1, 2):
        raise InputError(f"version must be 1 or 2. Received: {version!r}.")
    if not 0 < positive_share <= 1 or not canonical > 0:
        raise InputError(
            "positive_share must be above 0 and at most 1, canonical above 0. Received: "
            f"{positive_share}, {canonical}."
        )


def _rpn(channels: int, anchors: int, *, convs: int) -> keras.Model:
    """(B, h, w, C) -> logits (B, h, w, anchors) and deltas (B, h, w, 4 * anchors), float32."""
    x = level = keras.Input((None, None, channels), name="level")
    for i in range(convs):
        x = layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"rpn_conv_{i + 1}",
        )(x)
    outputs = [
        layers.Conv2D(
            count,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"rpn_{word}",
        )(x)
        for word, count in (("logits", anchors), ("deltas", 4 * anchors))
    ]
    return keras.Model(level, outputs, name="rpn")


def _box_head(
    channels: int, units: int, classes: int, boxes: int, version: int, normalization: str
) -> keras.Model:
    """(N, 7, 7, C) -> logits (N, classes) and deltas (N, 4 * boxes), float32."""
    x = pooled = keras.Input((SIDE, SIDE, channels), name="pooled")
    if version == 2:
        style = {"normalization": normalization, "activation": "relu"}
        for i in range(4):
            x = blocks.conv_unit(x, channels, **style, name=f"box_{i + 1}")
    x = layers.Flatten(name="box_flat")(x)
    for i in range(2 if version == 1 else 1):
        x = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name=f"box_dense_{i + 1}"
        )(x)
    outputs = [
        layers.Dense(
            count,
            kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
            dtype="float32",
            name=f"box_{word}",
        )(x)
        for word, count, deviation in (("logits", classes, 0.01), ("deltas", 4 * boxes, 0.001))
    ]
    return keras.Model(pooled, outputs, name="box_head")
