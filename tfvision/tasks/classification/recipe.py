"""What the config of a classification means for its data."""

from dataclasses import dataclass
from functools import cached_property

from tfvision.data import INPUTS
from tfvision.data.crops.pieces import Cut
from tfvision.recipe.recipe import Recipe


@dataclass(frozen=True)
class ClassRecipe(Recipe):
    """A `Recipe` that knows what the network sees of an image."""

    @cached_property
    def cut(self) -> Cut:
        """`image -> pieces`, as `data.input` says."""
        return INPUTS.build(self.config.data.input)
