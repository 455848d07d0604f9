"""Detection: any number of boxes an image, each with a class and a score."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import RunConfig
from tfvision.detection.grids import grid_of
from tfvision.engine.combine import OverTiles
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.step import Batch, TrainStep
from tfvision.engine.tta import View
from tfvision.metrics.detections import DetectionEvidence
from tfvision.postprocess import BOX_RULES
from tfvision.postprocess.boxes import fuse
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import Native, decoded
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import TrainingSet, training_set
from tfvision.registry import Spec
from tfvision.report.augment_page import Augmented
from tfvision.tasks.detection import checks, predicting, reading, results, sizes, writing
from tfvision.tasks.detection.audit import warnings_of_boxes
from tfvision.tasks.detection.boxes_given_later import named_in, samples_with_boxes
from tfvision.tasks.detection.facts import FACTS
from tfvision.tasks.detection.losses import loss_of_heads
from tfvision.tasks.detection.regions import augmented_training, decode_training
from tfvision.tasks.detection.validation import validation
from tfvision.tasks.detection.watch import watch_of
from tfvision.tasks.parts import Examples, Outcome, Prediction, Settled, Validate, Watch
from tfvision.tasks.scored import Scored
from tfvision.tasks.task import Task

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # tried where rules are fitted
OVERLAPS = (0.3, 0.4, 0.6)


class Detection(Task):
    """Boxes with classes and scores; see `Task` for what its methods are asked."""

    facts = FACTS
    recipe_class = reading.DetectionRecipe
    plain_keras = False  # proposals and pooling are no layers of Keras

    def check_arguments(self, config: RunConfig) -> None:
        for spec in config.postprocess:
            BOX_RULES.build(spec)

    def model_checks(self, config: RunConfig, architecture) -> list[Callable[[], None]]:
        return [partial(checks.check_detector, config, architecture)]

    def settle(self, config: RunConfig, prepared: Prepared, architecture) -> Settled:
        known = grid_of(config.model.name, config.model.kwargs)
        stride = known[1] if known else checks.built(config, architecture).stride
        notes = [*prepared.notes, *checks.check_boxes(prepared)]
        prepared = sizes.settled(config, replace(prepared, notes=notes), stride)
        notes = [*prepared.notes, *warnings_of_boxes(config, prepared)]
        prepared = replace(prepared, notes=notes)
        recipe = self.recipe(config, **prepared.facts, architecture=architecture)
        recipe = replace(recipe, class_names=tuple(prepared.class_names))
        said = reading.said_of_characters(recipe)  # refuses classes that are no characters
        prepared = replace(prepared, notes=[*prepared.notes, *said])
        return Settled(recipe, prepared, prepared)

    def recorded_recipe(self, config, data, architecture=None):
        recipe = super().recorded_recipe(config, data, architecture)
        return replace(recipe, class_names=tuple(data["class_names"]))

    def texts(self, recipe: Recipe, answers) -> list[str] | None:
        return reading.texts_of(recipe, answers)

    def as_trained(self, recipe: Recipe, run: RunFolder) -> Recipe:
        return reading.as_trained(recipe, run)

    def augmented(self, recipe: Recipe, prepared: Prepared) -> Augmented | None:
        return augmented_training(recipe.config, prepared, recipe.ignored)

    def examples(self, recipe: Recipe, prepared: Prepared, training: Prepared) -> Examples:
        chosen = training_set(recipe.config, training, recipe.ignored)
        return Examples(
            chosen=chosen,
            train=decode_training(recipe.config, training, chosen.indices),
            val=decoded(prepared, "val") if prepared.indices("val") else None,
            notes=chosen.notes,
        )

    def forward(self, model: keras.Model, batch: Batch, training: bool) -> dict[str, Any]:
        return model.training_outputs(batch, training)

    def check_model(self, recipe: Recipe, model: keras.Model) -> list[str]:
        model.xla = recipe.config.train.xla  # before it is traced: some ops XLA does not have
        return []

    def loss(
        self, recipe: Recipe, chosen: TrainingSet, strategy: tf.distribute.Strategy
    ) -> RunLoss:
        return loss_of_heads(recipe, strategy)

    def validation(
        self,
        recipe: Recipe,
        examples: Examples,
        model: keras.Model,
        step: TrainStep,
        loss: RunLoss,
    ) -> Validate:
        return validation(self, recipe, examples.val, model, loss)

    def watch(self, recipe: Recipe) -> Watch:
        return watch_of(recipe)

    def predictor(self, recipe: Recipe, model: keras.Model) -> predicting.DetectionPredictor:
        return predicting.DetectionPredictor(
            model,
            channels=self.input_channels(recipe),
            size=recipe.size if recipe.resized else None,
            stretch=recipe.config.data.fit == "stretch",
            enlarge=recipe.config.data.image_size is not None,
        )

    def undo(self, view: View, prediction: Prediction, size: tuple[int, int]) -> Prediction:
        return predicting.undo(view, prediction, size)

    def combine(self, predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
        return fuse(predictions, weights)

    def with_tiles(self, recipe, predictor, tile, overlap) -> OverTiles:
        merge = partial(predicting.joined, tile)
        return OverTiles(predictor, tile=tile, overlap=overlap, merge=merge)

    def with_threshold(self, recipe: Recipe, threshold: float) -> Recipe:
        rule = Spec(name="score_threshold", minimum=threshold)
        ruled = self.with_rules(recipe, [*recipe.config.postprocess, rule])
        return replace(ruled, read_from=threshold or None)

    def candidates(self, recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
        return {
            "score_threshold": [{"name": "score_threshold", "minimum": t} for t in THRESHOLDS],
            "suppress": [
                {"name": "suppress", "iou": iou, "over_all": over_all}
                for iou in OVERLAPS
                for over_all in (False, True)
            ],
        }

    def fitting(self, recipe, store, truths, *, with_rules):
        made = super().fitting(recipe, store, truths, with_rules=with_rules)
        return reading.with_reading(made, recipe, truths)

    def decided(self, recipe: Recipe, scored: dict[str, Scored]) -> dict[str, Scored]:
        return reading.decided(recipe, scored)

    def score(
        self, recipe: Recipe, predictor: Any, samples: Iterable[tuple[str, Native]]
    ) -> Scored:
        """See `Task.score`; `details` has `truths`, the annotated boxes of each image, and
        `strings`, what each is read as, or None."""
        truths = []

        def noted() -> Iterator[tuple[str, Native]]:
            for name, sample in samples:
                truths.append(sample.targets)
                yield name, sample

        scored = super().score(recipe, predictor, noted())
        strings = reading.texts_of(recipe, scored.answers)
        return replace(scored, details={"truths": truths, "strings": strings})

    def evidence(self, recipe: Recipe, ids, answers, truths) -> DetectionEvidence:
        found = DetectionEvidence.of(ids, answers, truths, num_classes=recipe.num_classes)
        return reading.with_strings(recipe, found, answers, truths)

    def metrics(self, recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
        return results.metrics_of(recipe, scored, class_names)

    def at_operating_point(self, run: RunFolder, recipe: Recipe, scored: Scored) -> dict[str, Any]:
        if results.strings_alone(scored):
            return {}
        return {"operating_point": results.at_point_of(run, recipe, scored)}

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        return results.score_lines(metrics, class_names)

    def insights(self, outcome: Outcome) -> tuple[dict[str, Any], Any]:
        return results.insights(outcome)

    def insight_lines(self, summary: dict[str, Any]) -> list[str]:
        return results.insight_lines(summary)

    def page(self, shared: dict[str, Any], outcome: Outcome, pictures: None) -> str:
        return results.page(shared, outcome)

    def never_predicted(self, scored: Scored, class_names: Sequence[str]) -> list[str]:
        there = scored.evidence.presence().any(axis=0)
        found = {int(k) for answer in scored.answers for k in answer["classes"]}
        return [class_names[k] for k in np.flatnonzero(there) if int(k) not in found]

    def write_scored(self, target: Path, scored: Scored, data: dict[str, Any]) -> None:
        strings = scored.details.get("strings")
        names = data["class_names"]
        writing.write_detections(target, scored.ids, scored.answers, names, strings=strings)

    def write_predictions(self, target, ids, predictions, recipe, data, *, probabilities) -> Path:
        threshold, why = results.drawn_from(predictions.loaded.folder, recipe)
        predictions.say(why)
        return writing.write_with_pictures(
            target,
            ids,
            predictions,
            data["class_names"],
            threshold=threshold,
            texts=partial(self.texts, recipe),
        )

    def truth_given_later(self, path, source, indices, recipe, data, options):
        names = data["class_names"]
        if recipe.config.data.source.kwargs.get("one_class"):
            options = {"one_class": True, **options}
        read = reading.reading_of(recipe)
        return samples_with_boxes(path, source, indices, recipe.channels, names, options, read)

    def labelled_later(self, path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
        return named_in(path, prepared, indices)

    def describe_export(self, recipe: Recipe, data: dict[str, Any], predictor) -> dict[str, Any]:
        return {
            "boxes": "x1 y1 x2 y2 in pixels of the image as given; x2 and y2 exclusive",
            "rows": "in order of falling score; class -1 and score 0: no box",
            "postprocess": "rules of the run's config are not in the files",
        }
