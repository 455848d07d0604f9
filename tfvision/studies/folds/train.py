"""Trains folds, each in a process of its own, and says where. No TensorFlow here."""

import re
import shutil
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, differences, dump_config, load_any
from tfvision.engine.files import cannot_write, write_text
from tfvision.engine.progress import Progress
from tfvision.engine.run_folder import RunFolder, free_folder
from tfvision.errors import InputError
from tfvision.runs.process import ProcessFailed, is_finished, run_script, train_in_process
from tfvision.runs.request import FoldsRequest
from tfvision.studies.folds.assign import Assignment, assign_samples
from tfvision.studies.folds.folder import (
    CONFIG,
    check_split,
    fold_folder,
    is_folds,
    load_folds_config,
)

OURS = (
    *("folds.json", "summary.json", "report.html", "out_of_fold_confusion.npz", "log.txt"),
    *("aggregate.yaml", "aggregate.json", "temperature.json"),
)
STORES = ("out_of_fold", "out_of_fold_pieces")


def train_folds(request: FoldsRequest) -> Assignment:
    """Assigns the samples, then trains each fold that is not finished, one after the other.

    Returns:
        How the samples were assigned. A dry run ends there.

    Raises:
        InputError: The samples cannot be assigned, a class would be missing in a training part,
            the folder holds something else, or a fold is a run of another config or split.
        Interrupted: This process was asked to stop; the fold has saved its state.
        ProcessFailed: A fold failed; with its exit code.
    """
    if not request.dry_run:
        _check_free(request.folder, overwrite=request.overwrite or request.resume)
    assigned = assign_samples(request.config)
    folds = request.config.data.folds
    say = Progress(quiet=request.quiet).line
    if request.dry_run:
        for line in (assigned.text(), *(f"warning: {w}" for w in assigned.warnings)):
            say(line)
        return assigned
    run = RunFolder(request.folder)
    _open_folds(request)
    say = Progress(quiet=request.quiet, log=run.log).line
    for line in (assigned.text(), *(f"warning: {w}" for w in assigned.warnings)):
        say(line)
    (request.folder / "folds.json").unlink(missing_ok=True)  # it speaks of what was there
    for fold in range(folds):
        path = fold_folder(request.folder, fold)
        finished = is_finished(RunFolder(path))
        say(f"fold {fold} of {folds}: {path}{' is finished' if finished else ''}")
        try:
            train_in_process(
                run.path / CONFIG,
                path,
                overrides=[f"data.fold={fold}"],
                device=request.device,
                quiet=request.quiet,
            )
        except ProcessFailed as error:
            if not _begun(run.path):
                _empty(run.path)
                raise ProcessFailed(
                    f"Fold {fold} of {folds} ended with exit code {error.exit_code} before its "
                    f"first step. Nothing was trained: start again with --out {request.folder}.",
                    error.exit_code,
                ) from error
            kept = [i for i in range(folds) if is_finished(RunFolder(fold_folder(run.path, i)))]
            raise ProcessFailed(
                f"Fold {fold} of {folds}: {error} Finished: "
                f"{', '.join(f'fold-{i}' for i in kept) or 'none'}. Go on with --resume "
                f"{request.folder}.",
                error.exit_code,
            ) from error
        check_split(request.folder, fold, assigned)
    return assigned


def train_folds_in_process(
    config_path: Path, folder: Path, *, device: str = "auto", log: Path | None = None
) -> dict[str, Any]:
    """What `--folds` of a training script does, in a fresh process, each fold in one of its own.

    Args:
        config_path: The config, with `data.folds`.
        folder: The folds folder. Folds of this config that were stopped are gone on with;
            complete ones are left alone.
        device: Value of `--device`.
        log: A file that takes what is printed, at its end; None: it is passed through.

    Returns:
        `summary.json` of the folds folder.

    Raises:
        InputError: `folder` holds something else, or folds of another config.
        Interrupted: This process was asked to stop; the fold has saved its state.
        ProcessFailed: A fold failed; with its exit code.
    """
    config = load_any(config_path)
    if not (is_folds(folder) and _begun(folder)):
        _check_free(folder)
        arguments = ["--config", str(config_path), "--folds", str(config.data.folds)]
        arguments += ["--out", str(folder)]
    elif changed := _changed(folder, config):
        raise InputError(
            f"{folder} holds folds of another config:\n  "
            + "\n  ".join(changed)
            + "\nChoose another folder, or remove it."
        )
    else:
        arguments = ["--resume", str(folder)]
    if not (Path(folder) / "folds.json").is_file():
        run_script(config.task, [*arguments, "--device", device], folder, log=log)
    return RunFolder(Path(folder)).read_json("summary.json")


