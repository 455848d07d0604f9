"""`ladder`: trains a list of configs, each with several seeds, and says which steps hold."""

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.config import DataConfig, RunConfig, differences, dump_config, load_any
from tfvision.data.split import write_splits
from tfvision.engine.files import write_json, write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError, PartFailed
from tfvision.registry import Registry, plain
from tfvision.report.ladder_page import text_of, write_ladder
from tfvision.tasks.data import Prepared, prepare
from tfvision.tasks.ladder_file import DECLARED, Ladder, Rung, Units
from tfvision.tasks.ladder_table import make_table
from tfvision.tasks.pieces import pieces_of
from tfvision.tasks.process import ProcessFailed, train_in_process
from tfvision.tasks.sampling import training_set
from tfvision.tasks.search import search
from tfvision.tasks.search_file import read_search
from tfvision.tasks.training import check_arguments

# What of data does not change which samples there are.
_VARYING = ("augment", "mix", "repeat", "batch_size", "balance", "workers")


@dataclass(frozen=True)
class _Climb:
    """A ladder with its folder and its data.

    Attributes:
        ladder: What is to be trained.
        out: Its folder.
        epochs, steps: Of each rung, by name; the steps are those really taken.
        units: The unit of each test image.
        search_epochs: Epochs of each training of a rung's search.
        tables: Key path of a config to the table of its names.
    """

    ladder: Ladder
    out: Path
    epochs: dict[str, int]
    steps: dict[str, int]
    units: list[str]
    search_epochs: dict[str, int]
    tables: Mapping[str, Registry]

    def run(self, rung: Rung, seed: int) -> Path:
        return self.out / "runs" / rung.name / f"seed-{seed}"


