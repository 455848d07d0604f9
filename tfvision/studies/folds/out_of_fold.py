"""After the last fold: out-of-fold probabilities, scores and the page of a folds folder."""

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.distribute import make_strategy
from tfvision.engine.evidence_file import evidence_path, read_evidence, write_evidence
from tfvision.engine.progress import Progress
from tfvision.engine.run_folder import RunFolder
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.read import native_scanned
from tfvision.report.folds_page import FoldsPage, write_folds_page
from tfvision.runs.load import LoadedRun, load_run
from tfvision.runs.request import FoldsRequest
from tfvision.stats.evidence import Evidence
from tfvision.studies.folds.assign import Assignment
from tfvision.studies.folds.folder import fold_folder
from tfvision.studies.folds.scores import (
    cautions,
    contract_of,
    evidence_of_test,
    fold_metrics,
)
from tfvision.tasks.facts import TaskFacts, facts_of
from tfvision.tasks.segmentation import specialists
from tfvision.text import counted

LARGEST = 2**26  # numbers of a shard, about: 256 MB while it is made


def gather(request: FoldsRequest, assigned: Assignment) -> dict[str, Any]:
    """Predicts every sample in the folds out of fold, scores, and writes what a folds folder holds.

    Args:
        request: What the command line asks; all its folds are trained.
        assigned: How the samples were assigned, as `train_folds` gives it.

    Returns:
        `summary.json` of the folds folder.
    """
    make_strategy(request.device)
    folder, config = request.folder, request.config
    facts = facts_of(config.task)
    runs = [RunFolder(fold_folder(folder, fold)) for fold in range(config.data.folds)]
    say = Progress(quiet=request.quiet, log=RunFolder(folder).log).line
    summaries = [run.read_json("summary.json") for run in runs]
    evidence = _evidence_of_folds(runs, assigned, facts)
    predict_out_of_fold(folder / "out_of_fold", runs, assigned, summaries, say=say)
    folds = np.asarray(assigned.folds, np.int64)
    joined = type(evidence[0]).join(evidence).renamed(assigned.names).out_of_fold(folds)
    path = evidence_path(folder, "out_of_fold", type(joined))
    write_evidence(path, joined, fold=folds)
    metrics = fold_metrics(
        [joined.take(np.flatnonzero(folds == fold)) for fold in range(len(runs))],
        evidence_of_test(runs, summaries, facts),
        contract_of(summaries[0]),
        score=config.metrics[0].name,
        units=assigned.units,
    )
    summary = {
        "task": config.task,
        "arch": config.model.name,
        "folds": len(runs),
        "num_parameters": summaries[0]["num_parameters"],
        "wall_seconds": sum(s["wall_seconds"] for s in summaries),
        "data_fingerprint": assigned.prepared.scan.fingerprint,
        "contract": summaries[0]["contract"],
        "metrics": metrics,
    }
    page = FoldsPage(
        name=folder.resolve().name,
        how=assigned.how,
        score=config.metrics[0].name,
        class_names=assigned.prepared.class_names,
        assigned=assigned.rows(),
        metrics=metrics,
        summaries=summaries,
        warnings=assigned.warnings,
        cautions=cautions(
            metrics,
            type(joined),
            calibrated=any((run.path / specialists.FILE).is_file() for run in runs),
        ),
        contract=summaries[0]["contract"],
        facts=facts,
        command=f"python {facts.script} --config {shlex.quote(str(folder / 'folds.yaml'))} "
        f"--folds {len(runs)}",
    )
    run = RunFolder(folder)
    write_folds_page(run.report, page)
    run.write_json("summary.json", summary)
    run.write_json("folds.json", _record(config, assigned, summary, page))
    for line in (page.text(), f"report: {run.report}"):
        say(line)
    return summary


def predict_out_of_fold(
    folder: Path,
    runs: list[RunFolder],
    assigned: Assignment,
    summaries: list[dict[str, Any]],
    say: Callable[[str], None],
) -> None:
    """Writes what is missing of a store of out-of-fold probabilities.

    Each sample is predicted at its own size by the run that did not train on it. A store of
    other weights, as they were before a fold was trained again, is written anew.
    """
    origin = {
        "what": "out of fold: each sample by the run that did not train on it, before any rule",
        "runs": [run.path.name for run in runs],
        "variables_sha256": [summary["variables_sha256"] for summary in summaries],
        "data_fingerprint": assigned.prepared.scan.fingerprint,
    }
    fill_store(
        folder,
        runs,
        assigned.folds,
        lambda loaded, own: (
            (p,) for p in predict_samples(loaded, assigned, [assigned.indices[i] for i in own])
        ),
        say=say,
        ids=assigned.names,
        class_names=assigned.prepared.class_names,
        origin=origin,
        per_shard=_per_shard(assigned),
        arrays=facts_of(assigned.prepared.task).arrays or None,
    )


