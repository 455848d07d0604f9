"""Supervised contrastive loss: images of a class are to be alike, others not."""

import math

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.weights import check_ignore_labels

_NEVER = -1e9  # a similarity whose exponential is 0


@keras.saving.register_keras_serializable(package="tfvision")
class SupervisedContrastive(keras.losses.Loss):
    """-mean over p of log( exp(z_i z_p / t) / sum over a of exp(z_i z_a / t) ) of each image i.

    Khosla et al. 2020 (arXiv 2004.11362), equation 2, L_sup_out. z are unit vectors, t is the
    temperature, a are all other images of the batch, p those among them of the same class. The
    paper sums over the images; here each has its value, and their mean is the loss.

    It is no loss of one image alone: who else is in the batch matters, so batches must be large
    enough to hold several images of a class. An image without another of its class in the batch
    has value 0 and gives no gradient as an anchor; the others are still pushed away from it.

    Args:
        temperature: t, above 0; small: the nearest images alone matter. The paper's is 0.1.
        ignore_labels: One label or several. Images of these are no anchors (value 0), and nobody
            is pulled towards them or pushed away.
        reduction, name, dtype: Of Keras.

    Raises:
        InputError: The temperature is not a finite number above 0; `call` gets other shapes.

    Attributes:
        on_embeddings: The trainer gives it the model's embeddings in place of logits.
    """

    on_embeddings = True

    def __init__(
        self,
        *,
        temperature=0.1,
        ignore_labels=255,
        reduction="sum_over_batch_size",
        name="supervised_contrastive",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 < temperature < math.inf:
            raise InputError(
                "temperature of supervised_contrastive must be a finite number above 0; received "
                f"{temperature}."
            )
        self.temperature = float(temperature)
        self.ignore_labels = check_ignore_labels(ignore_labels)

    def call(self, y_true, y_pred, *, others=None, first=0):
        """Labels (B,) or (B, 1, 1), unit vectors (B, D) of any float dtype -> (B,) float32.

        Args:
            y_true, y_pred: Of the anchors.
            others: Labels (N,) and unit vectors (N, D) of the whole batch, of which the anchors
                are a part, as on one device of several; None: the anchors are all.
            first: Where the anchors begin in it.
        """
        anchors = ops.cast(y_pred, "float32")
        labels = ops.cast(ops.convert_to_tensor(y_true), "int32")
        if len(anchors.shape) != 2:
            raise InputError(
                "supervised_contrastive takes embeddings (B, D), one vector an image. Received: "
                f"shape {tuple(anchors.shape)}."
            )
        labels = ops.reshape(labels, (-1,))
        their_labels, theirs = (labels, anchors) if others is None else others
        theirs, their_labels = ops.cast(theirs, "float32"), ops.cast(their_labels, "int32")

        own = first + ops.arange(ops.shape(anchors)[0])
        other = ops.not_equal(own[:, None], ops.arange(ops.shape(theirs)[0])[None])
        there = ops.logical_and(other, self._counts(their_labels)[None])
        alike = ops.logical_and(there, ops.equal(labels[:, None], their_labels[None]))
        similar = ops.matmul(anchors, ops.transpose(theirs)) / self.temperature
        similar = ops.where(there, similar, _NEVER)
        # Of large numbers the small differences count: they are taken before any logarithm.
        similar = similar - ops.stop_gradient(ops.max(similar, axis=1, keepdims=True))
        costs = ops.logsumexp(similar, axis=1, keepdims=True) - similar
        # An image of an ignored label is no positive of its like, so that none is an anchor.
        count = ops.sum(ops.cast(alike, "float32"), axis=1)
        return ops.sum(ops.where(alike, costs, 0.0), axis=1) / ops.maximum(count, 1.0)

    def _counts(self, labels):
        counted = ops.ones_like(labels, dtype="bool")
        for label in self.ignore_labels:
            counted = ops.logical_and(counted, ops.not_equal(labels, label))
        return counted

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": self.dtype,
            "temperature": self.temperature,
            "ignore_labels": list(self.ignore_labels),
        }
