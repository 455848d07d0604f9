"""What a summary and a report say of a detection."""

from collections.abc import Sequence
from typing import Any

from tfvision.recipe.recipe import Recipe
from tfvision.tasks.scored import Scored


def metrics_of(recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
    """The entry of a split in `summary.json`."""
    return scored.evidence.summary(recipe.contract)
