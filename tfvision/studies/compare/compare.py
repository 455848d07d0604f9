"""`compare`: which run is better, as far as one split's images can say. NumPy only."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import check_free, write_json
from tfvision.engine.run_folder import free_folder
from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.registry import unknown
from tfvision.report.compare_page import Comparison, Pair, write_comparison
from tfvision.stats import bootstrap
from tfvision.stats.bootstrap import Difference, holm
from tfvision.stats.evidence import Evidence
from tfvision.studies.compare.pictures import pictures
from tfvision.studies.compare.scored_run import (
    ScoredRun,
    at_operating_points,
    check_comparable,
    choose_split,
    groups_of,
    load_evidence,
    load_runs,
)

LEVEL = 0.05
RESAMPLES, SEED = 10_000, 0
FEW = 30  # images or groups below which the interval itself is rough
RARE = 5  # images or groups with a class below which its interval says little
EXTREMES = 6  # images listed on either side


def compare(
    folders: Sequence[Path],
    *,
    split: str | None = None,
    metric: str | None = None,
    out: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compares runs with the first of them, prints the result and writes it as a page.

    The score of each run is that of its evidence in `predictions/`, after post-processing
    where it has rules. Differences have the interval of `bootstrap.compare`, over images, or
    over groups where the data has some. With more than one difference a verdict also needs
    Holm's adjusted p-value to be at most 0.05.

    Args:
        folders: Finished runs, the baseline first.
        split: `train`, `val` or `test`; None: test where all runs have it, else val.
        metric: A score (`mean_iou`, `mean_dice`, `pixel_accuracy`) under the runs' contract,
            or a convention (`plain`, `per_image`, ...) of the task; None: what they declare.
        out: Folder for `compare.html` and `compare.json`, new or empty; None:
            `runs/compare/<a>-vs-<b>`, the next free.
        quiet: Print nothing.

    Returns:
        What `compare.json` holds.

    Raises:
        InputError: Runs that are not finished or cannot be compared, an unknown metric, a
            folder that is taken.
    """
    runs = load_runs(folders)
    out = _free(out, runs)
    score, contract, convention = _scoring(runs[0], metric)
    split = choose_split(runs, split)
    check_comparable(runs, split, contracts=convention == "contract")
    evidence = load_evidence(runs, split)
    evidence, points = at_operating_points(runs, evidence, score)
    groups = groups_of(runs, split, evidence[0].ids)
    pairs = _pairs(runs, evidence, contract, score, groups=groups)
    for pair, run in zip(pairs, runs[1:], strict=True):
        pair.no_pictures = run.facts.supports("pictures") or ""
        if not pair.no_pictures:
            pair.pictures, pair.no_pictures = pictures(
                runs[0], run, split, pair.images, evidence=evidence[0]
            )
    known = runs[0].facts.score(score)
    comparison = Comparison(
        split=split,
        score=score,
        score_title=known.title,
        class_score=known.of_class,
        kept=evidence[0].text,
        convention=convention,
        contract=asdict(contract),
        class_names=_class_names(runs[0], evidence[0]),
        num_images=len(evidence[0]),
        num_units=pairs[0].total.num_units,
        resampled="images" if groups is None else "groups",
        resamples=RESAMPLES,
        level=LEVEL,
        runs=[_about(run, its, contract, score) for run, its in zip(runs, evidence, strict=True)],
        histories={run.name: run.history for run in runs},
        pairs=pairs,
        cautions=[
            *points,
            *_cautions(runs, evidence, split, groups, pairs=pairs, contract=contract),
        ],
    )
    result = comparison.to_json()
    write_json(out / "compare.json", {**result, "seed": SEED})
    write_comparison(out / "compare.html", comparison)
    if not quiet:
        print(comparison.text())
        print(f"page: {out / 'compare.html'}")
    return result


def verdict(found: Difference, p_adjusted: float) -> str:
    """`better`, `worse` (than the baseline) or `cannot tell`."""
    if not (found.decided and p_adjusted <= LEVEL):
        return "cannot tell"
    return "better" if found.better else "worse"


def _free(out: Path | None, runs: Sequence[ScoredRun]) -> Path:
    if out is None:
        name = "-vs-".join(run.folder.path.resolve().name for run in runs)[:100]
        return free_folder(Path("runs") / "compare", name)
    check_free(out)
    return out


def _scoring(run: ScoredRun, metric: str | None) -> tuple[str, Contract, str]:
    """The score, the contract, and the name of the convention."""
    kind = run.facts.evidence_class()
    if metric in kind.conventions:
        score, contract = kind.conventions[metric]
        contract.check_classes(run.data["num_classes"])
        return score, contract, metric
    score = metric or run.score
    if score not in kind.scores:
        raise InputError(unknown("metric to compare", score, [*kind.scores, *kind.conventions]))
    return score, run.contract, "contract"


