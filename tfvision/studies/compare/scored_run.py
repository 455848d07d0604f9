"""Finished runs as `compare` reads them, and the reasons why two cannot be compared.

NumPy only: neither TensorFlow nor the model is needed, the evidence is on disk.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import RunConfig, load_any
from tfvision.engine.evidence_file import evidence_path, read_evidence
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.stats.evidence import Evidence
from tfvision.tasks.facts import TaskFacts, facts_of, task_names

SHOWN = 5  # ids in a message


@dataclass(frozen=True)
class ScoredRun:
    """What a finished run says of itself.

    Attributes:
        name: What it is called in tables.
        folder: Where it is.
        config: Its config.
        data: `data.json`.
        summary: `summary.json`.
        history: Rows of `metrics.csv`, as text.
    """

    name: str
    folder: RunFolder
    config: RunConfig
    data: dict[str, Any]
    summary: dict[str, Any]
    history: list[dict[str, str]]

    @property
    def score(self) -> str:
        """The metric it declares first."""
        return self.config.metrics[0].name

    @property
    def contract(self) -> Contract:
        declared = self.summary["contract"]
        return Contract(**{k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()})

    @property
    def facts(self) -> TaskFacts:
        return facts_of(self.config.task)

    def evidence_file(self, split: str) -> Path:
        return evidence_path(self.folder.predictions, split, self.facts.evidence_class())

    def members(self, split: str) -> dict[tuple[str, str], int]:
        """(id, hash of image and mask) of each sample of a split, and its place there."""
        pairs = zip(self.data["splits"][split], self.data["hashes"][split], strict=True)
        return {pair: place for place, pair in enumerate(pairs)}


def load_runs(folders: Sequence[Path]) -> list[ScoredRun]:
    """Reads finished runs.

    Raises:
        InputError: Fewer than two, one given twice, one that is no run or not finished.
    """
    if len(folders) < 2:
        raise InputError("compare needs at least two runs: the baseline first.")
    places = [Path(folder).resolve() for folder in folders]
    for place, folder in zip(places, folders, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{folder} is given twice. A run cannot be compared with itself.")
    short = [place.name for place in places]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    return [load_run(name, Path(folder)) for name, folder in zip(names, folders, strict=True)]


def choose_split(runs: Sequence[ScoredRun], split: str | None) -> str:
    """The split to compare on: the one asked for, else test where all have it, else val.

    Raises:
        InputError: A run was not scored on it.
    """
    splits = [split] if split else ["test", "val"]
    for name in splits:
        if all(run.evidence_file(name).is_file() for run in runs):
            return name
    name = splits[-1]
    run = next(run for run in runs if not run.evidence_file(name).is_file())
    if not run.data["labelled"].get(name):
        raise InputError(
            f"{run.folder.path} has no labelled {name} images, so nothing to compare there. "
            "Choose another --split, or train with one."
        )
    raise InputError(
        f"{run.evidence_file(name)} is missing: the run was not scored on {name}. Score it with "
        f"`python -m tfvision evaluate {run.folder.path} --split {name}`."
    )


def check_comparable(
    runs: Sequence[ScoredRun], split: str | None, *, contracts: bool = True
) -> None:
    """Refuses runs that were not scored alike on the same images.

    Args:
        runs: The first is what the others are held against.
        split: That is compared; None: the runs need not have one split.
        contracts: Whether they must declare the same metric contract.

    Raises:
        InputError: Names the first difference.
    """
    first = runs[0]
    for other in runs[1:]:
        both = f"{first.folder.path} and {other.folder.path}"
        if first.config.task != other.config.task:
            raise InputError(
                f"{both} are of different tasks: {first.config.task} against {other.config.task}."
            )
        names = [run.data["class_names"] for run in (first, other)]
        if names[0] != names[1]:
            raise InputError(f"{both} have different classes: {names[0]} against {names[1]}.")
        if first.data["fingerprint"] != other.data["fingerprint"]:
            raise InputError(
                f"{both} were trained on different data: the fingerprints of the data sets are "
                f"{first.data['fingerprint'][:12]} ({first.data['layout']}) and "
                f"{other.data['fingerprint'][:12]} ({other.data['layout']}). A comparison needs "
                "the same images and masks; train one of them again on the other's data."
            )
        if split is not None:
            _check_split(first, other, split)
        declared = [(run.score, run.contract) for run in (first, other)]
        if contracts and declared[0] != declared[1]:
            raise InputError(
                f"{both} have different metric contracts: {_text(*declared[0])} against "
                f"{_text(*declared[1])}. Name a convention for both, for example --metric plain."
            )


def load_evidence(runs: Sequence[ScoredRun], split: str) -> list[Evidence]:
    """The evidence of each run, images in the order of the first.

    Raises:
        InputError: A file is damaged, of other images than `data.json` has, or has another
            truth than the first run's.
    """
    read = [read_evidence(run.folder, split, run.facts, data=run.data) for run in runs]
    first = read[0]
    ordered = [_in_order(evidence, first.ids) for evidence in read]
    for run, evidence in zip(runs, ordered, strict=True):
        if differing := other_truths(first, evidence):
            raise InputError(
                f"{runs[0].folder.path} and {run.folder.path} were scored against different "
                f"truths: {len(differing)} of {len(first)} images have other {first.truth_text}, "
                f"the first {differing[0]!r}. Use one data.ignore_label for both, and score both "
                "again with `python -m tfvision evaluate RUN`."
            )
    return ordered


def at_operating_points(
    runs: Sequence[ScoredRun], evidence: Sequence[Evidence], score: str
) -> tuple[list[Evidence], list[str]]:
    """The evidence of each run where it uses its predictions, see `Evidence.at_operating_point`,
    and a line of it; unchanged and no line for a score that does not depend on that."""
    pairs = [
        its.at_operating_point(score, run.summary.get("operating_point"))
        for run, its in zip(runs, evidence, strict=True)
    ]
    said = [f"{run.name} {text}" for run, (_, text) in zip(runs, pairs, strict=True) if text]
    lines = [f"{score} is of each run's operating point: {'; '.join(said)}."] if said else []
    return [its for its, _ in pairs], lines


def other_truths(first: Evidence, other: Evidence) -> list[str]:
    """Those of the same images, in the same order, that have another truth in `other`."""
    differ = (first.digest() != other.digest()).any(axis=1)
    return [first.ids[i] for i in np.flatnonzero(differ)]


def groups_of(runs: Sequence[ScoredRun], split: str, ids: Sequence[str]) -> list[str] | None:
    """The group of each image, as the first run that knows of any says; None without any.

    `groups` of `data.json` lists for each split the group of each sample, null for one that
    stands alone.
    """
    found = (groups_in(run.data, split, ids) for run in runs)
    return next((groups for groups in found if groups is not None), None)


def groups_in(data: dict[str, Any], split: str, ids: Sequence[str]) -> list[str] | None:
    """The group of each image of a split, as `data.json` says; None where it knows of none."""
    listed = (data.get("groups") or {}).get(split) or []
    if all(group is None for group in listed):
        return None
    known = dict(zip(data["splits"][split], listed, strict=True))
    # A lone image is a group of its own, whatever the groups are called.
    return [f"image {i}" if known[i] is None else f"group {known[i]}" for i in ids]


def load_run(name: str, path: Path) -> ScoredRun:
    """Reads one finished run.

    Raises:
        InputError: It is no run, not finished, or of an older version.
    """
    folder = RunFolder.existing(path)
    if not (path / "summary.json").is_file():
        raise InputError(
            f"{path} is not finished: it has no summary.json. Go on with --resume {path}, then "
            "compare."
        )
    summary, data = folder.read_json("summary.json"), folder.read_json("data.json")
    old = [key for key in ("splits", "hashes", "labelled", "layout") if key not in data]
    if old:
        raise InputError(
            f"{path / 'data.json'} has no {', '.join(old)}: an older version wrote it. Train the "
            "run again to compare it."
        )
    if summary.get("task") not in task_names():
        raise InputError(
            f"{path} is a {summary.get('task')} run; runs of {' and '.join(task_names())} can be "
            "compared."
        )
    history = _history(path / "metrics.csv")
    if len(history) != summary["epochs"]:
        raise InputError(
            f"{path} is not finished: it was scored after {summary['epochs']} epochs and has "
            f"trained {len(history)} by now. Go on with --resume {path}, then compare."
        )
    config = load_any(folder.config)
    return ScoredRun(name, folder, config, data, summary=summary, history=history)


def _history(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _in_order(evidence: Evidence, ids: Sequence[str]) -> Evidence:
    """The same evidence, images in the order of `ids`."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(evidence.ids):
        places.setdefault(name, []).append(place)
    return evidence.take([places[name].pop(0) for name in ids])


