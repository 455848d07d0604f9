"""`ladder`: trains a list of configs, each with several seeds, and says which steps hold.

A ladder's folder has

    plan.json splits.csv            what was planned; the split, or the folds, of all rungs
    configs/ logs/                  of each training
    runs/<rung>/seed-<n>            a run, or under folds a folds folder
    scores/<rung>/seed-<n>          under a labels file: predictions and counts on it
    search/<rung>                   where a rung searches its config
    ladder.md .html .svg .csv .json the table, written anew after every seed
    epochs.svg .csv pictures/       scores by epoch; truth beside predictions, of detections
"""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, load_any
from tfvision.engine.distribute import count_replicas
from tfvision.engine.files import sha256_of, write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import PartFailed
from tfvision.registry import plain
from tfvision.report.ladder_page import text_of, write_ladder
from tfvision.runs.process import ProcessFailed, evaluate_in_process
from tfvision.studies.study.ladder_pictures import write_pictures
from tfvision.studies.study.plan import StudyPlan, check_contracts, make_plan, with_changes
from tfvision.studies.study.race import run_race
from tfvision.studies.study.schema import Rung, Study
from tfvision.studies.study.scores import read_scores
from tfvision.studies.study.search_file import read_search
from tfvision.studies.study.table import make_table
from tfvision.studies.study.training import open_folder, train


def run_all(
    study: Study,
    out: Path,
    *,
    device: str = "auto",
    redo: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains every rung with every seed, one process after the other, and writes the table.

    All rungs see one split, or are assigned to the same folds, and take the same number of
    gradient steps, or of epochs, save those that say `times` or `epochs` or search first. What
    is finished is left alone and a stopped training is resumed, so the same command goes on
    after a kill.

    Args:
        study: As `read_ladder` gives it.
        out: For `ladder.csv`, `.json`, `.md`, `.html`, `.svg`, the runs, their configs and
            logs.
        device: Value of `--device`.
        redo: Train the rungs whose config changed again; else they are refused.
        quiet: Print less.

    Returns:
        What `ladder.json` holds.

    Raises:
        InputError: Nothing can be scored, rungs that cannot be trained, other data or other
            configs than the folder's.
        PartFailed: A rung could not be trained; the others are in the table.
    """
    check_contracts(study)
    with open_folder(out, "ladder"):
        plan = make_plan(study, out, redo=redo, replicas=count_replicas(device))
        return _run_all(plan, device=device, quiet=quiet)


def _run_all(plan: StudyPlan, *, device: str, quiet: bool) -> dict[str, Any]:
    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    study, failed, table = plan.study, {}, {}
    total, number = len(study.seeds) * len(study.rungs), 0
    for note in (*plan.said_of_data, *plan.notes):
        say(note)
    for done, seed in enumerate(study.seeds, 1):
        for rung in study.rungs:
            number += 1
            if rung.name in failed:
                continue
            say(f"{number} of {total}: {rung.name}, seed {seed}, {_length(plan, rung)}")
            try:
                _train(plan, rung, seed, device, say=say)
            except ProcessFailed as error:
                if error.exit_code in (130, 143):  # it was stopped, not we
                    raise
                failed[rung.name] = str(error)
                say(f"! {rung.name} failed: {error}")
        table = _write(plan, study.seeds[:done], failed)
    if table and not quiet:
        print(text_of(table))
    rest = "too few are left for a table"
    if table:
        rest = f"the others are in {plan.out / 'ladder.md'}"
        say(f"table: {plan.out / 'ladder.md'}, page: {plan.out / 'ladder.html'}")
    if failed:
        raise PartFailed(
            f"{len(failed)} of {len(study.rungs)} rungs failed ({', '.join(failed)}); {rest}. "
            + " ".join(failed.values())
        )
    return table


def _length(plan: StudyPlan, rung: Rung) -> str:
    """`600 steps`, or under folds `5 folds of 590 to 600 steps`."""
    steps = plan.lengths[rung.name].steps
    low, high = min(steps), max(steps)
    each = f"{low} steps" if low == high else f"{low} to {high} steps"
    return each if plan.study.folds is None else f"{len(steps)} folds of {each}"


def _train(plan: StudyPlan, rung: Rung, seed: int, device: str, say: Callable) -> None:
    """Trains what is missing of a rung's run, or its folds, and scores it where that is asked."""
    config = plan.config(rung, seed)
    if rung.search is not None:
        config = _searched(plan, rung, config, device=device, say=say)
    name, run = f"{rung.name}-seed-{seed}", plan.run(rung, seed)
    log = plan.out / "logs" / f"{name}.log"
    train(config, run, path=plan.out / "configs" / f"{name}.yaml", log=log, device=device)
    if plan.study.labels is not None:
        _score(run, plan.scores(rung, seed), plan.study.labels, device=device, log=log)


def _score(run: Path, out: Path, labels: Path, *, device: str, log: Path) -> None:
    """Scores a run on the labels file, unless that is done: these labels, these weights."""
    what = {
        "labels_sha256": _sha256(labels),
        "variables_sha256": RunFolder(run).read_json("summary.json")["variables_sha256"],
    }
    if (out / "scored.json").is_file() and RunFolder(out).read_json("scored.json") == what:
        return
    if out.is_dir():
        shutil.rmtree(out)
    evaluate_in_process(run, labels, out, device=device, log=log)
    write_json(out / "scored.json", what)  # last: with it the scores are whole


def _sha256(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    total = hashlib.sha256()
    for file in files:
        name = "" if file == path else file.relative_to(path).as_posix()
        total.update(f"{name}\0".encode() + bytes.fromhex(sha256_of(file)))
    return total.hexdigest()


def _searched(plan: StudyPlan, rung: Rung, config: RunConfig, device: str, say: Callable):
    """The config that a rung's search finds, once for all seeds, on training and validation
    samples alone; split, seed and epochs stay those of `config`."""
    folder = plan.out / "search" / rung.name
    epochs, seed = plan.lengths[rung.name].search_epochs, plan.study.seeds[0]
    splits = (plan.out / "splits_search.csv").resolve()
    data = rung.config.data.model_copy(update={"splits": splits})
    base = plain(with_changes(rung.config, seed, data, epochs).model_dump())
    # A ladder's blocks are those of a search, unless it says otherwise.
    units = {"units": plan.study.units} if isinstance(plan.study.units, int) else {}
    keys = {key: value for key, value in (rung.search or {}).items() if key != "steps"}
    path = plan.out / "configs" / f"{rung.name}-search.yaml"
    write_json(path, {"base": base, **units, **keys})  # JSON is YAML
    if not (folder / "best.yaml").is_file():
        say(f"  searching its config, {epochs} epochs a training, in {folder}")
    run_race(read_search(path), folder, device=device, quiet=True)
    best = load_any(folder / "best.yaml")
    data = best.data.model_copy(update={"splits": config.data.splits})
    return with_changes(best, config.seed, data, config.train.epochs)


def _write(plan: StudyPlan, seeds: tuple[int, ...], failed: dict[str, str]) -> dict[str, Any]:
    """The table of what is trained so far, in all its forms; {} while nothing can be compared."""
    rungs = [rung for rung in plan.study.rungs if rung.name not in failed]
    if len(rungs) < 2:
        return {}
    scores = read_scores(plan, rungs, seeds)
    table = make_table(plan, scores, seeds=seeds, failed=failed)
    table["pictures"] = write_pictures(plan, scores)
    write_ladder(plan.out, table)
    return table
