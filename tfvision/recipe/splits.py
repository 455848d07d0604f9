"""The split of a run's samples: as a file says, by folds, or held out; and its check."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from tfvision.config import DataConfig
from tfvision.data.files.issue import Issue, listing
from tfvision.data.scan.duplicates import leaks
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record, Source
from tfvision.data.split.chain_blocks import Near, straddling
from tfvision.data.split.holdout import absent_classes, holdout, read_folds, read_splits
from tfvision.data.split.kfold import fold_splits, kfold
from tfvision.errors import InputError
from tfvision.recipe.opening import TOLD
from tfvision.recipe.recorded import recorded_splits


def make_splits(
    config: DataConfig,
    source: Source,
    found: Scan,
    near: Near,
    *,
    left_out: Collection[int] = (),
    seed: int,
    notes: list[str],
    known: dict[str, Any] | None = None,
) -> tuple[list[str | None], str]:
    """The split of each record, and how it came about, a sentence.

    Where groups that names tell of cannot be kept whole, the source loses them, with a warning.

    Args:
        config: The config's section.
        source: The samples.
        found: The scan. Takes a warning for near-duplicates in two splits.
        near: The near-duplicates among the records.
        left_out: Indices of those that are in no split, whatever is said.
        seed: Of all chance.
        notes: Takes lines to print.
        known: `data.json` of the run that is there, with its split; None: a split is made.

    Raises:
        InputError: The samples cannot be shared out, or equal images or one group stand in
            several splits.
    """
    if known is not None:
        splits = recorded_splits(known, source.records, found.sample_hashes)
        how, records = known["how"], _without(source.records, left_out)
        if config.folds is not None or config.splits is None:
            _note_left_out(records, splits, notes)
    else:
        groupless = [replace(record, group=None) for record in source.records]
        said, options = list(notes), {"left_out": left_out, "seed": seed, "notes": notes}
        try:
            splits, how, records = _new_splits(config, source.records, found, near, **options)
        except InputError as error:
            if not any(TOLD in line for line in said):  # the data or the user names them
                raise
            notes[:] = [line for line in said if TOLD not in line]
            splits, how, records = _new_splits(config, groupless, found, near, **options)
            source.records = groupless
            _warn(found, notes, f"the {TOLD} are not used: {error}")
    for sentence in straddling(records, splits, near.pairs):
        _warn(found, notes, sentence)
    _note_absent(records, splits, found, notes)
    return splits, how


def _new_splits(
    config: DataConfig, records: Sequence[Record], found: Scan, near: Near, *, left_out, seed, notes
) -> tuple[list[str | None], str, list[Record]]:
    """The split of a new run, and the records as they take part; else as `make_splits`."""
    if config.folds is not None:
        every, records, how = assign_folds(
            config, records, found, near, left_out=left_out, seed=seed, notes=notes
        )
        splits, how = every[config.fold], f"fold {config.fold} of {how}"
        _note_left_out(records, splits, notes)
    elif config.splits is not None:
        splits = read_splits(config.splits, records, truth=found.truth, notes=notes)
        splits = [None if i in left_out else split for i, split in enumerate(splits)]
        records = _without(records, left_out)
        how = f"given by {config.splits}"
    else:
        records = _without(records, left_out)
        _check_any_left(records, left_out)
        splits, how = _held_out(config, records, found, near, seed=seed)
        _note_left_out(records, splits, notes)
    _check(records, splits, found, how=how)
    return splits, how, records


def assign_folds(
    config: DataConfig,
    records: Sequence[Record],
    found: Scan,
    near: Near,
    *,
    left_out: Collection[int] = (),
    seed: int,
    notes: list[str],
) -> tuple[list[list[str | None]], list[Record], str]:
    """The splits of the run of every fold; arguments and errors as of `make_splits`.

    What is held out to test is the same in all of them: what the data gives, a share of it,
    or the test rows of `data.splits`, whose train rows are then what is assigned; where that file
    has a column `fold`, as it says.

    Returns:
        One list of splits a fold; the records as they take part, without mask and split where
        they are left out; how the folds were assigned.
    """
    counted = near if config.near_duplicates == "together" else Near()
    if config.splits is not None:
        records, splits = _rows_to_assign(config, records, found, left_out, notes=notes)
        how = f", of the train rows of {config.splits}"
    else:
        records, how = _without(records, left_out), ""
        _check_any_left(records, left_out)
        splits = holdout(
            found,
            records,
            val_fraction=0.0,
            test_fraction=config.test_fraction,
            seed=seed,
            near=counted,
        )
    assigned = None
    if config.splits is not None:
        assigned = read_folds(config.splits, records, splits, folds=config.folds, truth=found.truth)
    manner = _manner(records, near, counted, seed)
    if assigned is None:
        assigned = kfold(found, records, folds=config.folds, seed=seed, splits=splits, near=counted)
    else:
        how, manner = "", f"as the column fold of {config.splits} has them"
    every = [
        fold_splits(records, splits, assigned, fold, near=counted) for fold in range(config.folds)
    ]
    if config.splits is not None:
        records = _without(records, {i for i, split in enumerate(splits) if split is None})
    return every, records, f"{config.folds} (counted from 0){how}, {manner}"


def _without(records: Sequence[Record], left_out: Collection[int]) -> list[Record]:
    """The records; without mask and split one takes no part in assigning, nor in leaks."""
    return [
        replace(record, labelled=False, split=None) if i in left_out else record
        for i, record in enumerate(records)
    ]


def _check_any_left(records: Sequence[Record], left_out: Collection[int]) -> None:
    if left_out and not any(r.labelled and r.split in (None, "train") for r in records):
        raise InputError(
            "No labelled sample is left to train on: data.exclude, or errors of their own, "
            "leave all of them out."
        )


def _rows_to_assign(
    config: DataConfig,
    records: Sequence[Record],
    found: Scan,
    left_out: Collection[int],
    notes: list[str],
) -> tuple[list[Record], list[str | None]]:
    """Records and splits as `data.splits` has them: its train rows are free to be assigned, its
    test rows stay. Samples that it does not list stay out, but are a gap between others."""
    splits = read_splits(config.splits, records, truth=found.truth, notes=notes)
    validating = [r.id for r, s in zip(records, splits, strict=True) if r.labelled and s == "val"]
    if validating:
        raise InputError(
            f"{config.splits} says itself what validates ({len(validating)} rows say val, the "
            f"first {validating[0]!r}), and so does each fold of data.folds {config.folds}. Write "
            "train for val there, so that these samples are assigned to folds too, or leave folds "
            "out (data.folds and data.fold null)."
        )
    splits = [None if i in left_out else split for i, split in enumerate(splits)]
    taking_part = [
        replace(record, split="test" if split == "test" else None) if record.labelled else record
        for record, split in zip(_without(records, left_out), splits, strict=True)
    ]
    return taking_part, splits


def _held_out(config, records, found, near: Near, seed: int) -> tuple[list[str | None], str]:
    counted = near if config.near_duplicates == "together" else Near()
    splits = holdout(
        found,
        records,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
        seed=seed,
        near=counted,
    )
    if any(record.labelled and record.split is not None for record in records):
        return splits, "as the data set gives it"
    return splits, f"hold-out, {_manner(records, near, counted, seed)}"


def _manner(records: Sequence[Record], near: Near, counted: Near, seed: int) -> str:
    kept = "equal and nearly equal images" if counted is near else "exact duplicates"
    kept = f"groups, {kept}" if any(record.group is not None for record in records) else kept
    chains = ", long chains in blocks" if counted.chains else ""
    return f"seed {seed}, stratified by class presence; {kept} stay together{chains}"


def _note_left_out(records, splits, notes: list[str]) -> None:
    count = sum(r.labelled and s is None for r, s in zip(records, splits, strict=True))
    if count:
        notes.append(
            f"{count} sample{'s' * (count > 1)} left out between the splits: near-duplicates of "
            "samples in another one, or next to them in a chain"
        )


def _check(records, splits, found: Scan, how: str) -> None:
    """Raises for leaks."""
    leaking = [i for i in leaks(records, found.image_sha256, splits) if i.severity == "error"]
    if leaking:
        raise InputError(
            f"The split, {how}, puts what belongs together into different splits; "
            f"{len(leaking)} times:\n{listing(leaking)}"
        )


def _warn(found: Scan, notes: list[str], sentence: str) -> None:
    """A warning on the split, printed and on record."""
    found.issues.append(Issue("warning", "", "splits", sentence))
    notes.append(f"warning: {sentence}")


def _note_absent(records, splits, found: Scan, notes: list[str]) -> None:
    """Says which classes a split lacks, and how many images hold them."""
    labelled = [i for i, record in enumerate(records) if record.labelled]
    counts = (found.class_pixels[labelled] > 0).sum(axis=0)
    images = dict(zip(found.class_names, counts.tolist(), strict=True))
    for split, names in absent_classes(found, records, splits).items():
        for name in names:
            if images[name]:
                notes.append(
                    f"no image of {split} holds the class {name!r} (images that hold it: "
                    f"{images[name]})"
                )
