"""What a config means for a data set."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.stages import Stage
from tfvision.errors import InputError
from tfvision.losses import ON_EMBEDDINGS
from tfvision.metrics import METRICS, contract
from tfvision.metrics.calibration import with_temperature
from tfvision.postprocess import ON_COMPONENTS, POSTPROCESS
from tfvision.recipe.pretrained import self_contained
from tfvision.registry import Spec
from tfvision.tasks.facts import facts_of


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
    component_rules: tuple = ()
    void: tuple[int, ...] = ()
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
        table = facts_of(self.config.task).models()
        return table.build(self.model, input_shape=input_shape, num_classes=self.num_classes)

    def trained(self, model: keras.Model) -> keras.Model:
        """What trains for a model from `build`, with the same layers: the model itself, or, where
        a term of the loss is on embeddings, one that has these as an output, too."""
        if not any(term.name in ON_EMBEDDINGS for term in self.config.loss):
            return model
        from tfvision.models.heads import with_embedding

        return with_embedding(model)

    @property
    def model(self) -> Spec:
        """What the model is built from; no file is needed for it."""
        return self_contained(self.config.model, self.architecture)


def stages_of(config: RunConfig) -> tuple[Stage, ...]:
    """The stages of a training as its config has them; empty where all of it is one."""
    return tuple(Stage(**stage.model_dump()) for stage in config.train.stages or ())


def make_recipe(
    config: RunConfig,
    *,
    num_classes: int,
    channels: int,
    size: tuple[int, int],
    resized: bool,
    architecture: dict[str, Any] | None = None,
    kind: type[Recipe] = Recipe,
) -> Recipe:
    """Works out contract and rules for K classes of labels.

    Args:
        config: Of the run.
        num_classes, channels, size, resized, architecture: As `Recipe` has them.
        kind: The class to make, where a task knows more of its recipe.

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
    return kind(
        config=config,
        num_classes=num_classes,
        channels=channels,
        size=size,
        resized=resized,
        contract=agreed,
        rules=tuple(rule for name, rule in rules if name not in ON_COMPONENTS),
        component_rules=tuple(rule for name, rule in rules if name in ON_COMPONENTS),
        void=tuple(sorted(ignored - inside)),
        architecture=architecture,
    )
