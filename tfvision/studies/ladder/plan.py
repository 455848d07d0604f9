"""What a ladder trains, worked out before anything is: split or folds, epochs, units.

`plan.json` in its folder is what a rerun is held against.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfvision.config import DataConfig, RunConfig, differences
from tfvision.engine.files import write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.sampling import training_set
from tfvision.registry import Registry
from tfvision.studies.folds.assign import deal_samples
from tfvision.studies.ladder.schema import DECLARED, Ladder, Rung
from tfvision.studies.ladder.shared_split import (
    key_of,
    labelled_later,
    one_deal,
    one_split,
    unique,
    units_of,
)
from tfvision.tasks.classification.pieces import piece_counts


@dataclass(frozen=True)
class Climb:
    """A ladder with its folder and its data.

    Attributes:
        ladder: What is to be trained.
        out: Its folder.
        epochs: Of each rung, by name.
        steps: Gradient steps of each rung's training; under folds one number a fold.
        units: The unit of each image that may be scored, by its name; under folds {}, where
            each folds folder says them.
        folds: The fold of each sample, by its name; {} without folds.
        search_epochs: Epochs of each training of a rung's search.
        tables: Key path of a config to the table of its names.
        notes: What the data says of the rungs, one sentence each.
    """

    ladder: Ladder
    out: Path
    epochs: dict[str, int]
    steps: dict[str, list[int]]
    units: dict[str, str]
    folds: dict[str, int]
    search_epochs: dict[str, int]
    tables: Mapping[str, Registry]
    notes: list[str]

    def run(self, rung: Rung, seed: int) -> Path:
        """Where a rung's run of a seed is, or its folds."""
        return self.out / "runs" / rung.name / f"seed-{seed}"

    def scores(self, rung: Rung, seed: int) -> Path:
        """Where what a run scores on the labels file is."""
        return self.out / "scores" / rung.name / f"seed-{seed}"

    def data_of(self, rung: Rung) -> DataConfig:
        """The data section of a rung's runs: the split or folds that all rungs share."""
        return _shared(rung.config.data, self.out, self.ladder.folds)


def check_contracts(ladder: Ladder) -> None:
    """Raises where rungs declare contracts under which their scores cannot be compared."""
    named = ladder.task == "classification"  # a score by name, under the declared contract
    if DECLARED not in ladder.metrics and not named:
        return
    first = ladder.rungs[0]

    def declared(rung: Rung):
        spec, label = rung.config.metrics[0], rung.config.data.ignore_label
        return (spec.kwargs, label) if DECLARED not in ladder.metrics else (spec, label)

    way_out = "name a convention in the ladder's metrics, such as plain, in place of contract"
    way_out = "give all rungs one" if named else way_out
    for rung in ladder.rungs[1:]:
        if declared(rung) != declared(first):
            raise InputError(
                f"Rungs {first.name!r} and {rung.name!r} declare different metric contracts, so "
                f"that their scores cannot be compared: {way_out}."
            )


def make_plan(ladder: Ladder, out: Path, tables: Mapping[str, Registry], *, redo: bool) -> Climb:
    """Looks at the data, works out epochs, and holds all of it against what the folder has.

    Raises:
        InputError: Nothing can be scored; other data, another split or other configs than the
            folder's.
    """
    record = RunFolder(out).read_json("plan.json") if (out / "plan.json").is_file() else None
    if ladder.folds is not None:
        first, write, prints, folds, notes = one_deal(ladder)
    else:
        first, write, prints = one_split(ladder)
        folds, notes = {}, []
    known = {} if record is None else record["rungs"]
    if record is not None and record["of"] != prints:
        raise InputError(
            f"{out} holds a ladder of another {_other(record['of'], prints)}. Give that one, or "
            "choose another --out."
        )
    units = {}
    if ladder.scored != "folds":
        members = first.indices("test") if ladder.labels is None else labelled_later(ladder, first)
        names = unique([first.source.records[i].id for i in members])
        units = dict(zip(names, units_of(first, ladder.units, members), strict=True))
    write(out)
    epochs, steps, searches, excluded = _lengths(ladder, out)
    plans = {
        rung.name: {
            "config": _fixed(rung.config),
            "epochs": epochs[rung.name],
            "search": rung.search and {**rung.search, "epochs": searches[rung.name]},
            **({"exclude_sha256": excluded[rung.name]} if excluded[rung.name] else {}),
        }
        for rung in ladder.rungs
    }
    _settle(out, known, plans, redo)
    write_json(out / "plan.json", {"of": prints, "rungs": {**known, **plans}})
    return Climb(ladder, out, epochs, steps, units, folds, searches, tables, notes)


def _lengths(ladder: Ladder, out: Path):
    """Epochs, steps of each training, epochs of a search, and SHA-256 of the exclude list, of
    each rung, by its name."""
    seen: dict[str, list[Prepared]] = {}
    epochs, steps, searches, excluded = {}, {}, {}, {}
    for rung in ladder.rungs:
        data = _shared(rung.config.data, out, ladder.folds)
        config = rung.config.model_copy(update={"data": data, "seed": ladder.seeds[0]})
        key = key_of(data)
        if key not in seen:
            seen[key] = _trainings(config)
        an_epoch = _steps_per_epoch(config, seen[key])
        mean = sum(an_epoch) / len(an_epoch)
        length = ladder.epochs if ladder.steps is None else ladder.steps / mean
        own = rung.epochs or max(1, round(rung.times * length))
        epochs[rung.name], steps[rung.name] = own, [own * one for one in an_epoch]
        asked = (rung.search or {}).get("steps")
        searches[rung.name] = max(1, round(length if asked is None else asked / mean))
        excluded[rung.name] = seen[key][0].exclude.sha256
    return epochs, steps, searches, excluded


def _trainings(config: RunConfig) -> list[Prepared]:
    """The data of a rung's training, or under folds of the training of each fold."""
    if config.data.folds is None:
        return [prepare(config.data, seed=config.seed)]
    deal = deal_samples(config)
    return [replace(deal.prepared, splits=splits) for splits in deal.splits]


def _steps_per_epoch(config: RunConfig, trainings: Sequence[Prepared]) -> list[int]:
    """Gradient steps of an epoch of each training, as a training counts them."""
    chosen = [training_set(config, prepared, ()) for prepared in trainings]
    pieces = None
    if config.task == "classification":
        used = sorted({i for one in chosen for i in one.indices})
        pieces = dict(zip(used, piece_counts(config, trainings[0], used), strict=True))
    counts = [
        one.per_epoch if pieces is None else sum(pieces[i] for i in one.indices) * one.repeat
        for one in chosen
    ]
    return [max(1, round(count / config.data.batch_size)) for count in counts]


def _shared(data: DataConfig, out: Path, folds: int | None) -> DataConfig:
    update = {"splits": (out / "splits.csv").resolve()}
    if folds is not None:
        update |= {"folds": folds, "fold": 0}
    return data.model_copy(update=update)


def _other(before: Mapping, now: Mapping) -> str:
    if before["data"] != now["data"]:
        return "data set"
    return "split" if before.get("folds") == now.get("folds") else "number of folds"


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
        for parent in ("runs", "search", "scores"):
            if (out / parent / name).is_dir():
                shutil.rmtree(out / parent / name)
