"""What a task hands to a run, and a run to a task."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tfvision.data.pipeline import Samples
from tfvision.engine.run_folder import RunFolder
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import TrainingSet
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
Watch = Callable[[list[dict[str, Any]], float], dict[str, str]]
