"""What predicting and scoring ask of a task."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.sources.source import Source
from tfvision.engine.combine import OverModels, OverTiles, OverViews
from tfvision.engine.files import write_json
from tfvision.engine.inference import ModelPredictor
from tfvision.engine.predict import as_float, batches_of_one_size
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.engine.tta import View
from tfvision.errors import InputError
from tfvision.postprocess.fit import Predictions
from tfvision.postprocess.fit_arrays import ArrayPredictions
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe
from tfvision.registry import Spec
from tfvision.stats.evidence import Evidence
from tfvision.tasks.blends import AnswerBlends, Blends, Truths
from tfvision.tasks.facts import TaskFacts
from tfvision.tasks.parts import Prediction
from tfvision.tasks.scored import Scored
from tfvision.text import counted, figure


class PredictionSide:
    """The second half of `Task`: predictions, their answers, scores and files."""

    facts: ClassVar[TaskFacts]

    def predictor(self, recipe: Recipe, model: keras.Model) -> Any:
        """Preprocessing, model and decoding as one module, for images of any size."""
        stride = getattr(model, "stride", 1)
        return ModelPredictor(
            model,
            partial(self.arrays, recipe),
            channels=self.input_channels(recipe),
            size=recipe.size if recipe.resized else None,
            stride=stride,
        )

    def arrays(self, recipe: Recipe, outputs: list[tf.Tensor], size: tuple) -> dict[str, tf.Tensor]:
        """The prediction that outputs of the model stand for, in the graph: name -> (B, ...).

        Args:
            recipe: Of the run.
            outputs: For images padded to multiples of the stride, or resized.
            size: (height, width) of the images themselves.
        """
        raise NotImplementedError

    def prune(self, model: keras.Model, depth: int, where: Path) -> keras.Model:
        """The model cut to a depth.

        Raises:
            InputError: It has none.
        """
        raise InputError(f"--depth prunes a UNet++; {where} is a {self.facts.name}.")

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
        numbered = ((i, one.image, one.scale) for i, one in enumerate(samples))
        for group in batches_of_one_size(numbered, recipe.config.data.batch_size):
            _, images, scales = zip(*group, strict=True)
            yield from predictor.rows(as_float(images, scales))

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
        for rule in recipe.rules:
            prediction = rule(prediction)
        return prediction

    def compact(self, prediction: Prediction) -> Prediction:
        """A prediction as it is stored, with the same answer."""
        return prediction

    def notes(self, recipe: Recipe, counter: Counter) -> list[str] | None:
        """What a user must know of how images were predicted; None: nothing is ever said."""
        return None

    def with_views(self, recipe: Recipe, predictor: Any, views: list[View], *, scaled: bool) -> Any:
        """What predicts the mean of an image and of views of it; `scaled`: some are scales."""
        return OverViews(predictor, views, undo=self.undo, combine=self.combine)

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
        return OverTiles(predictor, tile=tile, overlap=overlap, merge=self.merge)

    def with_threshold(self, recipe: Recipe, threshold: float) -> Recipe:
        """A recipe whose answers leave out what has a lower score than `threshold` in [0, 1].

        Raises:
            InputError: The task's answers have no scores.
        """
        raise InputError(
            f"--threshold is for boxes with scores, as of a detection; this is a "
            f"{self.facts.name}. Leave it out."
        )

    def ensemble(self, recipe: Recipe, predictors: list, weights: list[float]) -> Any:
        """What predicts with several models as one; `weights` sum to 1."""
        return OverModels(predictors, weights, combine=self.combine)

    def candidates(self, recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
        """Rules that can be fitted out of fold: name -> the settings that are tried."""
        return {}

    def fitting(
        self,
        recipe: Recipe,
        store: Shards,
        truths: Sequence[dict[str, np.ndarray]],
        *,
        with_rules: bool,
    ) -> Predictions:
        """Out-of-fold predictions as rules are fitted on them.

        Args:
            recipe: Of the folds.
            store: The predictions.
            truths: Of each of its images, by name.
            with_rules: With the rules that are in force anyway.
        """
        in_force = recipe.config.postprocess if with_rules else ()

        def evidence(rules: Sequence[dict[str, Any]], rows: Sequence[int]) -> Evidence:
            ruled = self.with_rules(recipe, [*in_force, *(Spec(**rule) for rule in rules)])
            ids = [store.ids[i] for i in rows]
            answers = [self.decode(ruled, store.prediction(name)) for name in ids]
            return self.evidence(ruled, ids, answers, [truths[i] for i in rows])

        return ArrayPredictions(len(store), self.candidates(recipe), evidence)

    def blends(self, recipe: Recipe, stores: Sequence[Shards], truths: Truths) -> Blends:
        """Out-of-fold predictions of several models, as ensembles weigh them; arguments as
        `AnswerBlends` has them."""
        return AnswerBlends(self, recipe, stores, truths)

    def undo(self, view: View, prediction: Prediction, size: tuple[int, int]) -> Prediction:
        """A prediction of a view as one of the image of (height, width) pixels."""
        raise self._without("undo", "predict without --tta")

    def combine(self, predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
        """Several predictions of one image as one; `weights` sum to 1."""
        raise self._without("combine", "predict with one run, without --tta and --tile")

    def merge(
        self, tiles: Sequence[tuple[tuple[int, int], Prediction]], size: tuple[int, int]
    ) -> Prediction:
        """Predictions of tiles, ((top, left), prediction) each, as one of the whole image."""
        raise self._without("merge", "predict without --tile")

    def _without(self, method: str, advice: str) -> InputError:
        return InputError(f"The task {self.facts.name} has no method `{method}`: {advice}.")

    def score(
        self, recipe: Recipe, predictor: Any, samples: Iterable[tuple[str, Native]]
    ) -> Scored:
        """Predicts labelled samples, (id, sample) each at its own size, and scores them."""
        ids, truths = [], []

        def images() -> Iterator[Native]:
            for name, sample in samples:
                ids.append(name)
                truths.append(sample.targets)
                yield sample

        raw = list(self.predictions(recipe, predictor, images()))
        answers = [self.decode(recipe, one) for one in raw]
        return Scored(self.evidence(recipe, ids, answers, truths), answers)

    def decided(self, recipe: Recipe, scored: dict[str, Scored]) -> dict[str, Scored]:
        """The scores of the splits of a run, with what its validation decides of its answers."""
        return scored

    def texts(self, recipe: Recipe, answers: Sequence[Any]) -> list[str] | None:
        """The string that each answer is read as; None where none are read."""
        return None

    def as_trained(self, recipe: Recipe, run: RunFolder) -> Recipe:
        """The recipe of a finished run, with what its validation has decided."""
        return recipe

    def evidence(
        self,
        recipe: Recipe,
        ids: Sequence[str],
        answers: Sequence[Any],
        truths: Sequence[dict[str, np.ndarray]],
    ) -> Evidence:
        """What scores of answers are computed from; `truths` are the named targets of each."""
        raise NotImplementedError

    def metrics(self, recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
        """The entry of a split in `summary.json`."""
        return scored.evidence.summary(recipe.contract)

    def at_operating_point(self, run: RunFolder, recipe: Recipe, scored: Scored) -> dict[str, Any]:
        """What `evaluate` adds to `metrics`: `operating_point`, how good the predictions are
        where the run uses them; {} for a task without such a point."""
        return {}

    def never_predicted(self, scored: Scored, class_names: Sequence[str]) -> list[str]:
        """Names of classes that the truth holds and no prediction."""
        return []

    def score_lines(self, metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
        """What `evaluate` prints of it; the first line comes behind the name of the split."""
        names = [name for name in self.facts.scores if isinstance(metrics.get(name), float)]
        scores = ", ".join(f"{self.facts.scores[n].title} {figure(metrics[n])}" for n in names)
        return [f"{counted(metrics['num_images'], 'image')}, {scores}"]

    def headline(self, recipe: Recipe, metrics: dict[str, Any]) -> str:
        """The score of a split in a few words."""
        name = recipe.config.metrics[0].name
        return f"{self.facts.score(name).title} {figure(metrics[name])}"

    def write_scored(self, target: Path, scored: Scored, data: dict[str, Any]) -> None:
        """Writes the predictions of a scored split, `target` and an extension.

        Args:
            target: Without extension.
            scored: The predictions.
            data: `data.json` of the run.
        """
        write_answers(target, scored.ids, scored.answers)

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
            predictions: Has `raw()`, predictions before any rule, `answers()`, after all,
                `with_images()`, these with their images, and `say(text)` to the user.
            recipe: Of the run.
            data: Its `data.json`.
            probabilities: Write what answers were made of, too.
        """
        return write_answers(target, ids, list(predictions.answers()))

    def truth_given_later(
        self,
        path: Path,
        source: Source,
        indices: list[int],
        recipe: Recipe,
        data: dict[str, Any],
        options: dict[str, Any],
    ) -> tuple[Iterable[tuple[str, Native]], list[str]]:
        """Truth that was given after the training, for records that have none.

        Args:
            path: A file or folder of it.
            source, indices: The records.
            recipe: Of the run.
            data: Its `data.json`.
            options: How it is read, `data.source.<key>` that the user has set.

        Returns:
            (id, sample) of each record that has truth there, and notes for the user.

        Raises:
            InputError: It fits neither the images nor the classes, or is not read by options.
        """
        raise InputError(f"--labels: a {self.facts.name} takes no truth after its training.")

    def check_no_options(self, path: Path, options: dict[str, Any]) -> None:
        """Raises an `InputError` where options say how truth that is read in one way is read."""
        if options:
            raise InputError(
                f"--labels {path}: a {self.facts.name} reads it in one way, and takes no --set "
                f"data.source.{next(iter(options))}. Leave it out."
            )

    def labelled_later(self, path: Path, prepared: Prepared, indices: list[int]) -> list[int]:
        """Those of some records that have truth in `path`.

        Raises:
            InputError: As `truth_given_later`.
        """
        raise InputError(f"--labels: a {self.facts.name} takes no truth after its training.")


def write_answers(target: Path, ids: Sequence[str], answers: Sequence[dict]) -> Path:
    """Writes `<target>.json`: a list of `id` and the arrays of each image by name."""
    listed = [
        {"id": name, **{key: np.asarray(value).tolist() for key, value in answer.items()}}
        for name, answer in zip(ids, answers, strict=True)
    ]
    path = target.with_name(f"{target.name}.json")
    write_json(path, listed)
    return path
