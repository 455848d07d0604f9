"""What a ladder trains, worked out before anything is: split or folds, epochs, units.

`plan.json` in its folder is what a rerun must match.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfvision.config import DataConfig, RunConfig, differences
from tfvision.data.files.issue import by_kind
from tfvision.engine.files import write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare, shown_as
from tfvision.recipe.sampling import steps_per_epoch, training_set
from tfvision.runs.look import check_trainable
from tfvision.runs.set_up import check_arguments
from tfvision.studies.folds.assign import assign_samples
from tfvision.studies.study.faults import Faults
from tfvision.studies.study.schema import DECLARED, Rung, Study
from tfvision.studies.study.shared_split import (
    key_of,
    labelled_later,
    one_assignment,
    one_split,
    unique,
    units_of,
)
from tfvision.studies.study.training import PLAN
from tfvision.tasks.facts import facts_of
from tfvision.tasks.task import task_of


@dataclass(frozen=True)
class Length:
    """How long a rung is trained.

    Attributes:
        epochs: Of each training.
        steps: Gradient steps of its training, or of that of each fold.
        search_epochs: Epochs of each training of its search.
    """

    epochs: int
    steps: list[int]
    search_epochs: int


@dataclass(frozen=True)
class StudyPlan:
    """A ladder with its folder and its data.

    Attributes:
        study: What is to be trained.
        out: Its folder.
        lengths: Of each rung, by name.
        units: The unit of each image that may be scored, by its name; under folds {}, where
            each folds folder says them.
        folds: The fold of each sample, by its name; {} without folds.
        notes: What the data says of the rungs, one sentence each.
        prepared: The data, checked and split.
    """

    study: Study
    out: Path
    lengths: dict[str, Length]
    units: dict[str, str]
    folds: dict[str, int]
    notes: list[str]
    prepared: Prepared

    @property
    def said_of_data(self) -> list[str]:
        """What was read, left out and found doubtful before anything was trained."""
        # What the split gave rise to is among the notes already.
        found = [issue for issue in self.prepared.scan.warnings if issue.place != "splits"]
        return [*self.prepared.notes, *by_kind(found)]

    def run(self, rung: Rung, seed: int) -> Path:
        """Where a rung's run of a seed is, or its folds."""
        return self.out / "runs" / rung.name / f"seed-{seed}"

    def scores(self, rung: Rung, seed: int) -> Path:
        """Where what a run scores on the labels file is."""
        return self.out / "scores" / rung.name / f"seed-{seed}"

    def config(self, rung: Rung, seed: int) -> RunConfig:
        """What a rung is trained with: the split or folds that all rungs share, its epochs."""
        data = _shared(rung.config.data, self.out, self.study.folds)
        return with_changes(rung.config, seed, data, self.lengths[rung.name].epochs)


def with_changes(config: RunConfig, seed: int, data: DataConfig, epochs: int) -> RunConfig:
    """A config with what a study sets."""
    train = config.train.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"seed": seed, "data": data, "train": train})


def check_contracts(study: Study) -> None:
    """Raises where rungs declare contracts under which their scores cannot be compared."""
    conventions = facts_of(study.task).evidence_class().conventions
    if conventions and DECLARED not in study.metrics:
        return

    def declared(rung: Rung):
        spec, label = rung.config.metrics[0], rung.config.data.ignore_label
        # A score by name is counted under the declared contract.
        return (spec if DECLARED in study.metrics else spec.kwargs), label

    way_out = "name a convention in the ladder's metrics, such as plain, in place of contract"
    way_out = way_out if conventions else "give all rungs one"
    first = study.rungs[0]
    for rung in study.rungs[1:]:
        if declared(rung) != declared(first):
            raise InputError(
                f"Rungs {first.name!r} and {rung.name!r} declare different metric contracts, so "
                f"that their scores cannot be compared: {way_out}."
            )


