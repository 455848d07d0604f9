"""`evaluate`: a run scored under its metric contract."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfvision.config import apply_override
from tfvision.engine.distribute import make_strategy
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.read import native
from tfvision.runs.load import (
    LoadedRun,
    data_path,
    is_own_data,
    load_run,
    open_like,
    own_data,
)
from tfvision.runs.other_data import open_other
from tfvision.runs.request import UseRequest
from tfvision.runs.scoring import save_scored, score_splits
from tfvision.runs.views_and_tiles import as_requested, how
from tfvision.tasks.scored import Scored


def evaluate(request: UseRequest) -> dict[str, Any]:
    """Scores a run under its metric contract; the scores go into the run.

    On the run's own splits they go into `summary.json`, on other data or labels into
    `evaluation.json`. With `request.out` predictions and counts go there too.
    """
    make_strategy(request.device)
    loaded = as_requested(load_run(request.run, depth=request.depth), request)
    request, own = _own_data_apart(loaded, request)
    if request.labels is not None:
        scored = {"labels": _score_labels(loaded, request)}
    elif request.data is not None:
        scored = {"data": _score_data(loaded, request)}
    else:
        scored = _score_splits(loaded, request, own)
    names, task = loaded.data["class_names"], loaded.task
    metrics = {split: task.metrics(loaded.recipe, one, names) for split, one in scored.items()}
    used = {
        split: {**metrics[split], **task.at_operating_point(loaded.folder, loaded.recipe, one)}
        for split, one in scored.items()
    }
    if request.out is not None:
        for split, one in scored.items():
            save_scored(RunFolder(request.out), task, split, one, data=loaded.data)
    summary = _save_scores(loaded, request, metrics, scored, used=used)
    if not request.quiet:
        for split, values in used.items():
            first, *others = task.score_lines(values, names)
            print("\n".join([f"{_named(split, request)}: {first}", *others]))
    return summary


def _own_data_apart(loaded: LoadedRun, request: UseRequest) -> tuple[UseRequest, Path | None]:
    """The request without `--data` where that is the run's own data, which has moved; and its
    place."""
    if request.data is None or request.labels is not None or request.overrides:
        return request, None
    if not is_own_data(loaded, request.data):
        return request, None
    if not request.quiet:
        print(
            f"{request.data}: the run's own data (its fingerprint is the same), so val and test of "
            "the run are scored, not what it trained on",
            file=sys.stderr,
        )
    return replace(request, data=None), request.data


def _score_splits(loaded: LoadedRun, request: UseRequest, place: Path | None) -> dict[str, Scored]:
    prepared = own_data(loaded, place)
    splits = [request.split] if request.split else ["val", "test"]
    scored = score_splits(loaded.task, loaded.recipe, prepared, loaded.predictor, splits=splits)
    if not scored:
        raise InputError(
            f"The run has no labelled samples in: {', '.join(splits)}. Give labels with --labels, "
            "or other data with --data."
        )
    return scored


def _score_data(loaded: LoadedRun, request: UseRequest) -> Scored:
    source, _, notes = open_other(loaded, request.data, request.overrides)
    for note in () if request.quiet else notes:
        print(note, file=sys.stderr)
    indices = [
        i
        for i, record in enumerate(source.records)
        if record.labelled and request.split in (None, record.split)
    ]
    if not indices:
        raise InputError(f"{request.data} has no labelled samples to score.")
    samples = ((source.records[i].id, native(source, i, loaded.recipe.channels)) for i in indices)
    return loaded.task.score(loaded.recipe, loaded.predictor, samples)


def _score_labels(loaded: LoadedRun, request: UseRequest) -> Scored:
    """The run's own images of a split, against labels that training never opened."""
    source = open_like(loaded, request.data or data_path(loaded), truth_needed=False)
    split = request.split or "test"
    indices = [i for i, r in enumerate(source.records) if r.split == split and not r.labelled]
    if not indices:
        raise InputError(f"{source.layout}: it has no unlabelled `{split}` images to score.")
    samples, notes = loaded.task.truth_given_later(
        request.labels,
        source,
        indices,
        loaded.recipe,
        data=loaded.data,
        options=_reading_of(request.overrides),
    )
    for note in () if request.quiet else notes:
        print(note, file=sys.stderr)
    return loaded.task.score(loaded.recipe, loaded.predictor, samples)


def _reading_of(overrides: Sequence[str]) -> dict[str, Any]:
    """`data.source.KEY=VALUE` each, as options of what reads `--labels`."""
    raw: dict[str, Any] = {"data": {"source": {}}}
    for override in overrides:
        if not override.strip().startswith("data.source."):
            raise InputError(
                "--set of evaluate --labels says how the labels are read, and sets keys of "
                f"data.source, such as data.source.coordinates. Received: {override!r}."
            )
        apply_override(raw, override)
    return raw["data"]["source"]


def _save_scores(
    loaded: LoadedRun,
    request: UseRequest,
    metrics: dict[str, Any],
    scored: dict[str, Scored],
    used: dict[str, Any],
) -> dict[str, Any]:
    """Where scores go: of the run's own splits as it predicts, into its summary; else beside it,
    with what they are at the operating point (`used`), which the summary has already."""
    run = loaded.folder
    elsewhere = (request.labels, request.data, request.depth) != (None, None, None)
    if not (elsewhere or how(request)):
        summary = run.read_json("summary.json")
        summary["metrics"].update(metrics)
        run.write_json("summary.json", summary)
        for split, one in scored.items():
            save_scored(run, loaded.task, split, one, data=loaded.data)
        return summary
    path = run.path / "evaluation.json"
    entries = json.loads(path.read_text()) if path.exists() else []
    entries.append(
        {
            "data": str(request.data) if request.data else None,
            "labels": str(request.labels) if request.labels else None,
            "split": request.split,
            "depth": request.depth,
            **how(request),
            "metrics": used,
        }
    )
    run.write_json("evaluation.json", entries)
    return entries[-1]


def _named(split: str, request: UseRequest) -> str:
    """`val`, or `val (tta flip_lr)`."""
    asked = ", ".join(f"{key} {value}" for key, value in how(request).items())
    return f"{split} ({asked})" if asked else split
