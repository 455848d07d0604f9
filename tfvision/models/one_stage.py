"""Detectors of one stage: one net classifies and moves anchors at every place of its maps."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tfvision.detection.anchors import AnchorGrid
from tfvision.detection.boxes import decode
from tfvision.detection.matched import Matched, matched_of
from tfvision.models import blocks
from tfvision.models.detector import DetectionSettings, Detector


class OneStageDetector(Detector):
    """One functional net from images to maps of class logits and of deltas.

    Args:
        net: From images to `[logits of each level, deltas of each level]`: (B, h, w, A * C) and
            (B, h, w, A * 4) float32, numbers of one anchor side by side.
        grid: The A anchors of each level, which need not have as many each.
        num_classes: K.
        settings: Of `detections`.
        stride: What sides of images are multiples of.
        kind: `softmax` (C = K + 1, background last) or `sigmoid` (C = K).
        coder: Weights of the deltas, see `detection.boxes.encode`.
        matching: (anchors (N, 4), boxes, classes) -> (B, N), as `detection.matching.match`.
        candidates: At most so many boxes of a level (`sigmoid`) or of a class (`softmax`), those
            of the highest scores, go into suppression.
        name: Of the model.
    """

    def __init__(
        self,
        net: keras.Model,
        grid: AnchorGrid,
        num_classes: int,
        settings: DetectionSettings,
        *,
        stride: int,
        kind: str,
        coder: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        matching: Callable,
        candidates: int,
        name: str,
    ):
        super().__init__(num_classes, settings, name=name)
        blocks.check_counts(candidates=candidates)
        self.net, self.stride = net, stride
        self.anchors, self.kind, self.candidates = grid, kind, candidates
        self._coder, self._matching = tuple(coder), matching
        self.built = True  # its net is

    def call(self, images, training=False):
        return self.net(images, training=training)

    def training_outputs(self, batch, training=True) -> dict[str, Matched]:
        logits, deltas, anchors = map(
            _joined, self._levels(self(batch["image"], training=training))
        )
        match = self._matching(anchors, batch["boxes"], batch["classes"])
        head = matched_of(logits, deltas, anchors, match, batch, kind=self.kind, coder=self._coder)
        return {"head": head}

    def scored_boxes(self, outputs):
        levels = zip(*self._levels(outputs), strict=True)
        if self.kind == "sigmoid":
            found = [self._best_of_level(*level) for level in levels]
            boxes, scores = (tf.concat(x, 1) for x in zip(*found, strict=True))
            return boxes[:, :, None], scores
        logits, deltas, anchors = map(_joined, zip(*levels, strict=True))
        scores = tf.nn.softmax(logits)[..., : self.num_classes]
        by_class = tf.transpose(scores, [0, 2, 1])
        least = tf.math.top_k(by_class, tf.minimum(self.candidates, tf.shape(by_class)[-1]))[0]
        scores = tf.where(scores >= least[:, None, :, -1], scores, 0.0)
        return decode(deltas, anchors, self._coder)[:, :, None], scores

    def _best_of_level(self, logits, deltas, anchors):
        """Boxes (B, n, 4) and scores (B, n, K) of the best pairs of anchor and class.

        These lie among the anchors whose best class scores highest.
        """
        scores = tf.sigmoid(logits)
        most = tf.minimum(self.candidates, tf.shape(scores)[1])
        row = tf.math.top_k(tf.reduce_max(scores, -1), most)[1]
        scores, deltas = (tf.gather(x, row, batch_dims=1) for x in (scores, deltas))
        pairs = tf.reshape(scores, [-1, most * self.num_classes])
        least = tf.math.top_k(pairs, most)[0][:, -1]
        scores = tf.where(scores >= least[:, None, None], scores, 0.0)
        return decode(deltas, tf.gather(anchors, row), self._coder), scores

    def _levels(self, outputs):
        """Logits (B, n, C), deltas (B, n, 4) and anchors (n, 4) of each level."""
        number = len(self.anchors.strides)
        sizes = []
        for x in outputs[:number]:
            found = tf.shape(x)
            sizes.append(tuple(x.shape[i] or found[i] for i in (1, 2)))
        columns = self.num_classes + (self.kind == "softmax")
        logits = [_rows(x, columns) for x in outputs[:number]]
        deltas = [_rows(x, 4) for x in outputs[number:]]
        return logits, deltas, self.anchors.of(sizes)


def _rows(x: tf.Tensor, columns: int) -> tf.Tensor:
    """(B, h, w, A * C) -> (B, h * w * A, C) float32."""
    height, width, channels = x.shape[1:]
    rows = height * width * channels // columns if height and width else -1
    return tf.cast(tf.reshape(x, [tf.shape(x)[0], rows, columns]), tf.float32)


def _joined(levels: Sequence):
    """What the levels have, one behind the other: (B, n, C) each, or anchors (n, 4)."""
    if isinstance(levels[0], np.ndarray):
        return np.concatenate(levels)
    return tf.concat(levels, 1 if len(levels[0].shape) == 3 else 0)


def head_layer(filters: int, *, kernel_initializer, bias: float = 0.0, name: str):
    """The 3x3 convolution that ends a head, float32 under any policy."""
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=kernel_initializer,
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=name,
    )
