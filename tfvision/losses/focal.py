"""Focal loss: cross-entropy that turns away from what is already right."""

import math

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, pixel_cross_entropy, pixel_mean


@keras.saving.register_keras_serializable(package="tfvision")
class Focal(SegmentationLoss):
    """(1 - p)^gamma (-log p), p the probability of the true class (Lin et al. 2017).

    arXiv 1708.02002, equation 4, with softmax in place of their sigmoid. `class_weights` stand
    for their alpha. The pixels of an image are averaged as in `CrossEntropy`, and gamma = 0 is
    `CrossEntropy`.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        gamma: >= 0, finite. The paper's best is 2.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        gamma=2.0,
        reduction="sum_over_batch_size",
        name="focal",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if not 0 <= gamma < math.inf:
            raise InputError(f"gamma of the focal loss must be at least 0; received {gamma}.")
        self.gamma = float(gamma)

    def per_image(self, labels, logits, counted):
        loss = pixel_cross_entropy(labels, logits)
        # 1 - p from the cross-entropy, exact also for p near 1. The floor is for its power:
        # below gamma = 1 the slope of x^gamma at 0 is infinite.
        wrong = ops.maximum(-ops.expm1(-loss), 1e-7)
        loss = ops.power(wrong, self.gamma) * loss
        return pixel_mean(loss, labels, counted, self.weights_of(logits.shape[-1]))

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
