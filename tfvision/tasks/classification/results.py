"""What a trained classification run leaves behind: scores, predictions, exports, report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.data.scan.sketch import read_thumb
from tfvision.engine.evaluate import Scored
from tfvision.engine.progress import duration
from tfvision.metrics import METRICS, calibration, classification
from tfvision.metrics.confusion import confusion_matrix
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe
from tfvision.report.classification_page import (
    ClassificationReport,
    Mistake,
    write_classification_report,
)
from tfvision.report.classification_scores import split_result
from tfvision.runs.finish import Clock, Trained, part_failed, report_data
from tfvision.runs.scoring import (
    native_samples,
    open_model,
)
from tfvision.tasks.classification import attention
from tfvision.tasks.classification.inference import ClassInference
from tfvision.tasks.classification.pieces import augmented_pieces
from tfvision.tasks.classification.pseudo_labels import sentence
from tfvision.text import figure

SHOWN = 24  # mistakes in the report


def finish(trained: Trained, class_pieces: dict[str, list[int]]) -> dict[str, Any]:
    """Scores the weights of a classification, writes everything, returns `summary.json`.

    `class_pieces` are the numbers of pieces of each class, by split.
    """
    recipe, prepared = trained.recipe, trained.prepared
    clock = Clock(trained.timing)
    inference = recipe.inference(open_model(recipe, trained.model))
    scored = trained.score(inference)
    clock.lap("score")
    summary = {
        **trained.summary(scored),
        "temperature": _temperature(recipe, scored),
        "attention": attention.beside_the_object(recipe, inference, prepared, list(scored)[-1])
        if scored
        else None,
    }
    if prepared.pseudo is not None:
        summary["pseudo"] = prepared.pseudo
    failure = trained.export(summary, inference)
    clock.lap("export")

    baselines = baseline_scores(recipe, prepared)
    write_classification_report(
        trained.run.report,
        ClassificationReport(
            **trained.report("train_cls.py", scored, summary, failure),
            data=_data(recipe, prepared, class_pieces),
            scores=_results(recipe, prepared, scored, summary["temperature"]),
            baselines=baselines,
            mistakes=mistakes(recipe, inference, prepared, scored),
            augmented=augmented_pieces(recipe, prepared),
        ),
    )
    clock.lap("report")
    if failure is not None:
        raise part_failed("the export", trained.run, failure)
    trained.say(_closing(recipe, trained.run, summary, baselines, trained.timing))
    return summary


def baseline_scores(recipe: Recipe, prepared: Prepared) -> list[dict[str, Any]]:
    """Scores of predictions that need no network, fitted on the training split.

    They are scores by the run's first metric: of the most frequent class, and of the nearest
    training image, by what the scan kept of each: 32x32 grey levels.
    """
    splits = [split for split in ("val", "test") if prepared.indices(split)]
    pixels = prepared.class_pixels("train").astype(np.float64)
    pixels[:, [k for k in recipe.ignored if 0 <= k < recipe.num_classes]] = 0
    metric = METRICS[recipe.config.metrics[0].name]

    def score(split: str, predicted: np.ndarray) -> float:
        truth = prepared.class_pixels(split).argmax(axis=1)
        counts = confusion_matrix(
            truth[:, None, None], predicted[:, None, None], recipe.num_classes, recipe.void
        )
        return float(metric.from_counts(counts, recipe.contract))

    most = int(pixels.sum(axis=0).argmax())
    counted = np.flatnonzero(pixels.sum(axis=1) > 0)
    known = _thumbs(prepared, "train")[counted]
    labels = pixels[counted].argmax(axis=1)
    return [
        {
            "name": "majority class",
            "explanation": f"{prepared.class_names[most]} for every image",
            **{s: score(s, np.full(len(prepared.indices(s)), most)) for s in splits},
        },
        {
            "name": "nearest image",
            "explanation": "the class of the training image that is most alike at 32x32 grey "
            "levels, brightness and contrast apart",
            **{s: score(s, labels[(_thumbs(prepared, s) @ known.T).argmax(1)]) for s in splits},
        },
    ]


def mistakes(
    recipe: Recipe, inference: ClassInference, prepared: Prepared, scored: dict[str, Scored]
) -> list[Mistake]:
    """The wrong predictions of the last scored split, the most confident first."""
    split = next((s for s in ("test", "val") if s in scored), None)
    if split is None:
        return []
    result, names, indices = scored[split], prepared.class_names, prepared.indices(split)
    labels = np.array(result.labels).reshape(-1)
    sure = result.probabilities[np.arange(len(labels)), labels]
    counted = result.final.sum(axis=(1, 2)) > 0
    wrong = np.flatnonzero((labels != result.truth) & counted)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
    places = [indices[i] for i in wrong]
    looks = attention.overlays(recipe, inference, prepared, places, labels[wrong])
    found = []
    for i, look in zip(wrong, looks, strict=True):
        _, image, _, scale = next(native_samples(prepared, [indices[i]]))
        picture = np.clip(np.rint(image.astype(np.float32) * (scale * 255)), 0, 255)
        found.append(
            Mistake(
                id=result.ids[i],
                split=split,
                image=picture.astype(np.uint8),
                truth=names[result.truth[i]],
                prediction=names[labels[i]],
                confidence=float(sure[i]),
                attention=look,
            )
        )
    return found


def _data(recipe: Recipe, prepared: Prepared, class_pieces) -> dict[str, Any]:
    data = report_data(recipe, prepared)
    if prepared.pseudo is not None:
        data["pseudo"] = sentence(prepared.pseudo)
    if recipe.config.data.input.name == "full":
        return data
    spec = recipe.config.data.input
    given = ", ".join(f"{key}={value!r}" for key, value in spec.kwargs.items())
    return {
        **data,
        "input": f"{spec.name}({given})" if given else spec.name,
        "aggregate": recipe.config.data.aggregate,
        "class_pieces": class_pieces,
    }


def _results(recipe: Recipe, prepared: Prepared, scored: dict[str, Scored], temperature):
    """What the report says of each split, temperatures never judged where they were fitted."""
    found = {}
    for split, result in scored.items():
        groups = (prepared.record()["groups"] or {}).get(split)
        if groups is not None:
            pairs = zip(result.ids, groups, strict=True)
            groups = [f"image {i}" if g is None else f"group {g}" for i, g in pairs]
        calibrated = None
        if split != "val" and temperature is not None:
            calibrated = calibration.with_temperature(result.probabilities, temperature)
        found[split] = split_result(
            result.plain,
            result.probabilities,
            result.truth,
            contract=recipe.contract,
            class_names=prepared.class_names,
            metric=recipe.config.metrics[0].name,
            groups=groups,
            processed=result.processed,
            calibrated=calibrated,
            temperature=temperature,
            pieces=piece_scores(recipe, prepared.class_names, result),
        )
    return found


def piece_scores(recipe: Recipe, names: Sequence[str], scored: Scored) -> dict[str, Any] | None:
    """The scores of pieces before they are put together; None where each is an image."""
    counts = [len(own) for own in scored.pieces]
    if max(counts, default=1) == 1:
        return None
    found, truth = np.concatenate(scored.pieces), np.repeat(scored.truth, counts)
    labels = found.argmax(-1)
    cms = confusion_matrix(
        truth[:, None, None], labels[:, None, None], recipe.num_classes, recipe.void
    )
    return classification.scores(cms, found, truth, recipe.contract, names)


def _temperature(recipe: Recipe, scored: dict[str, Scored]) -> float | None:
    """What the logits would be divided by, fitted on the validation split; None without one.

    It changes no label. Predictions and exports are without it.
    """
    if "val" not in scored:
        return None
    counted = ~np.isin(scored["val"].truth, recipe.ignored)
    if not counted.any():
        return None
    values = scored["val"].probabilities[counted], scored["val"].truth[counted]
    return float(calibration.fit_temperature(*values))


def _thumbs(prepared: Prepared, split: str) -> np.ndarray:
    """(n, 1024) of the labelled images of a split, each of mean 0 and norm 1."""
    facts = [prepared.scan.facts[i] for i in prepared.indices(split)]
    flat = np.stack([read_thumb(fact.sketch.thumb).reshape(-1) for fact in facts])
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def _closing(recipe: Recipe, run, summary, baselines, timing) -> str:
    name, lines = recipe.config.metrics[0].name, []
    for split, metrics in summary["metrics"].items():
        final = metrics.get("post_processed", metrics)
        beside = ", ".join(f"{row['name']} {row[split]:.3f}" for row in baselines)
        own = "" if name == "accuracy" else f", accuracy {figure(final['accuracy'])}"
        lines.append(f"{split:4} {name} {figure(final[name])}{own}  ({beside})")
    spent = ", ".join(f"{part} {duration(seconds)}" for part, seconds in timing.items())
    look = summary["attention"]
    if look is not None:
        lines.append(
            f"attention (Grad-CAM) beside the object: {look['outside']:.0%} on {look['images']} "
            f"{look['split']} images; the background is {look['area']:.0%} of what is seen"
        )
    lines.append(f"best epoch {summary['best_epoch']} of {summary['epochs']}; {spent}")
    lines.append(f"report: {run.report}")
    return "\n".join(lines)