def climb(
    ladder: Ladder,
    out: Path,
    tables: Mapping[str, Registry],
    *,
    device: str = "auto",
    redo: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains every rung with every seed, one process after the other, and writes the table.

    All rungs see one split and take the same number of gradient steps, save those that say
    `times` or search first. What is finished is left alone and a stopped training is resumed,
    so the same command goes on after a kill.

    Args:
        ladder: As `ladder_file.read_ladder` gives it.
        out: For `ladder.csv`, `.json`, `.md`, `.html`, `.svg`, the runs, their configs and
            logs.
        tables: Key path of a config to the table of its names.
        device: Value of `--device`.
        redo: Train the rungs whose config changed again; else they are refused.
        quiet: Print less.

    Returns:
        What `ladder.json` holds.

    Raises:
        InputError: No labelled test image, other data or other configs than the folder's.
        PartFailed: A rung could not be trained; the others are in the table.
    """
    for rung in ladder.rungs:
        check_arguments(rung.config)
    _check_contracts(ladder)
    folder = _open(out)
    folder.lock()
    try:
        return _climb(_planned(ladder, out, tables, redo), device=device, quiet=quiet)
    finally:
        folder.unlock()


def _climb(climb: _Climb, *, device: str, quiet: bool) -> dict[str, Any]:
    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    ladder, failed, table = climb.ladder, {}, {}
    total, number = len(ladder.seeds) * len(ladder.rungs), 0
    for done, seed in enumerate(ladder.seeds, 1):
        for rung in ladder.rungs:
            number += 1
            if rung.name in failed:
                continue
            say(f"{number} of {total}: {rung.name}, seed {seed}, {climb.steps[rung.name]} steps")
            try:
                _train(climb, rung, seed, device, say)
            except ProcessFailed as error:
                if error.exit_code in (130, 143):  # it was stopped, not we
                    raise
                failed[rung.name] = str(error)
                say(f"! {rung.name} failed: {error}")
        table = _write(climb, ladder.seeds[:done], failed)
    if table and not quiet:
        print(text_of(table))
    say(f"table: {climb.out / 'ladder.md'}, page: {climb.out / 'ladder.html'}")
    if failed:
        raise PartFailed(
            f"{len(failed)} of {len(ladder.rungs)} rungs failed ({', '.join(failed)}); the others "
            f"are in {climb.out / 'ladder.md'}. " + " ".join(failed.values())
        )
    return table


def _train(climb: _Climb, rung: Rung, seed: int, device: str, say: Callable) -> None:
    out = climb.run(rung, seed)
    config = rung.config.model_copy(
        update={
            "seed": seed,
            "data": _on_split(rung.config.data, climb.out / "splits.csv"),
            "train": rung.config.train.model_copy(update={"epochs": climb.epochs[rung.name]}),
        }
    )
    if rung.search is not None:
        config = config.model_copy(update={"loss": _searched(climb, rung, config, device, say)})
    path = climb.out / "configs" / f"{rung.name}-seed-{seed}.yaml"
    write_text(path, dump_config(config))
    log = climb.out / "logs" / f"{rung.name}-seed-{seed}.log"
    train_in_process(path, out, device=device, log=log)


def _searched(climb: _Climb, rung: Rung, config: RunConfig, device: str, say: Callable):
    """The loss that the rung's search finds, once for all seeds, on training and validation
    samples alone."""
    folder = climb.out / "search" / rung.name
    epochs = climb.search_epochs[rung.name]
    base = config.model_copy(
        update={
            "seed": climb.ladder.seeds[0],
            "data": _on_split(config.data, climb.out / "splits_search.csv"),
            "train": config.train.model_copy(update={"epochs": epochs}),
        }
    )
    path = climb.out / "configs" / f"{rung.name}-search.yaml"
    asked = {key: value for key, value in (rung.search or {}).items() if key != "steps"}
    # JSON is YAML; a ladder's blocks are those of a search, unless it says otherwise.
    units = {"units": climb.ladder.units} if isinstance(climb.ladder.units, int) else {}
    write_json(path, {"base": plain(base.model_dump()), **units, **asked})
    if not (folder / "best.yaml").is_file():
        say(f"  searching its loss, {epochs} epochs a training, in {folder}")
    search(read_search(path, climb.tables), folder, device=device, quiet=True)
    return load_any(folder / "best.yaml").loss


def _write(climb: _Climb, seeds: tuple[int, ...], failed: dict[str, str]) -> dict[str, Any]:
    """The table of what is trained so far, in all its forms; {} while nothing can be compared."""
    runs = {
        rung.name: [climb.run(rung, seed) for seed in seeds]
        for rung in climb.ladder.rungs
        if rung.name not in failed
    }
    if len(runs) < 2:
        return {}
    table = make_table(
        climb.ladder, runs, climb.units, steps=climb.steps, seeds=seeds, failed=failed
    )
    write_ladder(climb.out, table)
    return table


def _open(out: Path) -> RunFolder:
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Choose a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / "plan.json").is_file():
        names = {path.name for path in out.iterdir()}
        if not names <= {".lock", "splits.csv", "splits_search.csv"}:  # of a start that was killed
            raise InputError(f"--out {out} is not empty and holds no ladder. Choose another.")
    out.mkdir(parents=True, exist_ok=True)
    return RunFolder(out)


def _check_contracts(ladder: Ladder) -> None:
    if DECLARED not in ladder.metrics:
        return
    first = ladder.rungs[0]
    for rung in ladder.rungs[1:]:
        same = rung.config.metrics[0] == first.config.metrics[0]
        if not same or rung.config.data.ignore_label != first.config.data.ignore_label:
            raise InputError(
                f"Rungs {first.name!r} and {rung.name!r} declare different metric contracts, so "
                "that their scores cannot be compared. Name a convention in the ladder's metrics, "
                "such as plain, in place of contract."
            )


def _planned(ladder: Ladder, out: Path, tables, redo: bool) -> _Climb:
    """Looks at the data, works out epochs, and holds all of it against what the folder has."""
    record = RunFolder(out).read_json("plan.json") if (out / "plan.json").is_file() else None
    first = prepare(ladder.rungs[0].config.data, seed=ladder.seeds[0])
    if not first.indices("test"):
        raise InputError(
            f"{first.source.layout}: no test image has a mask or label, so no rung can be "
            "scored. Set data.test_fraction, or name a test part in data.splits."
        )
    prints = {"data": first.scan.fingerprint, "splits": _print_of(first)}
    if record is not None and record["of"] != prints:
        what = "data set" if record["of"]["data"] != prints["data"] else "split"
        raise InputError(
            f"{out} holds a ladder of another {what}. Give that one, or choose another --out."
        )
    _write_splits(first, out)
    epochs, steps, searches = {}, {}, {}
    for rung, an_epoch in zip(ladder.rungs, _steps_per_epoch(ladder, out), strict=True):
        epochs[rung.name] = max(1, round(rung.times * ladder.steps / an_epoch))
        steps[rung.name] = epochs[rung.name] * an_epoch
        asked = (rung.search or {}).get("steps", ladder.steps)
        searches[rung.name] = max(1, round(asked / an_epoch))
    plans = {
        rung.name: {
            "config": _fixed(rung.config),
            "epochs": epochs[rung.name],
            "search": rung.search and {**rung.search, "epochs": searches[rung.name]},
        }
        for rung in ladder.rungs
    }
    known = {} if record is None else record["rungs"]
    _settle(out, known, plans, redo)
    write_json(out / "plan.json", {"of": prints, "rungs": {**known, **plans}})
    units = _units(first, ladder.units)
    return _Climb(ladder, out, epochs, steps, units, searches, tables)


def _fixed(config: RunConfig) -> dict[str, Any]:
    fixed = config.model_dump(mode="json")
    del fixed["seed"], fixed["train"]["epochs"]
    return fixed


def _settle(out: Path, known: dict, plans: dict, redo: bool) -> None:
    """Refuses rungs that were trained with another config, or clears them to be trained again."""
    changed = {
        name: lines
        for name, plan in plans.items()
        if name in known and (lines := differences(known[name], plan))
    }
    if not changed:
        return
    if not redo:
        listed = "\n".join(
            f"  {name}:\n" + "\n".join(f"    {line}" for line in lines)
            for name, lines in changed.items()
        )
        raise InputError(
            f"{out} has rungs of another config:\n{listed}\nTrain these again with --redo (their "
            "runs are removed), or choose another --out. Rungs that did not change are kept."
        )
    for name in changed:
        for folder in (out / "runs" / name, out / "search" / name):
            if folder.is_dir():
                shutil.rmtree(folder)


def _print_of(prepared: Prepared) -> str:
    """Tells one split of the samples from another."""
    records = prepared.source.records
    rows = [(r.part, r.id, s) for r, s in zip(records, prepared.splits, strict=True) if r.labelled]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _write_splits(prepared: Prepared, out: Path) -> None:
    """Writes the split that all rungs share; and for a search, which deals folds of what is not
    test, the same without val."""
    records = prepared.source.records
    write_splits(out / "splits.csv", records, prepared.splits)
    joined = ["train" if split == "val" else split for split in prepared.splits]
    write_splits(out / "splits_search.csv", records, joined)


def _on_split(data: DataConfig, path: Path) -> DataConfig:
    return data.model_copy(update={"splits": path.resolve()})


def _steps_per_epoch(ladder: Ladder, out: Path) -> list[int]:
    """Gradient steps of an epoch of each rung, as a training of it counts them."""
    seen: dict[str, Prepared] = {}
    found = []
    for rung in ladder.rungs:
        config = rung.config.model_copy(
            update={"data": _on_split(rung.config.data, out / "splits.csv")}
        )
        key = str({k: v for k, v in config.data.model_dump().items() if k not in _VARYING})
        if key not in seen:
            seen[key] = prepare(config.data, seed=ladder.seeds[0])
        chosen = training_set(config, seen[key], ())
        count = chosen.per_epoch
        if config.task == "classification":
            count = pieces_of(config, seen[key], chosen.indices) * chosen.repeat
        found.append(max(1, round(count / config.data.batch_size)))
    return found


def _units(prepared: Prepared, units: Units) -> list[str]:
    """The unit of each labelled test image, in the order of the data."""
    members = prepared.indices("test")
    if isinstance(units, int):
        return [f"block {place // units:05d}" for place in range(len(members))]
    names = {i: f"image {i:07d}" for i in members}
    if units == "groups":
        groups = {i: prepared.source.records[i].group for i in members}
        if all(group is None for group in groups.values()):
            raise InputError(
                "units: groups, but the data has no groups. Set data.groups, or units to a number "
                "of consecutive images, to images or to chains."
            )
        names.update({i: f"group {group}" for i, group in groups.items() if group is not None})
    if units == "chains":
        for number, cluster in enumerate(prepared.audit.clusters):
            names.update({i: f"cluster {number:07d}" for i in cluster if i in names})
    return [names[i] for i in members]
