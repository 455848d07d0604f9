"""What a summary, a terminal and a report say of a detection."""

from collections.abc import Sequence
from typing import Any

from tfvision.config.file import load_any
from tfvision.engine.run_folder import RunFolder
from tfvision.metrics.coco import NUMBERS, CocoEvaluation
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.operating_point import THRESHOLD, threshold_of
from tfvision.metrics.thresholds import best_thresholds, threshold_curve
from tfvision.recipe.recipe import Recipe
from tfvision.report.detection_page import DetectionReport, render
from tfvision.report.detection_scores import (
    SplitDetections,
    counted_classes,
    split_detections,
)
from tfvision.report.strings_read import strings_read
from tfvision.tasks.detection import reading, shown
from tfvision.tasks.detection.facts import FACTS
from tfvision.tasks.detection.regions import augmented_training
from tfvision.tasks.parts import Outcome
from tfvision.tasks.scored import Scored
from tfvision.text import counted, figure, finite, first_lines

SHOWN = 6  # images each of the worst and the best
LISTED = 12  # classes that `evaluate` prints
GIVEN = "all that the given threshold leaves"


def metrics_of(recipe: Recipe, scored: Scored, class_names: Sequence[str]) -> dict[str, Any]:
    """The entry of a split in `summary.json`: COCO's twelve numbers, the declared score where it
    is another, AP, AP50 and number of boxes of each class; None where nothing is counted."""
    evidence, contract = scored.evidence, recipe.contract
    names = dict.fromkeys([*NUMBERS, *(spec.name for spec in recipe.config.metrics)])
    if recipe.config.reading is not None:
        names[reading.SCORE] = None
    if strings_alone(scored):
        value = finite(evidence.measure(reading.SCORE, contract).value())
        return {reading.SCORE: value, "num_images": len(evidence)}
    boxes = evidence.truths[:, :, 0].sum(axis=0)
    return {
        **{name: finite(evidence.measure(name, contract).value()) for name in names},
        **{
            f"per_class_{name}": [finite(m.value()) for m in evidence.classes(name, contract)]
            for name in ("ap", "ap50")
        },
        "per_class_boxes": boxes.tolist(),
        "num_images": len(evidence),
        "num_boxes": int(boxes[counted_classes(evidence, contract)].sum()),
    }


def strings_alone(scored: Scored) -> bool:
    """Whether the truth are strings without boxes."""
    truths = scored.details.get("truths", ())
    return bool(truths) and all("string" in truth for truth in truths)


def score_lines(metrics: dict[str, Any], class_names: Sequence[str]) -> list[str]:
    """What `evaluate` prints of it."""

    def listed(names: dict[str, str]) -> str:
        return ", ".join(f"{text} {figure(metrics[name], '-')}" for name, text in names.items())

    strings = f"string accuracy {figure(metrics.get(reading.SCORE), '-')}"
    images = counted(metrics["num_images"], "image")
    if "num_boxes" not in metrics:
        return [f"{images}: {strings}"]
    boxes = counted(metrics["num_boxes"], "box")
    columns = (metrics[f"per_class_{key}"] for key in ("ap", "ap50", "boxes"))
    rows = list(zip(class_names, *columns, strict=True))
    lines = [
        f"  {name:20} AP {figure(ap, '-')}, AP50 {figure(ap50, '-')}  ({counted(number, 'box')})"
        for name, ap, ap50, number in sorted(rows, key=lambda row: (row[1] is None, row[1] or 0))
    ]
    return [
        f"{images}, {boxes}: " + listed({"ap": "AP", "ap50": "AP50", "ap75": "AP75"}),
        "  AP of " + listed({"ap_small": "small", "ap_medium": "medium", "ap_large": "large"}),
        "  " + listed({"ar1": "AR1", "ar10": "AR10", "ar100": "AR100"}),
        *([f"  {strings}"] if reading.SCORE in metrics else []),
        *_point_lines(metrics.get("operating_point")),
        *first_lines(lines, LISTED),
    ]


def _point_lines(point: dict[str, Any] | None) -> list[str]:
    """How good detections are where they are used; nothing of a split that training scored."""
    if point is None:
        return []
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    values = ", ".join(f"{text} {figure(point[name], '-')}" for name, text in names.items())
    start = "" if point["chosen"] == GIVEN else f"from a score of {point['threshold']:.3f} on, "
    return [f"  {start}{point['chosen']}: {values}"]


def operating_point(recipe: Recipe, scored: dict[str, Scored]) -> dict[str, Any]:
    """The threshold of the score, and what it gives: the entry of `summary.json`.

    It is the one of the best F1 at IoU 0.5 of all counted boxes of the validation split; no other
    split has a say, for a threshold chosen on what it is judged by flatters.

    Returns:
        `threshold`; `by_class`, the same of each class alone; `chosen_on`, "val", or None where
        there is no validation split or nothing right on it, so that all are 0.5; `iou`; `splits`
        and `splits_by_class`: precision, recall and F1 of each split with the one threshold and
        with those by class.
    """
    together, by_class, chosen_on = THRESHOLD, [THRESHOLD] * recipe.num_classes, None
    if "val" in scored:
        evidence = scored["val"].evidence
        best = finite(threshold_curve(evidence, counted_classes(evidence, recipe.contract)).best)
        if best is not None:
            together, by_class, chosen_on = best, best_thresholds(evidence)[1], "val"
    return {
        "threshold": together,
        "by_class": by_class,
        "chosen_on": chosen_on,
        "iou": 0.5,
        "splits": {k: _at(recipe, s.evidence, together) for k, s in scored.items()},
        "splits_by_class": {k: _at(recipe, s.evidence, by_class) for k, s in scored.items()},
    }


