"""`two-stage`: trains a detector and a classifier apart, and makes one run of both.

Its folder has

    plan.json configs                        what was asked for
    splits.csv detector_splits.csv           one split for both; images without a box are the
                                             detector's alone; folds_splits.csv has what both
                                             train on
    detector classifier                      ordinary runs, where none are given
    folds detected.csv                       under boxes: detected: detectors of folds, and the
                                             boxes they find out of fold, on which the other trains
    two_stage.json config.yaml data.json     with them the folder is used like a run
    predictions summary.json report.html export
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, differences, dump_config
from tfvision.data.split.holdout import write_splits
from tfvision.engine.distribute import make_strategy
from tfvision.engine.files import write_json, write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.registry import Spec
from tfvision.report.shared import write_page
from tfvision.runs.export import examples_of, export_members
from tfvision.runs.load import VERSION, LoadedRun, load_run, weights_sha256
from tfvision.runs.process import train_in_process
from tfvision.runs.scoring import save_scored, score_splits
from tfvision.runs.set_up import check_arguments
from tfvision.studies.folds.train import train_folds_in_process
from tfvision.studies.study.training import PLAN, open_folder
from tfvision.studies.two_stage.detected import write_detected
from tfvision.studies.two_stage.file import Stage, TwoStageFile, TwoStagePlan, cut_alone
from tfvision.studies.two_stage.page import make_page
from tfvision.text import counted

# What of a run's data was its own: both stages have one split, which leaves out what it must.
ALONE = {"splits": None, "exclude": None, "folds": None, "fold": None}


@dataclass(frozen=True)
class TwoStageRequest:
    """One call of `python -m tfvision two-stage`.

    Attributes:
        plan: What the file asks for.
        out: The folder; one that is there is gone on with.
        command: The command line, for the report.
        device: Value of `--device`.
        dry_run: Say what would be done, and do nothing.
        quiet: Print less.
    """

    plan: TwoStagePlan
    out: Path
    command: str = ""
    device: str = "auto"
    dry_run: bool = False
    quiet: bool = False


def make_two_stage(request: TwoStageRequest) -> dict[str, Any]:
    """Trains what is not trained, scores both stages as one, and writes the folder.

    Stopped, the same command goes on: what is finished is left alone, a training is resumed.

    Returns:
        What `summary.json` holds.

    Raises:
        InputError: The data does not fit, or the folder holds something else.
        Interrupted: This process was asked to stop; the training has saved its state.
        ProcessFailed: A training failed; with its exit code.
    """
    plan = request.plan

    def say(line: str) -> None:
        if not request.quiet:
            print(line, file=sys.stderr, flush=True)

    for stage in plan.stages:
        if stage.run is None:
            with _named(stage):
                check_arguments(stage.config)
    config = _config_of_both(plan)
    prepared = _prepared(plan, config)
    for note in prepared.notes:
        say(note)
    counts = ", ".join(f"{len(prepared.indices(s))} {s}" for s in ("train", "val", "test"))
    say(f"labelled: {counts}  ({prepared.how})")
    if request.dry_run:
        for stage in plan.stages:
            say(f"{stage.name}: {stage.run or stage.config.model.name}")
        return {"labelled": {s: len(prepared.indices(s)) for s in ("train", "val", "test")}}
    with open_folder(request.out, "run of two stages") as folder:
        _keep_plan(folder, plan.file, prepared)
        if _is_finished(folder, plan.file):
            say(f"{folder.path} is finished")
            return folder.read_json("summary.json")
        runs = _trained(request, folder.path, prepared, say)
        return _finish(request, folder, prepared, runs, config=config)


@contextmanager
def _named(stage: Stage) -> Iterator[None]:
    """Says of which stage an error is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{stage.name}: {error}") from error


def _config_of_both(plan: TwoStagePlan) -> RunConfig:
    """The config by which both together are used: the classifier's, of the data of the file."""
    config = plan.classifier.config
    if plan.classifier.run is not None:
        said = plan.detector.config.data if plan.detector.run is None else None
        own = {key: getattr(said, key) for key in plan.file.data if key != "source"}
        config = _with_data(config, source=plan.sources["classifier"], **{**ALONE, **own})
    return cut_alone(config)


def _prepared(plan: TwoStagePlan, config: RunConfig) -> Prepared:
    """The data read as the classifier's, in the split of both."""
    prepared = prepare(config.data, seed=config.seed)
    runs = [stage for stage in plan.stages if stage.run is not None]
    return _split_as(prepared, runs) if runs else prepared


