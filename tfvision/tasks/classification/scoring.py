"""Scoring a classification: the pieces of an image are put together first, then counted."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.pipeline import scoring_batches
from tfvision.engine.inference import logits_of, probabilities_of
from tfvision.engine.predict import replica_values
from tfvision.engine.step import BatchLoss, TrainStep
from tfvision.metrics import METRICS, classification, contract
from tfvision.metrics.confusion import confusion_matrix
from tfvision.metrics.evidence import LabelEvidence
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.labels import declared_scores, predicted_shares, scored_at_once
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.classification.pieces import image_probabilities
from tfvision.tasks.classification.recipe import ClassRecipe
from tfvision.tasks.parts import Examples, Validate
from tfvision.tasks.scored import ScoredLabels
from tfvision.text import counted, figure


class ClassValidation:
    """Probabilities of a split's pieces by the weights that are in a model now.

    Args:
        model: From images to logits (B, K).
        batches: One pass over the pieces, from `scoring_batches`.
        loss: The loss of training; averaged over the pieces.
        strategy: A `tf.distribute` strategy.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: tf.data.Dataset,
        *,
        loss: BatchLoss,
        strategy: tf.distribute.Strategy,
    ):
        self._model, self._loss, self._strategy = model, loss, strategy
        self._batches = strategy.experimental_distribute_dataset(batches)
        self._step = tf.function(
            lambda batch: strategy.run(self._score, args=(batch,)), autograph=False
        )

    def __call__(self) -> tuple[np.ndarray, float]:
        """Returns probabilities (N, 1, 1, K) float32 and the mean loss."""
        parts = [
            [np.concatenate(replica_values(self._strategy, value)) for value in self._step(batch)]
            for batch in self._batches
        ]
        valid, losses, found = (np.concatenate(column) for column in zip(*parts, strict=True))
        return found[valid], float(losses[valid].astype(np.float64).mean())

    def _score(self, batch):
        outputs = logits_of(self._model, batch["image"])
        found = probabilities_of(self._model, outputs[-1])
        return batch["valid"], self._loss(batch, outputs), found


def score_samples(
    recipe: ClassRecipe, predictor: Any, samples: Iterable[tuple[str, Native]]
) -> ScoredLabels:
    """Predicts and counts labelled images, (id, sample) each.

    `details` of what it returns: `truth` (N,) int32, `probabilities` (N, K) float32 before any
    rule, `pieces`: of each image the probabilities (n, K) of its pieces.
    """
    ids, truth, pieces = [], [], []

    def images():
        for name, sample in samples:
            ids.append(name)
            truth.append(sample.labels)
            yield sample

    predicted = list(image_probabilities(recipe, predictor, images(), pieces=pieces))
    probabilities = np.array(predicted, np.float32).reshape(-1, recipe.num_classes)
    masks = np.array(truth, np.int32).reshape(-1, 1, 1)
    plain = probabilities.argmax(-1).astype(np.uint8)
    final = np.asarray(decode(recipe.rules)(probabilities)) if recipe.rules else plain

    def count(labels):
        return confusion_matrix(masks, labels[:, None, None], recipe.num_classes, recipe.void)

    processed = count(final) if recipe.rules else None
    return ScoredLabels(
        LabelEvidence.of(ids, count(plain), processed),
        answers=list(final[:, None, None]),
        details={
            "truth": masks[:, 0, 0],
            "probabilities": recipe.calibrated(probabilities),
            "pieces": pieces,
        },
    )


def validation(
    recipe: Recipe, examples: Examples, model: keras.Model, step: TrainStep, loss: RunLoss
) -> Validate:
    """`() -> scores` of the validation images, by the weights that are in the model now.

    `val_loss` is of the terms on logits: one on embeddings depends on who else is in the batch,
    and here a batch is of neighbours.
    The pieces of an image are put together first: what selects the best epoch is a score of
    images. `val_piece_accuracy` stands beside it where there are more pieces than images.
    """
    config, pieces = recipe.config, examples.details["val_pieces"]
    samples = pieces.samples
    probabilities_now = ClassValidation(
        model,
        scoring_batches(
            samples,
            batch_size=scored_at_once(config, len(samples), step),
            workers=config.data.workers,
        ),
        loss=loss.of_batch,
        strategy=step.strategy,
    )
    truth, rules = pieces.truth[:, None, None], decode(recipe.rules)

    def counts(labels: np.ndarray, truth: np.ndarray = truth) -> np.ndarray:
        return confusion_matrix(truth, labels[:, None, None], recipe.num_classes, recipe.void)

    def validate() -> dict[str, float]:
        of_pieces, mean_loss = probabilities_now()
        of_pieces = of_pieces[:, 0, 0]
        of_images = pieces.of_images(of_pieces, config.data.aggregate)
        plain, processed = counts(of_images.argmax(-1)), None
        if recipe.rules:
            processed = counts(np.asarray(rules(of_images.astype(np.float32))))
        scores = {"val_loss": mean_loss, **declared_scores(recipe, plain, processed)}
        scores.setdefault("val_accuracy", METRICS["accuracy"].from_counts(plain, recipe.contract))
        if len(samples) > len(truth):
            each = counts(of_pieces.argmax(-1), samples.targets["label"][:, None, None])
            scores["val_piece_accuracy"] = METRICS["accuracy"].from_counts(each, recipe.contract)
        pooled = plain.sum(axis=0)
        for k, value in enumerate(contract.dice_per_class(pooled)):
            scores[f"val_f1_{k}"] = float(value)
        return {**scores, **predicted_shares(pooled)}

    return validate


def metrics_of(recipe: Recipe, scored: ScoredLabels, names: Sequence[str]) -> dict[str, Any]:
    """The entry of a split in `summary.json`."""
    agreed, probabilities = recipe.contract, scored.details["probabilities"]
    truth = scored.details["truth"]
    metrics = classification.scores(scored.plain, probabilities, truth, agreed, class_names=names)
    if scored.processed is not None:
        # Rules give scores that are no probabilities; those that need some stand above.
        metrics["post_processed"] = classification.scores(
            scored.processed, None, None, agreed, class_names=names
        )
    if "stages" in scored.details:
        metrics["stages"] = scored.details["stages"]
    return metrics


def score_lines(metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
    """What `evaluate` prints of it."""
    dash = functools.partial(figure, missing="-")
    final = metrics.get("post_processed", metrics)
    rows = [(name, final["per_class"][name]) for name in class_names]
    return [
        f"{counted(final['num_images'], 'image')}, macro F1 {dash(final['macro_f1'])}, "
        f"accuracy {dash(final['accuracy'])}; log-loss {dash(metrics['log_loss'])}, expected "
        f"calibration error {dash(metrics['ece'])}",
        *(
            f"  {name:20} F1 {dash(row['f1'])}  ({counted(row['support'], 'image')})"
            for name, row in rows
        ),
    ]


def piece_scores(
    recipe: Recipe, names: Sequence[str], scored: ScoredLabels
) -> dict[str, Any] | None:
    """The scores of pieces before they are put together; None where each is an image."""
    pieces = scored.details["pieces"]
    counts = [len(of_image) for of_image in pieces]
    if max(counts, default=1) == 1:
        return None
    probabilities, truth = np.concatenate(pieces), np.repeat(scored.details["truth"], counts)
    labels = probabilities.argmax(-1)
    cms = confusion_matrix(
        truth[:, None, None], labels[:, None, None], recipe.num_classes, recipe.void
    )
    return classification.scores(cms, probabilities, truth, recipe.contract, class_names=names)
