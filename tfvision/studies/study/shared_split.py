"""What all rungs of a ladder share: a split, or an assignment of folds, and the units."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tfvision.config import DataConfig
from tfvision.data.split.holdout import write_splits
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.studies.folds.assign import Assignment, assign_samples
from tfvision.studies.study.schema import Study, Units
from tfvision.tasks.task import task_of

# What of data does not change which samples there are.
_VARYING = ("augment", "mix", "repeat", "batch_size", "balance", "workers", "keep_samples")
_SHOWN = ("image_size", "channels", "input", "aggregate", "fit")  # nor do these


def one_split(study: Study) -> tuple[Prepared, Callable, dict]:
    """The split that all rungs share; how to write it; what tells it from others."""
    first = prepare(study.rungs[0].config.data, seed=study.seeds[0])
    if study.labels is None and not first.indices("test"):
        raise InputError(
            f"{first.source.layout}: no test image has a mask or label, so no rung can be "
            "scored. Set data.test_fraction, name a test part in data.splits, or give labels "
            "(--labels) or folds."
        )
    records = first.source.records

    def write(out: Path) -> None:
        # A search assigns folds of what is not test: for it val is train.
        write_splits(out / "splits.csv", records, first.splits)
        joined = ["train" if split == "val" else split for split in first.splits]
        write_splits(out / "splits_search.csv", records, joined)

    rows = [(r.part, r.id, s) for r, s in zip(records, first.splits, strict=True) if r.labelled]
    return first, write, {"data": first.scan.fingerprint, "splits": _sha(rows)}


def labelled_later(study: Study, first: Prepared) -> list[int]:
    """Places of the test images that the labels file speaks of.

    Raises:
        InputError: There is no unlabelled test image, or the file does not fit them.
    """
    source = first.source
    members = [i for i, r in enumerate(source.records) if r.split == "test" and not r.labelled]
    if not members:
        raise InputError(f"{source.layout}: it has no unlabelled `test` images to score.")
    return task_of(study.task).labelled_later(study.labels, first, members)


def one_assignment(study: Study) -> tuple[Prepared, Callable, dict, dict[str, int], list[str]]:
    """The folds that all rungs share, made from the samples of the rung that has most.

    A rung that leaves samples out (`data.exclude`) has the others in the folds in which all
    rungs have them. Besides the data: how to write the folds, what tells them from others,
    the fold of each sample, notes.

    Raises:
        InputError: Rungs of different data, or no rung that has the samples of all.
    """
    assigned: dict[str, Assignment] = {}
    for rung in study.whole:
        key = key_of(rung.config.data)
        if key not in assigned:
            data = rung.config.data.model_copy(update={"folds": study.folds, "fold": 0})
            config = rung.config.model_copy(update={"data": data, "seed": study.seeds[0]})
            assigned[key] = assign_samples(config)
    of_rung = {rung.name: assigned[key_of(rung.config.data)] for rung in study.whole}
    most = max(of_rung, key=lambda name: len(of_rung[name].indices))
    whole = of_rung[most]
    for name, assignment in of_rung.items():
        if assignment.prepared.scan.fingerprint != whole.prepared.scan.fingerprint:
            raise InputError(
                f"Rungs {most!r} and {name!r} read different data sets: their fingerprints differ."
                " The rungs of a ladder may leave samples out (data.exclude), and read one."
            )
        if more := set(assignment.names) - set(whole.names):
            raise InputError(
                f"Rung {name!r} has {len(more)} samples ({min(more)!r}, ...) that rung {most!r} "
                "lacks, and has fewer itself: no rung has all samples, to assign into folds. Let "
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
    if held := sum(r.labelled and s == "test" for r, s in zip(records, splits, strict=True)):
        notes.append(
            f"{held} labelled images are held out to test and are in no fold; data.test_fraction: "
            "0 assigns them too, where the data has no test part of its own."
        )
    return (
        whole.prepared,
        lambda out: write_splits(out / "splits.csv", records, splits, folds),
        {**prints, "folds": study.folds},
        dict(zip(whole.names, whole.folds, strict=True)),
        notes,
    )


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


def key_of(data: DataConfig) -> str:
    """Equal for sections that read the same samples."""
    values = data.model_dump(mode="json")
    return repr({k: v for k, v in values.items() if k not in (*_VARYING, *_SHOWN)})


def _sha(rows: Sequence[tuple]) -> str:
    """Tells one split or assignment from another."""
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()
