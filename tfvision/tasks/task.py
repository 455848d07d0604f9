"""A task: all that one problem needs besides what every run shares.

`facts.py` has what is known of it without TensorFlow; `tfvision.data.truth` its kind of truth. A
`Task` is asked for the rest, in the order of a run's life: settings and data, model and losses
(`training_side.py`), predictions and scores (`prediction_side.py`), report and export (here).

A task must have `losses`, `arrays` and `evidence`; without `undo`, `combine` or `merge` the options
that need them are refused. All others have a default that serves predictions of any kind;
`label_task.py` has what tasks of labels share.
"""

from functools import cache
from typing import Any, ClassVar

import numpy as np

from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe
from tfvision.report.task_page import TaskReport, render
from tfvision.tasks.facts import facts_of, load
from tfvision.tasks.parts import Outcome
from tfvision.tasks.prediction_side import PredictionSide
from tfvision.tasks.training_side import TrainingSide


class Task(TrainingSide, PredictionSide):
    """One problem; see the head of this module. An instance has no state.

    Attributes:
        plain_keras: Whether its models are of Keras's own layers, and a `.keras` file loads where
            tfvision is not installed.
    """

    plain_keras: ClassVar[bool] = True

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
        score = self.facts.score(outcome.recipe.config.metrics[0].name)
        return render(
            TaskReport(
                **shared,
                scores={
                    split: {k: v for k, v in entry.items() if v is None or isinstance(v, float)}
                    for split, entry in shared["summary"]["metrics"].items()
                },
                score=outcome.recipe.config.metrics[0].name,
                title=score.title,
                larger_is_better=score.larger_is_better,
                pictures=pictures or [],
            )
        )

    def two_stage(
        self, recipe: Recipe, detector: Any, predictor: Any, *, keep: str | float, fallback: str
    ) -> Any:
        """What predicts from what a detector finds in an image.

        Args:
            recipe: Of the second stage.
            detector, predictor: What predicts in the first and in the second.
            keep: "best" box of an image, or the least score of those that are kept.
            fallback: What stands for a box where none is found, "whole" or "centre".

        Raises:
            InputError: The task looks at no boxes.
        """
        raise InputError(
            f"The second of two stages classifies what a detector found; a {self.facts.name} "
            "cannot. Give a classification."
        )

    def served(self, recipe: Recipe, predictor: Any) -> Any:
        """The module that is exported, with the signatures `serving_default`, `serve_float`."""
        return predictor

    def example_input(self, recipe: Recipe, predictor: Any, sample: Native) -> np.ndarray:
        """What the exported module is given of an image."""
        return sample.image

    def describe_export(
        self, recipe: Recipe, data: dict[str, Any], predictor: Any
    ) -> dict[str, Any]:
        """What `export.json` says besides what it says of every run; `data` is its `data.json`."""
        return {}


@cache
def task_of(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: There is none.
    """
    return load(facts_of(name).task)()
