"""What the report of a classification shows: scores, calibration, mistakes, attention."""

from typing import Any

import numpy as np

from tfvision.metrics import calibration
from tfvision.recipe.read import native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.report.classification_page import (
    ClassificationReport,
    Mistake,
    render,
)
from tfvision.report.classification_scores import SplitResult, split_result
from tfvision.tasks.classification import attention
from tfvision.tasks.classification.pieces import augmented_pieces
from tfvision.tasks.classification.pseudo_labels import sentence
from tfvision.tasks.classification.scoring import piece_scores
from tfvision.tasks.parts import Outcome
from tfvision.tasks.scored import Scored
from tfvision.text import counted, figure

SHOWN = 24  # mistakes in the report


def insights(outcome: Outcome) -> tuple[dict[str, Any], None]:
    """Temperature, and how much of the attention lies beside the object; for `summary.json`."""
    recipe, prepared, scored = outcome.recipe, outcome.prepared, outcome.scored
    beside = None
    if scored:
        beside = attention.beside_the_object(recipe, outcome.predictor, prepared, list(scored)[-1])
    entries = {"temperature": _temperature(recipe, scored), "attention": beside}
    if prepared.pseudo is not None:
        entries["pseudo"] = prepared.pseudo
    return entries, None


def insight_lines(summary: dict[str, Any]) -> list[str]:
    """What the terminal says of them."""
    look = summary["attention"]
    if look is None:
        return []
    return [
        f"attention (Grad-CAM) beside the object: {look['outside']:.0%} on "
        f"{counted(look['images'], look['split'] + ' image')}; the background is "
        f"{look['area']:.0%} of what is seen"
    ]


def headline(recipe: Recipe, metrics: dict[str, Any]) -> str:
    """The declared score of a split, and its accuracy where that is another."""
    name = recipe.config.metrics[0].name
    beside = "" if name == "accuracy" else f", accuracy {figure(metrics['accuracy'])}"
    return f"{name} {figure(metrics[name])}{beside}"


def page(shared: dict[str, Any], outcome: Outcome) -> str:
    """The text of `report.html`.

    Args:
        shared: What the pages of all tasks show, by the fields of `RunReport`.
        outcome: The run.
    """
    return render(
        ClassificationReport(
            **{**shared, "data": _data(shared["data"], outcome)},
            scores=_results(outcome, shared["summary"]["temperature"]),
            mistakes=mistakes(outcome),
            augmented=augmented_pieces(outcome.recipe, outcome.prepared),
        ),
    )


def mistakes(outcome: Outcome) -> list[Mistake]:
    """The wrong predictions of the split that is shown, the most confident first."""
    split = outcome.split
    if split is None:
        return []
    prepared, result = outcome.prepared, outcome.scored[split]
    names, indices = prepared.class_names, prepared.indices(split)
    labels, truth = np.array(result.answers).reshape(-1), result.details["truth"]
    sure = result.details["probabilities"][np.arange(len(labels)), labels]
    counted = result.final.sum(axis=(1, 2)) > 0
    wrong = np.flatnonzero((labels != truth) & counted)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
    places = [indices[i] for i in wrong]
    looks = attention.overlays(
        outcome.recipe, outcome.predictor, prepared, places, classes=labels[wrong]
    )
    listed = []
    for i, look in zip(wrong, looks, strict=True):
        listed.append(
            Mistake(
                id=result.ids[i],
                split=split,
                image=native_scanned(prepared, indices[i]).picture,
                truth=names[truth[i]],
                prediction=names[labels[i]],
                confidence=float(sure[i]),
                attention=look,
            )
        )
    return listed


def _data(data: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """What the page says of the data, with pseudo-labels and pieces."""
    recipe, prepared = outcome.recipe, outcome.prepared
    if prepared.pseudo is not None:
        data = {**data, "pseudo": sentence(prepared.pseudo)}
    if recipe.config.data.input.name == "full":
        return data
    spec = recipe.config.data.input
    given = ", ".join(f"{key}={value!r}" for key, value in spec.kwargs.items())
    return {
        **data,
        "input": f"{spec.name}({given})" if given else spec.name,
        "aggregate": recipe.config.data.aggregate,
        "class_pieces": outcome.examples.details["class_pieces"],
    }


def _results(outcome: Outcome, temperature: float | None) -> dict[str, SplitResult]:
    """What the page says of each split, temperatures never judged where they were fitted."""
    recipe, prepared = outcome.recipe, outcome.prepared
    results = {}
    for split, result in outcome.scored.items():
        probabilities = result.details["probabilities"]
        groups = (prepared.record()["groups"] or {}).get(split)
        if groups is not None:
            pairs = zip(result.ids, groups, strict=True)
            groups = [f"image {i}" if g is None else f"group {g}" for i, g in pairs]
        calibrated = None
        if split != "val" and temperature is not None:
            calibrated = calibration.with_temperature(probabilities, temperature)
        results[split] = split_result(
            result.plain,
            probabilities,
            result.details["truth"],
            contract=recipe.contract,
            class_names=prepared.class_names,
            metric=recipe.config.metrics[0].name,
            groups=groups,
            processed=result.processed,
            calibrated=calibrated,
            temperature=temperature,
            pieces=piece_scores(recipe, prepared.class_names, result),
        )
    return results


def _temperature(recipe: Recipe, scored: dict[str, Scored]) -> float | None:
    """What the logits would be divided by, fitted on the validation split; None without one.

    It changes no label. Predictions and exports are without it.
    """
    if "val" not in scored:
        return None
    probabilities, truth = (scored["val"].details[key] for key in ("probabilities", "truth"))
    counted = ~np.isin(truth, recipe.ignored)
    if not counted.any():
        return None
    return float(calibration.fit_temperature(probabilities[counted], truth[counted]))


def about_classes(
    recipe: Recipe, recorded: dict[str, Any], *, detects: bool = False
) -> dict[str, Any]:
    """What `export.json` says of a classifier besides; `recorded` is its `data.json`, `detects`
    whether a detector before it finds the pieces."""
    data = recipe.config.data
    whole = detects or data.input.name == "full"
    return {
        "class_labels": recorded["class_labels"],
        "input": {"name": data.input.name, **data.input.kwargs},
        "aggregate": data.aggregate,
        "fit": data.fit,
        "takes": "whole images of any size"
        + (", in which boxes are found and cut out" if detects else "")
        + ", brought to the training size inside"
        if whole
        else f"pieces of images, of any size, as data.input `{data.input.name}` cuts them: the "
        "export does not cut, and answers for each piece alone; `tfvision predict` cuts and puts "
        "the answers for an image together (aggregate)",
    }
