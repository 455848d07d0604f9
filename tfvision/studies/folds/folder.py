"""Folds: k runs, each validated on one part of the data and trained on the others.

A folds folder F holds

    folds.yaml                   the config of all folds (its data.fold is 0); with it F is one
    fold-0 ... fold-<k-1>        ordinary runs
    out_of_fold/                 a `Shards` store: probabilities of each sample in a fold, by the
                                 run that did not train on it, before any rule
    out_of_fold_pieces/          the same of each piece (n, 1, K), with areas; see `aggregate`
    out_of_fold_confusion.npz    ids, fold, plain (N, K, K), and processed where there are rules
    folds.json summary.json report.html log.txt

`folds.json` is written last: with it F is complete. Here it is read, without TensorFlow; `train.py`
trains the folds, each in a process of its own, and `out_of_fold.py` predicts.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import RunConfig, dump_config, load_any
from tfvision.config.schema import DataConfig
from tfvision.data.files.timeout import in_time
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.engine.files import write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.opening import open_source
from tfvision.recipe.recorded import DataAway, as_recorded, at, check_same
from tfvision.studies.folds.assign import Assignment, names_of
from tfvision.tasks.facts import facts_of

CONFIG = "folds.yaml"


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
    if task is not None and not isinstance(config, facts_of(task).schema()):
        script = facts_of(config.task).script
        raise InputError(f"{folder} holds folds of another task: go on with {script}.")
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


def targets_of(folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(id, truth by name) of each out-of-fold sample, in the order of the store's ids.

    It is read from the data, which must be what the folds were trained on.

    Raises:
        InputError: `folder` is not complete, or the data has changed or cannot be read.
    """
    source, places = open_data(folder)
    kind = truth_kind(source.truth)

    def read() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for name, index in places.items():
            sample = in_time(lambda i=index: source.read(i), source.records[index].place)
            yield name, kind.arrays(sample)

    return read()


def open_data(folder: Path) -> tuple[Source, dict[str, int]]:
    """The data of a folder of folds, and the place in it of each out-of-fold sample, by its id.

    Raises:
        InputError: As `targets_of`.
    """
    record = read_folds(folder)
    config = load_folds_config(folder).data
    check_place(folder, config)
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


def check_place(folder: Path, config: DataConfig) -> None:
    """Raises a `DataAway` where the data of folds is no longer where their config says."""
    path = config.source.kwargs.get("path")
    if path is not None and not Path(path).exists():
        raise DataAway(
            f"The data of {folder} is no longer at {path}. Say once where it is now, with --data "
            f"PATH here, or {facts_of(config.task).script} --resume {folder} --data PATH."
        )


def move_data(folder: Path, path: Path) -> None:
    """Writes into the configs of folds that their data lies at `path` now.

    Raises:
        InputError: What lies there is not what a fold was trained on.
    """
    runs = [run.parent for run in sorted(Path(folder).glob("fold-*/config.yaml"))]
    known = [RunFolder(run).read_json("data.json") for run in runs]
    config = load_folds_config(folder)
    if known:
        data = as_recorded(at(config.data, path), known[0])
        source = open_source(data)
        found = scan(
            source,
            class_names=data.class_names,
            ignore_label=data.ignore_label,
            on_bad_sample=data.on_bad_sample,
        )
        check_same(data, known[0], source, found)
    for file in (Path(folder) / CONFIG, *(run / "config.yaml" for run in runs)):
        own = load_any(file)
        own = own.model_copy(update={"data": at(own.data, path)})
        write_text(file, dump_config(own))


def check_split(folder: Path, fold: int, assigned: Assignment) -> None:
    """Refuses a fold's run that was trained on other data or another split than is made now."""
    run = RunFolder(fold_folder(folder, fold))
    data = run.read_json("data.json")
    if data["fingerprint"] != assigned.prepared.scan.fingerprint:
        raise InputError(
            f"The data set is not the one that {run.path} was trained on: the fingerprint is "
            "another. Bring the old data back, or train all folds again with --overwrite."
        )
    if data["splits"]["val"] != [
        assigned.prepared.source.records[i].id for i in assigned.members(fold)
    ]:
        raise InputError(
            f"{run.path} was validated on other samples than fold {fold} has now: an older "
            "version assigned them. Train all folds again with --overwrite."
        )
