"""What the segmentation losses share: the contract of `call`, and the sums behind them.

A loss takes labels (B, H, W) or (B, H, W, 1) of any dtype that holds whole numbers, and
logits (B, H, W, K) of any float dtype. `call` gives one float32 value an image, (B,), which
depends on that image alone: batches and replicas may be cut in any way. All sums are made in
float32, because 512x512 pixels overflow float16.
"""

import math
from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.weights import check_class_weights, check_ignore_labels


class SegmentationLoss(keras.losses.Loss):
    """Base of the losses; a subclass writes `per_image` and its own arguments.

    A pixel counts when its label is in 0..K-1 and not in `ignore_labels`. An image without
    such a pixel has loss 0 and gradient 0, exactly. A label that is neither a class nor
    ignored (7 of 3 classes, 2.5, -1) is an error in the data: the scan of the data set
    refuses it, and here it makes the value of its image NaN, so that it can not pass unseen,
    while the gradient of that image stays 0, so that no weight is spoilt.

    Args:
        class_weights: K numbers, none negative, or None for equal weights. Only their ratios
            matter.
        ignore_labels: One label or several whose pixels contribute nothing. They may be
            classes, as in `[0, 255]`.
        reduction: Of Keras, over the images.
        name: Of Keras.
        dtype: Of Keras: what `__call__` casts to before and after. The sums stay in float32.

    `sample_weight` of Keras is one number an image.

    Attributes:
        prepared: Names of what `call` takes beside labels and logits, all of which the loss
            can do without. The trainer looks for them in the batch.
    """

    prepared: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        ignore_labels: int | Iterable[int] = 255,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_weights = None if class_weights is None else check_class_weights(class_weights)
        self.ignore_labels = check_ignore_labels(ignore_labels)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            shape = tuple(ops.shape(sample_weight))
            if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
                raise InputError(
                    f"sample_weight must be one number an image, shape (B,); received {shape}. "
                    "To weigh pixels use class_weights or ignore_labels."
                )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred, **prepared):
        """Labels (B, H, W) or (B, H, W, 1), logits (B, H, W, K) -> (B,) float32.

        `prepared` goes on to `per_image`.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_true.shape) == 4 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, axis=-1)
        _check_shapes(tuple(y_true.shape), tuple(y_pred.shape), self.class_weights)
        num_classes = y_pred.shape[-1]

        labels = ops.cast(y_true, "int32")
        whole = ops.equal(ops.cast(labels, y_true.dtype), y_true)
        known = ops.logical_and(whole, ops.logical_and(labels >= 0, labels < num_classes))
        ignored = ops.zeros_like(known)
        for label in self.ignore_labels:
            ignored = ops.logical_or(ignored, ops.equal(labels, label))
        counted = ops.logical_and(known, ops.logical_not(ignored))
        illegal = ops.logical_not(ops.logical_or(known, ignored))

        # Logits are masked before anything is computed from them: 0 * NaN is NaN, and a
        # pixel that does not count must not matter even where its logits overflowed.
        logits = ops.where(counted[..., None], ops.cast(y_pred, "float32"), 0.0)
        value = self.per_image(
            ops.where(counted, labels, 0), logits, ops.cast(counted, "float32"), **prepared
        )
        return ops.where(ops.any(illegal, axis=(1, 2)), math.nan, value)

    def per_image(self, labels, logits, counted):
        """The value of each image.

        Args:
            labels: (B, H, W) int32 in 0..K-1; 0 where a pixel does not count.
            logits: (B, H, W, K) float32; 0 where a pixel does not count.
            counted: (B, H, W) float32, 1 or 0.

        Returns:
            (B,) float32.
        """
        raise NotImplementedError

    def weights_of(self, num_classes: int):
        """(K,) float32, the largest 1: the scale of the weights must not overflow a sum."""
        weights = np.ones(num_classes) if self.class_weights is None else self.class_weights
        return ops.convert_to_tensor(np.asarray(weights) / np.max(weights), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": self.dtype,
            "class_weights": None if self.class_weights is None else list(self.class_weights),
            "ignore_labels": list(self.ignore_labels),
        }


def pixel_cross_entropy(labels, logits):
    """-log softmax(logits) at `labels`: (B, H, W) and (B, H, W, K) -> (B, H, W)."""
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def pixel_mean(values, labels, counted, weights):
    """Mean over the counted pixels of each image, weighted by class: sum(w v) / sum(w).

    Args:
        values: (B, H, W) float32.
        labels: (B, H, W) int32 in 0..K-1.
        counted: (B, H, W) float32, 1 or 0.
        weights: (K,) float32.

    Returns:
        (B,) float32; 0 for an image all of whose pixels weigh 0.
    """
    pixel_weights = ops.take(weights, labels) * counted
    return weighted_mean(values, pixel_weights, axis=(1, 2))


def weighted_mean(values, weights, *, axis):
    """sum(w v) / sum(w) over `axis`, and 0 with gradient 0 where all weights are 0."""
    total = ops.sum(weights, axis=axis)
    # Dividing 0 by 1 instead of by 0 keeps both the value and its gradient at 0.
    return ops.sum(values * weights, axis=axis) / ops.where(total > 0, total, 1.0)


def region_loss(labels, logits, counted, weights, *, alpha: float, beta: float):
    """1 - the Tversky index of each image's classes, averaged with `weights`.

    With p the probabilities, t the one-hot truth, and sums over the counted pixels:
    TP = sum(p t), FP = sum(p (1 - t)), FN = sum((1 - p) t), and the loss of a class is
    (alpha FP + beta FN) / (TP + alpha FP + beta FN), which lies in [0, 1] as written; the
    usual 1 - TP / (...) can come out below 0 by rounding.

    The mean is over the classes in the truth of the image. A class absent from it has no
    share, so a perfect prediction gives 0. Wrong pixels of an absent class do cost: each of
    them belongs to a class that is present, whose TP it lowers and whose FN it raises.

    Args:
        labels, logits, counted: As in `SegmentationLoss.per_image`.
        weights: (K,) float32.
        alpha: Weight of FP, >= 0.
        beta: Weight of FN, > 0: it keeps the denominator of a present class above 0.

    Returns:
        (B,) float32 in [0, 1]; 0 for an image without a counted pixel.
    """
    truth = ops.one_hot(labels, logits.shape[-1], dtype="float32") * counted[..., None]
    probabilities = ops.softmax(logits, axis=-1) * counted[..., None]
    hit = ops.sum(probabilities * truth, axis=(1, 2))
    cost = alpha * ops.sum(probabilities * (1.0 - truth), axis=(1, 2)) + beta * ops.sum(
        truth * (1.0 - probabilities), axis=(1, 2)
    )
    present = ops.any(truth > 0, axis=(1, 2))
    loss = cost / ops.where(present, hit + cost, 1.0)
    return weighted_mean(loss, weights * ops.cast(present, "float32"), axis=-1)


def _check_shapes(labels: tuple, logits: tuple, class_weights: tuple | None) -> None:
    """Raises an `InputError` where the static shapes do not fit; None fits everything."""
    fit = len(labels) == 3 and len(logits) == 4
    if not fit or any(a != b for a, b in zip(labels, logits, strict=False) if a and b):
        raise InputError(
            "A segmentation loss takes labels (B, H, W) or (B, H, W, 1) and logits "
            f"(B, H, W, K) of the same size; received labels {labels} and logits {logits}."
        )
    if logits[-1] is None or logits[-1] < 2:
        raise InputError(
            f"Logits must have one channel a class, background included, so at least 2; "
            f"received shape {logits}. For one foreground class use K = 2."
        )
    if class_weights is not None:
        check_class_weights(class_weights, num_classes=logits[-1])
