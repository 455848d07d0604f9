"""`ladder`: trains a list of configs, each with several seeds, and says which steps hold.

A ladder's folder has

    plan.json splits.csv            what was planned; the split, or the folds, of all rungs
    configs/ logs/                  of each training
    runs/<rung>/seed-<n>            a run, or under folds a folds folder
    scores/<rung>/seed-<n>          under a labels file: predictions and counts on it
    search/<rung>                   where a rung searches its loss
    ladder.md .html .svg .csv .json the table, written anew after every seed
"""

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, dump_config, load_any
from tfvision.engine.files import write_json, write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError, PartFailed
from tfvision.recipe.pretrained import outside_architecture
from tfvision.registry import Registry, plain
from tfvision.report.ladder_page import text_of, write_ladder
from tfvision.runs.process import ProcessFailed, evaluate_in_process, train_in_process
from tfvision.runs.train import check_arguments
from tfvision.studies.folds.train import train_folds_in_process
from tfvision.studies.ladder.plan import Climb, check_contracts, make_plan
from tfvision.studies.ladder.schema import Ladder, Rung
from tfvision.studies.ladder.scores import read_scores
from tfvision.studies.ladder.table import make_table
from tfvision.studies.search.file import read_search
from tfvision.studies.search.run import search


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

    All rungs see one split, or are dealt into the same folds, and take the same number of
    gradient steps, or of epochs, save those that say `times` or `epochs` or search first. What
    is finished is left alone and a stopped training is resumed, so the same command goes on
    after a kill.

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
        InputError: Nothing can be scored, other data or other configs than the folder's.
        PartFailed: A rung could not be trained; the others are in the table.
    """
    for rung in ladder.rungs:
        _check_rung(rung, out)
    check_contracts(ladder)
    folder = _open(out)
    folder.lock()
    try:
        return _climb(make_plan(ladder, out, tables, redo=redo), device=device, quiet=quiet)
    finally:
        folder.unlock()


def _check_rung(rung: Rung, out: Path) -> None:
    """Raises for arguments that do not fit, and for weights that are not there to begin with."""
    check_arguments(rung.config)
    if (out / "runs" / rung.name).is_dir():  # its runs keep what they began with
        return
    try:
        outside_architecture(rung.config.model, None)
    except InputError as error:
        raise InputError(f"Rung {rung.name!r}: {error}") from None


def _climb(climb: Climb, *, device: str, quiet: bool) -> dict[str, Any]:
    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    ladder, failed, table = climb.ladder, {}, {}
    total, number = len(ladder.seeds) * len(ladder.rungs), 0
    for note in climb.notes:
        say(note)
    for done, seed in enumerate(ladder.seeds, 1):
        for rung in ladder.rungs:
            number += 1
            if rung.name in failed:
                continue
            say(f"{number} of {total}: {rung.name}, seed {seed}, {_length(climb, rung)}")
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


def _length(climb: Climb, rung: Rung) -> str:
    """`600 steps`, or under folds `5 folds of 590 to 600 steps`."""
    steps = climb.steps[rung.name]
    low, high = min(steps), max(steps)
    each = f"{low} steps" if low == high else f"{low} to {high} steps"
    return each if climb.ladder.folds is None else f"{len(steps)} folds of {each}"


def _train(climb: Climb, rung: Rung, seed: int, device: str, say: Callable) -> None:
    """Trains what is missing of a rung's run, or its folds, and scores it where that is asked."""
    out = climb.run(rung, seed)
    config = rung.config.model_copy(
        update={
            "seed": seed,
            "data": climb.data_of(rung),
            "train": rung.config.train.model_copy(update={"epochs": climb.epochs[rung.name]}),
        }
    )
    if rung.search is not None:
        config = config.model_copy(update={"loss": _searched(climb, rung, config, device, say)})
    path = climb.out / "configs" / f"{rung.name}-seed-{seed}.yaml"
    write_text(path, dump_config(config))
    log = climb.out / "logs" / f"{rung.name}-seed-{seed}.log"
    train = train_in_process if climb.ladder.folds is None else train_folds_in_process
    train(path, out, device=device, log=log)
    if climb.ladder.labels is not None:
        _score(climb, rung, seed, device, log)


def _score(climb: Climb, rung: Rung, seed: int, device: str, log: Path) -> None:
    """Scores a run on the labels file, unless that is done: these labels, these weights."""
    run, out = RunFolder(climb.run(rung, seed)), climb.scores(rung, seed)
    what = {
        "labels_sha256": _sha_of(climb.ladder.labels),
        "variables_sha256": run.read_json("summary.json")["variables_sha256"],
    }
    done = RunFolder(out)
    if (out / "scored.json").is_file() and done.read_json("scored.json") == what:
        return
    if out.is_dir():
        shutil.rmtree(out)
    evaluate_in_process(run.path, climb.ladder.labels, out, device=device, log=log)
    write_json(out / "scored.json", what)  # last: with it the scores are whole


def _sha_of(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = hashlib.sha256()
    for file in files:
        name = "" if file == path else file.relative_to(path).as_posix()
        found.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _searched(climb: Climb, rung: Rung, config: RunConfig, device: str, say: Callable):
    """The loss that the rung's search finds, once for all seeds, on training and validation
    samples alone."""
    folder = climb.out / "search" / rung.name
    epochs = climb.search_epochs[rung.name]
    splits = {"splits": (climb.out / "splits_search.csv").resolve()}
    base = config.model_copy(
        update={
            "seed": climb.ladder.seeds[0],
            "data": config.data.model_copy(update=splits),
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


def _write(climb: Climb, seeds: tuple[int, ...], failed: dict[str, str]) -> dict[str, Any]:
    """The table of what is trained so far, in all its forms; {} while nothing can be compared."""
    rungs = [rung for rung in climb.ladder.rungs if rung.name not in failed]
    if len(rungs) < 2:
        return {}
    scores = read_scores(climb, rungs, seeds)
    table = make_table(climb, scores, seeds=seeds, failed=failed)
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
