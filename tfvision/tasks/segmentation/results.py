"""What the report of a segmentation shows: scores, worst and best images, depths, attention."""

import time
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.engine.predict import as_float
from tfvision.metrics import contract
from tfvision.models.unetpp import is_nested, prune
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.model import open_model
from tfvision.recipe.read import native_scanned, samples_of_split
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import augmented
from tfvision.report.looks import Look
from tfvision.report.overlay import Overlay
from tfvision.report.segmentation_page import SegmentationReport, SplitScores, render
from tfvision.tasks.parts import Outcome
from tfvision.tasks.scored import Scored
from tfvision.tasks.segmentation.attention import look_at
from tfvision.tasks.segmentation.scoring import predictor_of, score_samples

SHOWN = 6  # overlays each of the worst and the best


def insights(outcome: Outcome) -> tuple[dict[str, Any], list[Look]]:
    """Where the model looked on a few images: for `summary.json`, and the pictures."""
    order = list(_by_score(outcome))
    looked, looks = look_at(
        outcome.recipe, outcome.predictor, outcome.prepared, outcome.scored, order=order
    )
    return {"attention": looked}, looks


def page(shared: dict[str, Any], outcome: Outcome, looks: list[Look]) -> str:
    """The text of `report.html`.

    Args:
        shared: What the pages of all tasks show, by the fields of `RunReport`.
        outcome: The run.
        looks: Of `insights`.
    """
    recipe, prepared = outcome.recipe, outcome.prepared
    return render(
        SegmentationReport(
            **shared,
            scores={name: _split_scores(recipe, prepared, s) for name, s in outcome.scored.items()},
            overlays=_overlays(outcome),
            looks=looks,
            augmented=augmented(recipe.config, prepared, recipe.ignored),
            depths=_depths(outcome),
        ),
    )


def _split_scores(recipe: Recipe, prepared: Prepared, scored: Scored) -> SplitScores:
    rows = contract.conventions(scored.plain, prepared.class_names, recipe.contract)
    processed = [None] * len(rows)
    if scored.processed is not None:
        processed = [
            row["mean_iou"]
            for row in contract.conventions(scored.processed, prepared.class_names, recipe.contract)
        ]
    return SplitScores(
        confusion=scored.final.sum(axis=0),
        scores=contract.scores(scored.plain, recipe.contract),
        post_processed=None
        if scored.processed is None
        else contract.scores(scored.processed, recipe.contract),
        conventions=[
            {**row, "mean_iou_post_processed": value}
            for row, value in zip(rows, processed, strict=True)
        ],
    )


def _by_score(outcome: Outcome) -> dict[int, float]:
    """Place -> mean IoU of the images of the test split, or of validation where that has no
    labels; the worst first."""
    if outcome.split is None:
        return {}
    counts, agreed = outcome.scored[outcome.split].final, outcome.recipe.contract
    each = [float(contract.mean_iou(cm[None], agreed)) for cm in counts]
    order = np.argsort(each, kind="stable")
    return {int(i): each[i] for i in order if not np.isnan(each[i])}


def _overlays(outcome: Outcome) -> dict[str, list[Overlay]]:
    """The worst and the best images of the split that is shown."""
    prepared, split = outcome.prepared, outcome.split
    if split is None:
        return {"worst": [], "best": []}
    result, each = outcome.scored[split], _by_score(outcome)
    order, indices = list(each), prepared.indices(split)

    def overlay(i: int) -> Overlay:
        sample = native_scanned(prepared, indices[i])
        return Overlay(
            result.ids[i],
            split,
            sample.picture,
            sample.labels,
            prediction=result.answers[i],
            score=each[i],
        )

    return {
        "worst": [overlay(i) for i in order[:SHOWN]],
        "best": [overlay(i) for i in reversed(order[-SHOWN:])],
    }


def _depths(outcome: Outcome) -> list[dict] | None:
    """What each depth of a deeply supervised UNet++ costs and gives on the validation split."""
    recipe, prepared, model = outcome.recipe, outcome.prepared, outcome.model
    if len(model.outputs) < 2 or not is_nested(model) or not prepared.indices("val"):
        return None
    whole = open_model(recipe, model, (None, None, recipe.channels))
    rows = []
    for depth in range(1, len(model.outputs) + 1):
        pruned = prune(whole, depth)
        predictor = predictor_of(recipe, pruned)
        first = native_scanned(prepared, prepared.indices("val")[0])
        # traces the graph before the clock runs
        predictor.serve_float(tf.constant(as_float([first.image], [first.scale])))
        began = time.monotonic()
        scored = score_samples(recipe, predictor, samples_of_split(prepared, "val"))
        seconds = time.monotonic() - began
        rows.append(
            {
                "depth": depth,
                "num_parameters": pruned.count_params(),
                "val mean_iou": contract.mean_iou(scored.final, recipe.contract),
                "images_per_second": len(scored.ids) / seconds,
            }
        )
    return rows
