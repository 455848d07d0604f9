"""What the rungs of a ladder score: counts of each image, of each seed, from files. NumPy only."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.studies.compare.scored_run import ScoredRun, check_comparable, load_counts, load_run
from tfvision.studies.folds.folder import fold_folder, read_folds
from tfvision.studies.folds.scores import read_counts
from tfvision.studies.ladder.plan import Climb
from tfvision.studies.ladder.schema import DECLARED, Rung
from tfvision.studies.ladder.shared_split import unique

SHOWN = 5  # ids in a message


@dataclass(frozen=True)
class RungScores:
    """The counts of one rung.

    Attributes:
        ids: N names of images, no two equal.
        cms: One (N, K, K) a seed, rows the truth.
        units: The unit of each image.
        folds: The fold of each image; None without folds.
        validation: One (M, K, K) a seed, of the validation split; None where it is not shown.
        runs: The finished runs, those of the first seed first.
    """

    ids: list[str]
    cms: list[np.ndarray]
    units: list[str]
    folds: list[int] | None
    validation: list[np.ndarray] | None
    runs: list[ScoredRun]

    @property
    def score(self) -> str:
        """The metric that the runs declare first."""
        return self.runs[0].score

    @property
    def contract(self) -> Contract:
        return self.runs[0].contract

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [run.summary for run in self.runs]

    def of(self, names: Sequence[str]) -> list[np.ndarray]:
        """The counts of these images, in their order, one array a seed."""
        place = {name: i for i, name in enumerate(self.ids)}
        rows = [place[name] for name in names]
        return [cms[rows] for cms in self.cms]


def read_scores(climb: Climb, rungs: Sequence[Rung], seeds: Sequence[int]) -> dict[str, RungScores]:
    """Rung name -> its counts, over the seeds that are trained.

    Raises:
        InputError: Files are missing or damaged; runs of other data, or dealt otherwise; two
            rungs whose truths differ on an image; images that the data does not have.
    """
    read = {"folds": _of_folds, "labels": _of_labels, "test": _of_test}[climb.ladder.scored]
    found = {
        rung.name: read(climb, rung, [climb.run(rung, seed) for seed in seeds], seeds)
        for rung in rungs
    }
    declared = DECLARED in climb.ladder.metrics
    first = next(iter(found.values()))
    for scores in found.values():
        for run in scores.runs:
            check_comparable([first.runs[0], run], None, contracts=declared)
        _check_truth(first, scores)
    return found


def common(first: RungScores, second: RungScores) -> tuple[list[str], list[str]]:
    """The images that both were scored on, in the order of the first, and the unit of each.

    Units are called by the place of their first image. Images are of one unit where either side
    has them in one: a sample that only one of them has may be what joined two others.
    """
    there = set(second.ids)
    names = [name for name in first.ids if name in there]
    joined = {name: name for name in names}

    def root(name: str) -> str:
        while joined[name] != name:
            name = joined[name]
        return name

    for scores in (first, second):
        heads: dict[str, str] = {}
        for name, unit in zip(scores.ids, scores.units, strict=True):
            if name in joined:
                joined[root(name)] = root(heads.setdefault(unit, name))
    number: dict[str, str] = {}
    for place, name in enumerate(names):
        number.setdefault(root(name), f"{place:07d}")
    return names, [number[root(name)] for name in names]


def _of_test(climb: Climb, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    runs = [load_run(rung.name, folder) for folder in folders]
    for run in runs[1:]:
        check_comparable([runs[0], run], "test", contracts=False)
    counts = load_counts(runs, "test")
    ids = unique(counts[0].ids)
    units = _units(climb, ids, runs[0].folder.path)
    return RungScores(ids, [its.cms for its in counts], units, None, None, runs)


def _of_labels(climb: Climb, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    runs = [load_run(rung.name, folder) for folder in folders]
    files = [climb.scores(rung, s) / "predictions" / "labels_confusion.npz" for s in seeds]
    each = [_read(path) for path in files]
    for path, (ids, _) in zip(files, each, strict=True):
        if ids != each[0][0]:
            raise InputError(f"{path} is of other images than {files[0]}. Remove it, and go on.")
    ids = unique(each[0][0])
    validation = None
    if all(run.data["labelled"]["val"] for run in runs):
        validation = [read_counts(run.folder, "val").final for run in runs]
    units = _units(climb, ids, files[0])
    return RungScores(ids, [cms for _, cms in each], units, None, validation, runs)


def _of_folds(climb: Climb, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    """Out-of-fold counts; every rung and seed must have been dealt into the same folds."""
    records = [read_folds(folder) for folder in folders]
    given = [record["samples"] for record in records]
    each = [_read(folder / "out_of_fold_confusion.npz") for folder in folders]
    for folder, samples, (ids, _) in zip(folders, given, each, strict=True):
        if ids != samples["ids"] or samples != given[0]:
            raise InputError(
                f"{folder} was dealt otherwise than {folders[0]}, or its files are not of one "
                "training. Remove it, and go on."
            )
    runs = [
        load_run(rung.name, fold_folder(folder, fold))
        for folder in folders
        for fold in range(climb.ladder.folds)
    ]
    _check_folds(climb, folders[0], given[0])
    cms = [cms for _, cms in each]
    return RungScores(each[0][0], cms, given[0]["units"], given[0]["folds"], None, runs)


def _check_folds(climb: Climb, folder: Path, samples: dict[str, Any]) -> None:
    """Raises where a sample stands in another fold than the ladder dealt it into."""
    other = [
        name
        for name, fold in zip(samples["ids"], samples["folds"], strict=True)
        if climb.folds.get(name) != fold
    ]
    if other:
        shown = ", ".join(other[:SHOWN]) + (" ..." if len(other) > SHOWN else "")
        raise InputError(
            f"{folder}: {len(other)} samples are in other folds than this ladder dealt them into "
            f"({shown}): rungs could not be compared. Remove it, and go on."
        )


def _units(climb: Climb, ids: Sequence[str], where: Path) -> list[str]:
    strange = [name for name in ids if name not in climb.units]
    if strange:
        raise InputError(
            f"{where} was scored on {len(strange)} images that the data does not have now "
            f"({strange[0]!r}, ...). Give the data set of this ladder, or choose another --out."
        )
    return [climb.units[name] for name in ids]


def _check_truth(first: RungScores, other: RungScores) -> None:
    """Raises where two rungs have other truths for an image that both have."""
    names, _ = common(first, other)
    truths = [scores.of(names)[0].sum(axis=2) for scores in (first, other)]
    differ = (truths[0] != truths[1]).any(axis=1)
    if differ.any():
        raise InputError(
            f"{first.runs[0].folder.path} and {other.runs[0].folder.path} were scored against "
            f"different truths: {int(differ.sum())} of {len(differ)} images, the first "
            f"{names[int(np.flatnonzero(differ)[0])]!r}. Use one data.ignore_label for both."
        )


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and counts (N, K, K) after the rules."""
    try:
        with np.load(path, allow_pickle=False) as file:
            key = "processed" if "processed" in file.files else "plain"
            ids, cms = [str(i) for i in file["ids"]], np.asarray(file[key], np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}). Remove it, and go on.") from error
    if cms.ndim != 3 or len(cms) != len(ids):
        raise InputError(f"{path} is damaged: {len(ids)} ids, counts {cms.shape}. Remove it.")
    return ids, cms
