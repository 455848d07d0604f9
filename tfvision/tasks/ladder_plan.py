"""What a ladder trains, worked out before anything is: split or folds, epochs, units.

`plan.json` in its folder is what a rerun is held against.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfvision.config import DataConfig, RunConfig, differences
from tfvision.data.labels_file import read_labels_table
from tfvision.data.split import write_splits
from tfvision.engine.files import write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.registry import Registry
from tfvision.tasks.data import Prepared, prepare
from tfvision.tasks.fold_deal import Deal, deal_samples
from tfvision.tasks.ladder_schema import DECLARED, Ladder, Rung, Units
from tfvision.tasks.pieces import piece_counts
from tfvision.tasks.sampling import training_set
from tfvision.tasks.use import read_labels

# What of data does not change which samples there are.
_VARYING = ("augment", "mix", "repeat", "batch_size", "balance", "workers")
_SHOWN = ("image_size", "channels", "input", "aggregate", "fit")  # nor do these


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

    way_out = "give all rungs one" if named else "name a convention in the ladder's metrics, "
    way_out += "" if named else "such as plain, in place of contract"
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
        first, write, prints, folds, notes = _dealt(ladder)
    else:
        first, write, prints = _split(ladder)
        folds, notes = {}, []
    known = {} if record is None else record["rungs"]
    if record is not None and record["of"] != prints:
        raise InputError(
            f"{out} holds a ladder of another {_other(record['of'], prints)}. Give that one, or "
            "choose another --out."
        )
    units = {}
    if ladder.scored != "folds":
        members = first.indices("test") if ladder.labels is None else _later(ladder, first)
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


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that came before with a number behind them."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def units_of(prepared: Prepared, units: Units, members: Sequence[int]) -> list[str]:
    """The unit of each of some images, given by their places in the source."""
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


def _split(ladder: Ladder) -> tuple[Prepared, Callable, dict]:
    """The split that all rungs share; how to write it; what tells it from others."""
    first = prepare(ladder.rungs[0].config.data, seed=ladder.seeds[0])
    if ladder.labels is None and not first.indices("test"):
        raise InputError(
            f"{first.source.layout}: no test image has a mask or label, so no rung can be "
            "scored. Set data.test_fraction, name a test part in data.splits, or give labels "
            "(--labels) or folds."
        )
    records = first.source.records

    def write(out: Path) -> None:
        # A search deals folds of what is not test: for it val is train.
        write_splits(out / "splits.csv", records, first.splits)
        joined = ["train" if split == "val" else split for split in first.splits]
        write_splits(out / "splits_search.csv", records, joined)

    rows = [(r.part, r.id, s) for r, s in zip(records, first.splits, strict=True) if r.labelled]
    return first, write, {"data": first.scan.fingerprint, "splits": _sha(rows)}


def _later(ladder: Ladder, first: Prepared) -> list[int]:
    """Places of the test images that the labels file speaks of.

    Raises:
        InputError: There is no unlabelled test image, or the file does not fit them.
    """
    source = first.source
    members = [i for i, r in enumerate(source.records) if r.split == "test" and not r.labelled]
    if not members:
        raise InputError(f"{source.layout}: it has no unlabelled `test` images to score.")
    ids = [source.records[i].id for i in members]
    if ladder.task == "classification":
        labels = source.class_labels or first.class_names
        table = read_labels_table(ladder.labels, ids, first.class_names, class_labels=labels)
        return [i for i, number in zip(members, table.numbers, strict=True) if number >= 0]
    masks = read_labels(ladder.labels, ids, source)
    return [i for i, mask in zip(members, masks, strict=True) if mask is not None]


def _dealt(ladder: Ladder) -> tuple[Prepared, Callable, dict, dict[str, int], list[str]]:
    """The folds that all rungs share, dealt from the samples of the rung that has most.

    A rung that leaves samples out (`data.exclude`) has the others in the folds in which all
    rungs have them. Besides the data: how to write the folds, what tells them from others,
    the fold of each sample, notes.

    Raises:
        InputError: Rungs of different data, or no rung that has the samples of all.
    """
    dealt: dict[str, Deal] = {}
    for rung in ladder.whole:
        key = _key(rung.config.data)
        if key not in dealt:
            data = rung.config.data.model_copy(update={"folds": ladder.folds, "fold": 0})
            config = rung.config.model_copy(update={"data": data, "seed": ladder.seeds[0]})
            dealt[key] = deal_samples(config)
    of_rung = {rung.name: dealt[_key(rung.config.data)] for rung in ladder.whole}
    most = max(of_rung, key=lambda name: len(of_rung[name].indices))
    whole = of_rung[most]
    for name, deal in of_rung.items():
        if deal.prepared.scan.fingerprint != whole.prepared.scan.fingerprint:
            raise InputError(
                f"Rungs {most!r} and {name!r} read different data sets: their fingerprints differ."
                " The rungs of a ladder may leave samples out (data.exclude), and read one."
            )
        if more := set(deal.names) - set(whole.names):
            raise InputError(
                f"Rung {name!r} has {len(more)} samples ({min(more)!r}, ...) that rung {most!r} "
                "lacks, and has fewer itself: no rung has all samples, to deal into folds. Let "
                "one leave nothing out, the lowest say."
            )
    records = whole.prepared.source.records
    fold_of = dict(zip(whole.indices, whole.folds, strict=True))
    folds = [fold_of.get(i) for i in range(len(records))]
    splits = [
        "train" if i in fold_of else ("test" if split == "test" else None)
        for i, split in enumerate(whole.prepared.splits)
    ]
    rows = [(r.part, r.id, s, f) for r, s, f in zip(records, splits, folds, strict=True)]
    prints = {"data": whole.prepared.scan.fingerprint, "splits": _sha(rows)}
    notes = [f"The folds: {whole.how}.", *whole.warnings]
    return (
        whole.prepared,
        lambda out: write_splits(out / "splits.csv", records, splits, folds),
        {**prints, "folds": ladder.folds},
        dict(zip(whole.names, whole.folds, strict=True)),
        notes,
    )


def _lengths(ladder: Ladder, out: Path):
    """Epochs, steps of each training, epochs of a search, and SHA-256 of the exclude list, of
    each rung, by its name."""
    seen: dict[str, list[Prepared]] = {}
    epochs, steps, searches, excluded = {}, {}, {}, {}
    for rung in ladder.rungs:
        data = _shared(rung.config.data, out, ladder.folds)
        config = rung.config.model_copy(update={"data": data, "seed": ladder.seeds[0]})
        key = _key(data)
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


def _key(data: DataConfig) -> str:
    """Equal for sections that read the same samples."""
    values = data.model_dump(mode="json")
    return repr({k: v for k, v in values.items() if k not in (*_VARYING, *_SHOWN)})


def _sha(rows: Sequence[tuple]) -> str:
    """Tells one split or deal from another."""
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()


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
