"""`search`: which of many configs is best, by a race over folds. No TensorFlow here.

Beside `search.json`, `search.csv` and `best.yaml`, the config of the winner, a search's folder has
`plan.json` and a folder for each candidate, with `config.yaml` and the runs `fold-<n>`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfvision.config import differences, dump_config
from tfvision.engine.files import write_json, write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.stats.race import FoldEvidence, Race, race
from tfvision.studies.compare.scored_run import (
    ScoredRun,
    check_comparable,
    load_evidence,
    load_run,
)
from tfvision.studies.folds.assign import assign_samples
from tfvision.studies.study.race_table import csv_of, folder_name, result_of, text_of
from tfvision.studies.study.schema import Study
from tfvision.studies.study.training import PLAN, open_folder, train

SPLIT = "val"  # of the run of a fold: that fold


def run_race(
    study: Study, out: Path, *, device: str = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Runs a search, or goes on with it.

    Every candidate is trained on fold 0; those that are worse than the leader beyond what
    chance explains are dropped (`stats/race.py`), the others go on to fold 1, and so on. With
    `holdout` the best on fold 0 wins.
    Each training is a run of its own, in a process of its own.

    Args:
        study: What is searched.
        out: A folder: new, empty, or of this very search, which then goes on.
        device: Value of `--device`.
        quiet: Print nothing.

    Returns:
        What `search.json` holds.

    Raises:
        InputError: `out` holds something else, or a search that differs, and in what.
    """
    with open_folder(Path(out), "search") as folder:
        _settle(study, folder)
        return _run_race(study, folder.path, device, quiet)


def _settle(study: Study, folder: RunFolder) -> None:
    """Writes what a rerun must match; refuses to go on with a search that differs."""
    plan = {
        "folds": study.folds,
        "units": study.units,
        "drop": study.drop.model_dump(),
        "candidates": {rung.name: rung.config.model_dump(mode="json") for rung in study.rungs},
        **({"holdout": True} if study.holdout else {}),
    }
    trained = any(folder.path.glob("*/fold-*"))  # else the file may be mended
    changed = differences(folder.read_json(PLAN), plan) if trained else []
    if changed:
        shown = "\n  ".join(changed[:20]) + ("\n  ..." if len(changed) > 20 else "")
        raise InputError(
            f"{folder.path} holds a search that was asked otherwise:\n  {shown}\nA search goes on "
            "only as it began. Choose another --out, or remove the folder."
        )
    write_json(folder.path / PLAN, plan)


def _run_race(study: Study, out: Path, device: str, quiet: bool) -> dict[str, Any]:
    say = (lambda line: None) if quiet else (lambda line: print(line, flush=True))
    trainings = _Trainings(study, out, device, say)
    names = [candidate.name for candidate in study.rungs]
    drop = study.drop
    done = race(
        names,
        1 if study.holdout else study.folds,
        trainings.evidence_of,
        alpha=drop.alpha if drop.rule == "race" else 0.0,
        least=drop.least,
        luck=drop.luck,
        on_round=lambda done: _tell(done, say),
    )
    result = result_of(study, done, warnings=trainings.warnings)
    winner = next(rung for rung in study.rungs if rung.name == done.winner)
    title = f"# {winner.name}, the best of {len(names)} candidates of {study.name}\n"
    write_text(out / "best.yaml", title + dump_config(winner.config))
    write_text(out / "search.csv", csv_of(result))
    write_json(out / "search.json", result)
    say(text_of(result))
    say(f"config of the winner: {out / 'best.yaml'}")
    return result


class _Trainings:
    """Makes the runs that the race asks for, and reads what they are scored by."""

    def __init__(self, study: Study, out: Path, device: str, say: Callable[[str], None]):
        self._study, self._out, self._device, self._say = study, out, device, say
        self._numbers = {rung.name: number for number, rung in enumerate(study.rungs)}
        self._first: dict[int, ScoredRun] = {}  # of each fold; the others must match it
        self._assignment = None
        if study.units == "auto":
            config = study.rungs[0].config
            data = config.data.model_copy(update={"folds": study.folds, "fold": 0})
            self._assignment = assign_samples(config.model_copy(update={"data": data}))
        self.warnings = self._assignment.warnings if self._assignment else []

    def evidence_of(self, name: str, fold: int) -> FoldEvidence:
        """What the run of a candidate on a fold is scored by."""
        number, folds = self._numbers[name], self._study.folds
        folder = self._out / folder_name(number, name)
        train(
            self._study.rungs[number].config,
            folder / f"fold-{fold}",
            path=folder / "config.yaml",
            log=folder / f"fold-{fold}.log",
            overrides=[f"data.folds={folds}", f"data.fold={fold}", "train.export=false"],
            device=self._device,
            quiet=True,
        )
        run = load_run(name, folder / f"fold-{fold}")
        both = [self._first.setdefault(fold, run), run]
        check_comparable(both, SPLIT)
        evidence = load_evidence(both, SPLIT)[1]
        score = evidence.measure(run.score, run.contract).value()
        self._say(f"fold {fold}  {score:.4f}  {name}")
        return FoldEvidence(evidence, self._units(fold, evidence.ids), run.score, run.contract)

    def _units(self, fold: int, ids: list[str]) -> list[str]:
        """The unit of each image of a fold, named so that no two folds share one."""
        if self._assignment is None:
            size = 1 if self._study.units == "images" else self._study.units
            return [f"fold {fold} block {place // size:07d}" for place in range(len(ids))]
        assignment = self._assignment
        records = assignment.prepared.source.records
        unit_of = dict(zip(assignment.indices, assignment.units, strict=True))
        members = assignment.members(fold)
        if [records[i].id for i in members] != ids:
            raise InputError(
                f"Fold {fold} was trained on other samples than the data has now. Bring the old "
                "data back, or search in another --out."
            )
        return [f"fold {fold} {unit_of[i]}" for i in members]


def _tell(done: Race, say: Callable[[str], None]) -> None:
    last = done.rounds[-1]
    dropped = [name for name, verdict in last.verdicts.items() if verdict.dropped]
    out = f"; dropped: {', '.join(dropped)}" if dropped else ""
    say(f"after fold {last.fold}: {last.leader} leads, {last.scores[last.leader]:.4f}{out}")
