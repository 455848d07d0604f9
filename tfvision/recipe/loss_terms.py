"""The loss of a run: its terms, what they need of a batch, weights that move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import LossTerm
from tfvision.engine.step import BatchLoss, Term, batch_loss, label_maps
from tfvision.errors import InputError
from tfvision.losses import LOSSES
from tfvision.losses.weights import class_weights
from tfvision.recipe.recipe import Recipe
from tfvision.registry import Spec


@dataclass(frozen=True)
class RunLoss:
    """What a run minimises.

    Attributes:
        of_batch: `(batch, outputs, names) -> (b,)`, or `{name: (b,)}`, as `TrainStep` takes it.
        terms: (name, loss) of those terms that are losses of labels; for the sentinel.
        enrich: `batch -> batch` with what the terms need besides, or None.
        follow: `share -> None` sets moving weights to a share of the training; or None.
    """

    of_batch: BatchLoss
    terms: list[tuple[str, keras.losses.Loss]] = field(default_factory=list)
    enrich: Callable | None = None
    follow: Callable[[float], None] | None = None


def loss_of_labels(
    recipe: Recipe, class_counts: np.ndarray, strategy: tf.distribute.Strategy
) -> RunLoss:
    """The terms of a config's `loss`, on labels.

    Args:
        recipe: Of the run.
        class_counts: (n, K) of the training samples, for class weights.
        strategy: Whose replicas read weights that move.

    Raises:
        InputError: Terms contradict each other, or class weights do not fit.
    """
    specs = recipe.config.loss
    terms = make_terms(recipe, class_counts)
    enrich = enricher(terms, recipe.num_classes)
    weighted, follow = with_moving_weights(specs, terms, strategy)
    names = [spec.name for spec in specs]
    named = [(name, loss) for name, (loss, _) in zip(names, terms, strict=True)]
    return RunLoss(batch_loss(weighted), named, enrich, follow)


def make_terms(recipe: Recipe, class_counts: np.ndarray) -> list[Term]:
    """(loss, weight) of each term, class weights computed, ignored labels as the contract's."""
    terms = []
    for term in recipe.config.loss:
        arguments = {"ignore_labels": recipe.ignored, **term.kwargs}
        if "class_weights" in arguments:
            arguments["class_weights"] = class_weights(
                arguments["class_weights"], class_counts, ignore_labels=arguments["ignore_labels"]
            )
        terms.append((LOSSES.build(Spec(name=term.name, **arguments)), term.weight))
    return terms


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
        for suffix in ("", "_other"):
            if not batch.keys().isdisjoint({f"mask{suffix}", f"label{suffix}"}):
                labels = label_maps(batch, suffix)
                maps = tf.numpy_function(maps_of, [labels], tf.float32, stateful=False)
                maps.set_shape((*labels.shape, num_classes))
                added[f"distances{suffix}"] = maps
        return {**batch, **added}

    return enrich


def with_moving_weights(
    specs: Sequence[LossTerm], terms: Sequence[Term], strategy: tf.distribute.Strategy
) -> tuple[list[Term], Callable[[float], None] | None]:
    """Gives the terms whose weight moves a variable for it.

    Args:
        specs: Of the config.
        terms: One a spec.
        strategy: Whose replicas read the weights.

    Returns:
        The terms, and `follow(share)`, which sets the weights to those at a share in [0, 1]
        of the training. Where no weight moves the terms are those given, and None.
    """
    made, moving = [], []
    with strategy.scope():
        for number, (spec, (loss, weight)) in enumerate(zip(specs, terms, strict=True)):
            if spec.moves:
                weight = keras.Variable(
                    spec.weight_at(0),
                    dtype="float32",
                    trainable=False,
                    name=f"weight_of_term_{number}",
                )
                moving.append((spec, weight))
            made.append((loss, weight))

    def follow(share: float) -> None:
        for spec, variable in moving:
            variable.assign(spec.weight_at(share))

    return made, follow if moving else None
