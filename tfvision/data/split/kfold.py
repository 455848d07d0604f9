"""Folds: every sample validates once, and trains in the other runs."""

from collections.abc import Sequence

from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record
from tfvision.data.split.assign import assign
from tfvision.data.split.chain_blocks import Near, leave_out
from tfvision.data.split.holdout import ignoring, too_few
from tfvision.errors import InputError


def kfold(
    scan: Scan,
    records: Sequence[Record],
    *,
    folds: int,
    seed: int,
    splits: Sequence[str | None] | None = None,
    near: Near | None = None,
) -> list[int | None]:
    """The fold, 0..folds-1, of each sample that is assigned; None of the others.

    Samples are assigned as `holdout` assigns them, by the presence of classes, with `folds`
    sides of one size. What belongs together is in one fold, chains are cut into blocks.

    Args:
        scan: The scan of these records.
        records: Those of the source.
        folds: How many, at least 2.
        seed: Of all chance.
        splits: What was held out before: only what stands in "train" is assigned, see
            `holdout` with `val_fraction=0`. None: what has no split of its own.
        near: The near-duplicates that count; None: none.

    Raises:
        InputError: Fewer independent samples than folds, or data that says itself what
            trains and validates.
    """
    near = near or Near()
    if folds < 2:
        raise InputError(f"folds must be 2 or more; got {folds}.")
    own = next((r for r in records if r.labelled and r.split in ("train", "val")), None)
    if own is not None:
        raise InputError(
            f"{scan.source_name} says itself what trains and validates ({own.place} is in "
            f"{own.split}); folds are made from samples without a split. Leave data.folds "
            "and data.fold out, take the split out of the data, or name a file of your own "
            "(data.splits) whose train rows are to be assigned."
        )
    if splits is None:
        splits = [r.split or ("train" if r.labelled else None) for r in records]
    free = [i for i, r in enumerate(records) if r.labelled and splits[i] == "train"]

    links, given = near.links(records), _given(records)

    def finish(assigned: dict[int, str]) -> list[list[str | None]]:
        numbers = _numbers(assigned, len(records))
        return [
            leave_out(_of_fold(splits, numbers, fold), links, given=given) for fold in range(folds)
        ]

    shares = {str(fold): 1 / folds for fold in range(folds)}
    assigned, units = assign(
        scan, records, free, shares, seed=seed, near=near, finish=finish, least=folds
    )
    if assigned is None:
        raise InputError(
            f"{too_few(scan, free, units, near)} cannot be assigned to {folds} folds. Take fewer "
            f"folds, or add samples{ignoring(near)}."
        )
    return _numbers(assigned, len(records))


def fold_splits(
    records: Sequence[Record],
    splits: Sequence[str | None],
    folds: Sequence[int | None],
    fold: int,
    *,
    near: Near | None = None,
) -> list[str | None]:
    """The splits of the run that validates on one fold.

    Training samples too near to a validation sample are left out (None) of this run.

    Args:
        records: Those of the source.
        splits: What was held out before the folds were assigned.
        folds: As `kfold` gives them.
        fold: The one that validates; the others train.
        near: The near-duplicates that count; None: none.
    """
    links = (near or Near()).links(records)
    return leave_out(_of_fold(splits, folds, fold), links, given=_given(records))


def _numbers(assigned: dict[int, str], count: int) -> list[int | None]:
    return [int(assigned[i]) if i in assigned else None for i in range(count)]


def _of_fold(
    splits: Sequence[str | None], folds: Sequence[int | None], fold: int
) -> list[str | None]:
    return [
        split if number is None else ("val" if number == fold else "train")
        for split, number in zip(splits, folds, strict=True)
    ]


def _given(records: Sequence[Record]) -> list[int]:
    return [i for i, record in enumerate(records) if record.split is not None]
