"""What the rungs of a ladder are scored by: evidence of each seed, from files. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.engine.evidence_file import evidence_path, read_evidence, read_evidence_file
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Measure
from tfvision.studies.compare.scored_run import (
    ScoredRun,
    check_comparable,
    load_evidence,
    load_run,
    other_truths,
)
from tfvision.studies.folds.folder import fold_folder, read_folds
from tfvision.studies.study.plan import StudyPlan
from tfvision.studies.study.schema import DECLARED, Rung
from tfvision.studies.study.shared_split import unique
from tfvision.tasks.facts import facts_of

SHOWN = 5  # ids in a message
REMEDY = "Remove it, and go on."


@dataclass(frozen=True)
class RungScores:
    """What one rung is scored by.

    Attributes:
        ids: N names of images, no two equal.
        evidence: Of these images, one a seed.
        units: The unit of each image.
        folds: The fold of each image; None without folds.
        validation: Of the validation split, one a seed; None where it is not shown.
        runs: The finished runs, those of the first seed first.
    """

    ids: list[str]
    evidence: list[Evidence]
    units: list[str]
    folds: list[int] | None
    validation: list[Evidence] | None
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

    def measures(
        self,
        score: str,
        contract: Contract,
        *,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
    ) -> list[Measure]:
        """A score of each seed, of these images (None: of all) with their units."""
        rows = self._places(self.ids if names is None else names)
        taken = [evidence.take(rows) for evidence in self.evidence]
        folds = self.folds and [self.folds[row] for row in rows]
        return [e.over_folds(score, contract, folds=folds, groups=units) for e in taken]

    def first(self, names: Sequence[str]) -> Evidence:
        """The evidence of these images, in their order, by the first seed."""
        return self.evidence[0].take(self._places(names))

    def _places(self, names: Sequence[str]) -> list[int]:
        place = {name: i for i, name in enumerate(self.ids)}
        return [place[name] for name in names]


def read_scores(
    plan: StudyPlan, rungs: Sequence[Rung], seeds: Sequence[int]
) -> dict[str, RungScores]:
    """Rung name -> what it is scored by, over the seeds that are trained.

    Raises:
        InputError: Files are missing or damaged; runs of other data, or with other folds; two
            rungs whose truths differ on an image; images that the data does not have.
    """
    read = {"folds": _of_folds, "labels": _of_labels, "test": _of_test}[plan.study.scored]
    found = {
        rung.name: read(plan, rung, [plan.run(rung, seed) for seed in seeds], seeds)
        for rung in rungs
    }
    declared = DECLARED in plan.study.metrics
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


def _of_test(plan: StudyPlan, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    runs = [load_run(rung.name, folder) for folder in folders]
    for run in runs[1:]:
        check_comparable([runs[0], run], "test", contracts=False)
    evidence = load_evidence(runs, "test")
    ids = unique(evidence[0].ids)
    units = _units(plan, ids, runs[0].folder.path)
    return RungScores(ids, evidence, units, None, validation=None, runs=runs)


def _of_labels(plan: StudyPlan, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    runs = [load_run(rung.name, folder) for folder in folders]
    facts = runs[0].facts
    kind = facts.evidence_class()
    places = [plan.scores(rung, seed) / "predictions" for seed in seeds]
    files = [evidence_path(place, "labels", kind) for place in places]
    evidence = [read_evidence_file(path, kind, remedy=REMEDY) for path in files]
    for path, its in zip(files, evidence, strict=True):
        if its.ids != evidence[0].ids:
            raise InputError(f"{path} is of other images than {files[0]}. {REMEDY}")
    ids = unique(evidence[0].ids)
    validation = None
    if all(run.data["labelled"]["val"] for run in runs):
        validation = [read_evidence(run.folder, "val", facts) for run in runs]
    units = _units(plan, ids, files[0])
    return RungScores(ids, evidence, units, None, validation=validation, runs=runs)


def _of_folds(plan: StudyPlan, rung: Rung, folders: Sequence[Path], seeds) -> RungScores:
    """Out of fold; every rung and seed must have been assigned to the same folds."""
    records = [read_folds(folder) for folder in folders]
    samples = [record["samples"] for record in records]
    kind = facts_of(plan.study.task).evidence_class()
    files = [evidence_path(folder, "out_of_fold", kind) for folder in folders]
    evidence = [read_evidence_file(path, kind, remedy=REMEDY) for path in files]
    for folder, assigned, its in zip(folders, samples, evidence, strict=True):
        if its.ids != assigned["ids"] or assigned != samples[0]:
            raise InputError(
                f"{folder} has other folds than {folders[0]}, or its files are not of one "
                f"training. {REMEDY}"
            )
    runs = [
        load_run(rung.name, fold_folder(folder, fold))
        for folder in folders
        for fold in range(plan.study.folds)
    ]
    _check_folds(plan, folders[0], samples[0])
    ids, units, numbers = (samples[0][key] for key in ("ids", "units", "folds"))
    return RungScores(ids, evidence, units, numbers, validation=None, runs=runs)


def _check_folds(plan: StudyPlan, folder: Path, samples: dict[str, Any]) -> None:
    """Raises where a sample stands in another fold than the ladder assigned it to."""
    other = [
        name
        for name, fold in zip(samples["ids"], samples["folds"], strict=True)
        if plan.folds.get(name) != fold
    ]
    if other:
        shown = ", ".join(other[:SHOWN]) + (" ..." if len(other) > SHOWN else "")
        raise InputError(
            f"{folder}: {len(other)} samples are in other folds than this ladder assigned them to "
            f"({shown}): rungs could not be compared. Remove it, and go on."
        )


def _units(plan: StudyPlan, ids: Sequence[str], where: Path) -> list[str]:
    strange = [name for name in ids if name not in plan.units]
    if strange:
        raise InputError(
            f"{where} was scored on {len(strange)} images that the data does not have now "
            f"({strange[0]!r}, ...). Give the data set of this ladder, or choose another --out."
        )
    return [plan.units[name] for name in ids]


def _check_truth(first: RungScores, other: RungScores) -> None:
    """Raises where two rungs have other truths for an image that both have."""
    names, _ = common(first, other)
    differing = other_truths(first.first(names).renamed(names), other.first(names))
    if differing:
        raise InputError(
            f"{first.runs[0].folder.path} and {other.runs[0].folder.path} were scored against "
            f"different truths: {len(differing)} of {len(names)} images, the first "
            f"{differing[0]!r}. Use one data.ignore_label for both."
        )
