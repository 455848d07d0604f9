"""Which sample validates in which fold, what belongs together, and what a fold would lack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.config import RunConfig
from tfvision.data.sources.source import Record
from tfvision.data.split.chain_blocks import Near
from tfvision.data.split.stratify import make_units
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.splits import assign_folds
from tfvision.text import counted, some, verb


@dataclass(frozen=True)
class Assignment:
    """How the samples of a data set are assigned to folds.

    Attributes:
        prepared: The data set, split for fold 0.
        splits: For each fold the split of each record in its run.
        how: How the folds were assigned, one sentence.
        indices: The N samples that validate in a fold, by their place in the source: those
            of fold 0 first, each fold's in the order of the source.
        folds: The fold of each of them.
        names: A name of each of them, no two equal.
        units: The unit of each of them: samples that belong together have one.
        warnings: What some folds lack, one sentence each.
    """

    prepared: Prepared
    splits: list[list[str | None]]
    how: str
    indices: list[int]
    folds: list[int]
    names: list[str]
    units: list[str]
    warnings: list[str]

    def members(self, fold: int) -> list[int]:
        """Places in the source of the samples that validate in a fold."""
        return [i for i, own in zip(self.indices, self.folds, strict=True) if own == fold]

    def rows(self) -> list[dict[str, Any]]:
        """For each fold: `fold`, numbers of labelled samples in `train`, `val`, `test`, number
        of `units` in val, and `class_images` of val: how many of its images hold each class."""
        own = zip(self.folds, self.units, strict=True)
        units = Counter(fold for fold, _ in dict.fromkeys(own))
        labelled = [record.labelled for record in self.prepared.source.records]
        rows = []
        for fold, splits in enumerate(self.splits):
            counts = Counter(s for s, there in zip(splits, labelled, strict=True) if there)
            present = self.prepared.scan.class_pixels[self.members(fold)] > 0
            rows.append(
                {
                    "fold": fold,
                    **{split: counts[split] for split in ("train", "val", "test")},
                    "units": units[fold],
                    "class_images": present.sum(axis=0).tolist(),
                }
            )
        return rows

    def summary(self, arch: str) -> dict[str, Any]:
        """What a dry run gives."""
        return {
            "task": self.prepared.task,
            "arch": arch,
            "dry_run": True,
            "folds": len(self.splits),
            "how": self.how,
            "dealt": self.rows(),
            "warnings": self.warnings,
        }

    def text(self) -> str:
        """The assignment as lines for the terminal."""
        lines = [f"folds: {self.how}"]
        for row in self.rows():
            held = ", ".join(
                f"{name} {count}"
                for name, count in zip(self.prepared.class_names, row["class_images"], strict=True)
            )
            lines.append(
                f"  fold {row['fold']}: train {row['train']}, val {row['val']} in {row['units']} "
                f"units, test {row['test']}; images of val that hold {held}"
            )
        return "\n".join(lines)


def assign_samples(config: RunConfig, *, only: int | None = None) -> Assignment:
    """Assigns the samples of a config into its folds, and checks every fold.

    Args:
        config: With `data.folds`.
        only: Check this fold only; None: all.

    Raises:
        InputError: The samples cannot be assigned, or a fold would train without a class.
    """
    data = config.data.model_copy(update={"fold": config.data.fold or 0})
    prepared = prepare(data, seed=config.seed)
    records, audit = prepared.source.records, prepared.audit
    near = Near(audit.pairs, audit.clusters, audit.chains)
    unusable = {x.index for x in prepared.scan.left_out if x.index is not None}
    splits, _, how = assign_folds(
        data,
        records,
        prepared.scan,
        near,
        left_out={*prepared.exclude.reasons, *unusable},
        seed=config.seed,
        notes=[],
    )
    fold_of = {
        i: fold
        for fold, of_fold in enumerate(splits)
        for i, split in enumerate(of_fold)
        if split == "val" and records[i].labelled
    }
    indices = sorted(fold_of, key=lambda i: (fold_of[i], i))
    names = names_of(records)
    counted = near if data.near_duplicates == "together" else Near()
    unit_of = _units(prepared, counted, fold_of, names)
    assigned = Assignment(
        prepared,
        splits,
        how,
        indices,
        folds=[fold_of[i] for i in indices],
        names=[names[i] for i in indices],
        units=[unit_of[i] for i in indices],
        warnings=[
            f"no sample that is assigned to folds holds the class {name!r}"
            for k, name in enumerate(prepared.class_names)
            if not (prepared.scan.class_pixels[indices, k] > 0).any()
        ],
    )
    for fold in range(len(splits)) if only is None else [only]:
        _check_training(assigned, fold)
        assigned.warnings.extend(_missing_in_validation(assigned, fold))
    return assigned


def names_of(records: Sequence[Record]) -> dict[int, str]:
    """Place -> name of each labelled record: its id, or `part/id` where ids are not unique."""
    labelled = {i: record for i, record in enumerate(records) if record.labelled}
    if len({record.id for record in labelled.values()}) == len(labelled):
        return {i: record.id for i, record in labelled.items()}
    return {i: f"{record.part}/{record.id}".lstrip("/") for i, record in labelled.items()}


def _units(
    prepared: Prepared, near: Near, fold_of: dict[int, int], names: dict[int, str]
) -> dict[int, str]:
    """Place -> unit of each sample in the folds, called by its first member.

    Equal images and groups are in one fold anyway; a chain that is cut between folds is one
    unit on either side of the cut.
    """
    pairs = [(i, j) for i, j, *_ in near.pairs if fold_of.get(i, -1) == fold_of.get(j, -2)]
    units = make_units(prepared.scan, prepared.source.records, 0, among=fold_of, together=pairs)
    return {i: names[min(unit.members)] for unit in units for i in unit.members}


def _check_training(assigned: Assignment, fold: int) -> None:
    """Raises where a fold would train without a class that samples in the folds hold."""
    prepared, splits = assigned.prepared, assigned.splits[fold]
    present = prepared.scan.class_pixels > 0
    labelled = np.array([record.labelled for record in prepared.source.records])
    training = labelled & np.array([split == "train" for split in splits])
    units = dict(zip(assigned.indices, assigned.units, strict=True))
    problems = []
    for k, name in enumerate(prepared.class_names):
        held = [i for i in assigned.indices if present[i, k]]
        if not held or present[training, k].any():
            continue
        names = [assigned.names[assigned.indices.index(i)] for i in held]
        inside = sum(splits[i] == "val" for i in held)
        beside = len(held) - inside
        next_to = f", {beside} left out as too near to them" if beside else ""
        single = len({units[i] for i in held}) == 1
        advice = (
            "They are one unit (one image, one group, or near-duplicates), so some fold always "
            "trains without the class: add images that hold it, merge it with another class, or "
            "leave these images out (data.exclude)."
            if single
            else "Take fewer folds or another seed, add images that hold the class, or look at "
            "what is held together (data.groups, data.near_duplicates)."
        )
        problems.append(
            f"fold {fold} of {len(assigned.splits)} would train without the class {name!r}: of the "
            f"{counted(len(held), 'image')} that hold{verb(len(held), 's', '')} it "
            f"({some(names)}) {inside} "
            f"{verb(len(held), 'validates', 'validate')} in that "
            f"fold{next_to}. {advice}"
        )
    if problems:
        raise InputError("The folds cannot be trained:\n  " + "\n  ".join(problems))


def _missing_in_validation(assigned: Assignment, fold: int) -> list[str]:
    present = assigned.prepared.scan.class_pixels > 0
    own = present[assigned.members(fold)].any(axis=0)
    total = present[assigned.indices].sum(axis=0)
    return [
        f"no image of the validation part of fold {fold} holds the class {name!r} (images of all "
        f"folds that hold it: {total[k]}): that fold's own score has nothing of it but false "
        "alarms; the pooled score counts it"
        for k, name in enumerate(assigned.prepared.class_names)
        if total[k] and not own[k]
    ]
