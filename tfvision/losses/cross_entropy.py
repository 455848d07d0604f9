"""Cross-entropy of each pixel, averaged over the image."""

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, pixel_cross_entropy, pixel_mean


@keras.saving.register_keras_serializable(package="tfvision")
class CrossEntropy(SegmentationLoss):
    """Softmax cross-entropy: sum(w l) / sum(w) over the counted pixels of an image.

    w is the weight of a pixel's true class, so weights shift the balance inside an image and
    leave the size of the loss alone: it is never negative, and an image of a single class has
    the same loss whatever the weight of that class (but 0, which leaves it out).

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        label_smoothing: In [0, 1). The target is 1 - s + s / K for the true class and s / K
            for each other (Szegedy et al. 2016, arXiv 1512.00567, section 7). Above 0, a
            perfect prediction no longer has loss 0. A pixel weighs what its true class
            weighs, and all K classes share s: also those that are ignored or weigh 0.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        label_smoothing=0.0,
        reduction="sum_over_batch_size",
        name="cross_entropy",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing must lie in [0, 1); received {label_smoothing}.")
        self.label_smoothing = float(label_smoothing)

    def per_image(self, labels, logits, counted):
        loss = pixel_cross_entropy(labels, logits)
        if self.label_smoothing:
            # The mean of -log p over the classes, without making log p of each.
            uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
            loss = (1.0 - self.label_smoothing) * loss + self.label_smoothing * uniform
        return pixel_mean(loss, labels, counted, self.weights_of(logits.shape[-1]))

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