def open_fold(
    out: Path | None, config: RunConfig, arch: str, parent: Path, *, overwrite: bool
) -> RunFolder:
    """The run folder of the one fold of a config, in a folds folder that is made or joined.

    Args:
        out: The folds folder, or None for `default_folder`.
        config: With `data.folds` and `data.fold`.
        arch: Name of the architecture or config.
        parent: Where default folders are.
        overwrite: Whether a run of this fold is to be replaced.

    Raises:
        InputError: The folder holds something else, folds of another config, or this fold
            already; or the fold would train without a class.
    """
    fold = config.data.fold
    folder = Path(out) if out is not None else default_folder(parent, arch, config, fold=fold)
    if not is_folds(folder):
        _check_free(folder)
    elif changed := _changed(folder, config):
        if _begun(folder):
            raise InputError(
                f"{folder} holds folds of another config:\n  "
                + "\n  ".join(changed)
                + "\nChoose another --out, or give the options they were trained with."
            )
        _empty(folder)
    run = RunFolder(fold_folder(folder, fold))
    run.check_free(overwrite=overwrite)
    assign_samples(config, only=fold)
    (folder / "folds.json").unlink(missing_ok=True)  # it speaks of the run that is replaced
    if not is_folds(folder):
        write_text(folder / CONFIG, dump_config(_of_all(config)))
    return run


def default_folder(parent: Path, arch: str, config: RunConfig, *, fold: int | None = None) -> Path:
    """`parent/<arch>-folds`, or with `-2`, `-3` ... behind it: the first that is free, or, for a
    single fold, the first of this config that lacks the fold."""
    name, number = f"{arch}-folds", 1
    if fold is None:
        return free_folder(parent, name)
    path = parent / name
    while path.exists():
        if is_folds(path) and not fold_folder(path, fold).exists() and not _changed(path, config):
            break
        number += 1
        path = parent / f"{name}-{number}"
    return path


def _check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuses a folder that holds something: what is no folds folder, and folds to be kept.

    Folds of which none came to its first step are not: the next start takes their folder over.
    """
    folder = Path(folder)
    if is_folds(folder):
        if _begun(folder) and not overwrite:
            raise InputError(
                f"{folder} exists already. Go on with --resume {folder}, replace it with "
                "--overwrite, or choose another --out."
            )
    elif folder.exists() and (
        not folder.is_dir() or {p.name for p in folder.iterdir()} - {".lock", "log.txt"}
    ):
        raise InputError(
            f"{folder} is not empty and holds no folds (no {CONFIG}): it is not overwritten. "
            "Choose another --out."
        )


def _open_folds(request: FoldsRequest) -> None:
    """Makes and locks a folds folder, or opens the one to go on with.

    Raises:
        InputError: Another process trains these folds.
        EnvironmentFault: It cannot be written to.
    """
    folder, run = request.folder, RunFolder(request.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.lock()
        if not request.resume:
            _empty(folder)
    except OSError as error:
        raise cannot_write(folder, error, 0) from error
    request.lock.append(run)
    if not request.resume:
        write_text(folder / CONFIG, dump_config(_of_all(request.config)))


def _begun(folder: Path) -> bool:
    """Whether a fold has come to its first step, with which it becomes a run."""
    return any(Path(folder).glob("fold-*/config.yaml"))


def _of_all(config: RunConfig) -> RunConfig:
    """A config without its fold: the saved one names the first."""
    return config.model_copy(update={"data": config.data.model_copy(update={"fold": 0})})


def _changed(folder: Path, config: RunConfig) -> list[str]:
    there, asked = (c.model_dump(mode="json") for c in (load_folds_config(folder), _of_all(config)))
    return differences(there, asked)


def _empty(folder: Path) -> None:
    """Removes what a folds folder holds of its own; the config last."""
    for path in sorted(folder.iterdir()):
        if re.fullmatch(r"fold-\d+", path.name) and path.is_dir():
            RunFolder(path).lock()  # raises where a process trains it
            shutil.rmtree(path)
        elif path.name in STORES and path.is_dir():
            shutil.rmtree(path)
        elif path.name in OURS:
            path.unlink()
    (folder / CONFIG).unlink(missing_ok=True)
