"""What a training asks of a task: settings, data, model, losses, validation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvision.config.schema import RunConfig
from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.stages import Stage
from tfvision.engine.step import Batch, TrainStep, of_images, summed
from tfvision.metrics.contract import Contract
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import decode, decoded, native_of
from tfvision.recipe.recipe import Recipe, stages_of
from tfvision.recipe.sampling import TrainingSet, training_set
from tfvision.registry import Spec
from tfvision.report.augment_page import Augmented
from tfvision.tasks.facts import TaskFacts
from tfvision.tasks.parts import Examples, Settled, Validate, Watch


class TrainingSide:
    """The first half of `Task`, in the order of a training."""

    facts: ClassVar[TaskFacts]
    recipe_class: ClassVar[type[Recipe]] = Recipe

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
        recipe = self.recipe(config, **prepared.facts, architecture=architecture)
        return Settled(recipe, prepared, prepared)

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
        table = self.facts.all_tables()["postprocess"]
        return self.recipe_class(
            config=config,
            num_classes=num_classes,
            channels=channels,
            size=size,
            resized=resized,
            contract=Contract(),
            rules=tuple(table.build(spec) for spec in config.postprocess),
            architecture=architecture,
        )

    def with_rules(self, recipe: Recipe, rules: Sequence[Spec]) -> Recipe:
        """A recipe with other post-processing; rules that the contract itself makes stay.

        Raises:
            InputError: A rule does not fit the classes.
        """
        config = recipe.config.model_copy(update={"postprocess": tuple(rules)})
        other = self.recipe(
            config,
            num_classes=recipe.num_classes,
            channels=recipe.channels,
            size=recipe.size,
            resized=recipe.resized,
            architecture=recipe.architecture,
        )
        return replace(
            recipe, config=config, rules=other.rules, component_rules=other.component_rules
        )

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
        chosen = training_set(recipe.config, training, recipe.ignored)
        return Examples(
            chosen=chosen,
            train=decode(training, chosen.indices),
            val=decoded(prepared, "val") if prepared.indices("val") else None,
            notes=chosen.notes,
        )

    def samples_of(
        self, config: RunConfig, prepared: Prepared, indices: Sequence[int]
    ) -> list[int]:
        """How many training samples the task makes of each image."""
        return [1] * len(indices)

    def augmented(self, recipe: Recipe, prepared: Prepared) -> Augmented | None:
        """Some training samples as read and as augmented, to be looked at; None: nothing is."""
        return None

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

    def losses(
        self, recipe: Recipe, batch: Batch, outputs: list[tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """The terms of the loss of each image, name -> (b,) float32; their sum is minimised."""
        raise NotImplementedError

    def loss(
        self, recipe: Recipe, chosen: TrainingSet, strategy: tf.distribute.Strategy
    ) -> RunLoss:
        """What is minimised: here the sum of `losses`."""
        return RunLoss(lambda batch, outputs, names=None: self.losses(recipe, batch, outputs))

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
        return partial(self._validate, recipe, examples.val, model, step=step, loss=loss)

    def _validate(
        self, recipe: Recipe, val: Samples, model: keras.Model, step: TrainStep, loss: RunLoss
    ) -> dict[str, float]:
        data = recipe.config.data
        losses = []
        for batch in scoring_batches(val, batch_size=data.batch_size, workers=data.workers):
            values = summed(loss.of_batch(batch, self.forward(model, batch, False)))
            losses.append(values.numpy()[batch["valid"].numpy()])
        scored = self.score(recipe, self.predictor(recipe, model), native_of(val))
        scores = {"val_loss": float(np.concatenate(losses).mean())}
        for spec in recipe.config.metrics:
            measure = scored.evidence.measure(spec.name, recipe.contract)
            scores[f"val_{spec.name}"] = measure.value()
        return scores

    def watch(self, recipe: Recipe) -> Watch | None:
        """`(history, share of the training done) -> alarms by kind`, after every epoch; None:
        what is said of label maps."""
        return None

    def after_training(
        self, run: RunFolder, recipe: Recipe, model: keras.Model, examples: Examples, say
    ) -> list[str]:
        """What is fitted once for the best weights, and kept in the run. Returns warnings."""
        return []

    def restore(self, run: RunFolder, model: keras.Model) -> None:
        """Gives a model rebuilt from a checkpoint what `after_training` has kept."""