def _split_as(prepared: Prepared, stages: list[Stage]) -> Prepared:
    """The data in the splits of runs that are there: what one of them trained on is train.

    Images are known by their pixels. One that no run has seen keeps the split it has.

    Raises:
        InputError: The data of a run is away, or is other data than it was.
    """
    seen: dict[str, set[str | None]] = {}
    for stage in stages:
        known = RunFolder(stage.run).read_json("data.json")
        own = prepare(stage.config.data, seed=stage.config.seed, known=known)
        for content, split in zip(own.scan.image_sha256, own.splits, strict=True):
            seen.setdefault(content, set()).add(split)
    splits = list(prepared.splits)
    for i, content in enumerate(prepared.scan.image_sha256):
        found = [split for split in ("train", "val", "test") if split in seen.get(content, ())]
        if found and prepared.source.records[i].labelled and splits[i] is not None:
            splits[i] = found[0]
    how = "as " + " and ".join(str(stage.run) for stage in stages) + " had them"
    return replace(prepared, splits=splits, how=how)


def _keep_plan(folder: RunFolder, file: TwoStageFile, prepared: Prepared) -> None:
    """Writes what all that is trained stands on, or holds it against what was; configs of members
    are held against theirs when these are gone on with.

    Raises:
        InputError: The folder was begun with other data, or other boxes to train on.
    """
    rows = zip(prepared.source.records, prepared.splits, strict=True)
    splits = [[record.part, record.id, split] for record, split in rows]
    asked: dict[str, Any] = {
        "data_fingerprint": prepared.scan.fingerprint,
        "splits_sha256": hashlib.sha256(json.dumps(splits).encode()).hexdigest(),
        "boxes": file.boxes,
    }
    if file.boxes == "detected":
        asked |= {"keep": file.keep, "folds": file.folds, "fallback": file.fallback}
    if (folder.path / PLAN).is_file():
        changed = differences(folder.read_json(PLAN), asked)
        if changed:
            raise InputError(
                f"{folder.path} was begun otherwise:\n  "
                + "\n  ".join(changed)
                + "\nChoose another --out, or remove it."
            )
    write_json(folder.path / PLAN, asked)


def _is_finished(folder: RunFolder, file: TwoStageFile) -> bool:
    """Whether all that the file asks for is there."""
    if not (folder.config.is_file() and folder.report.is_file() and folder.is_two_stage):
        return False
    return folder.read_json("two_stage.json")["file"] == file.model_dump(mode="json")


def _trained(request: TwoStageRequest, out: Path, prepared: Prepared, say) -> list[Path]:
    """The runs of both stages; those that are not given are trained, the classifier last."""
    plan, source = request.plan, prepared.source
    write_splits(out / "splits.csv", source.records, prepared.splits)
    write_splits(out / "detector_splits.csv", *source.boxed(prepared.splits))
    detector = plan.detector.run or out / "detector"
    split = {**ALONE, "splits": out / "detector_splits.csv"}
    config = _with_data(plan.detector.config, source=plan.sources["detector"], **split)
    if plan.detector.run is None:
        say(f"detector: {detector}")
        _train(request, config, detector)
    classifier = plan.classifier.run or out / "classifier"
    if plan.classifier.run is not None:
        return [detector, classifier]
    spec, boxes = plan.sources["classifier"], {}
    if plan.file.boxes == "detected":
        boxes = {"boxes": str(out / "detected.csv")}
        _find_boxes(request, config, prepared, detector, say)
    config = _with_data(
        plan.classifier.config,
        source=Spec(name=spec.name, **spec.kwargs, **boxes),
        exclude=None,
        splits=out / "splits.csv",
    )
    say(f"classifier: {classifier}")
    _train(request, config, classifier)
    return [detector, classifier]


def _find_boxes(
    request: TwoStageRequest, config: RunConfig, prepared: Prepared, detector: Path, say
) -> None:
    """Writes `detected.csv`, where it is not there: boxes found by who did not train on them."""
    file, out = request.plan.file, request.out
    folds, path = out / "folds", out / "detected.csv"
    if path.is_file():
        return
    say(f"detectors of {file.folds} folds: {folds}")
    records, splits = prepared.source.boxed(prepared.splits)
    train = [split if split == "train" else None for split in splits]
    write_splits(out / "folds_splits.csv", records, train)
    data = {"splits": out / "folds_splits.csv", "folds": file.folds, "fold": 0}
    _train(request, _with_data(config, **data), folds)
    make_strategy(request.device)
    how = {"keep": file.keep, "fallback": file.fallback}
    found = write_detected(path, prepared, folds, detector, **how)
    say(f"{counted(found['images'], 'image')}, {found['undetected']} without a detection: {path}")


