"""Opening the data that a config names, as its task needs it."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tfvision.config import DataConfig
from tfvision.data import SOURCES
from tfvision.data.files.issue import Issue
from tfvision.data.sources.boxes.labels_of_boxes import LabelsOfBoxes
from tfvision.data.sources.recognise import OtherTruth, recognise
from tfvision.data.sources.recognise import open_source as open_path
from tfvision.data.sources.source import Source
from tfvision.data.split.groups import group_by
from tfvision.data.split.holdout import read_splits
from tfvision.data.split.named_groups import named_groups
from tfvision.errors import InputError
from tfvision.registry import Spec
from tfvision.tasks.facts import facts_of, task_names

TOLD = "groups told from names"
OF_BOXES = "labels_of_boxes"


def open_source(config: DataConfig, *, truth_needed: bool = True) -> Source:
    """The source a config names, with the groups that `data.groups` finds in the ids.

    Args:
        config: The config's section.
        truth_needed: Whether data with another kind of truth are refused; else their images are
            read without truth.
    """
    facts = facts_of(config.task)
    truth, sources = facts.truth, facts.all_tables()["data.source"]
    with names_of_tasks():
        if config.source.name == "auto" and "path" in config.source.kwargs:
            # It passes its arguments on to the source in question.
            source = open_path(truth=truth, truth_needed=truth_needed, **config.source.kwargs)
        elif config.source.name == OF_BOXES:  # it passes them on, too
            source = sources[OF_BOXES](**config.source.kwargs)
        else:
            source = sources.build(config.source)
    if source.truth != truth:
        names, scripts = _names_and_scripts(source.truth)
        raise InputError(
            f"{source.layout}: that is data of the task {names}, and this run is of "
            f"{config.task}. Use {scripts}."
        )
    if config.groups == "names":
        _group_by_names(source, config)
    elif config.groups not in (None, "none"):
        source.records = group_by(source.records, config.groups)
    return source


def _group_by_names(source: Source, config: DataConfig) -> None:
    """Gives records the groups that their names tell of, and says so; or why it does not.

    Data that names groups itself keeps those. A split that is given is left as it is.
    """
    if any(record.group is not None for record in source.records):
        return
    found = named_groups(source.records)
    if found is None:
        return
    told = f"{found.count} {TOLD} ({found.example})"
    refused = found.refused or _parted(found.names, source, config)
    if not refused:
        source.records = found.of(source.records)
        source.notes.append(f"{told}: samples of one stay in one split; data.groups=none declines")
        return
    source.problems.append(
        Issue(
            "warning",
            "",
            "names",
            f"{told} are not used: {refused}",
            advice="Where samples of one group are alike, scores are better than on new groups: "
            "share groups out yourself in a data.splits file. data.groups=none says this no more.",
        )
    )


def _parted(names: Sequence[str | None], source: Source, config: DataConfig) -> str:
    """How the split that is given parts groups, for a sentence; "" where it does not."""
    given = [record.split for record in source.records]
    by = "the split of the data"
    if config.splits is not None:
        given = read_splits(config.splits, source.records, truth=source.truth)
        by = str(config.splits)
    splits_of: dict[str, set[str]] = {}
    for name, split in zip(names, given, strict=True):
        if name is not None and split is not None:
            splits_of.setdefault(name, set()).add(split)
    parted = sum(len(splits) > 1 for splits in splits_of.values())
    return f"{by} parts {parted} of them" if parted else ""


@contextmanager
def names_of_tasks() -> Iterator[None]:
    """Says in an error on data with another kind of truth which tasks it is for."""
    try:
        yield
    except OtherTruth as error:
        names, scripts = _names_and_scripts(error.truth)
        if not names:
            raise
        verb = "train" if " or " in scripts else "trains"
        text = f"{error.beginning}, for {names}: {scripts} {verb} on that. {error.otherwise}"
        raise InputError(text.rstrip()) from error


def _names_and_scripts(truth: str) -> tuple[str, str]:
    """The tasks whose data has a kind of truth, and their scripts: "a or b"; "" without one."""
    tasks = [facts for facts in map(facts_of, task_names()) if facts.truth == truth]
    return tuple(" or ".join(getattr(t, key) for t in tasks) for key in ("name", "script"))


def open_beside(
    config: DataConfig,
    path: Path,
    *,
    mask_values: list[int] | None,
    white: float | None,
    truth_needed: bool = True,
) -> Source:
    """Another data set, read as that of a config is: with its source's options.

    Args:
        config: The config's section.
        path: The other data set.
        mask_values, white: What the scan of the config's own data settled.
        truth_needed: Whether data with another kind of truth are refused; else their images are
            read without it.
    """
    truth, given = facts_of(config.task).truth, config.source.kwargs
    of_boxes = config.source.name == OF_BOXES
    truth = "boxes" if of_boxes else truth
    with names_of_tasks():
        name = recognise(path, truth=truth, truth_needed=truth_needed, given=given)
        known = inspect.signature(SOURCES[name]).parameters
        options = {k: v for k, v in given.items() if k in known and k != "path"}
        source = open_path(path, truth=truth, truth_needed=truth_needed, **options)
    source = LabelsOfBoxes(source, whole=not truth_needed) if of_boxes else source
    source.mask_values = source.mask_values if mask_values is None else mask_values
    source.white = source.white or white
    source.ignore_label = config.ignore_label
    return source


def resolved_source(config: DataConfig, source: Source) -> Spec:
    """What a saved config calls the source: the layout that `auto` recognised."""
    if config.source.name != "auto":
        return config.source
    return Spec(name=source.name, **config.source.kwargs)
