"""The scores of folds: each fold's own, their mean and deviation, and the pooled score.

NumPy only: the counts are in the runs.
"""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.metrics import classification, contract
from tfvision.metrics.contract import Contract
from tfvision.stats import bootstrap
from tfvision.stats.bootstrap import Parts, score_parts

RESAMPLES, SEED, CONFIDENCE = 10_000, 0, 0.95
BY_CLASS = ("per_class_iou", "per_class_dice", "per_class_f1", "precision", "recall")


@dataclass(frozen=True)
class FoldCounts:
    """Counts of a split of one fold's run, image by image.

    Attributes:
        ids: N of them, as in the source.
        plain: (N, K, K) int64, rows the truth, of the bare argmax.
        processed: The same after the rules, or None without any.
    """

    ids: list[str]
    plain: np.ndarray
    processed: np.ndarray | None

    @property
    def final(self) -> np.ndarray:
        """The counts of what `predict` writes."""
        return self.plain if self.processed is None else self.processed


def read_counts(run: RunFolder, split: str) -> FoldCounts:
    """The counts that a run keeps of a split.

    Raises:
        InputError: They are missing or damaged.
    """
    path = run.predictions / f"{split}_confusion.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            ids = [str(i) for i in file["ids"]]
            plain = np.asarray(file["plain"], np.int64)
            processed = np.asarray(file["processed"]) if "processed" in file.files else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}). Write it again with "
            f"`python -m tfvision evaluate {run.path}`."
        ) from error
    return FoldCounts(ids, plain, processed)


def contract_of(summary: dict[str, Any]) -> Contract:
    """The metric contract that a run's `summary.json` declares."""
    declared = summary["contract"]
    return Contract(**{k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()})


def fold_metrics(
    val: Sequence[FoldCounts],
    test: Sequence[FoldCounts] | None,
    agreed: Contract,
    *,
    score: str,
    units: Sequence[str],
) -> dict[str, Any]:
    """What `folds.json` and `summary.json` hold under `metrics`.

    The pooled score is that of all confusion matrices together, so a class that few folds
    hold counts as often as its pixels occur. It is not the mean of the folds' scores.

    Args:
        val: Counts of each fold's validation part.
        test: Counts of the test split by each fold's run, or None where there is none.
        agreed: The metric contract.
        score: The metric it declares, whose pooled value gets an interval.
        units: The unit of each sample of `val`, all folds one after the other.

    Returns:
        `folds`, a list of scores; `mean` and `deviation` (n - 1) over the folds that have
        the score, by class too, with `num_folds` that have one; `pooled`, with `interval`;
        `test` with `folds`, `mean` and `deviation`, or None.
    """
    final = np.concatenate([counts.final for counts in val])
    # A classification declares one of its own scores, and has no conventions of mean IoU.
    of_labels = score in classification.SCORES
    scores = classification.count_scores if of_labels else contract.scores
    pooled = scores(final, agreed)
    pooled["interval"] = pooled_interval(final, agreed, score=score, units=units)
    if val[0].processed is not None:
        plain = np.concatenate([counts.plain for counts in val])
        pooled["before_postprocessing"] = scores(plain, agreed)
    if not of_labels:
        names = [str(k) for k in range(final.shape[-1])]
        pooled["conventions"] = {
            row["name"]: row["mean_iou"] for row in contract.conventions(final, names, agreed)
        }
    metrics = {**_over_folds(val, agreed, scores), "pooled": pooled, "test": None}
    if test is not None:
        metrics["test"] = _over_folds(test, agreed, scores)
    return metrics


def pooled_interval(
    cms: np.ndarray, agreed: Contract, *, score: str, units: Sequence[str]
) -> dict[str, Any] | None:
    """The 95 % interval of a score under the choice of units; None with fewer than two units.

    It is `bootstrap.compare` with a model that scores 0 on every unit.
    """
    if len(set(units)) < 2:
        return None
    score = score if score in bootstrap.SCORES else "mean_iou"
    parts = score_parts(cms, agreed, score=score, groups=units)
    nothing = Parts(np.zeros((len(parts.above), 1)), np.ones((len(parts.above), 1)))
    (found,) = bootstrap.compare(
        [(nothing, parts)], resamples=RESAMPLES, confidence=CONFIDENCE, seed=SEED
    )
    if not np.isfinite(found.low):
        return None
    return {
        "score": score,
        "low": max(float(found.low), 0.0),
        "high": float(found.high),
        "confidence": CONFIDENCE,
        "units": len(set(units)),
    }


def out_of_fold_counts(
    names: Sequence[str], folds: Sequence[int], val: Sequence[FoldCounts]
) -> dict[str, np.ndarray]:
    """The arrays of `out_of_fold_confusion.npz`, rows in the order of `names`."""
    arrays = {
        "ids": np.array(list(names), dtype=str),
        "fold": np.asarray(folds, np.int64),
        "plain": np.concatenate([counts.plain for counts in val]),
    }
    if val[0].processed is not None:
        arrays["processed"] = np.concatenate([counts.final for counts in val])
    return arrays


def counts_of_test(runs: Sequence[RunFolder], summaries: Sequence[dict]) -> list[FoldCounts] | None:
    """Counts of the test split by each fold's run; None where it has no labels."""
    if not all("test" in summary["metrics"] for summary in summaries):
        return None
    return [read_counts(run, "test") for run in runs]


def cautions(metrics: dict[str, Any], *, calibrated: bool = False) -> list[str]:
    """What the numbers do not say; `calibrated`: the runs are of specialists."""
    interval = metrics["pooled"]["interval"]
    lines = [
        "The pooled score is that of all confusion matrices together, not the mean of the "
        "folds' scores.",
        "The best epoch of each fold was chosen on the part it is scored on, so these scores are "
        "optimistic; a test split says more.",
    ]
    if calibrated:
        lines.append(
            "The specialists of each fold were calibrated on the part they are scored on (two "
            "numbers a class), and their out-of-fold probabilities are after that."
        )
    if interval is None:
        lines.append("All samples are one unit: there is no interval.")
    else:
        lines.append(
            f"The interval says how much the pooled {interval['score']} depends on the choice of "
            f"the {interval['units']} units (images, or what belongs together); the luck of "
            "training is not in it."
        )
    return lines


def _over_folds(counts: Sequence[FoldCounts], agreed: Contract, scores: Callable) -> dict[str, Any]:
    rows = [scores(c.final, agreed) for c in counts]
    mean: dict[str, Any] = {}
    deviation: dict[str, Any] = {}
    for key in (k for k in rows[0] if k not in (*BY_CLASS, "num_images")):
        mean[key], deviation[key], _ = _spread([row[key] for row in rows])
    for key in (k for k in BY_CLASS if k in rows[0]):
        columns = [_spread(list(column)) for column in zip(*(r[key] for r in rows), strict=True)]
        mean[key], deviation[key] = ([c[side] for c in columns] for side in (0, 1))
        if key in ("per_class_iou", "per_class_f1"):
            mean["num_folds"] = [c[2] for c in columns]
    folds = [{"fold": fold, "run": f"fold-{fold}", **row} for fold, row in enumerate(rows)]
    return {"folds": folds, "mean": mean, "deviation": deviation}


def _spread(values: list[float | None]) -> tuple[float | None, float | None, int]:
    """Mean, deviation (n - 1) and number of the values that are there."""
    there = np.array([v for v in values if v is not None], np.float64)
    mean = float(there.mean()) if there.size else None
    return mean, float(there.std(ddof=1)) if there.size > 1 else None, int(there.size)
