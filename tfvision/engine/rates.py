"""Discriminative learning rates: some layers learn slower, or faster, than the rest.

Howard, Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.2.
https://arxiv.org/abs/1801.06146
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import keras

from tfvision.engine.stages import leaves
from tfvision.errors import InputError
from tfvision.registry import brief


def factors_of(
    model: keras.Model, patterns: Mapping[str, float]
) -> list[tuple[keras.Variable, float]]:
    """The weights whose learning rate is not that of the rest, each with its factor.

    Args:
        model: A built model.
        patterns: Shell pattern of layer names (a layer inside a nested model is called
            `model/layer`) -> factor above 0. Of several that match a layer the last counts.

    Raises:
        InputError: A pattern matches no layer with weights.
    """
    layers = {name: y for name, y in leaves(model) if y.weights}
    factors: dict[str, float] = {}
    for pattern, factor in patterns.items():
        found = [name for name in layers if fnmatchcase(name, pattern)]
        if not found:
            raise InputError(
                f"train.rate_factors: `{pattern}` matches no layer with weights. Layers are "
                f"{brief(', '.join(layers), 200)}."
            )
        factors.update(dict.fromkeys(found, factor))
    return [
        (v, factor)
        for name, factor in factors.items()
        if factor != 1
        for v in layers[name].trainable_variables
    ]
