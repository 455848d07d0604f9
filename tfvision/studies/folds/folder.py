"""Folds: k runs, each validated on one part of the data and trained on the others.

A folds folder F holds

    folds.yaml                   the config of all folds (its data.fold is 0); with it F is one
    fold-0 ... fold-<k-1>        ordinary runs
    out_of_fold/                 a `Shards` store: probabilities of every dealt sample, by the
                                 run that did not train on it, before any rule
    out_of_fold_pieces/          the same of each piece (n, 1, K), with areas; see `aggregate`
    out_of_fold_confusion.npz    ids, fold, plain (N, K, K), and processed where there are rules
    folds.json summary.json report.html log.txt

`folds.json` is written last: with it F is complete. No TensorFlow here; each fold is trained in
a process of its own, and `studies/folds/out_of_fold.py` predicts.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import RunConfig, differences, dump_config, load_any
from tfvision.data.files.timeout import in_time
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.data.truth.base import label_map
from tfvision.engine.files import cannot_write, write_text
from tfvision.engine.progress import Progress
from tfvision.engine.run_folder import RunFolder, free_folder
from tfvision.errors import InputError
from tfvision.recipe.dataset import open_source
from tfvision.runs.process import ProcessFailed, is_finished, run_script, train_in_process
from tfvision.runs.request import FoldsRequest
from tfvision.studies.folds.assign import Deal, deal_samples, names_of

CONFIG = "folds.yaml"
OURS = (
    *("folds.json", "summary.json", "report.html", "out_of_fold_confusion.npz", "log.txt"),
    *("aggregate.yaml", "aggregate.json", "temperature.json"),
)
STORES = ("out_of_fold", "out_of_fold_pieces")


def is_folds(folder: Path) -> bool:
    """Whether a folder is a folds folder, complete or not."""
    return (Path(folder) / CONFIG).is_file()


def fold_folder(folder: Path, fold: int) -> Path:
    """Where the run of a fold is."""
    return Path(folder) / f"fold-{fold}"


def load_folds_config(folder: Path, task: str | None = None) -> RunConfig:
    """The config of all folds of a folds folder; its `data.fold` is 0.

    Raises:
        InputError: It is of another task than `task`, where that is given.
    """
    config = load_any(Path(folder) / CONFIG)
    if task not in (None, config.task):
        raise InputError(f"{folder} holds folds of the task {config.task}, not {task}.")
    return config


def read_folds(folder: Path) -> dict[str, Any]:
    """`folds.json` of a complete folds folder.

    Raises:
        InputError: It is no folds folder, not complete, or damaged.
    """
    folder = Path(folder)
    if not is_folds(folder):
        raise InputError(
            f"{folder} is no folds folder: it has no {CONFIG}. One is made by a training script "
            "with --folds, for example --folds 5."
        )
    path = folder / "folds.json"
    if not path.is_file():
        raise InputError(
            f"{folder} is not complete: it has no folds.json. Go on with --resume {folder}."
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        samples = record["samples"]
        whole = len(samples["ids"]) == len(samples["folds"]) == len(samples["units"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error!r}). Write it again with --resume {folder}."
        ) from error
    if not whole:
        raise InputError(
            f"{path} is damaged: ids, folds and units of its samples differ in number. Write it "
            f"again with --resume {folder}."
        )
    return record


def units_of(folder: Path) -> list[str]:
    """The unit of each out-of-fold sample, in the order of the store's ids.

    Samples of one unit belong together: equal images, one group, or near-duplicates in one
    fold, chains of them included. It is what nested folds and the bootstrap must not part.
    Where a chain was cut between two folds, its two sides are two units.
    """
    return list(read_folds(folder)["samples"]["units"])


def truth_of(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(id, mask (H, W) int32) of each out-of-fold sample, in the order of the store's ids.

    Masks are read from the data, which must be what the folds were trained on.

    Raises:
        InputError: `folder` is not complete, or the data has changed or cannot be read.
    """
    source, places = open_data(folder)
    kind = truth_kind(source.truth)

    def read() -> Iterator[tuple[str, np.ndarray]]:
        for name, index in places.items():
            sample = in_time(lambda i=index: source.read(i), source.records[index].place)
            yield name, label_map(kind.arrays(sample))

    return read()


def open_data(folder: Path) -> tuple[Source, dict[str, int]]:
    """The data of a folder of folds, and the place in it of each out-of-fold sample, by its id.

    Raises:
        InputError: As `truth_of`.
    """
    record = read_folds(folder)
    config = load_folds_config(folder).data
    source = open_source(config)
    found = scan(
        source,
        class_names=config.class_names,
        ignore_label=config.ignore_label,
        on_bad_sample=config.on_bad_sample,
    )
    if found.fingerprint != record["data_fingerprint"]:
        raise InputError(
            f"The data of {folder} ({source.layout}) is not what the folds were trained on: its "
            "fingerprint is another. Bring the old data back, or train the folds again."
        )
    places = {name: index for index, name in names_of(source.records).items()}
    return source, {name: places[name] for name in record["samples"]["ids"]}


