"""The loss of a detector: each term of the config on each head that it names."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from tfvision.engine.step import Batch
from tfvision.errors import InputError
from tfvision.losses import DETECTION_LOSSES
from tfvision.recipe.loss_terms import RunLoss, with_moving_weights
from tfvision.recipe.recipe import Recipe
from tfvision.registry import Spec
from tfvision.tasks.detection.schema import DetectionLoss


def loss_of_heads(recipe: Recipe, strategy: tf.distribute.Strategy) -> RunLoss:
    """What a run minimises: the weighted sum of its terms over the heads of its detector."""
    specs = recipe.config.loss
    terms = [(DETECTION_LOSSES.build(Spec(name=s.name, **s.kwargs)), s.weight) for s in specs]
    weighted, follow = with_moving_weights(specs, terms, strategy)
    return RunLoss(partial(terms_of, specs, weighted), follow=follow)


def check_heads(specs: Sequence[DetectionLoss], heads: Sequence[str]) -> None:
    """Raises an `InputError` where a term of the loss names a head that the detector has not."""
    for spec in specs:
        strange = [head for head in spec.heads or () if head not in heads]
        if strange:
            raise InputError(
                f"loss `{spec.name}`: heads names {strange[0]!r}; this detector has "
                f"{', '.join(heads)}."
            )


def terms_of(
    specs: Sequence[DetectionLoss],
    weighted: Sequence[tuple[Any, Any]],
    batch: Batch,
    heads: Mapping[str, Any],
    names: Sequence[str] | None = None,
) -> dict[str, tf.Tensor]:
    """`<head>_<term>` -> (b,) float32, its weight in it.

    Args:
        specs: Of the config.
        weighted: (term, weight) of each.
        batch: Not looked at: `heads` has what it was matched to.
        heads: Name -> `Matched`, as `Detector.training_outputs` gives them.
        names: Not looked at: a detector's outputs have none.
    """
    found: dict[str, tf.Tensor] = {}
    for spec, (term, weight) in zip(specs, weighted, strict=True):
        for head in spec.heads or heads:
            key, value = f"{head}_{spec.name}", weight * term(heads[head])
            found[key] = found[key] + value if key in found else value
    return found
