"""The terms of a loss beside their values: what they need of a batch, weights that move."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfvision.config import LossTerm
from tfvision.engine.step import Term
from tfvision.errors import InputError


def enricher(terms: Sequence[Term], num_classes: int) -> Callable | None:
    """`batch -> batch` that adds what the losses of `terms` look for, or None for nothing.

    `distances` (B, H, W, K) float32 of the masks as augmentation and mixing have left them,
    and `distances_other` of a mixed batch's second masks. It draws nothing, so a stream
    with it resumes as one without.

    Raises:
        InputError: Two terms that need the maps ignore different labels.
    """
    losses = [loss for loss, _ in terms if "distances" in getattr(loss, "prepared", ())]
    if not losses:
        return None
    ignored = {loss.ignore_labels for loss in losses}
    if len(ignored) > 1:
        raise InputError(
            "All boundary terms of a loss share one map of distances, so they must ignore the "
            f"same labels; received {' and '.join(str(list(i)) for i in sorted(ignored))}."
        )
    from tfvision.losses.distances import distance_maps

    def maps_of(masks):
        return distance_maps(masks, num_classes=num_classes, ignore_labels=losses[0].ignore_labels)

    def enrich(batch):
        added = {}
        for key in ("mask", "mask_other"):
            if key in batch:
                maps = tf.numpy_function(maps_of, [batch[key]], tf.float32, stateful=False)
                maps.set_shape((*batch[key].shape, num_classes))
                added[key.replace("mask", "distances")] = maps
        return {**batch, **added}

    return enrich


def with_moving_weights(
    specs: Sequence[LossTerm], terms: Sequence[Term], strategy: tf.distribute.Strategy
) -> tuple[list[Term], Callable[[float], None] | None]:
    """Gives the terms with a `weight_end` a variable for a weight.

    Args:
        specs: Of the config.
        terms: One a spec.
        strategy: Whose replicas read the weights.

    Returns:
        The terms, and `follow(share)`, which sets the weights to those at a share in [0, 1]
        of the training. Without a `weight_end` the terms are those given, and None.
    """
    made, moving = [], []
    with strategy.scope():
        for number, (spec, (loss, weight)) in enumerate(zip(specs, terms, strict=True)):
            if spec.weight_end is not None:
                weight = keras.Variable(
                    weight, dtype="float32", trainable=False, name=f"weight_of_term_{number}"
                )
                moving.append((spec, weight))
            made.append((loss, weight))

    def follow(share: float) -> None:
        for spec, variable in moving:
            variable.assign(spec.weight_at(share))

    return made, follow if moving else None
