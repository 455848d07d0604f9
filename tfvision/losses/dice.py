"""Soft Dice of each class of an image."""

import keras

from tfvision.losses.base import SegmentationLoss, region_loss


@keras.saving.register_keras_serializable(package="tfvision")
class Dice(SegmentationLoss):
    """1 - 2 sum(p t) / (sum(p) + sum(t)), averaged over the classes an image holds.

    The soft Dice of Milletari et al. 2016 (arXiv 1606.04797) without their squares, as in
    Sudre et al. 2017 (arXiv 1707.03237). In [0, 1], near 0 for a perfect prediction also where
    classes are absent; `region_loss` states the rule. A class of weight 0 takes no part: wrong
    pixels on its ground cost only through the other classes that are present.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        reduction="sum_over_batch_size",
        name="dice",
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
        weights = self.weights_of(logits.shape[-1])
        return region_loss(labels, logits, counted, weights, alpha=0.5, beta=0.5)
