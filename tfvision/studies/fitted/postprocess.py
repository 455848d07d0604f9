"""`postprocess`: rules fitted on out-of-fold predictions, and whether they really help."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tfvision.engine.files import write_json, write_text
from tfvision.errors import InputError
from tfvision.postprocess import ON_COMPONENTS
from tfvision.postprocess.fit import Predictions, assign_parts, check_candidates
from tfvision.runs.fitted_files import as_written
from tfvision.studies.fitted.verdict import (
    LEVEL,
    RESAMPLES,
    SEED,
    Gain,
    Judgement,
    Tried,
    gain_of,
    judge,
)
from tfvision.studies.folds.predictions import FEW, FoldPredictions, read_predictions
from tfvision.tasks.facts import TaskFacts, facts_of
from tfvision.tasks.task import task_of


def postprocess(
    folder: Path,
    *,
    out: Path | None = None,
    candidates: Sequence[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fits post-processing on the out-of-fold predictions of a folder of folds.

    Every candidate is measured against what the runs do now: the contract's own rules and those
    of their config.

    Args:
        folder: What `train_seg.py --folds` made.
        out: YAML file for the rules, with a JSON file of everything tried beside it; None:
            `postprocess.yaml` in the folder.
        candidates: Rules to try; None: all of `CANDIDATES`, for a classification those without
            components.
        quiet: Print nothing.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: The folder has no out-of-fold predictions, its runs do not fit together,
            there is one fold or one unit, no such candidate, or one of components for a
            classification.
    """
    out = folder / "postprocess.yaml" if out is None else out
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out {out} must be a YAML file, such as rules.yaml.")
    found = read_predictions(folder)
    recipe, units = found.recipe, found.units
    predictions = _fitting(found)
    names = _chosen(candidates, predictions, facts_of(recipe.config.task))
    parts = assign_parts(units, found.folds)
    score = recipe.config.metrics[0].name
    scoring = {"contract": recipe.contract, "score": score, "folds": found.folds}
    judgement = judge(names, predictions, parts=parts, units=units, **scoring)
    own = None
    if recipe.rules or recipe.component_rules:
        bare = _fitting(found, with_rules=False).evidence([])
        own = gain_of(bare, predictions.evidence([]), units=units, **scoring)
    result = {
        "folds": str(folder),
        "score": score,
        "contract": asdict(recipe.contract),
        "class_names": found.store.class_names,
        "num_images": len(units),
        "num_units": len(set(units)),
        "num_parts": len(parts),
        "resamples": RESAMPLES,
        "seed": SEED,
        "own_rules": own and own.to_json(),
        "candidates": [one.to_json() for one in judgement.tried],
        "together": judgement.together and judgement.together.to_json(),
        "cautions": _cautions(len(set(units)), judgement),
        "postprocess": [*as_written(recipe.config.postprocess), *judgement.rules],
    }
    _write_rules(out, folder, result["postprocess"], judgement)
    write_json(out.with_suffix(".json"), result)
    if not quiet:
        print(f"{_text(result, own, judgement)}\nrules: {out}", file=sys.stderr)
    return result


def _fitting(found: FoldPredictions, *, with_rules: bool = True) -> Predictions:
    """Out-of-fold predictions as rules are fitted on them, with or without those of the runs."""
    task = task_of(found.recipe.config.task)
    return task.fitting(found.recipe, found.store, found.truths, with_rules=with_rules)


def _chosen(names: Sequence[str] | None, predictions: Predictions, facts: TaskFacts) -> list[str]:
    """The candidates to try, of those that these predictions can have."""
    if names is None:
        return list(predictions.candidates)
    without = facts.supports("components")
    if without and (named := [name for name in names if name in ON_COMPONENTS]):
        raise InputError(f"--candidates names {', '.join(named)}: {without}")
    return check_candidates(names, predictions.candidates)


def _cautions(num_units: int, judgement: Judgement) -> list[str]:
    lines = [
        "The rules are fitted to models that saw a part of the data each. Another model, one "
        "trained on all of it or an ensemble, may be calibrated otherwise."
    ]
    if num_units < FEW:
        lines.append(f"Only {num_units} units: the intervals are rough themselves.")
    if judgement.rules:
        lines.append(
            "Which rules to apply was chosen on the same images: the gain of the chosen is "
            "slightly too high. A test split that took no part says more."
        )
    return lines


def _text(result: dict[str, Any], own: Gain | None, judgement: Judgement) -> str:
    lines = [
        f"{result['num_images']} out-of-fold predictions, {result['num_units']} units, "
        f"{result['num_parts']} nested parts; {result['score']} under the metric contract",
        f"{'rule':22}{'nested gain':>12}{'95 % interval':>20}{'all classes':>13}{'contract':>10}"
        f"{'p (Holm)':>10}  verdict",
    ]
    if own is not None:
        lines.append(_row("what the runs do now", own) + f"{'':10}  (against the bare argmax)")
    for one in judgement.tried:
        lines.append(_row(one.name, one.gain) + f"{one.p_adjusted:10.3f}  {one.verdict}")
    if judgement.together is not None:
        lines.append(_row("together", judgement.together))
    for one in judgement.tried:
        lines.append(f"{one.name}: {_finding(one)}")
    return "\n".join([*lines, *result["cautions"]])


def _row(name: str, gain: Gain) -> str:
    found = gain.declared
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    return (
        f"{name:22}{found.difference:+12.4f}{interval:>20}{gain.plain.difference:+13.4f}"
        f"{gain.contract_effect:+10.4f}"
    )


def _finding(one: Tried) -> str:
    if one.verdict == "refused":
        return f"refused: {one.reason}"
    gain = one.gain
    text = (
        f"applied: {100 * gain.declared.difference:+.2f} points, of which "
        f"{100 * gain.plain.difference:+.2f} are there over all classes too and "
        f"{100 * gain.contract_effect:+.2f} are an effect of the metric contract"
    )
    if one.added is not None:
        more = one.added.declared.difference
        text += f"; on top of {' and '.join(one.on_top_of)} it adds {100 * more:+.2f}"
    return text


def _write_rules(out: Path, folder: Path, rules: list[dict], judgement: Judgement) -> None:
    lines = [f"Post-processing fitted on {folder}; level {LEVEL}, see {out.stem}.json."]
    lines += [f"{one.name}: {_finding(one)}" for one in judgement.tried]
    section = yaml.safe_dump({"postprocess": rules}, sort_keys=False, default_flow_style=None)
    write_text(out, "".join(f"# {line}\n" for line in lines) + section)
