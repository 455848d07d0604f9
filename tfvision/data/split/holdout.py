"""Which samples train, validate and test: shared out by chance, or as a file says."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tfvision.data.files.cache import write_atomic
from tfvision.data.files.csv_table import Row, read_table
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import SPLITS, Record
from tfvision.data.split.assign import assign
from tfvision.data.split.chain_blocks import Near, leave_out
from tfvision.data.split.stratify import make_units
from tfvision.data.truth import truth_kind
from tfvision.errors import InputError
from tfvision.text import counted, first_lines, verb


def holdout(
    scan: Scan,
    records: Sequence[Record],
    *,
    val_fraction: float = 0.2,
    test_fraction: float | None = None,
    seed: int,
    near: Near | None = None,
) -> list[str | None]:
    """A split for each record.

    A record with a split keeps it. The others with a mask are shared out: to "val" only
    where the data has no "val" of its own, to "test" as `test_fraction` says. Without a
    mask and a split of its own a record is left out (None). Equal images and equal groups
    stay together, beside a given split where one of them has it, and so do near-duplicates.
    Chains of these are cut into blocks, see `assign`; samples that are then too near to
    another split are left out (None), see `leave_out`. A class that at least three such
    units hold stands in every split where their sizes allow it.

    Args:
        scan: The scan of these records.
        records: Those of the source.
        val_fraction, test_fraction: Shares of the samples that are shared out;
            `test_fraction` is 0.2 by default where the data has no test part, else 0.
        seed: Of all chance.
        near: The near-duplicates that count; None: none.

    Raises:
        InputError: Fractions that leave nothing to train on, no or too few samples.
    """
    near = near or Near()
    splits: list[str | None] = [record.split for record in records]
    given = {record.split for record in records if record.labelled}
    fractions = _fractions(val_fraction, test_fraction, given, has_test="test" in splits)
    free = [i for i, r in enumerate(records) if r.labelled and r.split is None]
    if not free and "train" not in given:
        kind = truth_kind(scan.truth)
        raise InputError(
            f"{scan.source_name} has no sample with {kind.one} to train on. Training needs "
            f"{kind.many}; images alone are for prediction."
        )
    if not free:
        if test_fraction:
            raise InputError(
                f"test_fraction is {test_fraction}, but every sample of {scan.source_name} has a "
                "split of its own. Leave test_fraction out."
            )
        return splits
    given_rows = [i for i, split in enumerate(splits) if split is not None]
    _join_given(scan, records, splits, seed, near=near)
    links = near.links(records)
    free = [i for i in free if splits[i] is None]
    if not free:
        return leave_out(splits, links, given=given_rows)

    def finish(assigned: dict[int, str]) -> list[list[str | None]]:
        whole = [assigned.get(i, split) for i, split in enumerate(splits)]
        return [leave_out(whole, links, given=given_rows)]

    shares = {**fractions, "train": 1 - sum(fractions.values())}
    needed = len(fractions) + ("train" not in given)
    assigned, units = assign(
        scan, records, free, shares, seed=seed, near=near, finish=finish, least=needed
    )
    if assigned is None:
        names = ", ".join(["train", *fractions])
        raise InputError(
            f"{too_few(scan, free, units, near)} cannot be shared out to {needed} splits "
            f"({names}). Add samples, or set val_fraction or test_fraction to 0{ignoring(near)}."
        )
    return finish(assigned)[0]


def too_few(scan: Scan, free: Sequence[int], units: int, near: Near) -> str:
    """The begin of the sentence that samples cannot be split, and why not."""
    many = truth_kind(scan.truth).many
    return (
        f"{scan.source_name}: {counted(len(free), 'sample')} with {many}, "
        f"{counted(units, 'independent one')}"
        f"{', near-duplicates aside,' if near.pairs else ','}"
    )


def ignoring(near: Near) -> str:
    """The way out of near-duplicates, where there are any."""
    return "; data.near_duplicates: ignore assigns near-duplicates singly" if near.pairs else ""


def _join_given(scan, records, splits, seed, near: Near) -> None:
    """Puts free records beside equal ones, or ones of their group, whose split is given.

    Near-duplicates that are no chain count as equal where only one split is given among
    them; where there are several, `leave_out` keeps them apart.
    """
    of_one = []
    for cluster in near.loose(records):
        if len({splits[i] for i in cluster if records[i].labelled} - {None}) == 1:
            of_one.append(cluster)
    for unit in make_units(scan, records, seed):
        own = {records[i].split for i in unit.members} - {None}
        if len(own) > 1:
            first, second = sorted(own)
            raise InputError(
                f"{records[unit.members[0]].place} stands in {first} and in {second} (the same "
                "image or group). Put both in one split, or leave one out."
            )
        _beside(unit.members, splits)
    for unit in make_units(scan, records, seed, together=of_one):
        _beside(unit.members, splits)


def _beside(members: Sequence[int], splits: list[str | None]) -> None:
    own = {splits[i] for i in members} - {None}
    for index in members if len(own) == 1 else ():
        splits[index] = next(iter(own))


def absent_classes(
    scan: Scan, records: Sequence[Record], splits: Sequence[str | None]
) -> dict[str, list[str]]:
    """For each split with labelled samples, the names of the classes that none of them holds."""
    absent = {}
    for name in SPLITS:
        rows = [i for i, r in enumerate(records) if r.labelled and splits[i] == name]
        if rows:
            present = (scan.class_pixels[rows] > 0).any(axis=0)
            absent[name] = [
                c for c, there in zip(scan.class_names, present, strict=True) if not there
            ]
    return absent


def write_splits(
    path: str | Path,
    records: Sequence[Record],
    splits: Sequence[str | None],
    folds: Sequence[int | None] | None = None,
) -> None:
    """Writes the split of every labelled record as CSV: `id,split`, empty for left out.

    A column `fold` follows where `folds` are given (empty for None), a column `part` where ids
    alone are not unique.
    """
    kept = [i for i, record in enumerate(records) if record.labelled]
    parts = len({records[i].id for i in kept}) < len(kept)
    columns = ["id", "split", *(["fold"] if folds is not None else []), *(["part"] * parts)]
    lines = [",".join(columns)]
    for i in kept:
        cells = [records[i].id, splits[i] or ""]
        if folds is not None:
            cells.append("" if folds[i] is None else str(folds[i]))
        cells += [records[i].part] * parts
        lines.append(",".join(_quoted(cell) for cell in cells))
    write_atomic(Path(path), ("\n".join(lines) + "\n").encode())


def read_splits(
    path: str | Path,
    records: Sequence[Record],
    *,
    truth: str = "masks",
    notes: list[str] | None = None,
) -> list[str | None]:
    """The split of each record as a CSV file says it, with the columns `id,split[,part]`;
    `fold` is for `read_folds`.

    It speaks about the labelled records. A listed one with an empty split is left out, and
    so is one that is not listed. A record without labels keeps what the data says.

    Args:
        path: The file.
        records: Those of the source.
        truth: Their kind of truth, for messages.
        notes: Takes a line on how many records are left out.

    Raises:
        InputError: Unknown or repeated ids, unknown splits (with their lines), or nothing
            left to train on.
    """
    path = Path(path)
    rows, _ = read_table(path, required=["id", "split"], optional=["part", "fold"])
    places: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        if record.labelled:
            places.setdefault(record.id, []).append(index)
    splits = [None if record.labelled else record.split for record in records]
    seen: dict[int, int] = {}
    problems, many = [], truth_kind(truth).many
    for row in rows:
        index, problem = find_record(row, places, records, truth=truth)
        if problem is None and row.values["split"] not in ("", *SPLITS):
            problem = f"unknown split {row.values['split']!r}; known: {', '.join(SPLITS)}, or empty"
        if problem is None and index in seen:
            problem = f"id {row.values['id']!r} stands on line {seen[index]} already"
        if problem is not None:
            problems.append(f"  line {row.line}: {problem}")
            continue
        seen[index] = row.line
        splits[index] = row.values["split"] or None
    if problems:
        raise InputError(
            "\n".join([f"{path}: {len(problems)} lines are wrong.", *first_lines(problems)])
            + f"\nIds must be those of the data set's samples with {many}, each once."
        )
    labelled = [i for i, record in enumerate(records) if record.labelled]
    if not any(splits[i] == "train" for i in labelled):
        raise InputError(f"{path} gives no sample to train. Write train in the column split.")
    left_out = sum(splits[i] is None for i in labelled)
    if left_out and notes is not None:
        unlisted = len(labelled) - len(seen)
        notes.append(
            f"{path.name}: {counted(left_out, 'sample')} with {many} "
            f"{verb(left_out, 'is', 'are')} left out ({unlisted} "
            f"{verb(unlisted, 'is', 'are')} not listed)"
        )
    return splits


def read_folds(
    path: str | Path,
    records: Sequence[Record],
    splits: Sequence[str | None],
    *,
    folds: int,
    truth: str = "masks",
) -> list[int | None] | None:
    """The fold of each record that a split file says itself, in a column `fold`.

    Args:
        path: The file, as `read_splits` takes it.
        records: Those of the source.
        splits: As `read_splits` gives them: what is in "train" is what is assigned.
        folds: How many there are; they are counted from 0.
        truth: The kind of truth of the records, for messages.

    Returns:
        One a record, None where the split is not "train"; or None where the file has no such
        column, or nothing in it.

    Raises:
        InputError: A row of train without a fold where others have one, a fold that is no
            number below `folds`, or a fold that nothing is in.
    """
    path = Path(path)
    rows, _ = read_table(path, required=["id", "split"], optional=["part", "fold"])
    if not any(row.values["fold"] for row in rows):
        return None
    places: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        if record.labelled:
            places.setdefault(record.id, []).append(index)
    known = {str(fold): fold for fold in range(folds)}
    found: list[int | None] = [None] * len(records)
    for row in rows:
        index, problem = find_record(row, places, records, truth=truth)
        if problem is not None or splits[index] != "train":
            continue
        if row.values["fold"] not in known:
            raise InputError(
                f"{path}, line {row.line}: the fold of a train row must be 0 to {folds - 1} under "
                f"data.folds {folds}; it is {row.values['fold']!r}. Give every train row one, or "
                "leave the column out."
            )
        found[index] = known[row.values["fold"]]
    if empty := sorted(set(range(folds)) - set(found)):
        raise InputError(
            f"{path}: no train row is in fold {', '.join(map(str, empty))} of data.folds {folds}."
        )
    return found


def find_record(
    row: Row, places: dict[str, list[int]], records: Sequence[Record], *, truth: str
) -> tuple[int, str | None]:
    """The index of the record a row means, and what is wrong with it.

    Args:
        row: With the columns `id` and `part`.
        places: Id -> indices of the labelled records that have it.
        records: Those of the source.
        truth: Their kind of truth, for messages.
    """
    identity = unicodedata.normalize("NFC", row.values["id"])
    found = places.get(identity, [])
    if len(found) > 1:
        parts = [records[i].part for i in found]
        found = [i for i in found if records[i].part == row.values["part"]]
        if not found:
            named = ", ".join(repr(part) for part in parts)
            return 0, f"id {identity!r} stands in the parts {named}; say which in a column part"
    if not found:
        return 0, f"no sample with {truth_kind(truth).one} has the id {identity!r}"
    return found[0], None


def _quoted(cell: str) -> str:
    plain = cell == cell.strip() and not any(c in cell for c in '",;\t|\r\n')
    return cell if plain else '"' + cell.replace('"', '""') + '"'


def _fractions(
    val_fraction: float, test_fraction: float | None, given: set[str | None], *, has_test: bool
) -> dict[str, float]:
    """The share of each split that is to be made, "train" aside."""
    if test_fraction is None:
        test_fraction = 0.0 if has_test else 0.2
    total = val_fraction + test_fraction
    if not (0 <= val_fraction < 1 and 0 <= test_fraction < 1 and total < 1):
        raise InputError(
            "val_fraction and test_fraction must lie in [0, 1) and leave something to train; "
            f"got {val_fraction} and {test_fraction}."
        )
    fractions = {"val": 0.0 if "val" in given else val_fraction, "test": test_fraction}
    return {name: share for name, share in fractions.items() if share > 0}