def _train(request: TwoStageRequest, config: RunConfig, run: Path) -> None:
    """Trains a run, or all folds, in a process of its own; goes on with it where it is there."""
    path = request.out / "configs" / f"{run.name}.yaml"  # folds.yaml would make a folder of folds
    path.parent.mkdir(exist_ok=True)
    write_text(path, dump_config(config))
    if config.data.folds is not None:
        log = request.out / "folds.log" if request.quiet else None
        train_folds_in_process(path, run, device=request.device, log=log)
    else:
        train_in_process(path, run, device=request.device, quiet=request.quiet)


def _with_data(config: RunConfig, **values) -> RunConfig:
    """A config whose section `data` has other values."""
    return config.model_copy(update={"data": config.data.model_copy(update=values)})


def _finish(
    request: TwoStageRequest,
    folder: RunFolder,
    prepared: Prepared,
    runs: list[Path],
    config: RunConfig,
) -> dict[str, Any]:
    """Puts both together, scores them, and writes the folder; `config` is that of both."""
    make_strategy(request.device)
    members = [load_run(RunFolder.existing(run)) for run in runs]
    _check_together(prepared, *members)
    file, of_run = request.plan.file, members[1].data
    size, resized = tuple(of_run["image_size"]), of_run["resized"]
    prepared = replace(prepared, size=size, resized=resized, channels=of_run["channels"])
    entries = [_entry(member, folder.path) for member in members]
    record = {"members": entries, **file.model_dump(include={"keep", "fallback", "boxes"})}
    record["file"] = file.model_dump(mode="json")
    folder.write_json("two_stage.json", {"version": VERSION, **record})
    folder.write_json("data.json", prepared.record())
    write_text(folder.config, dump_config(config))  # with it the folder is a run
    loaded = load_run(folder)
    task, names = loaded.task, prepared.class_names
    scored = score_splits(task, loaded.recipe, prepared, loaded.predictor, ("val", "test"))
    for split, one in scored.items():
        save_scored(folder, task, split, one, data=loaded.data)
    summary = _summary(loaded, entries, scored, names)
    folder.write_json("summary.json", summary)
    if file.export:
        summary["exports"] = export_members(loaded, examples_of(prepared))
        folder.write_json("summary.json", summary)
    page = make_page(loaded, prepared, scored, summary, command=request.command)
    write_page(folder.report, page)
    if not request.quiet:
        for split, values in summary["metrics"].items():
            first, *others = task.score_lines(values, names)
            print("\n".join([f"{split}: {first}", *others]))
        print(f"report: {folder.report}", file=sys.stderr)
    return summary


def _check_together(prepared: Prepared, detector: LoadedRun, classifier: LoadedRun) -> None:
    """Raises an `InputError` where both do not read the same images, or the data has other
    classes than the classifier."""
    channels = [member.data["channels"] for member in (detector, classifier)]
    if channels[0] != channels[1]:
        raise InputError(
            f"{detector.folder.path} reads images of {counted(channels[0], 'channel')}, "
            f"{classifier.folder.path} of {channels[1]}. Train both with one data.channels."
        )
    if classifier.data["class_names"] != prepared.class_names:
        raise InputError(
            f"{classifier.folder.path} has the classes {classifier.data['class_names']}, the data "
            f"{prepared.class_names}. Give the data that it was trained on, or train it anew."
        )


def _entry(member: LoadedRun, out: Path) -> dict[str, Any]:
    """The entry of a member in `two_stage.json`; its path as seen from the folder, and whole."""
    place = member.folder.path.resolve()
    return {
        "run": os.path.relpath(place, out.resolve()),
        "place": str(place),
        "arch": member.config.model.name,
        "num_parameters": member.predictor.model.count_params(),
        "weights_sha256": weights_sha256(member.predictor.model),
    }


def _summary(loaded: LoadedRun, entries, scored, class_names: list[str]) -> dict[str, Any]:
    identity = json.dumps([entry["weights_sha256"] for entry in entries])
    return {
        "task": loaded.recipe.config.task,
        "arch": " + ".join(entry["arch"] for entry in entries),
        "num_parameters": sum(entry["num_parameters"] for entry in entries),
        "epochs": 0,
        "best_epoch": None,
        "data_fingerprint": loaded.data["fingerprint"],
        "variables_sha256": hashlib.sha256(identity.encode()).hexdigest(),
        "contract": asdict(loaded.recipe.contract),
        "metrics": {
            split: loaded.task.metrics(loaded.recipe, one, class_names)
            for split, one in scored.items()
        },
        "exports": [],
    }
