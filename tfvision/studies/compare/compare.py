"""`compare`: which run is better, as far as one split's images can say. NumPy only."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import check_free, write_json
from tfvision.engine.run_folder import free_folder
from tfvision.errors import InputError
from tfvision.metrics.contract import CONVENTIONS, Contract
from tfvision.registry import unknown
from tfvision.report.compare_page import Comparison, Pair, write_comparison
from tfvision.stats import bootstrap
from tfvision.stats.bootstrap import Difference, class_parts, holm, score_parts
from tfvision.studies.compare.pictures import pictures
from tfvision.studies.compare.scored_run import (
    Counts,
    ScoredRun,
    check_comparable,
    choose_split,
    groups_of,
    load_counts,
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

    The score of each run is that of its counts in `predictions/`, after post-processing
    where it has rules. Differences have the interval of `bootstrap.compare`, over images, or
    over groups where the data has some. With more than one difference a verdict also needs
    Holm's adjusted p-value to be at most 0.05.

    Args:
        folders: Finished runs, the baseline first.
        split: `train`, `val` or `test`; None: test where all runs have it, else val.
        metric: A score (`mean_iou`, `mean_dice`, `pixel_accuracy`) under the runs' contract,
            or a convention (`plain`, `per_image`, ...) of mean IoU; None: what they declare.
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
    counts = load_counts(runs, split)
    groups = groups_of(runs, split, counts[0].ids)
    pairs = _pairs(runs, counts, contract, score, groups)
    for pair, run in zip(pairs, runs[1:], strict=True):
        if runs[0].config.task == "classification":
            pair.no_pictures = "a classification has labels, no masks to draw"
            continue
        pair.pictures, pair.no_pictures = pictures(runs[0], run, split, pair.images, counts[0])
    comparison = Comparison(
        split=split,
        score=score,
        convention=convention,
        contract=asdict(contract),
        class_names=list(runs[0].data["class_names"]),
        num_images=len(counts[0].ids),
        num_units=pairs[0].total.num_units,
        resampled="images" if groups is None else "groups",
        resamples=RESAMPLES,
        level=LEVEL,
        runs=[_about(run, found, contract, score) for run, found in zip(runs, counts, strict=True)],
        histories={run.name: run.history for run in runs},
        pairs=pairs,
        cautions=_cautions(runs, counts, split, groups, pairs, contract),
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
    return "better" if found.difference > 0 else "worse"


def _free(out: Path | None, runs: Sequence[ScoredRun]) -> Path:
    if out is None:
        name = "-vs-".join(run.folder.path.resolve().name for run in runs)[:100]
        return free_folder(Path("runs") / "compare", name)
    check_free(out)
    return out


def _scoring(run: ScoredRun, metric: str | None) -> tuple[str, Contract, str]:
    """The score, the contract, and the name of the convention."""
    conventions = {name: contract for name, _, contract in CONVENTIONS}
    if run.config.task == "classification":  # they are conventions of mean IoU
        conventions = {}
    if metric in conventions:
        conventions[metric].check_classes(run.data["num_classes"])
        return "mean_iou", conventions[metric], metric
    score = metric or run.score
    if score not in bootstrap.SCORES:
        raise InputError(unknown("metric to compare", score, [*bootstrap.SCORES, *conventions]))
    return score, run.contract, "contract"


def _pairs(runs, counts: list[Counts], contract, score, groups) -> list[Pair]:
    """Every run but the first against the first, with its verdict."""
    pairs = []
    for run, theirs in zip(runs[1:], counts[1:], strict=True):
        total, *classes = _differences(counts[0].cms, theirs.cms, contract, score, groups)
        images = _extremes(counts[0], theirs, contract, score)
        pairs.append(Pair(runs[0].name, run.name, total, classes, images=images))
    for pair, adjusted in zip(pairs, holm([p.total.p_value for p in pairs]), strict=True):
        pair.p_adjusted = adjusted
        pair.verdict = verdict(pair.total, adjusted)
    return pairs


def _differences(first, second, contract, score, groups) -> list[Difference]:
    """Of the score, then of what `CLASS_SCORES` names of each class, from the same resamples."""
    sides = [
        [
            score_parts(cms, contract, score=score, groups=groups),
            *class_parts(cms, contract, score=score, groups=groups),
        ]
        for cms in (first, second)
    ]
    return bootstrap.compare(list(zip(*sides, strict=True)), resamples=RESAMPLES, seed=SEED)


def _extremes(first: Counts, second: Counts, contract: Contract, score: str) -> list[dict]:
    """Images whose own score differs most: the losses of the second run, then its gains."""
    alone = replace(contract, average="image")
    sides = [score_parts(counts.cms, alone, score=score) for counts in (first, second)]
    one, two = (np.where(p.below > 0, p.above, np.nan)[:, 0] for p in sides)
    change = two - one
    order = [int(i) for i in np.argsort(change, kind="stable") if np.isfinite(change[i])]
    worst = [i for i in order[:EXTREMES] if change[i] < 0]
    best = [i for i in reversed(order[-EXTREMES:]) if change[i] > 0]
    return [
        {
            "id": first.ids[i],
            "baseline": float(one[i]),
            "run": float(two[i]),
            "difference": float(change[i]),
        }
        for i in (*worst, *best)
    ]


def _about(run: ScoredRun, counts: Counts, contract: Contract, score: str) -> dict[str, Any]:
    found = bootstrap.value(score_parts(counts.cms, contract, score=score))
    return {
        "name": run.name,
        "path": str(run.folder.path),
        "arch": run.summary["arch"],
        "seed": run.config.seed,
        "num_parameters": run.summary["num_parameters"],
        "epochs": run.summary["epochs"],
        "best_epoch": run.summary["best_epoch"],
        "variables_sha256": run.summary["variables_sha256"],
        "post_processed": counts.processed,
        "score": found if np.isfinite(found) else None,
    }


def _cautions(runs, counts, split, groups, pairs: list[Pair], contract: Contract) -> list[str]:
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
            "large differences can be told."
        )
    lines += _rare_classes(runs, counts[0], groups, contract, unit)
    trained = [run.members("train").keys() for run in runs]
    for run, members in zip(runs[1:], trained[1:], strict=True):
        if members != trained[0]:
            lines.append(
                f"{run.name} was trained on other images than {runs[0].name} "
                f"({len(members)} and {len(trained[0])}, {len(members & trained[0])} in both)."
            )
    if len({found.processed for found in counts}) > 1:
        with_rules = [r.name for r, found in zip(runs, counts, strict=True) if found.processed]
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


def _rare_classes(runs, counts: Counts, groups, contract: Contract, unit: str) -> list[str]:
    there = counts.cms.sum(axis=2) > 0
    keys = np.arange(len(there)) if groups is None else np.unique(groups, return_inverse=True)[1]
    lines = []
    for k, name in enumerate(runs[0].data["class_names"]):
        holding = len(set(np.asarray(keys).ravel()[there[:, k]].tolist()))
        if 0 < holding < RARE and k not in (*contract.ignore_labels, *contract.exclude_classes):
            lines.append(
                f"Class {name} occurs in {holding} {unit} only: its interval says little, and it "
                "weighs on the mean as much as the others."
            )
    return lines
