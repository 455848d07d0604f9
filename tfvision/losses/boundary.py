"""Boundary loss: wrong probability costs as much as it is far from the true border."""

import keras
from keras import ops

from tfvision.errors import InputError
from tfvision.losses.base import SegmentationLoss, weighted_mean

_FAR = 1e9  # squared pixels; more than any image is wide


@keras.saving.register_keras_serializable(package="tfvision")
class Boundary(SegmentationLoss):
    """Mean over the pixels of phi (p - t), averaged over the classes that have a border.

    Kervadec et al. 2019 (arXiv 1812.07032). phi is the signed distance of a pixel to the
    border of a class, negative inside (their phi_G, section 2), p the softmax probability, t
    the truth, 1 or 0. Equation 5 is the mean of phi p; this subtracts the mean of phi t, the
    term of equation 4 that they leave out as it does not depend on the network. So the
    gradient is theirs, the loss is never negative, and it is 0 for a perfect prediction.

    An image with one class, whose maps are 0, has loss 0, as has an absent class; its wrong
    pixels cost where they take probability from a class that is there. The paper combines it
    with a region loss, since alone it may collapse to nothing where a class is small, and
    raises its share while training: `weight_end` in a config.

    Args:
        class_weights, ignore_labels, reduction, name, dtype: See `SegmentationLoss`. A pixel
            that does not count makes no border with its neighbours.
        unit: Of the distances: `pixel`, as the paper has it, or `diagonal`, that of the
            image, with which one weight fits images of any size.

    The maps come from the pipeline as `distances` (`losses/distances.py`); without them `call`
    computes the same from the labels in `keras.ops`: exact, on any device, and slow: 20 ms for
    an image of 64x128 with 5 classes and 2.6 s at 512x512, where OpenCV takes 4 and 30 ms.
    """

    prepared = ("distances",)

    def __init__(
        self,
        *,
        class_weights=None,
        ignore_labels=255,
        unit="pixel",
        reduction="sum_over_batch_size",
        name="boundary",
        dtype=None,
    ):
        super().__init__(
            class_weights=class_weights,
            ignore_labels=ignore_labels,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        if unit not in ("pixel", "diagonal"):
            raise InputError(
                f"unit of the boundary loss is 'pixel' or 'diagonal'; received {unit!r}."
            )
        self.unit = unit

    def per_image(self, labels, logits, counted, distances=None):
        """As `SegmentationLoss.per_image`; `distances` (B, H, W, K) float32 or None."""
        truth = ops.one_hot(labels, logits.shape[-1], dtype="float32") * counted[..., None]
        if distances is None:
            distances = ops.stop_gradient(_distance_maps(truth, counted))
        # Each summand is 0 or more: phi is below 0 where t is 1, and above where t is 0.
        costs = distances * (ops.softmax(logits, axis=-1) - truth) * counted[..., None]
        pixels = ops.sum(counted, axis=(1, 2))
        # Row by row, as one sum over all pixels of an image loses digits in float32.
        sums = ops.sum(ops.sum(costs, axis=2), axis=1)
        values = sums / ops.where(pixels > 0, pixels, 1.0)[:, None]
        if self.unit == "diagonal":
            height, width = ops.shape(labels)[1], ops.shape(labels)[2]
            square = ops.cast(height, "float32") ** 2 + ops.cast(width, "float32") ** 2
            values = values / ops.sqrt(square)
        there = ops.any(distances != 0, axis=(1, 2))
        weights = self.weights_of(logits.shape[-1]) * ops.cast(there, "float32")
        return weighted_mean(values, weights, axis=-1)

    def get_config(self):
        return {**super().get_config(), "unit": self.unit}


def _distance_maps(truth, counted):
    """`distances.distance_maps` of one-hot labels: (B, H, W, K) and (B, H, W) float32."""
    others = counted[..., None] - truth
    border = ops.any(truth > 0, axis=(1, 2), keepdims=True)
    border = ops.logical_and(border, ops.any(others > 0, axis=(1, 2), keepdims=True))
    signed = others * (_distance_to(truth) - 0.5) - truth * (_distance_to(others) - 0.5)
    return ops.where(border, signed, 0.0)


def _distance_to(pixels):
    """Distance of each pixel to the nearest that is 1, among (B, H, W, K) of 1 and 0."""
    squares = ops.where(pixels > 0, 0.0, _FAR)
    return ops.sqrt(_lower_envelope(_lower_envelope(squares, axis=1), axis=2))


def _lower_envelope(values, *, axis: int):
    """min over k of values[k] + (i - k)^2 along `axis`: one pass of an exact transform.

    The transform is separable (Felzenszwalb and Huttenlocher 2012, section 2). Here a pass
    makes steps of one pixel that cost 1, 3, 5, ...: n of them add up to n^2. A step that
    changes nothing is the last, as those after it cost more.
    """

    def shifted(x, by):
        far = ops.full_like(_slice(x, axis, 0, 1), _FAR)
        if by > 0:
            return ops.concatenate([far, _slice(x, axis, 0, -1)], axis=axis)
        return ops.concatenate([_slice(x, axis, 1, None), far], axis=axis)

    def step(cost, x, changed):
        new = ops.minimum(x, ops.minimum(shifted(x, 1), shifted(x, -1)) + cost)
        return cost + 2.0, new, ops.any(new < x)

    start = (ops.convert_to_tensor(1.0), values, ops.convert_to_tensor(True))
    return ops.while_loop(lambda cost, x, changed: changed, step, start)[1]


def _slice(x, axis: int, start: int, stop: int | None):
    where = [slice(None)] * 4
    where[axis] = slice(start, stop)
    return x[tuple(where)]
