"""A task: all that one problem needs besides what every run shares.

`facts.py` has what is known of it without TensorFlow; `tfvision.data.truth` its kind of truth. A
`Task` is asked for the rest, in the order of a run's life:

    check     settings that contradict each other
    settle    what the config means for the data: a `Recipe`, sizes
    examples  the samples that are trained and validated on, decoded
    ...       model, stages, losses, validation, watch
    predictor preprocessing, model and decoding as one module
    score     predictions of labelled samples, against their truth
    ...       baselines, insights, page; export; truth given later; files of predictions

The methods here are what a task of label maps has in common with any other; those that raise
`NotImplementedError` must be written by each task.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import RunConfig
from tfvision.data.pipeline import Samples
from tfvision.data.sources.source import Source
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.stages import Stage
from tfvision.engine.step import Batch, TrainStep, of_images
from tfvision.engine.tta import View
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import RunLoss, loss_of_labels
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe, stages_of
from tfvision.recipe.sampling import TrainingSet
from tfvision.report.augment_page import Augmented
from tfvision.tasks.facts import TaskFacts, facts_of, load
from tfvision.tasks.scored import Scored


@dataclass(frozen=True)
class Settled:
    """What a config means for a data set.

    Attributes:
        recipe: It.
        prepared: The data, with what the task has decided on it.
        training: The data that is trained on, where that is more; else `prepared` itself.
    """

    recipe: Recipe
    prepared: Prepared
    training: Prepared


@dataclass(frozen=True)
class Examples:
    """What a run trains and validates on, decoded.

    Attributes:
        chosen: Which training samples are drawn how often.
        train: They, in that order.
        val: The validation split, or None where there is none.
        train_labels: (N, H, W) labels of `train` before augmentation, for the sentinel; None
            where the task has no label maps.
        val_labels: The same of what is validated.
        notes: Lines for the user.
        details: What else the task keeps for its validation and its page, by name.
    """

    chosen: TrainingSet
    train: Samples
    val: Samples | None
    train_labels: np.ndarray | None = None
    val_labels: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A trained run that has been scored, for summary and page.

    Attributes:
        run: Its folder.
        recipe, prepared, examples: What the config means, the data, what was trained on.
        model: With the best weights.
        predictor: What predicts.
        scored: By split.
    """

    run: RunFolder
    recipe: Recipe
    prepared: Prepared
    examples: Examples
    model: keras.Model
    predictor: Any
    scored: dict[str, Scored]

    @property
    def split(self) -> str | None:
        """The split whose images are shown: test where it is labelled, else validation."""
        return next((name for name in ("test", "val") if name in self.scored), None)


Prediction = dict[str, np.ndarray]  # named arrays of one image
Validate = Callable[[], dict[str, float]]


