"""Cross-entropy of the hardest pixels of an image."""

import math

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, pixel_cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="tfvision")
class HardPixels(SegmentationLoss):
    """Cross-entropy averaged over the share of an image's pixels where it is largest.

    Online hard example mining (Shrivastava et al. 2016, arXiv 1604.03540, section 4) with
    pixels for their regions of interest. Of the n pixels that count in an image,
    max(ceil(keep n), minimum) are kept, at most n; equal losses at the border are all kept,
    so that no place in the image is favoured. The rest has no gradient in this step.

    Pixels are ranked by their plain cross-entropy; `class_weights` weigh those kept, as in
    `CrossEntropy`. A pixel whose class weighs 0 is not ranked, and is not among the n.
    keep = 1 is `CrossEntropy`. Masks with wrong borders make such borders the hardest pixels:
    a share that is too small learns them.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`.
        keep: Share of the pixels to keep, in [0, 1].
        minimum: Pixels to keep at least, >= 1, for images where few count.
        threshold: In [0, 1). Pixels whose true class has at most this probability are kept
            as well. keep = 0 with a minimum and a threshold of 0.7 is the variant that
            keeps what is not yet sure.
    """

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        keep=0.25,
        minimum=1,
        threshold=0.0,
        reduction="sum_over_batch_size",
        name="hard_pixels",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if not 0 <= keep <= 1:
            raise InputError(f"keep of hard_pixels is a share, 0 to 1; received {keep}.")
        if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 1:
            raise InputError(
                "minimum of hard_pixels is a number of pixels, a whole number of at least 1; "
                f"received {minimum!r}. A share is `keep`."
            )
        if not 0 <= threshold < 1:
            raise InputError(
                f"threshold of hard_pixels is a probability in [0, 1); received {threshold}. At 0 "
                "no pixel is kept for it."
            )
        self.keep, self.minimum, self.threshold = float(keep), minimum, float(threshold)

    def per_image(self, labels, logits, counted):
        loss = pixel_cross_entropy(labels, logits)
        weights = ops.take(self.weights_of(logits.shape[-1]), labels) * counted
        limit = self._limit(ops.stop_gradient(loss), weights > 0)
        # A little below the limit, so that a compiler that computes the loss twice, with
        # another last bit, can not lose the pixel that set the limit.
        kept = loss >= limit[:, None, None] * (1.0 - 1e-6)
        return weighted_mean(loss, weights * ops.cast(kept, "float32"), axis=(1, 2))

    def _limit(self, loss, ranked):
        """The smallest loss that is kept: (B, H, W) float32 and bool -> (B,)."""
        number = ops.sum(ops.cast(ranked, "float32"), axis=(1, 2))
        # A product that is whole, as 0.3 * 10, may come out a little above it in float32.
        share = ops.ceil(self.keep * number - 1e-3)
        wanted = ops.maximum(share, float(self.minimum))
        last = ops.cast(ops.maximum(ops.minimum(wanted, number), 1.0), "int32") - 1
        # No loss is below 0, so those that are not ranked come last.
        flat = ops.reshape(ops.where(ranked, loss, -1.0), (ops.shape(loss)[0], -1))
        falling = -ops.sort(-flat, axis=-1)
        limit = ops.take_along_axis(falling, last[:, None], axis=-1)[:, 0]
        if self.threshold:
            limit = ops.minimum(limit, -math.log(self.threshold))
        return limit

    def get_config(self):
        own = {"keep": self.keep, "minimum": self.minimum, "threshold": self.threshold}
        return {**super().get_config(), **own}
