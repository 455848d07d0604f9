"""Segmentation: a class for every pixel."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import RunConfig
from tfvision.engine.ensemble import Ensemble
from tfvision.engine.inference import Inference
from tfvision.engine.predictions import write_predictions
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.models import prune
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import Native, decode, decoded
from tfvision.recipe.recipe import Recipe, make_recipe
from tfvision.recipe.sampling import augmented, training_set
from tfvision.report.augment_page import Augmented
from tfvision.report.looks import Look
from tfvision.tasks.label_task import LabelTask
from tfvision.tasks.parts import Examples, Outcome, Prediction, Settled, Validate
from tfvision.tasks.scored import Scored
from tfvision.tasks.segmentation import checks, predicting, results, scoring, specialists
from tfvision.tasks.segmentation.baselines import baseline_scores
from tfvision.tasks.segmentation.facts import FACTS
from tfvision.tasks.segmentation.masks_given_later import read_labels, samples_with_masks
from tfvision.text import figure


class Segmentation(LabelTask):
    """A class for every pixel; see `Task` for what its methods are asked."""

    facts = FACTS

    def checks(self, config: RunConfig, replicas: int) -> list[Callable[[], None]]:
        return [lambda: checks.check_embeddings(config)]

    def model_checks(self, config: RunConfig, architecture) -> list[Callable[[], None]]:
        return [
            lambda: checks.check_size(config, architecture),
            lambda: checks.check_stages(config, architecture),
        ]

    def recipe(self, config: RunConfig, **facts: Any) -> Recipe:
        return make_recipe(config, **facts)

    def settle(self, config, prepared: Prepared, architecture) -> Settled:
        recipe = self.recipe(config, **prepared.facts, architecture=architecture)
        checks.check_depth(recipe)
        return Settled(recipe, prepared, prepared)

    def examples(self, recipe: Recipe, prepared: Prepared, training: Prepared) -> Examples:
        chosen = training_set(recipe.config, training, recipe.ignored)
        train = decode(training, chosen.indices)
        val = decoded(prepared, "val") if prepared.indices("val") else None
        return Examples(
            chosen=chosen,
            train=train,
            val=val,
            train_labels=train.targets["mask"],
            val_labels=None if val is None else val.targets["mask"],
            notes=chosen.notes,
        )

    def augmented(self, recipe: Recipe, prepared: Prepared) -> Augmented | None:
        return augmented(recipe.config, prepared, recipe.ignored)

    def input_shape(self, recipe: Recipe, stream: tf.data.Dataset) -> tuple:
        """Where training sees crops, the model's height and width stay open."""
        cropped = tuple(stream.element_spec["image"].shape[1:3])
        if cropped == recipe.size:
            return (*recipe.size, recipe.channels)
        stride = recipe.build((None, None, recipe.channels)).stride
        if any(side is None or side % stride for side in cropped):
            raise InputError(
                f"The augmentation gives images of {cropped[0]}x{cropped[1]} to train on; "
                f"{recipe.config.model.name} needs multiples of {stride}. Change the crop in "
                "data.augment, or model.depth."
            )
        return (None, None, recipe.channels)

    def check_model(self, recipe: Recipe, model: keras.Model) -> list[str]:
        return checks.check_stride(model.stride, recipe.config.model.name, recipe.size)

    def validation(self, recipe, examples, model, step, loss: RunLoss) -> Validate:
        return scoring.validation(recipe, examples, model, step, loss=loss)

    def after_training(self, run, recipe, model, examples: Examples, say) -> list[str]:
        return specialists.calibrate(run, recipe, model, examples.val, say=say)

    def restore(self, run: RunFolder, model: keras.Model) -> None:
        specialists.put_back(run, model)

    def predictor(self, recipe: Recipe, model: keras.Model) -> Inference:
        return scoring.predictor_of(recipe, model)

    def prune(self, model: keras.Model, depth: int, where: Path) -> keras.Model:
        return prune(model, depth)

    def predictions(self, recipe, predictor, samples, *, counter=None) -> Iterator[Prediction]:
        return predicting.predictions(recipe, predictor, samples)

    def answers(self, recipe, predictor, samples, *, counter=None) -> Iterator[np.ndarray]:
        return predicting.label_maps(recipe, predictor, samples)

    def decode(self, recipe: Recipe, prediction: Prediction) -> np.ndarray:
        return predicting.label_map(recipe, prediction)

    def with_views(self, recipe, predictor, views, *, scaled: bool) -> Any:
        return predicting.with_views(recipe, predictor, views, scaled)

    def with_tiles(self, recipe, predictor, tile, overlap) -> Any:
        return predicting.with_tiles(recipe, predictor, tile, overlap)

    def ensemble(self, recipe: Recipe, predictors: list, weights: list[float]) -> Ensemble:
        return Ensemble(predictors, weights, channels=recipe.channels, rules=recipe.rules)

    def write_predictions(self, target, ids, predictions, recipe, data, *, probabilities) -> Path:
        if not probabilities:
            return write_predictions(target, ids, list(predictions.answers()))
        labels, kept = [], []
        for one in predictions.raw():
            labels.append(self.decode(recipe, one))
            kept.append(one["probabilities"].astype(np.float16))
        return write_predictions(target, ids, labels, kept)

    def write_scored(self, target: Path, scored: Scored, data: dict[str, Any]) -> None:
        write_predictions(target, scored.ids, scored.answers)

    def truth_given_later(self, path, source, indices, recipe, data, options):
        self.check_no_options(path, options)
        return samples_with_masks(path, source, indices, recipe.channels, recipe.num_classes)

    def labelled_later(self, path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
        source = prepared.source
        masks = read_labels(path, [source.records[i].id for i in indices], source)
        return [i for i, mask in zip(indices, masks, strict=True) if mask is not None]

    def score(
        self, recipe: Recipe, predictor: Any, samples: Iterable[tuple[str, Native]]
    ) -> Scored:
        return scoring.score_samples(recipe, predictor, samples)

    def metrics(self, recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
        return scoring.metrics_of(recipe, scored, class_names)

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        return scoring.score_lines(metrics, class_names)

    def baselines(self, recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
        return baseline_scores(recipe, prepared)

    def insights(self, outcome: Outcome) -> tuple[dict[str, Any], Any]:
        return results.insights(outcome)

    def page(self, shared: dict[str, Any], outcome: Outcome, pictures: list[Look]) -> str:
        return results.page(shared, outcome, pictures)

    def headline(self, recipe: Recipe, metrics: dict[str, Any]) -> str:
        return f"mean IoU {figure(metrics['mean_iou'])}"