def at_point_of(run: RunFolder, recipe: Recipe, scored: Scored) -> dict[str, Any]:
    """Precision, recall and F1 of a scored split at the operating point that its run has: these,
    `threshold`, and `chosen`, in words. A threshold that the user gives goes before it."""
    threshold, why = _used_from(run, recipe)
    return {"threshold": threshold, "chosen": why, **_at(recipe, scored.evidence, threshold)}


def _used_from(run: RunFolder, recipe: Recipe) -> tuple[float, str]:
    """The score from which on detections are used, and who says so: 0, all that the rules leave,
    where the user gave a threshold; else the operating point of the run."""
    own = load_any(run.config).postprocess
    given = [rule for rule in recipe.config.postprocess if rule not in own]
    if any(rule.name == "score_threshold" for rule in given):
        return 0.0, GIVEN
    summary = run.read_json("summary.json") if (run.path / "summary.json").exists() else {}
    return threshold_of(summary.get("operating_point"))


def drawn_from(run: RunFolder, recipe: Recipe) -> tuple[float, str]:
    """The score from which on `predict` draws boxes, see `_used_from`, and the sentence that says
    so."""
    threshold, why = _used_from(run, recipe)
    if why == GIVEN:
        return threshold, "boxes below the given threshold of the score are left out"
    return threshold, (
        f"pictures have the boxes from a score of {threshold:.3f} on ({why}); --threshold sets "
        "another. predictions.json and predictions.csv have all, with their scores"
    )


def _at(recipe: Recipe, evidence: DetectionEvidence, thresholds) -> dict[str, float | None]:
    there = evidence.at(thresholds)
    return {
        name: finite(there.measure(name, recipe.contract).value())
        for name in ("precision", "recall", "f1")
    }


def insights(outcome: Outcome) -> tuple[dict[str, Any], None]:
    """The operating point, and what goes wrong on each split; for `summary.json`."""
    read = reading.entry(outcome.recipe, outcome.scored)
    return {
        "operating_point": operating_point(outcome.recipe, outcome.scored),
        "errors": {k: _evaluation(outcome, s).errors() for k, s in outcome.scored.items()},
        **({} if read is None else {"reading": read}),
    }, None


def insight_lines(summary: dict[str, Any]) -> list[str]:
    """What the terminal says of them."""
    point, lines = summary["operating_point"], []
    for split, at in point["splits"].items():
        values = (f"{name} {figure(at[name], '-')}" for name in ("precision", "recall", "f1"))
        lines.append(f"{split} {', '.join(values)}".replace("f1", "F1"))
    if lines:
        why = "the best F1 on validation" if point["chosen_on"] else "validation chose none"
        lines = [f"from a score of {point['threshold']:.3f} on ({why}): {'; '.join(lines)}"]
    if read := summary.get("reading"):
        words = {"val": "the best on validation", "config": "of the config"}
        values = (f"{k} accuracy {figure(value, '-')}" for k, value in read["splits"].items())
        why = words.get(read["chosen_on"], "validation chose none")
        lines.append(
            f"strings from a score of {read['threshold']:.3f} on ({why}): {', '.join(values)}"
        )
    for split, found in list(summary["errors"].items())[-1:]:
        gains = sorted(found["gains"].items(), key=lambda item: -item[1])[:3]
        worst = [f"{kind} {gain:+.3f} ({found['counts'][kind]})" for kind, gain in gains if gain]
        said = ", ".join(worst) or "nothing"
        lines.append(f"what mending errors would add to AP50 on {split}: {said}")
    return lines


def page(shared: dict[str, Any], outcome: Outcome) -> str:
    """The text of `report.html`.

    Args:
        shared: What the pages of all tasks show, by the fields of `RunReport`.
        outcome: The run.
    """
    recipe, prepared, summary = outcome.recipe, outcome.prepared, shared["summary"]
    metric = recipe.config.metrics[0].name
    threshold = summary["operating_point"]["threshold"]
    order = shown.by_f1(outcome, threshold)
    scores = {name: _split(outcome, name, summary) for name in outcome.scored}
    half = (len(order) + 1) // 2  # of few images none stands on both sides
    ends = {"worst": order[: min(SHOWN, half)], "best": order[half:][::-1][:SHOWN]}
    return render(
        DetectionReport(
            **shared,
            scores=scores,
            metric=metric,
            title=FACTS.score(metric).title,
            galleries={
                kind: [shown.boxed(outcome, *each, threshold) for each in chosen]
                for kind, chosen in ends.items()
            },
            stages=shown.stages(outcome),
            strings=strings_read(
                summary.get("reading"),
                scores,
                shown.strings_of(outcome),
                empty=recipe.config.reading.empty if recipe.config.reading else "",
            ),
            misread=shown.misread(outcome, SHOWN),
            augmented=augmented_training(recipe.config, prepared, recipe.ignored),
        )
    )


def _evaluation(outcome: Outcome, scored: Scored) -> CocoEvaluation:
    return CocoEvaluation(scored.answers, scored.details["truths"], outcome.recipe.num_classes)


def _split(outcome: Outcome, name: str, summary: dict[str, Any]) -> SplitDetections:
    scored = outcome.scored[name]
    groups = (outcome.prepared.record()["groups"] or {}).get(name)
    if groups is not None:
        pairs = zip(scored.ids, groups, strict=True)
        groups = [f"image {i}" if g is None else f"group {g}" for i, g in pairs]
    return split_detections(
        scored.evidence,
        _evaluation(outcome, scored),
        metrics=summary["metrics"][name],
        errors=summary["errors"][name],
        threshold=summary["operating_point"]["threshold"],
        contract=outcome.recipe.contract,
        groups=groups,
    )
