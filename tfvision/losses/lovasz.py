"""Lovasz-softmax: the Jaccard index itself, made differentiable."""

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, weighted_mean


@keras.saving.register_keras_serializable(package="tfvision")
class LovaszSoftmax(SegmentationLoss):
    """The Lovasz extension of 1 - IoU, averaged over the classes of an image.

    Berman et al. 2018, arXiv 1705.08790, equations 9 to 12, per image. The error of a pixel
    for class c is 1 - p_c where c is its label, else p_c. The pixels in order of falling
    error, the loss of c is the sum of error times step, where a step is what the pixel adds
    to the Jaccard loss of the pixels before it. At hard predictions it is 1 - IoU exactly;
    between them it is piecewise linear in the probabilities, and in [0, 1].

    The mean over classes is weighted by `class_weights`, as in `Dice`. Alone it starts
    slowly, since few pixels have large steps; the paper fine-tunes with it after
    cross-entropy. Counts are exact up to 2^24 pixels an image.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        classes: `present` averages over the classes in the truth of the image. `all`
            averages over all of them; the loss of one that is absent is its largest
            probability, since IoU is 0 with its first wrong pixel.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        classes="present",
        reduction="sum_over_batch_size",
        name="lovasz_softmax",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if classes not in ("present", "all"):
            raise InputError(
                f"classes of lovasz_softmax must be 'present' or 'all'; received {classes!r}. To "
                "leave a class out, give it weight 0 in class_weights."
            )
        self.classes = classes

    def per_image(self, labels, logits, counted):
        counted = counted[..., None]
        truth = ops.one_hot(labels, logits.shape[-1], dtype="float32") * counted
        errors = ops.abs(truth - ops.softmax(logits, axis=-1)) * counted
        # Pixels that do not count come last, where they change no step of those that do.
        # Their own errors stay 0, so that they have neither value nor gradient.
        key = _pixels_last(ops.where(counted > 0, errors, -1.0))
        errors, truth = _pixels_last(errors), _pixels_last(truth)
        order = ops.argsort(-ops.stop_gradient(key), axis=-1)
        steps = _jaccard_steps(ops.take_along_axis(truth, order, axis=-1))
        loss = ops.sum(ops.take_along_axis(errors, order, axis=-1) * steps, axis=-1)
        present = ops.any(truth > 0, axis=-1)
        weights = self.weights_of(logits.shape[-1])
        if self.classes == "all":
            loss = ops.where(present, loss, ops.max(errors, axis=-1))
            # Where nothing counts all losses are 0, and so is their mean.
            return weighted_mean(loss, weights * ops.ones_like(loss), axis=-1)
        return weighted_mean(loss, weights * ops.cast(present, "float32"), axis=-1)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def _pixels_last(x):
    """(B, H, W, K) -> (B, K, H * W)."""
    x = ops.transpose(x, (0, 3, 1, 2))
    return ops.reshape(x, (ops.shape(x)[0], x.shape[1], -1))


def _jaccard_steps(truth):
    """What each pixel adds to the Jaccard loss 1 - I / U of the wrong pixels before it.

    A miss takes 1 from I and leaves U: 1 / U. A false positive adds 1 to U:
    I / (U - 1) - I / U = I / (U (U - 1)). The differences of 1 - I / U itself would lose in
    float32 what a pixel of a large image is worth.

    Args:
        truth: (B, K, P) float32, 1 or 0, in order of falling error.

    Returns:
        (B, K, P) float32; it has no meaning for a class without a pixel.
    """
    total = ops.sum(truth, axis=-1, keepdims=True)
    intersection = total - ops.cumsum(truth, axis=-1)
    union = total + ops.cumsum(1.0 - truth, axis=-1)
    stray = intersection / ops.maximum(union * (union - 1.0), 1.0)
    return ops.where(truth > 0, 1.0 / union, stray)
