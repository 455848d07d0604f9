"""What a config means for a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.inference import Inference
from tfvision.errors import InputError
from tfvision.losses import ON_EMBEDDINGS
from tfvision.metrics import METRICS, contract
from tfvision.metrics.calibration import with_temperature
from tfvision.models import CLASSIFIERS, MODELS
from tfvision.postprocess import ON_COMPONENTS, POSTPROCESS
from tfvision.recipe.pretrained import self_contained
from tfvision.registry import Registry, Spec
from tfvision.tasks.classification.inference import ClassInference


@dataclass(frozen=True)
class Recipe:
    """What a config means for a data set: everything that does not depend on weights.

    Attributes:
        config: The run's config.
        num_classes: K.
        channels: Of the images, 1 or 3.
        size: (height, width) images are trained at.
        resized: Whether that is not the size of every image.
        contract: What the score counts.
        rules: Post-processing of single pixels, the contract's own first.
        component_rules: Post-processing of whole images, after `rules`, in scores at the
            images' own sizes and in predictions; not in the export, nor in the monitor.
        void: Labels outside 0..K-1 that never count.
        architecture: Of an encoder that the config has by path, so that a run can be rebuilt
            where that path is gone; else None.
        temperature: What `calibrated` divides the logits by, or None.
    """

    config: RunConfig
    num_classes: int
    channels: int
    size: tuple[int, int]
    resized: bool
    contract: contract.Contract
    rules: tuple
    component_rules: tuple
    void: tuple[int, ...]
    architecture: dict[str, Any] | None = None
    temperature: float | None = None

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """(..., K) as they are to be written or scored; labels are made of what they were."""
        if self.temperature is None:
            return probabilities
        return with_temperature(probabilities, self.temperature)

    @property
    def ignored(self) -> tuple[int, ...]:
        """Labels that never count, inside 0..K-1 or not."""
        return tuple(sorted({*self.void, *self.contract.ignore_labels}))

    @property
    def monitor(self) -> str:
        """Key of the validation score that selects the best epoch."""
        processed = "post_processed_" if self.rules else ""
        return f"val_{processed}{self.config.metrics[0].name}"

    def build(self, input_shape: tuple) -> keras.Model:
        """The model, with new weights."""
        table = models_of(self.config.task)
        return table.build(self.model, input_shape=input_shape, num_classes=self.num_classes)

    def trained(self, model: keras.Model) -> keras.Model:
        """What trains for a model from `build`, with the same layers: the model itself, or, where
        a term of the loss is on embeddings, one that has these as an output, too."""
        if not any(term.name in ON_EMBEDDINGS for term in self.config.loss):
            return model
        from tfvision.models.heads import with_embedding

        return with_embedding(model)

    @property
    def is_classification(self) -> bool:
        """Whether an image has one label."""
        return self.config.task == "classification"

    @cached_property
    def cut(self):
        """What the network sees of an image, of a classification: `image -> pieces`."""
        from tfvision.data import INPUTS

        return INPUTS.build(self.config.data.input)

    @property
    def input_channels(self) -> int:
        """Of what the model sees."""
        return self.cut.channels(self.channels) if self.is_classification else self.channels

    @property
    def open_shape(self) -> tuple[int | None, int | None, int]:
        """What the model that predicts takes: any size; of a classification, one."""
        size = self.size if self.is_classification else (None, None)
        return (*size, self.input_channels)

    @property
    def model(self) -> Spec:
        """What the model is built from; no file is needed for it."""
        return self_contained(self.config.model, self.architecture)

    def inference(self, open_model: keras.Model) -> Inference | ClassInference:
        """`open_model` with what stands before and after it."""
        if self.is_classification:
            return ClassInference(
                open_model,
                channels=self.input_channels,
                size=self.size,
                fit=self.config.data.fit,
                rules=self.rules,
            )
        return Inference(
            open_model,
            channels=self.channels,
            size=self.size if self.resized else None,
            rules=self.rules,
        )


def models_of(task: str) -> Registry:
    """The table that `model` of a task's config is looked up in."""
    return CLASSIFIERS if task == "classification" else MODELS


def make_recipe(
    config: RunConfig,
    *,
    num_classes: int,
    channels: int,
    size: tuple[int, int],
    resized: bool,
    architecture: dict[str, Any] | None = None,
) -> Recipe:
    """Works out contract and rules for K classes.

    Raises:
        InputError: A metric or a rule does not fit the classes.
    """
    if num_classes > 256:
        raise InputError(
            f"The data has {num_classes} classes; labels are written as bytes, so at most 256 "
            "can be trained. Check data.ignore_label and the mask values."
        )
    ignored = {config.data.ignore_label} - {None}
    if num_classes <= 255:
        ignored.add(255)  # what geometric ops fill with
    names = [spec.name for spec in config.metrics]
    if len(set(names)) < len(names):
        raise InputError(
            f"metrics names {', '.join(names)}: each may stand there once. The first is the "
            "contract; the report shows its score under the other conventions too."
        )
    metric = METRICS.build(config.metrics[0], num_classes=num_classes)
    inside = {label for label in ignored if label < num_classes}
    agreed = replace(
        metric.contract, ignore_labels=tuple(sorted({*metric.contract.ignore_labels, *inside}))
    )
    # A class whose true pixels do not count can only lose when it is predicted.
    never = [k for k in agreed.ignore_labels if 0 <= k < num_classes]
    specs = [Spec(name="drop_class", index=k) for k in never]
    specs += [spec for spec in config.postprocess if spec not in specs]
    dropped = {spec.kwargs.get("index") for spec in specs if spec.name == "drop_class"}
    if dropped >= set(range(num_classes)):
        raise InputError(
            "The metric contract and postprocess together leave no class that may be predicted. "
            "Drop or ignore fewer."
        )
    rules = [(s.name, POSTPROCESS.build(s, num_classes=num_classes)) for s in specs]
    return Recipe(
        config,
        num_classes,
        channels,
        size,
        resized,
        agreed,
        tuple(rule for name, rule in rules if name not in ON_COMPONENTS),
        tuple(rule for name, rule in rules if name in ON_COMPONENTS),
        tuple(sorted(ignored - inside)),
        architecture,
    )


def with_rules(recipe: Recipe, rules: Sequence[Spec]) -> Recipe:
    """The recipe with other post-processing; the contract's own rules stay.

    Raises:
        InputError: A rule does not fit the classes.
    """
    config = recipe.config.model_copy(update={"postprocess": tuple(rules)})
    other = make_recipe(
        config,
        num_classes=recipe.num_classes,
        channels=recipe.channels,
        size=recipe.size,
        resized=recipe.resized,
        architecture=recipe.architecture,
    )
    return replace(recipe, config=config, rules=other.rules, component_rules=other.component_rules)
