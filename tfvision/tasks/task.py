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
from tfvision.engine.step import BatchLoss, Term, TrainStep, batch_loss
from tfvision.engine.tta import View
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import make_losses
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe, stages_of
from tfvision.recipe.sampling import TrainingSet
from tfvision.registry import Spec
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
        train_labels: (N, H, W) labels of `train` before augmentation, for the watchdog; None
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
        command: That repeats the run.
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


Validate = Callable[[], dict[str, float]]


class Task:
    """One problem; see the head of this module. An instance has no state."""

    facts: ClassVar[TaskFacts]

    # Settings and data

    def check(self, config: RunConfig, replicas: int) -> Iterator[Callable[[], Any]]:
        """Checks of a config's settings against each other, before any data is opened.

        Yields:
            Functions that raise an `InputError` where settings contradict each other.
        """
        yield from ()

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

    def terms(self, recipe: Recipe, chosen: TrainingSet) -> list[Term]:
        """(loss, weight) of each term of the config's loss."""
        return make_losses(recipe, chosen.class_pixels)

    def loss(self, recipe: Recipe, terms: Sequence[Term]) -> BatchLoss:
        """`(batch, outputs, names) -> {name: (b,)}`: the terms of the loss of each image."""
        return batch_loss(terms)

    def validation(
        self, recipe: Recipe, examples: Examples, step: TrainStep, loss: BatchLoss
    ) -> Validate:
        """`() -> scores` of the validation split by the weights that are in the model now.

        The scores have `val_loss` and what `recipe.monitor` names. Asked where there is a
        validation split.
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

    def metrics(
        self, recipe: Recipe, scored: Scored, class_names: Sequence[str]
    ) -> dict[str, Any]:
        """The entry of a split in `summary.json`."""
        raise NotImplementedError

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        """What `evaluate` prints of it; the first line comes behind the name of the split."""
        raise NotImplementedError


@cache
def task_of(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: There is none.
    """
    return load(facts_of(name).task)()
