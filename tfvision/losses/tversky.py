"""Tversky loss: Dice with one price for false positives and another for misses."""

import math

import keras

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, region_loss


@keras.saving.register_keras_serializable(package="tfvision")
class Tversky(SegmentationLoss):
    """1 - TP / (TP + alpha FP + beta FN), averaged over the classes an image holds.

    Salehi et al. 2017, arXiv 1706.05721, equation 2. alpha = beta = 0.5 is `Dice`,
    alpha = beta = 1 a soft Jaccard. In [0, 1], near 0 for a perfect prediction also where
    classes are absent; `region_loss` states the rule.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        alpha: Price of false positives, >= 0. The paper's best pair is 0.3 and 0.7.
        beta: Price of misses, > 0. At 0, predicting nothing would be free.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        alpha=0.3,
        beta=0.7,
        reduction="sum_over_batch_size",
        name="tversky",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if not (0 <= alpha < math.inf and 0 < beta < math.inf):
            raise InputError(
                "The Tversky loss needs finite alpha >= 0 and beta > 0; "
                f"received alpha={alpha} and beta={beta}."
            )
        self.alpha, self.beta = float(alpha), float(beta)

    def per_image(self, labels, logits, counted):
        weights = self.weights_of(logits.shape[-1])
        return region_loss(labels, logits, counted, weights, alpha=self.alpha, beta=self.beta)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
