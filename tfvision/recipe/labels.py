"""What all tasks of labels share: scores while they train, and what an export says of them."""

from typing import Any

import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.step import TrainStep
from tfvision.metrics import METRICS
from tfvision.postprocess import ON_COMPONENTS
from tfvision.recipe.recipe import Recipe


def scored_at_once(config: RunConfig, count: int, step: TrainStep) -> int:
    """Images a batch of the validation: a training batch, less where there are fewer."""
    replicas = step.strategy.num_replicas_in_sync
    return min(config.data.batch_size, -(-count // replicas) * replicas)


def declared_scores(
    recipe: Recipe, plain: np.ndarray, processed: np.ndarray | None
) -> dict[str, float]:
    """`val_<metric>` of every metric of the config, and `val_post_processed_<metric>` with rules.

    Args:
        recipe: Whose contract the first metric has; the others have their own.
        plain: (N, K, K) counts before the rules.
        processed: The same after them, or None without any.
    """
    contracts = [(recipe.config.metrics[0].name, recipe.contract)]
    for spec in recipe.config.metrics[1:]:
        metric = METRICS.build(spec, num_classes=recipe.num_classes)
        contracts.append((spec.name, metric.contract))
    scores = {}
    for prefix, counts in (("val_", plain), ("val_post_processed_", processed)):
        if counts is not None:
            for name, contract in contracts:
                scores[prefix + name] = METRICS[name].from_counts(counts, contract)
    return scores


def predicted_shares(counts: np.ndarray) -> dict[str, float]:
    """`val_predicted_<k>`: the share of what is counted (K, K) that is predicted as class k."""
    total = max(float(counts.sum()), 1.0)
    return {f"val_predicted_{k}": float(n) / total for k, n in enumerate(counts.sum(axis=0))}


def describe_labels(recipe: Recipe, predictor: Any) -> dict[str, Any]:
    """What `export.json` says of probabilities and rules."""
    return {
        "probabilities": "sigmoid of each logit, divided by their sum"
        if any(getattr(member.model, "one_vs_rest", False) for member in predictor.members)
        else "softmax of the logits",
        **describe_rules(recipe),
    }


def describe_rules(recipe: Recipe) -> dict[str, Any]:
    """What `export.json` says of the rules that are in the graph, and of those that are not."""
    rules = [{"name": s.name, **s.kwargs} for s in recipe.config.postprocess]
    ignored = recipe.contract.ignore_labels
    return {
        "never_predicted": [k for k in ignored if 0 <= k < recipe.num_classes],
        "postprocess": [rule for rule in rules if rule["name"] not in ON_COMPONENTS],
        "postprocess_left_out": [rule for rule in rules if rule["name"] in ON_COMPONENTS],
    }
