"""Losses of one-vs-rest logits: channel k alone says whether a pixel is of class k.

Each channel is a problem of its own, with a sigmoid in place of the softmax over all. So the
loss of a channel gives no gradient to another: nets that share nothing stay independent.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, pixel_mean, weighted_mean


@keras.saving.register_keras_serializable(package="tfvision")
class BinaryCrossEntropy(SegmentationLoss):
    """Mean over the channels of -u t log p - (1 - t) log(1 - p), p the sigmoid of the logit.

    t is 1 where the pixel is of the channel's class, u that channel's `positive_weight`. Pixels
    are averaged as in `CrossEntropy`: in every channel one weighs what its true class weighs.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        positive_weight: u, one number or K, above 0 and finite. Above 1 a rare class is missed
            less often and claimed wrongly more often.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        positive_weight: float | Sequence[float] = 1.0,
        reduction="sum_over_batch_size",
        name="binary_cross_entropy",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        try:
            given = np.asarray(positive_weight, np.float64)
        except (TypeError, ValueError):
            given = np.asarray(np.nan)
        if given.ndim > 1 or not given.size or not (np.isfinite(given) & (given > 0)).all():
            raise InputError(
                "positive_weight must be one number above 0 or one for each class; received "
                f"{positive_weight!r}."
            )
        self.positive_weight = given.tolist()

    def per_image(self, labels, logits, counted):
        num_classes = logits.shape[-1]
        positive = np.asarray(self.positive_weight, np.float32)
        if positive.ndim and len(positive) != num_classes:
            raise InputError(
                f"positive_weight has {len(positive)} numbers for {num_classes} classes."
            )
        truth = ops.one_hot(labels, num_classes, dtype="float32")
        loss = positive * truth * ops.softplus(-logits) + (1.0 - truth) * ops.softplus(logits)
        weights = self.weights_of(num_classes)
        return pixel_mean(ops.mean(loss, axis=-1), labels, counted, weights)

    def get_config(self):
        return {**super().get_config(), "positive_weight": self.positive_weight}


@keras.saving.register_keras_serializable(package="tfvision")
class BinaryDice(SegmentationLoss):
    """Mean over the channels of the soft Dice loss of the class and of the rest.

    1 - 2 sum(p t) / (sum(p) + sum(t)) for a channel's class, and for the rest with 1 - p and
    1 - t in place of p and t; the mean of the two where the image holds both, or the one it
    holds. So a channel whose class is absent still learns not to claim its pixels. All sums
    weigh a pixel by its true class. In [0, 1].

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        reduction="sum_over_batch_size",
        name="binary_dice",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )

    def per_image(self, labels, logits, counted):
        num_classes = logits.shape[-1]
        pixels = (ops.take(self.weights_of(num_classes), labels) * counted)[..., None]
        truth = ops.one_hot(labels, num_classes, dtype="float32")
        # (B, H, W, K, 2): the class of the channel, and the rest.
        truth = ops.stack([truth, 1.0 - truth], axis=-1)
        p = ops.stack([ops.sigmoid(logits), ops.sigmoid(-logits)], axis=-1)
        pixels = pixels[..., None]
        hit = ops.sum(pixels * p * truth, axis=(1, 2))
        wrong = ops.sum(pixels * (p * (1.0 - truth) + (1.0 - p) * truth), axis=(1, 2))
        present = ops.any(pixels * truth > 0, axis=(1, 2))
        loss = wrong / ops.where(present, 2.0 * hit + wrong, 1.0)
        sides = weighted_mean(loss, ops.cast(present, "float32"), axis=-1)
        return ops.mean(sides, axis=-1)
