"""The data of a run that is there: found again, the same as it was, split as it was.

What a run recorded of its data (`data.json`) decides, not what the config would make of it
today: so runs of older versions keep their splits, and files beside the data may be gone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfvision.config import DataConfig, differences
from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record, Source
from tfvision.data.split.exclude import ExcludeList, read_exclude
from tfvision.data.split.holdout import read_splits
from tfvision.errors import InputError
from tfvision.registry import Spec
from tfvision.text import counted, verb

PARTS = ("train", "val", "test")
Splits = list[str | None]


class DataAway(InputError):
    """The data of a run is not where it was."""


def at(config: DataConfig, path: Path | None) -> DataConfig:
    """The config of data that lies at `path` now; as it is for None."""
    if path is None:
        return config
    kwargs = {**config.source.kwargs, "path": str(path.resolve())}
    return config.model_copy(update={"source": Spec(name=config.source.name, **kwargs)})


def as_recorded(config: DataConfig, known: dict[str, Any]) -> DataConfig:
    """The config by which the data of a run is opened again: without groups where it had none.

    Raises:
        DataAway: The data is no longer where the config says.
    """
    path = config.source.kwargs.get("path")
    if path is not None and not Path(path).exists():
        raise DataAway(
            f"The run's data is no longer at {path}. Say where it is now with --data PATH: it is "
            "taken where its content is what the run recorded."
        )
    return config if known.get("groups") else config.model_copy(update={"groups": "none"})


def check_same(
    config: DataConfig, known: dict[str, Any], source: Source, scan: Scan
) -> ExcludeList:
    """Refuses data that is not what a run was trained on, or files that split it otherwise.

    Args:
        config: The config's section. Files that it names and that are gone are not missed.
        known: `data.json` of the run.
        source, scan: The data as it is now.

    Returns:
        What is left out by a list.

    Raises:
        InputError: It is other data; the message has the difference.
    """
    changed = data_differences(known, source, scan)
    exclude = recorded_exclude(config, known, source.records, source.truth)
    if not changed:
        changed = _file_differences(config, known, source, scan, exclude)
    if changed:
        raise InputError(
            "The data set is not the one this run was trained on:\n  "
            + "\n  ".join(changed)
            + "\nBring the run's own data back, or say with --data where it is now. To train on "
            "other data start a new run; `evaluate --data` and `predict` take any."
        )
    return exclude


def data_differences(known: dict[str, Any], source: Source, scan: Scan) -> list[str]:
    """What differs between `data.json` of a run and a data set as it is now; [] for the same."""
    if known["fingerprint"] == scan.fingerprint:
        return []
    records, hashes = source.records, scan.sample_hashes
    splits = recorded_splits(known, records, hashes, same=False)
    counts = Counter(splits)
    lines = differences(
        {"class_names": known["class_names"], "counts": known["counts"]},
        {"class_names": list(scan.class_names), "counts": {k: counts[k] for k in PARTS}},
    )
    old: dict[str, set[str]] = defaultdict(set)
    for name, content, _ in _samples(known):
        old[name].add(content)
    new: dict[str, set[str]] = defaultdict(set)
    for record, content, split in zip(records, hashes, splits, strict=True):
        if content and (split is not None or record.labelled):
            new[record.id].add(content)
    both = old.keys() & new.keys()
    for what, ids in (
        ("gone", old.keys() - both),
        ("new", new.keys() - both),
        ("changed", {i for i in both if old[i] != new[i]}),
    ):
        if ids:
            shown = ", ".join(sorted(ids)[:10])
            lines.append(
                f"{counted(len(ids), 'sample')} {verb(len(ids), 'is', 'are')} {what}: "
                f"{shown}{' ...' if len(ids) > 10 else ''}"
            )
    return lines or ["the fingerprints differ: classes, ids or parts are others"]


def recorded_splits(
    known: dict[str, Any], records: Iterable[Record], hashes: Iterable[str], *, same: bool = True
) -> Splits:
    """The split of each record as a run recorded it.

    A sample is known by id and content, or in other data by its id. Of several splits under one
    key (equal rows of two parts) the record's own counts.

    Args:
        known: `data.json` of the run.
        records: Those of the source.
        hashes: One a record, as `Scan.sample_hashes` has them.
        same: Whether the data is what it was: then what is not on record was left out.
    """
    by_content: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    by_id: dict[str, list[str | None]] = defaultdict(list)
    for name, content, split in _samples(known):
        by_content[name, content].append(split)
        by_id[name].append(split)

    def split_of(record: Record, content: str) -> str | None:
        found = by_content.get((record.id, content)) or ([] if same else by_id.get(record.id))
        if found:
            return record.split if record.split in found else found[0]
        return None if same else record.split

    return [split_of(*pair) for pair in zip(records, hashes, strict=True)]


def recorded_exclude(
    config: DataConfig, known: dict[str, Any], records: list[Record], truth: str
) -> ExcludeList:
    """What a run leaves out by a list: the file where it is there, else what is on record."""
    path = config.exclude
    if path is None:
        return ExcludeList()
    if path.is_file():
        return read_exclude(path, records, truth=truth)
    names = set(known["excluded"])
    reasons = {
        i: ""
        for i, record in enumerate(records)
        if record.labelled and {record.id, f"{record.part}/{record.id}"} & names
    }
    return ExcludeList(
        reasons, dict.fromkeys(reasons, ""), known["excluded"], path, sha256=known["exclude_sha256"]
    )


def _file_differences(
    config: DataConfig, known: dict[str, Any], source: Source, scan: Scan, exclude: ExcludeList
) -> list[str]:
    """How the files that the config names, where they are there, split the same data now."""
    lines = []
    if exclude.names != known.get("excluded", []):
        ids = sorted({*exclude.names} ^ {*known["excluded"]})
        lines.append(f"{config.exclude} lists others than it did: {', '.join(ids[:10])}")
    if config.splits is not None and config.splits.is_file() and config.folds is None:
        before = recorded_splits(known, source.records, scan.sample_hashes)
        now = read_splits(config.splits, source.records, truth=source.truth)
        gone = {*exclude.reasons, *(left.index for left in scan.left_out)}
        moved = [
            record.id
            for i, record in enumerate(source.records)
            if i not in gone and before[i] != now[i]
        ]
        if moved:
            shown = f"{', '.join(moved[:10])}{' ...' if len(moved) > 10 else ''}"
            lines.append(
                f"{counted(len(moved), 'sample')} {verb(len(moved), 'is', 'are')} in another "
                f"split: {shown}"
            )
    return lines


def _samples(known: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """(id, hash, split) of each sample of a `data.json`; None: left out between the splits."""
    found = [
        (name, content, split)
        for split in PARTS
        for name, content in zip(known["splits"][split], known["hashes"][split], strict=True)
    ]
    return [*found, *((name, content, None) for name, content in known.get("left_out", ()))]