class Task:
    """One problem; see the head of this module. An instance has no state."""

    facts: ClassVar[TaskFacts]

    # Settings and data

    def check_arguments(self, config: RunConfig) -> None:
        """Builds what only this task has in its configs, before any data is opened.

        Raises:
            InputError: Arguments do not fit.
        """

    def checks(self, config: RunConfig, replicas: int) -> list[Callable[[], None]]:
        """Functions that raise an `InputError` where settings contradict each other."""
        return []

    def model_checks(
        self, config: RunConfig, architecture: dict[str, Any] | None
    ) -> list[Callable[[], None]]:
        """The same, that build a model for it; asked where `checks` has found nothing."""
        return []

    def settle(
        self, config: RunConfig, prepared: Prepared, architecture: dict[str, Any] | None
    ) -> Settled:
        """What a config means for its data.

        Args:
            config: Of the run.
            prepared: Its data, opened, checked and split.
            architecture: Of an encoder that the config has by path, or None.

        Raises:
            InputError: The config does not fit the data.
        """
        raise NotImplementedError

    def recipe(
        self,
        config: RunConfig,
        *,
        num_classes: int,
        channels: int,
        size: tuple[int, int],
        resized: bool,
        architecture: dict[str, Any] | None = None,
    ) -> Recipe:
        """What a config means for data with these facts; arguments as `Recipe` has them."""
        raise NotImplementedError

    def recorded_recipe(
        self, config: RunConfig, data: dict[str, Any], architecture: dict[str, Any] | None = None
    ) -> Recipe:
        """The recipe of a run that is there; `data` is its `data.json`."""
        return self.recipe(
            config,
            num_classes=data["num_classes"],
            channels=data["channels"],
            size=tuple(data["image_size"]),
            resized=data["resized"],
            architecture=architecture,
        )

    def examples(self, recipe: Recipe, prepared: Prepared, training: Prepared) -> Examples:
        """Reads what a run trains and validates on."""
        raise NotImplementedError

    def augmented(self, recipe: Recipe, prepared: Prepared) -> Augmented | None:
        """Some training samples as read and as augmented, to be looked at; None: nothing is."""
        return None

    # Model and training

    def input_channels(self, recipe: Recipe) -> int:
        """Channels of what the model sees."""
        return recipe.channels

    def open_shape(self, recipe: Recipe) -> tuple[int | None, int | None, int]:
        """(height, width, channels) that the model which predicts takes; None: any."""
        return (None, None, self.input_channels(recipe))

    def input_shape(self, recipe: Recipe, stream: tf.data.Dataset) -> tuple:
        """What the model that trains takes of the batches of a stream.

        Raises:
            InputError: The augmentation gives images that it cannot take.
        """
        return self.open_shape(recipe)

    def check_model(self, recipe: Recipe, model: keras.Model) -> list[str]:
        """Warnings about a model that has been built for the data."""
        return []

    def stages(self, config: RunConfig, model: keras.Model) -> tuple[Stage, ...]:
        """The stages of the training; empty where all of it is one."""
        return stages_of(config)

    def forward(self, model: keras.Model, batch: Batch, training: bool) -> list[tf.Tensor]:
        """The outputs of the model for a batch: what it is given, beside the image or in its
        place."""
        return of_images(model, batch, training)

    def loss(
        self, recipe: Recipe, chosen: TrainingSet, strategy: tf.distribute.Strategy
    ) -> RunLoss:
        """What is minimised: here the config's terms on labels."""
        return loss_of_labels(recipe, chosen.class_pixels, strategy)

    def validation(
        self,
        recipe: Recipe,
        examples: Examples,
        model: keras.Model,
        step: TrainStep,
        loss: RunLoss,
    ) -> Validate:
        """`() -> scores` of the validation split by the weights that are in the model now.

        The scores have `val_loss` and what `recipe.monitor` names. Asked where there is a
        validation split. `model` is the one that is exported, `step.model` the one that trains.
        """
        raise NotImplementedError

    def after_training(
        self, run: RunFolder, recipe: Recipe, model: keras.Model, examples: Examples, say
    ) -> list[str]:
        """What is fitted once for the best weights, and kept in the run. Returns warnings."""
        return []

    def restore(self, run: RunFolder, model: keras.Model) -> None:
        """Gives a model rebuilt from a checkpoint what `after_training` has kept."""

    # Predicting and scoring

    def predictor(self, recipe: Recipe, model: keras.Model) -> Any:
        """Preprocessing, model and decoding as one module, for images of any size."""
        raise NotImplementedError

    def prune(self, model: keras.Model, depth: int, where: Path) -> keras.Model:
        """The model cut to a depth.

        Raises:
            InputError: It has none.
        """
        raise NotImplementedError

    def score(
        self, recipe: Recipe, predictor: Any, samples: Iterable[tuple[str, Native]]
    ) -> Scored:
        """Predicts labelled samples, (id, sample) each at its own size, and scores them."""
        raise NotImplementedError

    def metrics(self, recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
        """The entry of a split in `summary.json`."""
        raise NotImplementedError

    def never_predicted(self, scored: Scored, class_names: Sequence[str]) -> list[str]:
        """Names of classes that the truth holds and no prediction."""
        return []

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        """What `evaluate` prints of it; the first line comes behind the name of the split."""
        raise NotImplementedError

    def headline(self, recipe: Recipe, metrics: dict[str, Any]) -> str:
        """The score of a split in a few words."""
        raise NotImplementedError

    def write_scored(self, target: Path, scored: Scored, data: dict[str, Any]) -> None:
        """Writes the predictions of a scored split, `target` and an extension.

        Args:
            target: Without extension.
            scored: The predictions.
            data: `data.json` of the run.
        """
        raise NotImplementedError

    def truth_given_later(
        self, path: Path, source: Source, indices: list[int], recipe: Recipe, data: dict[str, Any]
    ) -> tuple[Iterable[tuple[str, Native]], list[str]]:
        """Truth that was given after the training, for records that have none.

        Args:
            path: A file or folder of it.
            source, indices: The records.
            recipe: Of the run.
            data: Its `data.json`.

        Returns:
            (id, sample) of each record that has truth there, and notes for the user.

        Raises:
            InputError: It fits neither the images nor the classes.
        """
        raise NotImplementedError

    def named_in_truth(
        self, path: Path, source: Source, ids: Sequence[str], class_names: Sequence[str]
    ) -> list[bool]:
        """Of which images `truth_given_later` would find truth in a file or folder."""
        raise NotImplementedError

    def samples_of(
        self, config: RunConfig, prepared: Prepared, indices: Sequence[int]
    ) -> list[int]:
        """How many training samples the task makes of each image."""
        return [1] * len(indices)

    # Predicting

    def predictions(
        self,
        recipe: Recipe,
        predictor: Any,
        samples: Iterable[Native],
        *,
        counter: Counter | None = None,
    ) -> Iterator[Prediction]:
        """Predictions of samples at their own sizes, in order, before any rule.

        Args:
            recipe: Of the run.
            predictor: What predicts.
            samples: The images.
            counter: Is added what `notes` reads, image by image, or None.
        """
        raise NotImplementedError

    def answers(
        self,
        recipe: Recipe,
        predictor: Any,
        samples: Iterable[Native],
        *,
        counter: Counter | None = None,
    ) -> Iterator[Any]:
        """Decoded predictions after all rules, in order; arguments as `predictions` has them."""
        for one in self.predictions(recipe, predictor, samples, counter=counter):
            yield self.decode(recipe, one)

    def decode(self, recipe: Recipe, prediction: Prediction) -> Any:
        """The answer that a prediction stands for, after all rules."""
        raise NotImplementedError

    def compact(self, prediction: Prediction) -> Prediction:
        """A prediction as it is stored, with the same answer."""
        return prediction

    def notes(self, recipe: Recipe, counter: Counter) -> list[str] | None:
        """What a user must know of how images were predicted; None: nothing is ever said."""
        return None

    def with_views(self, recipe: Recipe, predictor: Any, views: list[View], *, scaled: bool) -> Any:
        """What predicts the mean of an image and of views of it; `scaled`: some are scales."""
        raise NotImplementedError

    def with_tiles(
        self, recipe: Recipe, predictor: Any, tile: tuple[int, int], overlap: int | None
    ) -> Any:
        """What predicts large images tile by tile.

        Args:
            recipe: Of the run.
            predictor: What predicts a tile.
            tile: (height, width).
            overlap: Pixels that tiles share at least; None: the default.
        """
        raise NotImplementedError

    def ensemble(self, recipe: Recipe, predictors: list, weights: list[float]) -> Any:
        """What predicts with several models as one; `weights` sum to 1."""
        raise NotImplementedError

    def write_predictions(
        self,
        target: Path,
        ids: Sequence[str],
        predictions: Any,
        recipe: Recipe,
        data: dict[str, Any],
        *,
        probabilities: bool,
    ) -> Path:
        """Writes what `predict` leaves; returns the file or folder.

        Args:
            target: Without extension.
            ids: Of the images.
            predictions: Has `raw()`, predictions before any rule, and `answers()`, after all.
            recipe: Of the run.
            data: Its `data.json`.
            probabilities: Write what answers were made of, too.
        """
        raise NotImplementedError

    # Report and export

    def baselines(self, recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
        """Scores of predictions that need no network: {name, explanation, and a score by split}."""
        return []

    def insights(self, outcome: Outcome) -> tuple[dict[str, Any], Any]:
        """What is learnt about a model beside its scores: entries of `summary.json`, and
        pictures for the page."""
        return {}, None

    def insight_lines(self, summary: dict[str, Any]) -> list[str]:
        """What the terminal says of them."""
        return []

    def page(self, shared: dict[str, Any], outcome: Outcome, pictures: Any) -> str:
        """The text of a run's `report.html`.

        Args:
            shared: What the pages of all tasks show, by the fields of `RunReport`.
            outcome: The run.
            pictures: Of `insights`.
        """
        raise NotImplementedError

    def served(self, recipe: Recipe, predictor: Any) -> Any:
        """The module that is exported, with the signatures `serving_default`, `serve_float`."""
        return predictor

    def example_input(self, recipe: Recipe, sample: Native) -> np.ndarray:
        """What the exported module is given of an image."""
        return sample.image

    def describe_export(self, recipe: Recipe, prepared: Prepared, predictor: Any) -> dict[str, Any]:
        """What `export.json` says besides what it says of every run."""
        return {}


@cache
def task_of(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: There is none.
    """
    return load(facts_of(name).task)()
