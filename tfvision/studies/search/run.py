"""`search`: which of many configs is best, by a race over folds. No TensorFlow here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfvision.config import SegmentationConfig, differences, dump_config
from tfvision.engine.files import write_json, write_text
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.runs.process import train_in_process
from tfvision.stats.race import FoldEvidence, Race, Rule, race
from tfvision.studies.compare.scored_run import (
    ScoredRun,
    check_comparable,
    load_evidence,
    load_run,
)
from tfvision.studies.folds.assign import Deal, deal_samples
from tfvision.studies.search.file import Search, folder_name
from tfvision.studies.search.table import csv_of, result_of, text_of

SPLIT = "val"  # of the run of a fold: that fold


def search(
    asked: Search,
    out: Path,
    *,
    device: str = "auto",
    quiet: bool = False,
    train: Callable[..., Any] = train_in_process,
) -> dict[str, Any]:
    """Runs a search, or goes on with it.

    Every candidate is trained on fold 0; those that are worse than the leader beyond what
    chance explains are dropped (`stats/race.py`), the others go on to fold 1, and so on.
    Each training is a run of its own, in a process of its own.

    Args:
        asked: What is searched.
        out: A folder: new, empty, or of this very search, which then goes on.
        device: Value of `--device`.
        quiet: Print nothing.
        train: As `process.train_in_process`: it leaves a finished run alone and goes on with a
            stopped one.

    Returns:
        What `search.json` holds. Beside it stand `search.csv`, `best.yaml`, the config of the
        winner, and a folder for each candidate.

    Raises:
        InputError: `out` holds something else, or a search that differs, and in what.
    """
    folder = _open(asked, Path(out))
    folder.lock()
    try:
        return _search(asked, folder.path, device, quiet, train)
    finally:
        folder.unlock()


def _search(asked: Search, out: Path, device: str, quiet: bool, train) -> dict[str, Any]:
    say = (lambda line: None) if quiet else (lambda line: print(line, flush=True))
    deal = deal_samples(_of_fold_0(asked)) if asked.units == "auto" else None
    field = _Field(asked, out, device, train, say, deal)
    first = field.run_of(next(iter(asked.candidates)), 0)
    drop = asked.drop
    done = race(
        list(asked.candidates),
        asked.folds,
        field.evidence_of,
        contract=first.contract,
        score=first.score,
        rule=Rule(drop.alpha if drop.rule == "race" else 0.0, drop.least, drop.luck),
        on_round=lambda done: _tell(done, say),
    )
    result = result_of(
        asked,
        done,
        contract=first.contract,
        score=first.score,
        warnings=deal.warnings if deal else [],
    )
    title = f"# {done.winner}, the best of {len(asked.candidates)} candidates of {asked.name}\n"
    write_text(out / "best.yaml", title + dump_config(asked.candidates[done.winner]))
    write_text(out / "search.csv", csv_of(result))
    write_json(out / "search.json", result)
    say(text_of(result))
    say(f"config of the winner: {out / 'best.yaml'}")
    return result


class _Field:
    """The trainings of a search: makes the runs the race asks for, and reads what they score."""

    def __init__(self, asked: Search, out: Path, device: str, train, say, deal: Deal | None):
        self._asked, self._device, self._train, self._say = asked, device, train, say
        self._deal = deal
        self._folders = {
            name: out / folder_name(number, name) for number, name in enumerate(asked.candidates)
        }
        self._runs: dict[tuple[str, int], ScoredRun] = {}
        self._first: dict[int, ScoredRun] = {}  # of each fold; the others are held against it

    def run_of(self, name: str, fold: int) -> ScoredRun:
        """The finished run of a candidate on a fold."""
        if (name, fold) not in self._runs:
            folder = self._folders[name]
            config = self._asked.candidates[name]
            # Written anew each time: the same text, whole also after a kill.
            write_text(folder / "config.yaml", dump_config(config))
            self._train(
                folder / "config.yaml",
                folder / f"fold-{fold}",
                overrides=[
                    f"data.folds={self._asked.folds}",
                    f"data.fold={fold}",
                    "train.export=false",
                ],
                device=self._device,
                quiet=True,
                log=folder / f"fold-{fold}.log",
            )
            run = self._runs[name, fold] = load_run(name, folder / f"fold-{fold}")
            self._first.setdefault(fold, run)
        return self._runs[name, fold]

    def evidence_of(self, name: str, fold: int) -> FoldEvidence:
        run = self.run_of(name, fold)
        first = self._first[fold]
        check_comparable([first, run], SPLIT)
        evidence = load_evidence([first, run], SPLIT)[1]
        score = evidence.measure(run.score, run.contract).value()
        self._say(f"fold {fold}  {score:.4f}  {name}")
        return FoldEvidence(evidence, self._units(fold, evidence.ids))

    def _units(self, fold: int, ids: list[str]) -> list[str]:
        """The unit of each image of a fold, named so that no two folds share one."""
        if self._deal is None:
            size = 1 if self._asked.units == "images" else self._asked.units
            return [f"fold {fold} block {place // size:07d}" for place in range(len(ids))]
        deal = self._deal
        records = deal.prepared.source.records
        unit_of = dict(zip(deal.indices, deal.units, strict=True))
        members = deal.members(fold)
        if [records[i].id for i in members] != ids:
            raise InputError(
                f"Fold {fold} was trained on other samples than the data has now. Bring the old "
                "data back, or search in another --out."
            )
        return [f"fold {fold} {unit_of[i]}" for i in members]


def _of_fold_0(asked: Search) -> SegmentationConfig:
    config = next(iter(asked.candidates.values()))
    data = config.data.model_copy(update={"folds": asked.folds, "fold": 0})
    return config.model_copy(update={"data": data})


def _tell(done: Race, say: Callable[[str], None]) -> None:
    found = done.rounds[-1]
    dropped = [name for name, verdict in found.verdicts.items() if verdict.dropped]
    out = f"; dropped: {', '.join(dropped)}" if dropped else ""
    say(f"after fold {found.fold}: {found.leader} leads, {found.scores[found.leader]:.4f}{out}")


def _open(asked: Search, out: Path) -> RunFolder:
    """The search's folder, its plan written before anything else."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Choose a folder.")
    path = out / "plan.json"
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} cannot be read: {error}. Choose another --out.") from error
        changed = differences(before, asked.plan())
        if changed and not any(out.glob("*/fold-*")):  # nothing was trained yet
            write_json(path, asked.plan())
        elif changed:
            shown = "\n  ".join(changed[:20]) + ("\n  ..." if len(changed) > 20 else "")
            raise InputError(
                f"{out} holds a search that was asked otherwise:\n  {shown}\nA search goes on only "
                "as it began. Choose another --out, or remove the folder."
            )
    elif out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
        raise InputError(f"--out {out} is not empty and holds no search. Choose another.")
    else:
        write_json(path, asked.plan())
    return RunFolder(out)