def _check_split(first: ScoredRun, other: ScoredRun, split: str) -> None:
    own, theirs = first.members(split).keys(), other.members(split).keys()
    if own == theirs:
        return
    lines = [
        f"{first.folder.path} and {other.folder.path} have different {split} splits: "
        f"{len(own & theirs)} images are in both."
    ]
    for run, only in ((first, own - theirs), (other, theirs - own)):
        if only:
            ids = _listed(sorted(i for i, _ in only))
            lines.append(f"Only {run.folder.path} has {len(only)}: {ids}.")
    seeds = [run.config.seed for run in (first, other)]
    if seeds[0] != seeds[1] and None in (first.config.data.splits, other.config.data.splits):
        lines.append(
            f"Without data.splits the seed of a config draws its hold-out split too, and the "
            f"seeds are {seeds[0]} and {seeds[1]}."
        )
    lines.append(
        f"Train {other.folder.path} again on the split of the other: "
        f"--set data.splits={first.folder.path / 'splits.csv'}"
    )
    raise InputError(" ".join(lines))


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (" ..." if len(ids) > SHOWN else "")


def _text(score: str, contract: Contract) -> str:
    return (
        f"{score} (ignore_labels {list(contract.ignore_labels)}, exclude_classes "
        f"{list(contract.exclude_classes)}, absent {contract.absent}, average {contract.average})"
    )