def make_plan(study: Study, out: Path, *, redo: bool, replicas: int) -> StudyPlan:
    """Looks at the data, works out epochs, and compares all of it with what the folder has.

    Rungs that the folder does not have yet are looked at as well, so that nothing is trained
    where a later one could not be. Of one that searches its config only arguments are checked.

    Args:
        study, out, redo: As `run_all` has them.
        replicas: Devices that share a batch.

    Raises:
        InputError: Nothing can be scored; rungs that cannot be trained, all of which are named;
            other data, another split or other configs than the folder's.
    """
    record = {"rungs": {}}
    if (out / PLAN).is_file():
        record = RunFolder(out).read_json(PLAN)
    if study.folds is not None:
        first, write, prints, folds, notes = one_assignment(study)
    else:
        first, write, prints = one_split(study)
        folds, notes = {}, []
    if record.get("of", prints) != prints:
        raise InputError(
            f"{out} holds a ladder of another {_other(record['of'], prints)}. Give that one, or "
            "choose another --out."
        )
    units = {}
    if study.scored != "folds":
        members = first.indices("test") if study.labels is None else labelled_later(study, first)
        names = unique([first.source.records[i].id for i in members])
        units = dict(zip(names, units_of(first, study.units, members), strict=True))
    write(out)
    lengths, records = {}, {}
    seen: dict[str, list[Prepared]] = {}
    faults = Faults()
    for rung in study.rungs:
        data = _shared(rung.config.data, out, study.folds)
        config = rung.config.model_copy(update={"data": data, "seed": study.seeds[0]})
        key = key_of(data)
        with faults.of(rung.name):
            check_arguments(config)
            if key not in seen:
                seen[key] = _trainings(config)
            trainings = seen[key]
            length = lengths[rung.name] = _length(study, rung, _steps_per_epoch(config, trainings))
            made = records[rung.name] = _record(rung, length, trainings[0].exclude.sha256)
            if rung.search is None and made != record["rungs"].get(rung.name):
                check_trainable(config, shown_as(data, trainings[0]), replicas)
    faults.check()
    _settle(out, record["rungs"], records, redo)
    write_json(out / PLAN, {"of": prints, "rungs": {**record["rungs"], **records}})
    return StudyPlan(study, out, lengths, units=units, folds=folds, notes=notes, prepared=first)


def _length(study: Study, rung: Rung, an_epoch: Sequence[int]) -> Length:
    """The length of a rung, from the gradient steps of an epoch of each training.

    What a search trains is no longer than the training that it is for.
    """
    mean = sum(an_epoch) / len(an_epoch)
    length = study.epochs if study.steps is None else study.steps / mean
    epochs = rung.epochs or max(1, round(rung.times * length))
    search_steps = (rung.search or {}).get("steps")
    searched = length if search_steps is None else min(epochs, search_steps / mean)
    search_epochs = max(1, round(searched))
    return Length(epochs, [epochs * steps for steps in an_epoch], search_epochs)


def _record(rung: Rung, length: Length, exclude_sha256: str | None) -> dict[str, Any]:
    """What a rerun must match of a rung."""
    config = rung.config.model_dump(mode="json")
    del config["seed"], config["train"]["epochs"]
    return {
        "config": config,
        "epochs": length.epochs,
        "search": rung.search and {**rung.search, "epochs": length.search_epochs},
        **({"exclude_sha256": exclude_sha256} if exclude_sha256 else {}),
    }


def _trainings(config: RunConfig) -> list[Prepared]:
    """The data of a rung's training, or under folds of the training of each fold."""
    if config.data.folds is None:
        return [prepare(config.data, seed=config.seed)]
    assignment = assign_samples(config)
    return [replace(assignment.prepared, splits=splits) for splits in assignment.splits]


def _steps_per_epoch(config: RunConfig, trainings: Sequence[Prepared]) -> list[int]:
    """Gradient steps of an epoch of each training, as a training counts them."""
    chosen = [training_set(config, prepared, ()) for prepared in trainings]
    used = sorted({i for one in chosen for i in one.indices})
    samples = task_of(config.task).samples_of(config, trainings[0], used)
    each = dict(zip(used, samples, strict=True))
    counts = [sum(each[i] for i in one.indices) * one.repeat for one in chosen]
    return [steps_per_epoch(config, count) for count in counts]


def _shared(data: DataConfig, out: Path, folds: int | None) -> DataConfig:
    update = {"splits": (out / "splits.csv").resolve()}
    if folds is not None:
        update |= {"folds": folds, "fold": 0}
    return data.model_copy(update=update)


def _other(before: Mapping, now: Mapping) -> str:
    if before["data"] != now["data"]:
        return "data set"
    return "split" if before.get("folds") == now.get("folds") else "number of folds"


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
