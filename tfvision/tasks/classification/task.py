"""Classification: one label an image, predicted from what the network sees: its pieces."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import RunConfig
from tfvision.data import INPUTS
from tfvision.engine.ensemble import Ensemble
from tfvision.engine.predictions import write_class_predictions
from tfvision.engine.stages import Stage
from tfvision.errors import InputError
from tfvision.models.unfreezing import progressive_stages
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.labels import describe_labels
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe, make_recipe, stages_of
from tfvision.recipe.sampling import training_set
from tfvision.report.augment_page import Augmented
from tfvision.tasks.classification import checks, predicting, results, scoring
from tfvision.tasks.classification.baselines import baseline_scores
from tfvision.tasks.classification.facts import FACTS
from tfvision.tasks.classification.inference import ClassInference, Served
from tfvision.tasks.classification.pieces import (
    augmented_pieces,
    cut_native,
    decode_pieces,
    image_probabilities,
    of_pieces,
    piece_counts,
    with_piece_size,
)
from tfvision.tasks.classification.pseudo_labels import with_pseudo
from tfvision.tasks.classification.recipe import ClassRecipe
from tfvision.tasks.classification.schema import ClassificationConfig
from tfvision.tasks.classification.two_stage import TwoStage, score_stages, stage_lines
from tfvision.tasks.label_task import LabelTask
from tfvision.tasks.parts import Examples, Outcome, Prediction, Settled, Validate
from tfvision.tasks.scored import Scored


class Classification(LabelTask):
    """One label an image; see `Task` for what its methods are asked."""

    facts = FACTS

    def checks(self, config: RunConfig, replicas: int) -> list[Callable[[], None]]:
        return [
            lambda: checks.check_masks(config),
            lambda: checks.check_embeddings(config, replicas),
            lambda: checks.check_views(config),
        ]

    def check_arguments(self, config: RunConfig) -> None:
        INPUTS.check_arguments(config.data.input)
        INPUTS.build(config.data.input)

    def recipe(self, config: RunConfig, **facts: Any) -> ClassRecipe:
        return make_recipe(config, **facts, kind=ClassRecipe)

    def settle(self, config, prepared: Prepared, architecture) -> Settled:
        whole = self.recipe(config, **prepared.facts, architecture=architecture)
        prepared = with_piece_size(config, prepared, whole.cut)
        recipe = self.recipe(config, **prepared.facts, architecture=architecture)
        return Settled(recipe, *with_pseudo(config.data, prepared))

    def examples(self, recipe: ClassRecipe, prepared: Prepared, training: Prepared) -> Examples:
        views = recipe.config.data.views
        chosen = training_set(recipe.config, training, recipe.ignored, views=views)
        train = decode_pieces(recipe, training, chosen.indices)
        indices = prepared.indices("val")
        val = decode_pieces(recipe, prepared, indices) if indices else None
        return Examples(
            chosen=of_pieces(chosen, train),
            train=train.samples,
            val=val and val.samples,
            train_labels=train.samples.targets["label"][:, None, None],
            val_labels=val and val.truth[:, None, None],
            notes=[*chosen.notes, *train.notes],
            details={
                "val_pieces": val,
                "class_pieces": {
                    name: np.bincount(
                        of.samples.targets["label"], minlength=recipe.num_classes
                    ).tolist()
                    for name, of in (("train", train), ("val", val))
                    if of is not None
                },
            },
        )

    def augmented(self, recipe: ClassRecipe, prepared: Prepared) -> Augmented | None:
        return augmented_pieces(recipe, prepared)

    def input_channels(self, recipe: ClassRecipe) -> int:
        return recipe.cut.channels(recipe.channels)

    def open_shape(self, recipe: ClassRecipe) -> tuple[int, int, int]:
        return (*recipe.size, self.input_channels(recipe))

    def input_shape(self, recipe: ClassRecipe, stream: tf.data.Dataset) -> tuple:
        given, takes = tuple(stream.element_spec["image"].shape[1:]), self.open_shape(recipe)
        if given != takes:
            raise InputError(
                f"The augmentation gives images of {'x'.join(map(str, given))}; "
                f"{recipe.model.name} takes {'x'.join(map(str, takes))}, the size it predicts at. "
                "Leave crops that change the size out of data.augment, or set data.image_size to "
                "theirs."
            )
        return takes

    def stages(self, config: ClassificationConfig, model: keras.Model) -> tuple[Stage, ...]:
        return unfreezing_stages(config, model)

    def validation(self, recipe, examples, model, step, loss: RunLoss) -> Validate:
        return scoring.validation(recipe, examples, model, step, loss=loss)

    def predictor(self, recipe: ClassRecipe, model: keras.Model) -> ClassInference:
        return ClassInference(
            model,
            channels=self.input_channels(recipe),
            size=recipe.size,
            fit=recipe.config.data.fit,
            rules=recipe.rules,
        )

    def prune(self, model: keras.Model, depth: int, where: Path) -> keras.Model:
        raise InputError(f"--depth prunes a UNet++; {where} is a classification.")

    def predictions(self, recipe, predictor, samples, *, counter=None) -> Iterator[Prediction]:
        for one in image_probabilities(recipe, predictor, samples, counter=counter):
            yield {"probabilities": one}

    def decode(self, recipe: ClassRecipe, prediction: Prediction) -> np.ndarray:
        return np.asarray(decode(recipe.rules)(prediction["probabilities"]))

    def notes(self, recipe: ClassRecipe, counter: Counter) -> list[str]:
        return recipe.cut.notes(counter)

    def with_views(self, recipe, predictor, views, *, scaled: bool) -> Any:
        return predicting.with_views(predictor, views, scaled)

    def ensemble(self, recipe: ClassRecipe, predictors: list, weights: list[float]) -> Ensemble:
        channels = self.input_channels(recipe)
        return Ensemble(predictors, weights, channels=channels, rules=recipe.rules)

    def two_stage(
        self, recipe: ClassRecipe, detector: Any, predictor: Any, *, keep, fallback
    ) -> TwoStage:
        return TwoStage(
            detector,
            predictor,
            recipe=recipe,
            channels=self.input_channels(recipe),
            keep=keep,
            fallback=fallback,
        )

    def write_predictions(self, target, ids, predictions, recipe, data, *, probabilities) -> Path:
        return predicting.write_predictions(
            target, ids, predictions.raw(), recipe, class_labels=data["class_labels"]
        )

    def write_scored(self, target: Path, scored: Scored, data: dict[str, Any]) -> None:
        write_class_predictions(
            target,
            scored.ids,
            np.array(scored.answers).reshape(-1),
            scored.details["probabilities"],
            names=data["class_labels"],
            truth=scored.details["truth"],
        )

    def truth_given_later(self, path, source, indices, recipe, data, options):
        self.check_no_options(path, options)
        return predicting.samples_with_labels(path, source, indices, recipe, data=data)

    def samples_of(self, config, prepared, indices) -> list[int]:
        return piece_counts(config, prepared, indices)

    def labelled_later(self, path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
        return predicting.labelled_in(path, prepared, indices)

    def served(self, recipe: ClassRecipe, predictor: Any) -> Served:
        return Served(predictor, channels=self.input_channels(recipe))

    def example_input(self, recipe: ClassRecipe, predictor, sample: Native) -> np.ndarray:
        if isinstance(predictor, TwoStage):
            return sample.image
        return cut_native(recipe, sample)[0].image

    def describe_export(self, recipe: ClassRecipe, data, predictor) -> dict[str, Any]:
        about = results.about_classes(recipe, data, detects=isinstance(predictor, TwoStage))
        return {**describe_labels(recipe, predictor), **about}

    def score(
        self, recipe: ClassRecipe, predictor: Any, samples: Iterable[tuple[str, Native]]
    ) -> Scored:
        if isinstance(predictor, TwoStage):
            return score_stages(recipe, predictor, samples)
        return scoring.score_samples(recipe, predictor, samples)

    def metrics(self, recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
        return scoring.metrics_of(recipe, scored, class_names)

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        lines = scoring.score_lines(metrics, class_names)
        return [*lines, *stage_lines(metrics["stages"])] if "stages" in metrics else lines

    def headline(self, recipe: Recipe, metrics: dict[str, Any]) -> str:
        return results.headline(recipe, metrics)

    def baselines(self, recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
        return baseline_scores(recipe, prepared)

    def insights(self, outcome: Outcome) -> tuple[dict[str, Any], None]:
        return results.insights(outcome)

    def insight_lines(self, summary: dict[str, Any]) -> list[str]:
        return results.insight_lines(summary)

    def page(self, shared: dict[str, Any], outcome: Outcome, pictures: None) -> str:
        return results.page(shared, outcome)


def unfreezing_stages(config: ClassificationConfig, model: keras.Model) -> tuple[Stage, ...]:
    """The stages of the training: those of the config, or made from the backbone's blocks.

    Raises:
        InputError: There is no backbone, or its blocks need more epochs than there are.
    """
    unfreeze = config.train.unfreeze
    if unfreeze is None:
        return stages_of(config)
    stages = tuple(Stage(**stage) for stage in progressive_stages(model, **unfreeze.model_dump()))
    before = sum(stage.epochs or 0 for stage in stages)
    if before >= config.train.epochs:
        raise InputError(
            f"train.unfreeze opens the backbone in {len(stages)} stages, the last after {before} "
            f"epochs; train.epochs is {config.train.epochs}. Raise train.epochs above {before}, or "
            "unfreeze more blocks at a time, or sooner."
        )
    return stages
