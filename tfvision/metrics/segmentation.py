"""Metrics for `compile`, `fit` and `evaluate`: a confusion matrix, and a score of it.

Their numbers are those of `contract.py` on the same pixels, to the precision of float32.
`keras.ops` only.
"""

import math

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.metrics import contract
from tfvision.metrics.contract import Contract
from tfvision.metrics.graph import confusion_matrices

LIMB = 2**20


class SegmentationMetric(keras.metrics.Metric):
    """Base of the metrics; a subclass writes `score`.

    `update_state` takes labels (B, H, W) or (B, H, W, 1), and logits or probabilities
    (B, H, W, K), of which it takes the argmax, or predicted labels (B, H, W).

    Any batching gives the same number, bit for bit, because the sums are whole numbers: pixels,
    or, where images are averaged, scores of images in steps of 2^-20. A float32 sum would stop
    counting single pixels at 2^24, so each number is kept as high * 2^20 + low.

    The result is NaN while nothing is counted, and from the first image on that has a label
    outside 0..K-1 which is not ignored: such a score would be false.

    Args:
        num_classes: K, background included.
        ignore_labels, exclude_classes, absent, average: See `Contract`. With average="image"
            a batch may have up to 2,000 images a replica.
        name, dtype: Of Keras. The sums do not depend on dtype.
    """

    default_name = "segmentation_metric"

    def __init__(
        self,
        num_classes,
        ignore_labels=(),
        exclude_classes=(),
        absent="skip",
        average="dataset",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name or self.default_name, dtype=dtype)
        if not isinstance(num_classes, int) or num_classes < 2:
            raise InputError(
                f"num_classes must be a whole number of at least 2, background included; "
                f"received {num_classes!r}."
            )
        self.num_classes = num_classes
        self.contract = Contract(ignore_labels, exclude_classes, absent, average)
        self.contract.check_classes(num_classes)
        # Where images are averaged: the sum of their scores, and their number.
        shape = (num_classes, num_classes) if average == "dataset" else (2,)
        self.low = self._sum(shape, "low")
        self.high = self._sum(shape, "high")
        self.illegal = self._sum((), "illegal")

    def _sum(self, shape, name):
        # float32 holds whole numbers to 2^24, and unlike int32 its sums run on a GPU.
        return self.add_variable(shape, initializer="zeros", dtype="float32", name=name)

    def score(self, cms):
        """(..., K, K) float32 counts -> scores (...) and where there is one (...), as 1 or 0."""
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise InputError(
                f"{type(self).__name__} counts pixels and takes no sample_weight. To leave pixels "
                "out, name their label in ignore_labels."
            )
        labels, predictions = _label_maps(y_true, y_pred, self.num_classes)
        cms = confusion_matrices(labels, predictions, self.num_classes, self.contract.ignore_labels)
        self.illegal.assign_add(ops.sum(ops.cast(cms[:, 0, 0] < 0, "float32")))
        if self.contract.average == "dataset":
            self._add(ops.sum(cms, axis=0))
        else:
            scores, valid = self.score(ops.cast(cms, "float32"))
            steps = ops.cast(ops.round(scores * valid * LIMB), "int32")
            self._add(ops.stack([ops.sum(steps), ops.sum(ops.cast(valid, "int32"))]))

    def _add(self, numbers):
        """Adds int32 `numbers` below 2^31 - 2^20 to the state."""
        total = ops.cast(self.low, "int32") + numbers
        carry = total // LIMB
        self.high.assign_add(ops.cast(carry, "float32"))
        self.low.assign(ops.cast(total - carry * LIMB, "float32"))

    def result(self):
        totals = ops.convert_to_tensor(self.high) * LIMB + ops.convert_to_tensor(self.low)
        if self.contract.average == "dataset":
            score, valid = self.score(totals)
        else:
            valid = totals[1] > 0
            score = totals[0] / ops.where(valid, totals[1], 1.0) / LIMB
        known = ops.logical_and(ops.cast(valid, "bool"), ops.equal(self.illegal, 0.0))
        return ops.where(known, score, math.nan)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_labels": list(self.contract.ignore_labels),
            "exclude_classes": list(self.contract.exclude_classes),
            "absent": self.contract.absent,
            "average": self.contract.average,
        }


@keras.saving.register_keras_serializable(package="tfvision")
class MeanIoU(SegmentationMetric):
    """Mean over the classes of intersection over union: TP / (TP + FP + FN)."""

    default_name = "mean_iou"
    from_counts = staticmethod(contract.mean_iou)

    def score(self, cms):
        hit, truth, predicted = marginals(cms)
        return class_mean(hit, truth + predicted - hit, self.contract)


@keras.saving.register_keras_serializable(package="tfvision")
class MeanDice(SegmentationMetric):
    """Mean over the classes of 2 TP / (2 TP + FP + FN)."""

    default_name = "mean_dice"
    from_counts = staticmethod(contract.mean_dice)

    def score(self, cms):
        hit, truth, predicted = marginals(cms)
        return class_mean(2.0 * hit, truth + predicted, self.contract)


@keras.saving.register_keras_serializable(package="tfvision")
class PixelAccuracy(SegmentationMetric):
    """Share of the counted pixels that are right.

    It takes the whole contract, as the other metrics do; `exclude_classes` and `absent` are
    about means over classes, which this is not.
    """

    default_name = "pixel_accuracy"
    from_counts = staticmethod(contract.pixel_accuracy)

    def score(self, cms):
        hit, truth, _ = marginals(cms)
        counted = ops.sum(truth, axis=-1)
        valid = ops.cast(counted > 0, "float32")
        return ops.sum(hit, axis=-1) / ops.where(counted > 0, counted, 1.0), valid


def marginals(cms):
    return ops.diagonal(cms, axis1=-2, axis2=-1), ops.sum(cms, axis=-1), ops.sum(cms, axis=-2)


def class_mean(above, below, contract: Contract):
    """Mean of above / below over the classes of `contract`, (..., K) -> (...), (...)."""
    present = ops.cast(below > 0, "float32")
    values = above / ops.where(below > 0, below, 1.0)
    if contract.absent == "one":
        values = values + (1.0 - present)
    averaged = [float(c not in contract.exclude_classes) for c in range(below.shape[-1])]
    weights = ops.convert_to_tensor(averaged, dtype="float32")
    weights = weights * (present if contract.absent == "skip" else ops.ones_like(present))
    total = ops.sum(weights, axis=-1)
    # Without a counted pixel there is no score, whatever an absent class would get.
    valid = ops.logical_and(total > 0, ops.any(below > 0, axis=-1))
    score = ops.sum(values * weights, axis=-1) / ops.where(total > 0, total, 1.0)
    return score, ops.cast(valid, "float32")


def _label_maps(y_true, y_pred, num_classes: int):
    """Labels (B, H, W) and predicted labels (B, H, W), or an `InputError`."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == 4 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    truth, predicted = tuple(y_true.shape), tuple(y_pred.shape)
    fit = len(truth) == 3 and (
        len(predicted) == 3 or (len(predicted) == 4 and predicted[-1] == num_classes)
    )
    if not fit or any(a != b for a, b in zip(truth, predicted, strict=False) if a and b):
        raise InputError(
            f"The metric takes labels (B, H, W) or (B, H, W, 1), and logits (B, H, W, "
            f"{num_classes}) or predicted labels (B, H, W) of the same size; received labels "
            f"{truth} and predictions {predicted}."
        )
    return y_true, ops.argmax(y_pred, axis=-1) if len(predicted) == 4 else y_pred