def fill_store(
    folder: Path,
    runs: list[RunFolder],
    folds: Sequence[int],
    predict: Callable[[LoadedRun, list[int]], Iterable[tuple]],
    say: Callable[[str], None],
    **given: Any,
) -> Shards:
    """Writes what is missing of a store that each fold's run predicts its own samples for.

    A store of another origin, as of weights before a fold was trained again, is written anew.

    Args:
        folder: Of the store.
        runs: The run of each fold.
        folds: The fold of each sample, in the order of the store.
        predict: `(run, positions) -> tuples`, one a sample: what `Shards.write` takes of it.
        say: Takes lines for the user.
        **given: For `Shards.create`.
    """
    try:
        store = Shards.create(folder, **given)
    except InputError:
        if not (folder / "shards.json").is_file():
            raise
        shutil.rmtree(folder)
        say(f"{folder} had probabilities of other weights: they are written anew")
        store = Shards.create(folder, **given)
    missing = store.missing()
    if missing:
        say(f"predicting {counted(sum(map(len, missing)), 'sample')} out of fold: {folder}")
    loaded: dict[int, LoadedRun] = {}
    for positions in missing:
        found: list[tuple] = []
        for fold in sorted({folds[p] for p in positions}):
            if fold not in loaded:  # samples stand fold by fold: the one before is done with
                loaded = {fold: load_run(runs[fold])}
            found += predict(loaded[fold], [p for p in positions if folds[p] == fold])
        rows, *weights = map(list, zip(*found, strict=True))
        if store.arrays is None:
            store.write(positions, rows, *weights)
        else:
            store.write_predictions(positions, rows)
    return store


def predict_samples(loaded: LoadedRun, assigned: Assignment, indices: list[int]) -> Iterator[Any]:
    """What a store takes of the predictions of samples of the source, at their own sizes."""
    samples = (native_scanned(assigned.prepared, i) for i in indices)
    named = bool(loaded.task.facts.arrays)
    for one in loaded.task.predictions(loaded.recipe, loaded.predictor, samples):
        yield one if named else one["probabilities"]


def _per_shard(assigned: Assignment) -> int:
    """64 images, fewer where they are large."""
    scan = assigned.prepared.scan
    largest = max(int(scan.heights[i]) * int(scan.widths[i]) for i in assigned.indices)
    return max(1, min(64, LARGEST // (largest * scan.num_classes)))


def _evidence_of_folds(
    runs: list[RunFolder], assigned: Assignment, facts: TaskFacts
) -> list[Evidence]:
    """What each fold's run was scored by on its validation part.

    Raises:
        InputError: It is of other samples than were assigned.
    """
    evidence = [read_evidence(run, "val", facts) for run in runs]
    records = assigned.prepared.source.records
    for fold, (run, its) in enumerate(zip(runs, evidence, strict=True)):
        if its.ids != [records[i].id for i in assigned.members(fold)]:
            raise InputError(
                f"{evidence_path(run.predictions, 'val', type(its))} is not of the samples of fold "
                f"{fold}. Write it again with `python -m tfvision evaluate {run.path}`."
            )
    return evidence


def _record(
    config, assigned: Assignment, summary: dict[str, Any], page: FoldsPage
) -> dict[str, Any]:
    """What `folds.json` holds."""
    return {
        "folds": summary["folds"],
        "runs": [f"fold-{fold}" for fold in range(summary["folds"])],
        "class_names": assigned.prepared.class_names,
        "config": config.model_dump(mode="json"),
        "how": assigned.how,
        "dealt": page.assigned,
        "data_fingerprint": summary["data_fingerprint"],
        "contract": summary["contract"],
        "warnings": page.warnings,
        "cautions": page.cautions,
        "metrics": summary["metrics"],
        "samples": {"ids": assigned.names, "folds": assigned.folds, "units": assigned.units},
    }
