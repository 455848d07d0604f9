"""The validation of a detector after an epoch: its loss, its scores, what it has come to find."""

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine.step import summed
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import native_of
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.parts import Validate
from tfvision.tasks.task import Task


def validation(
    task: Task, recipe: Recipe, val: Samples, model: keras.Model, loss: RunLoss
) -> Validate:
    """`() -> scores` of the validation split by the weights that are in the model now.

    Boxes are scored as they are in the arrays that are trained on; the final scores are at the
    images' own sizes. Everything is traced once.
    """
    data = recipe.config.data
    predictor = task.predictor(recipe, model)
    batches = scoring_batches(val, batch_size=data.batch_size, workers=data.workers)

    @tf.function(autograph=False)
    def losses_of(batch):
        return summed(loss.of_batch(batch, task.forward(model, batch, False)))

    def validate() -> dict[str, float]:
        losses = [losses_of(batch).numpy()[batch["valid"].numpy()] for batch in batches]
        scored = task.score(recipe, predictor, native_of(val))
        scores = {"val_loss": float(np.concatenate(losses).mean())}
        evidence = task.decided(recipe, {"val": scored})["val"].evidence
        names = ["ap", "ap50", *(spec.name for spec in recipe.config.metrics)]
        values = {n: evidence.measure(n, recipe.contract).value() for n in dict.fromkeys(names)}
        scores |= {f"val_{name}": value for name, value in values.items()}
        scores[recipe.monitor] = values[recipe.config.metrics[0].name]
        return scores

    return validate
