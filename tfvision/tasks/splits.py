"""The split of a run's samples: as a file says, by folds, or held out; and its check."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from tfvision.config import DataConfig
from tfvision.data.blocks import Near, straddling
from tfvision.data.duplicates import leaks
from tfvision.data.issue import Issue, listing
from tfvision.data.kfold import fold_splits, kfold
from tfvision.data.scan import Scan
from tfvision.data.source import Record
from tfvision.data.split import absent_classes, holdout, read_splits
from tfvision.errors import InputError


def make_splits(
    config: DataConfig,
    records: Sequence[Record],
    found: Scan,
    near: Near,
    *,
    left_out: Collection[int] = (),
    seed: int,
    notes: list[str],
) -> tuple[list[str | None], str]:
    """The split of each record, and how it came about, a sentence.

    Args:
        config: The config's section.
        records: Those of the source.
        found: The scan. Takes a warning for near-duplicates in two splits.
        near: The near-duplicates among the records.
        left_out: Indices of those that are in no split, whatever is said.
        seed: Of all chance.
        notes: Takes lines to print.

    Raises:
        InputError: The samples cannot be shared out, or equal images or one group stand in
            several splits.
    """
    listed = records
    # Without mask and split a record takes no part in the hold-out, nor in leaks.
    records = [
        replace(record, labelled=False, split=None) if i in left_out else record
        for i, record in enumerate(listed)
    ]
    if config.splits is not None:
        splits = read_splits(config.splits, listed, notes=notes)
        splits = [None if i in left_out else split for i, split in enumerate(splits)]
        how = f"given by {config.splits}"
    else:
        if left_out and not any(r.labelled and r.split in (None, "train") for r in records):
            raise InputError(
                "No labelled sample is left to train on: data.exclude, or errors of their own, "
                "leave all of them out."
            )
        splits, how = _made(config, records, found, near, seed)
        _note_left_out(records, splits, notes)
    _check(records, splits, found, near, how, notes)
    _note_absent(records, splits, found, notes)
    return splits, how


def _made(config, records, found, near: Near, seed: int) -> tuple[list[str | None], str]:
    counted = near if config.near_duplicates == "together" else Near()
    folds = config.folds
    splits = holdout(
        found,
        records,
        val_fraction=config.val_fraction if folds is None else 0.0,
        test_fraction=config.test_fraction,
        seed=seed,
        near=counted,
    )
    if folds is not None:
        dealt = kfold(found, records, folds=folds, seed=seed, splits=splits, near=counted)
        splits = fold_splits(records, splits, dealt, config.fold, near=counted)
        how = f"fold {config.fold} of {folds} (counted from 0)"
    elif any(record.labelled and record.split is not None for record in records):
        return splits, "as the data set gives it"
    else:
        how = "hold-out"
    kept = "equal and nearly equal images" if counted is near else "exact duplicates"
    chains = ", long chains in blocks" if counted.chains else ""
    return splits, (
        f"{how}, seed {seed}, stratified by class presence; {kept} stay together{chains}"
    )


def _note_left_out(records, splits, notes: list[str]) -> None:
    count = sum(r.labelled and s is None for r, s in zip(records, splits, strict=True))
    if count:
        notes.append(
            f"{count} sample{'s' * (count > 1)} left out between the splits: near-duplicates of "
            "samples in another one, or next to them in a chain"
        )


def _check(records, splits, found: Scan, near: Near, how: str, notes: list[str]) -> None:
    """Raises for leaks; near-duplicates in two splits are a warning, printed and on record."""
    leaking = [i for i in leaks(records, found.image_sha256, splits) if i.severity == "error"]
    if leaking:
        raise InputError(
            f"The split, {how}, puts what belongs together into different splits; "
            f"{len(leaking)} times:\n{listing(leaking)}"
        )
    for sentence in straddling(records, splits, near.pairs):
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