def train_fold(
    folder: Path, fold: int, *, device: str = "auto", quiet: bool = False, log: Path | None = None
) -> dict[str, Any]:
    """Trains one fold of a folds folder in a fresh process; see `train_in_process`.

    Returns:
        `summary.json` of the run.
    """
    return train_in_process(
        Path(folder) / CONFIG,
        fold_folder(folder, fold),
        overrides=[f"data.fold={fold}"],
        device=device,
        quiet=quiet,
        log=log,
    )


def train_folds(request: FoldsRequest) -> Deal:
    """Deals the samples, then trains each fold that is not finished, one after the other.

    Returns:
        How the samples were dealt. A dry run ends there.

    Raises:
        InputError: The samples cannot be dealt, a class would be missing in a training part,
            the folder holds something else, or a fold is a run of another config or split.
        Interrupted: This process was asked to stop; the fold has saved its state.
        ProcessFailed: A fold failed; with its exit code.
    """
    if not request.dry_run:
        check_free_folds(request.folder, overwrite=request.overwrite or request.resume)
    dealt = deal_samples(request.config)
    folds = request.config.data.folds
    say = Progress(quiet=request.quiet).line
    if request.dry_run:
        for line in (dealt.text(), *(f"warning: {w}" for w in dealt.warnings)):
            say(line)
        return dealt
    run = RunFolder(request.folder)
    open_folds(request)
    say = Progress(quiet=request.quiet, log=run.log).line
    for line in (dealt.text(), *(f"warning: {w}" for w in dealt.warnings)):
        say(line)
    (request.folder / "folds.json").unlink(missing_ok=True)  # it speaks of what was there
    for fold in range(folds):
        path = fold_folder(request.folder, fold)
        finished = is_finished(RunFolder(path))
        say(f"fold {fold} of {folds}: {path}{' is finished' if finished else ''}")
        try:
            train_fold(request.folder, fold, device=request.device, quiet=request.quiet)
        except ProcessFailed as error:
            kept = [i for i in range(folds) if is_finished(RunFolder(fold_folder(run.path, i)))]
            raise ProcessFailed(
                f"Fold {fold} of {folds}: {error} Finished: "
                f"{', '.join(f'fold-{i}' for i in kept) or 'none'}. Go on with --resume "
                f"{request.folder}.",
                error.exit_code,
            ) from error
        check_split(request.folder, fold, dealt)
    return dealt


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
    if not is_folds(folder):
        check_free_folds(folder)
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


def check_split(folder: Path, fold: int, dealt: Deal) -> None:
    """Refuses a fold's run that was trained on other data or another split than is dealt now."""
    run = RunFolder(fold_folder(folder, fold))
    data = run.read_json("data.json")
    if data["fingerprint"] != dealt.prepared.scan.fingerprint:
        raise InputError(
            f"The data set is not the one that {run.path} was trained on: the fingerprint is "
            "another. Bring the old data back, or train all folds again with --overwrite."
        )
    if data["splits"]["val"] != [dealt.prepared.source.records[i].id for i in dealt.members(fold)]:
        raise InputError(
            f"{run.path} was validated on other samples than fold {fold} has now: an older "
            "version dealt them. Train all folds again with --overwrite."
        )


def open_folds(request: FoldsRequest) -> None:
    """Makes and locks a folds folder, or opens the one to go on with.

    Raises:
        InputError: Another process trains these folds.
        EnvironmentFault: It cannot be written to.
    """
    folder, run = request.folder, RunFolder(request.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.lock()
        if request.overwrite:
            _empty(folder)
    except OSError as error:
        raise cannot_write(folder, error, 0) from error
    request.lock.append(run)
    if not request.resume:
        write_text(folder / CONFIG, dump_config(_of_all(request.config)))


def check_free_folds(folder: Path, *, overwrite: bool = False) -> None:
    """Refuses a folder that holds something: what is no folds folder, and folds to be kept."""
    folder = Path(folder)
    if is_folds(folder):
        if not overwrite:
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
        check_free_folds(folder)
    elif changed := _changed(folder, config):
        raise InputError(
            f"{folder} holds folds of another config:\n  "
            + "\n  ".join(changed)
            + "\nChoose another --out, or give the options they were trained with."
        )
    run = RunFolder(fold_folder(folder, fold))
    run.check_free(overwrite=overwrite)
    deal_samples(config, only=fold)
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