def _pairs(runs, evidence: list[Evidence], contract, score, groups) -> list[Pair]:
    """Every run but the first against the first, with its verdict."""
    pairs = []
    for run, its in zip(runs[1:], evidence[1:], strict=True):
        total, *classes = _differences(evidence[0], its, contract, score, groups=groups)
        images = _extremes(evidence[0], its, contract, score)
        pairs.append(Pair(runs[0].name, run.name, total, classes, images=images))
    for pair, adjusted in zip(pairs, holm([p.total.p_value for p in pairs]), strict=True):
        pair.p_adjusted = adjusted
        pair.verdict = verdict(pair.total, adjusted)
    return pairs


def _differences(first: Evidence, second: Evidence, contract, score, groups) -> list[Difference]:
    """Of the score, then of what each class is worth beside it, from the same resamples."""
    sides = [
        [
            evidence.measure(score, contract, groups=groups),
            *evidence.classes(score, contract, groups=groups),
        ]
        for evidence in (first, second)
    ]
    return bootstrap.compare(list(zip(*sides, strict=True)), resamples=RESAMPLES, seed=SEED)


def _extremes(first: Evidence, second: Evidence, contract, score: str) -> list[dict]:
    """Images whose own score differs most: those worse in the second run, then those better."""
    one, two = (evidence.image_scores(score, contract) for evidence in (first, second))
    change = two - one
    gain = change if first.measure(score, contract).larger_is_better else -change
    order = [int(i) for i in np.argsort(gain, kind="stable") if np.isfinite(gain[i])]
    worst = [i for i in order[:EXTREMES] if gain[i] < 0]
    best = [i for i in reversed(order[-EXTREMES:]) if gain[i] > 0]
    return [
        {
            "id": first.ids[i],
            "baseline": float(one[i]),
            "run": float(two[i]),
            "difference": float(change[i]),
        }
        for i in (*worst, *best)
    ]


def _about(run: ScoredRun, evidence: Evidence, contract: Contract, score: str) -> dict[str, Any]:
    found = evidence.measure(score, contract).value()
    return {
        "name": run.name,
        "path": str(run.folder.path),
        "arch": run.summary["arch"],
        "seed": run.config.seed,
        "num_parameters": run.summary["num_parameters"],
        "epochs": run.summary["epochs"],
        "best_epoch": run.summary["best_epoch"],
        "variables_sha256": run.summary["variables_sha256"],
        "post_processed": evidence.processed,
        "score": found if np.isfinite(found) else None,
    }


def _cautions(runs, evidence, split, groups, pairs: list[Pair], contract: Contract) -> list[str]:
    """What the numbers do not say, and what makes them say less."""
    lines = []
    if split == "val":
        lines.append(
            "The best epoch of each run was chosen on val: its scores there are optimistic, and "
            "so can the difference be. A test split says more."
        )
    if split == "train":
        lines.append(
            "The models were trained on these images: this says nothing about new ones. Compare "
            "on test or val."
        )
    unit = "groups" if groups is not None else "images"
    if pairs[0].total.num_units < FEW:
        lines.append(
            f"Only {pairs[0].total.num_units} {unit}: the intervals are rough themselves, and only "
            "large differences can be detected."
        )
    lines += _rare_classes(runs, evidence[0], groups, contract, unit=unit)
    trained = [run.members("train").keys() for run in runs]
    for run, members in zip(runs[1:], trained[1:], strict=True):
        if members != trained[0]:
            lines.append(
                f"{run.name} was trained on other images than {runs[0].name} "
                f"({len(members)} and {len(trained[0])}, {len(members & trained[0])} in both)."
            )
    if len({its.processed for its in evidence}) > 1:
        with_rules = [r.name for r, its in zip(runs, evidence, strict=True) if its.processed]
        lines.append(
            f"Scored after post-processing: {', '.join(with_rules)}; the others have none."
        )
    for pair in pairs:
        if pair.total.num_differing == 0:
            lines.append(f"{pair.run} and {pair.baseline} have the same counts on every image.")
    lines.append(
        "The interval says how much the difference of these trained models depends on the choice "
        "of images. It knows nothing of the luck of a training: another seed of one config gives "
        "another model. To judge a method, train several seeds of both."
    )
    if groups is None:
        lines.append(
            "Images count as independent. Where they are not, as frames of one video or slices of "
            "one patient, the true intervals are wider: give the data groups."
        )
    return lines


def _class_names(run: ScoredRun, evidence: Evidence) -> list[str]:
    """The classes that have scores of their own."""
    return list(run.data["class_names"])[: evidence.presence().shape[1]]


def _rare_classes(runs, evidence: Evidence, groups, contract: Contract, unit: str) -> list[str]:
    there = evidence.presence()
    keys = np.arange(len(there)) if groups is None else np.unique(groups, return_inverse=True)[1]
    lines = []
    for k, name in enumerate(_class_names(runs[0], evidence)):
        holding = len(set(np.asarray(keys).ravel()[there[:, k]].tolist()))
        if 0 < holding < RARE and k not in (*contract.ignore_labels, *contract.exclude_classes):
            lines.append(
                f"Class {name} occurs in {holding} {unit} only: its interval says little, and it "
                "weighs on the mean as much as the others."
            )
    return lines
