"""Metrics of classifiers for `compile`, `fit` and `evaluate`; a label is a mask of one pixel.

Their numbers are those of `classification.py` on the same images, to the precision of float32.
`keras.ops` only.
"""

import keras
from keras import ops

from tfvision.metrics import classification
from tfvision.metrics.segmentation import (
    MeanDice,
    PixelAccuracy,
    SegmentationMetric,
    class_mean,
    marginals,
)


class LabelMetric(SegmentationMetric):
    """Base of the metrics of classifiers.

    `update_state` takes labels (B,) or (B, 1) with logits or probabilities (B, K), and all that
    `SegmentationMetric` takes. Arguments, result and errors are as there.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_pred.shape) == 2 and tuple(y_true.shape[1:]) in ((), (1,)):
            y_true = ops.reshape(y_true, (-1, 1, 1))
            y_pred = ops.expand_dims(y_pred, (1, 2))
        super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="tfvision")
class Accuracy(LabelMetric, PixelAccuracy):
    """Share of the images that are right."""

    default_name = "accuracy"


@keras.saving.register_keras_serializable(package="tfvision")
class MacroF1(LabelMetric, MeanDice):
    """Mean over the classes of F1 = 2 TP / (2 TP + FP + FN)."""

    default_name = "macro_f1"


@keras.saving.register_keras_serializable(package="tfvision")
class WeightedF1(LabelMetric):
    """Mean of F1 over the classes, each weighted by its true images."""

    default_name = "weighted_f1"
    from_counts = staticmethod(classification.weighted_f1)

    def score(self, cms):
        hit, truth, predicted = marginals(cms)
        both = truth + predicted
        averaged = [float(c not in self.contract.exclude_classes) for c in range(self.num_classes)]
        support = truth * ops.convert_to_tensor(averaged, dtype="float32")
        total = ops.sum(support, axis=-1)
        f1 = 2.0 * hit / ops.where(both > 0, both, 1.0)
        score = ops.sum(f1 * support, axis=-1) / ops.where(total > 0, total, 1.0)
        return score, ops.cast(total > 0, "float32")


@keras.saving.register_keras_serializable(package="tfvision")
class BalancedAccuracy(LabelMetric):
    """Mean over the classes of the recall: TP / (TP + FN)."""

    default_name = "balanced_accuracy"
    from_counts = staticmethod(classification.balanced_accuracy)

    def score(self, cms):
        hit, truth, _ = marginals(cms)
        return class_mean(hit, truth, self.contract)
