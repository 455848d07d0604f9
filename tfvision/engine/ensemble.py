"""Several models as one: the weighted mean of their probabilities."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfvision.engine.ensemble_weights import normalise
from tfvision.engine.inference import Predictor, signatures
from tfvision.errors import InputError
from tfvision.postprocess.pixelwise import Rule, decode


class Ensemble(tf.Module, Predictor):
    """Predicts as an `Inference` does, with the mean of what its members predict.

    Each member brings the image to its own training size and back, so members of different
    sizes and architectures go together. They run one after the other on the same batch: the
    memory of one prediction is that of the largest member, besides all the weights.

    The mean is arithmetic: where a member is sure and wrong, a geometric mean follows it.

    Args:
        members: What has `serve_float`, as `Inference` and its wrappers have it. Two at least.
        weights: One a member, positive; they are divided by their sum.
        channels: C of the images.
        rules: Post-processing of single pixels, in order; it acts on the mean.

    Raises:
        InputError: Fewer than two members, weights of another number or not positive.
    """

    def __init__(
        self,
        members: Sequence[Any],
        weights: Sequence[float] | None = None,
        *,
        channels: int,
        rules: Sequence[Rule] = (),
    ):
        super().__init__(name="tfvision_ensemble")
        self._predictors = list(members)
        self._shares = normalise([1.0] * len(members) if weights is None else weights)
        if len(self._predictors) != len(self._shares) or len(self._predictors) < 2:
            raise InputError(
                "An ensemble needs at least two members and a weight for each; received "
                f"{len(self._predictors)} members and {len(self._shares)} weights."
            )
        self._decode = decode(rules)
        self.serving_default, self.serve_float = signatures(self._serve_float, channels)

    @property
    def members(self) -> list[Predictor]:
        return self._predictors

    @property
    def weights(self) -> list[float]:
        return self._shares

    def _serve_float(self, image):
        probabilities = self.probabilities(image)
        return {"labels": self._decode(probabilities), "probabilities": probabilities}

    def probabilities(self, image: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C) in [0, 1] -> (B, H, W, K) float32, each pixel's sum 1."""
        total = None
        for member, weight in zip(self.members, self.weights, strict=True):
            # Nothing else keeps a graph from running all members at once.
            with tf.control_dependencies([] if total is None else [total]):
                found = weight * member.serve_float(tf.identity(image))["probabilities"]
            total = found if total is None else total + found
        return total
