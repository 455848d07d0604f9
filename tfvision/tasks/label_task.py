"""What tasks of labels share: losses on labels, scores from confusion matrices."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfvision.engine.predict import half
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.labels import describe_labels
from tfvision.recipe.loss_terms import RunLoss, loss_of_labels
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import TrainingSet
from tfvision.tasks.parts import Prediction
from tfvision.tasks.scored import ScoredLabels
from tfvision.tasks.task import Task


class LabelTask(Task):
    """A task that gives pixels or images one label each."""

    def loss(
        self, recipe: Recipe, chosen: TrainingSet, strategy: tf.distribute.Strategy
    ) -> RunLoss:
        return loss_of_labels(recipe, chosen.class_pixels, strategy)

    def compact(self, prediction: Prediction) -> Prediction:
        return {"probabilities": half(prediction["probabilities"])}

    def never_predicted(self, scored: ScoredLabels, class_names: Sequence[str]) -> list[str]:
        return scored.never_predicted(list(class_names))

    def describe_export(self, recipe: Recipe, prepared: Prepared, predictor) -> dict[str, Any]:
        return describe_labels(recipe, predictor)
