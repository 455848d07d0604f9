"""The model of a run, built under its dtype policy with its optimizer; the one that predicts."""

import keras

from tfvision.config.schema import RunConfig
from tfvision.engine import OPTIMIZERS
from tfvision.engine.distribute import resolve_precision
from tfvision.recipe.recipe import Recipe


def open_model(recipe: Recipe, model: keras.Model, shape: tuple) -> keras.Model:
    """The float32 model for what is predicted, with the weights of `model`.

    Args:
        recipe: Of the run.
        model: The one that was trained.
        shape: (height, width, channels) that it takes, None: any.
    """
    opened = recipe.build(shape)
    for target, value in zip(opened.variables, model.variables, strict=True):
        target.assign(keras.ops.convert_to_numpy(value))
    return opened


def make_optimizer(config: RunConfig) -> keras.optimizers.Optimizer:
    """The optimizer, under the dtype policy that is set now."""
    spec = config.train.optimizer
    optimizer = OPTIMIZERS.build(spec, name=spec.name)
    if keras.config.dtype_policy().name == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


class precision:
    """Keras' dtype policy of the run, while the model and its optimizer are built."""

    def __init__(self, config: RunConfig):
        self._policy = resolve_precision(config.train.precision)

    def __enter__(self):
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._policy)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self._before)
