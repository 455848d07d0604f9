"""`ensemble`: several runs, or the runs of folds, as one that can be used like a run."""

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tfvision.config import dump_config
from tfvision.engine.distribute import make_strategy
from tfvision.engine.ensemble_weights import OBJECTIVES, normalise
from tfvision.engine.files import write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.recorded import at
from tfvision.runs.load import VERSION, load_run, weights_sha256
from tfvision.runs.request import EnsembleRequest
from tfvision.runs.scoring import save_scored, score_splits
from tfvision.studies.ensemble.members import Member, check_request, describe, read_given
from tfvision.studies.ensemble.unseen import prepare_unseen
from tfvision.studies.ensemble.weights import read_out_of_fold, score_mean, weigh
from tfvision.tasks.task import Task, task_of
from tfvision.text import figure


def make(request: EnsembleRequest) -> dict[str, Any]:
    """Makes an ensemble, scores it on what no member trained on, and writes its folder.

    Returns:
        What `summary.json` of the ensemble holds.

    Raises:
        InputError: Members that do not go together, weights that cannot be had, a folder that
            is taken. Nothing has been written then.
    """
    groups = read_given(request.members)
    check_request(request, groups)
    make_strategy(request.device)
    members = [member for group in groups for member in group]
    first = members[0]
    task = task_of(first.config.task)
    recipe = task.recorded_recipe(first.config, first.data)
    weights, how = _weights(request, groups, recipe)
    kept = [(m, w) for m, w in zip(members, weights, strict=True) if w > 0]
    loaded = [load_run(RunFolder(member.path)) for member, _ in kept]
    entries = [
        describe(member, weight, request.out, weights_sha256(run.predictor.model))
        for (member, weight), run in zip(kept, loaded, strict=True)
    ]
    predictors = [run.predictor for run in loaded]
    ensemble = task.ensemble(recipe, predictors, [entry["weight"] for entry in entries])
    prepared, notes = prepare_unseen(members, request.data)
    found = score_splits(task, recipe, prepared, ensemble, splits=("val", "test"))
    record = {
        "version": VERSION,
        "members": entries,
        "weights": how,
        "left_out": [str(m.path) for m, w in zip(members, weights, strict=True) if not w],
        "notes": notes,
    }
    summary = _summary(task, recipe, entries, ensemble, first=first, found=found)
    record["scores"] = {split: _beside(kept, prepared, summary, split) for split in found}
    config = first.config.model_copy(update={"data": at(first.config.data, request.data)})
    first = replace(first, config=config)
    _write(request.out, task, first, prepared, record=record, summary=summary, found=found)
    if not request.quiet:
        print(_text(request.out, record, summary), file=sys.stderr)
    return summary


def _weights(request, groups: list[list[Member]], recipe: Recipe) -> tuple[list[float], dict]:
    """A weight for each member, sum 1, and how they were found."""
    if request.weights in OBJECTIVES:
        how = weigh(read_out_of_fold([group[0].folds for group in groups]), request.weights, recipe)
        shares = how["weights"]
    else:
        shares = normalise(request.member_weights or [1.0] * len(groups))
        given = request.member_weights is not None
        how = {"asked": "mean", "used": "given" if given else "mean", "weights": shares}
        if groups[0][0].folds is not None and len(groups) > 1:
            how["out_of_fold"] = _score_out_of_fold(groups, shares, recipe)
    weights = [share / len(g) for share, g in zip(shares, groups, strict=True) for _ in g]
    return weights, how


def _score_out_of_fold(groups, shares, recipe: Recipe) -> dict[str, Any]:
    """Scores of the mean out of fold, or why there are none: the mean needs no fit."""
    try:
        return score_mean(read_out_of_fold([group[0].folds for group in groups]), shares, recipe)
    except InputError as error:
        return {"none": str(error)}


def _summary(task: Task, recipe, entries, ensemble, first: Member, found) -> dict[str, Any]:
    identity = [(entry["weights_sha256"], entry["weight"]) for entry in entries]
    return {
        "task": recipe.config.task,
        "arch": "ensemble",
        "num_parameters": sum(m.model.count_params() for m in ensemble.members),
        "epochs": 0,
        "best_epoch": None,
        "data_fingerprint": first.data["fingerprint"],
        "variables_sha256": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        "contract": asdict(recipe.contract),
        "metrics": {
            split: task.metrics(recipe, scored, first.data["class_names"])
            for split, scored in found.items()
        },
        "exports": [],
    }


def _beside(kept, prepared: Prepared, summary, split: str) -> dict[str, Any]:
    """The ensemble's score and those of its members, None where they were scored on others."""
    name = next(iter(kept))[0].config.metrics[0].name
    own = prepared.record()["splits"][split]
    scores = []
    for member, _ in kept:
        same = member.data["splits"][split] == own and split in member.summary["metrics"]
        scores.append(_score(member.summary["metrics"][split], name) if same else None)
    whole = _score(summary["metrics"][split], name)
    return {"metric": name, "ensemble": whole, "members": scores}


def _score(metrics: dict[str, Any], name: str) -> float | None:
    return metrics.get("post_processed", metrics)[name]


def _write(
    out: Path, task: Task, first: Member, prepared: Prepared, record, summary, found
) -> None:
    """All files; `config.yaml` last, as with it the folder can be used."""
    run = RunFolder(out)
    run.create()
    try:
        run.write_json("data.json", prepared.record())
        run.write_json("summary.json", summary)
        for split, scored in found.items():
            save_scored(run, task, split, scored, data=first.data)
        run.write_json("ensemble.json", record)
        write_text(run.config, dump_config(first.config))
    finally:
        run.unlock()


def _text(out: Path, record: dict[str, Any], summary: dict[str, Any]) -> str:
    lines = [f"ensemble of {len(record['members'])} runs: {out}"]
    for i, entry in enumerate(record["members"]):
        scores = "".join(
            f"  {split} {figure(of['members'][i], '-')}" for split, of in record["scores"].items()
        )
        lines.append(f"  {entry['run']:30} weight {entry['weight']:.3f}{scores}")
    lines += [f"  {path}: weight 0, left out" for path in record["left_out"]]
    how = record["weights"]
    if "text" in how:
        lines.append(how["text"])
    elif "alone" in how.get("out_of_fold", {}):
        alone = ", ".join(figure(score, "-") for score in how["out_of_fold"]["alone"])
        mean = figure(how["out_of_fold"]["mean"], "-")
        lines.append(
            f"out of fold: {how['out_of_fold']['metric']} {mean} of the mean (the folds folders "
            f"alone: {alone})"
        )
    for split, of in record["scores"].items():
        images = summary["metrics"][split]["num_images"]
        lines.append(f"{split:4} {of['metric']} {figure(of['ensemble'], '-')}  ({images} images)")
    return "\n".join([*lines, *record["notes"]])
