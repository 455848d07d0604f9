"""The validation of a detector after an epoch: its loss, its scores, what it has come to find."""

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.detection.boxes import iou
from tfvision.engine.step import summed
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import native_of
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.parts import Validate
from tfvision.tasks.task import Task

NEAR = 0.5  # IoU of a proposal with the box that it is of


def validation(
    task: Task, recipe: Recipe, val: Samples, model: keras.Model, loss: RunLoss
) -> Validate:
    """`() -> scores` of the validation split by the weights that are in the model now.

    Boxes are scored as they are in the arrays that are trained on; the final scores are at the
    images' own sizes. Everything is traced once. Of a detector of two stages
    `val_proposal_recall` is there, too, see `reached`.
    """
    data = recipe.config.data
    predictor = task.predictor(recipe, model)
    batches = scoring_batches(val, batch_size=data.batch_size, workers=data.workers)

    @tf.function(autograph=False)
    def losses_of(batch):
        heads, proposals = model.validation_outputs(batch)
        found = None if proposals is None else reached(batch["boxes"], *proposals)
        return summed(loss.of_batch(batch, heads)), found

    def validate() -> dict[str, float]:
        losses, found = [], []
        for batch in batches:
            each, near = losses_of(batch)
            losses.append(each.numpy()[batch["valid"].numpy()])
            if near is not None:
                there = (batch["classes"] >= 0) & batch["valid"][:, None]
                found.append(near.numpy()[there.numpy()])
        scored = task.score(recipe, predictor, native_of(val))
        scores = {"val_loss": float(np.concatenate(losses).mean())}
        if found:
            found = np.concatenate(found)
            scores["val_proposal_recall"] = float(found.mean()) if len(found) else float("nan")
        evidence = task.decided(recipe, {"val": scored})["val"].evidence
        names = ["ap", "ap50", *(spec.name for spec in recipe.config.metrics)]
        values = {n: evidence.measure(n, recipe.contract).value() for n in dict.fromkeys(names)}
        scores |= {f"val_{name}": value for name, value in values.items()}
        scores[recipe.monitor] = values[recipe.config.metrics[0].name]
        return scores

    return validate


def reached(boxes: tf.Tensor, proposals: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """(B, M) bool: which boxes (B, M, 4) have a proposal (B, R, 4), one of a score (B, R) above 0,
    with an IoU of at least 0.5. What the second stage never sees it cannot find."""
    near = iou(boxes, proposals) >= NEAR
    return tf.reduce_any(near & (scores > 0)[:, None], -1)
