"""The scores of folds: each fold's own, their mean and deviation, and the pooled score.

NumPy only: what the scores are computed from is in the runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvision.engine.evidence_file import read_evidence
from tfvision.engine.run_folder import RunFolder
from tfvision.metrics.contract import Contract
from tfvision.stats import bootstrap
from tfvision.stats.evidence import Evidence
from tfvision.tasks.facts import TaskFacts
from tfvision.text import counted

RESAMPLES, SEED, CONFIDENCE = 10_000, 0, 0.95


def contract_of(summary: dict[str, Any]) -> Contract:
    """The metric contract that a run's `summary.json` declares."""
    declared = summary["contract"]
    return Contract(**{k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()})


def fold_metrics(
    val: Sequence[Evidence],
    test: Sequence[Evidence] | None,
    contract: Contract,
    *,
    score: str,
    units: Sequence[str],
) -> dict[str, Any]:
    """What `folds.json` and `summary.json` hold under `metrics`.

    The pooled score of confusion matrices is that of all of them together, so a class that few
    folds hold counts as often as its pixels occur. It is not the mean of the folds' scores. Where
    the predictions of different models cannot be scored as one set (`Evidence.pools`), it is.

    Args:
        val: Of each fold's validation part.
        test: Of the test split by each fold's run, or None where there is none.
        contract: The metric contract.
        score: The metric it declares, whose pooled value gets an interval.
        units: The unit of each sample of `val`, all folds one after the other.

    Returns:
        `folds`, a list of scores; `mean` and `deviation` (n - 1) over the folds that have
        the score, by class too, with `num_folds` that have one; `pooled`, with `interval`;
        `test` with `folds`, `mean` and `deviation`, or None.
    """
    joined = type(val[0]).join(val)
    over_folds = _over_folds(val, contract)
    pooled = _pooled(joined, over_folds, contract)
    pooled["interval"] = pooled_interval(
        joined, contract, score=score, units=units, folds=_fold_numbers(val)
    )
    if all(evidence.processed for evidence in val):
        before = [evidence.before for evidence in val]
        pooled["before_postprocessing"] = _pooled(
            joined.before, _over_folds(before, contract), contract
        )
    if joined.pools and joined.conventions:
        pooled["conventions"] = joined.by_convention(contract)
    return {
        **over_folds,
        "pooled": pooled,
        "test": None if test is None else _over_folds(test, contract),
    }


def pooled_interval(
    evidence: Evidence,
    contract: Contract,
    *,
    score: str,
    units: Sequence[str],
    folds: Sequence[int],
) -> dict[str, Any] | None:
    """The 95 % interval of a score under the choice of units; None with fewer than two units.

    Args:
        evidence: Of N images.
        contract: The metric contract.
        score: The metric; the first of the evidence where it is none of them.
        units, folds: The unit and the fold of each image.
    """
    if len(set(units)) < 2:
        return None
    score = score if score in evidence.scores else evidence.scores[0]
    low, high = bootstrap.interval(
        evidence.over_folds(score, contract, folds=folds, groups=units),
        resamples=RESAMPLES,
        confidence=CONFIDENCE,
        seed=SEED,
    )
    if not np.isfinite(low):
        return None
    return {
        "score": score,
        "low": float(low),
        "high": float(high),
        "confidence": CONFIDENCE,
        "units": len(set(units)),
    }


def evidence_of_test(
    runs: Sequence[RunFolder], summaries: Sequence[dict], facts: TaskFacts
) -> list[Evidence] | None:
    """Of the test split by each fold's run; None where it has no labels."""
    if not all("test" in summary["metrics"] for summary in summaries):
        return None
    return [read_evidence(run, "test", facts) for run in runs]


def cautions(
    metrics: dict[str, Any], kind: type[Evidence], *, calibrated: bool = False
) -> list[str]:
    """What the numbers do not say; `calibrated`: the runs are of specialists."""
    interval = metrics["pooled"]["interval"]
    how = (
        f"that of all {kind.text} together, not the mean of the folds' scores."
        if kind.pools
        else "the mean of the folds' scores: predictions of different models are not ranked "
        "against each other."
    )
    lines = [
        f"The pooled score is {how}",
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
            f"the {counted(interval['units'], 'unit')} (images, or what belongs together); the "
            f"luck of "
            "training is not in it."
        )
    return lines


def _pooled(joined: Evidence, over_folds: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """The scores of all images together, or the folds' mean where they are no one set."""
    if joined.pools:
        return joined.summary(contract)
    mean = {key: value for key, value in over_folds["mean"].items() if key != "num_folds"}
    return {**mean, "num_images": len(joined)}


def _over_folds(evidence: Sequence[Evidence], contract: Contract) -> dict[str, Any]:
    """Scores of each fold, their mean and their deviation."""
    rows = [one.summary(contract) for one in evidence]
    mean: dict[str, Any] = {}
    deviation: dict[str, Any] = {}
    by_class = [key for key, value in rows[0].items() if isinstance(value, list)]
    for key in (k for k in rows[0] if k not in (*by_class, "num_images")):
        mean[key], deviation[key], _ = _spread([row[key] for row in rows])
    for key in by_class:
        columns = [_spread(list(column)) for column in zip(*(r[key] for r in rows), strict=True)]
        mean[key], deviation[key] = ([c[side] for c in columns] for side in (0, 1))
        if key == evidence[0].per_class:
            mean["num_folds"] = [c[2] for c in columns]
    folds = [{"fold": fold, "run": f"fold-{fold}", **row} for fold, row in enumerate(rows)]
    return {"folds": folds, "mean": mean, "deviation": deviation}


def _fold_numbers(parts: Sequence[Evidence]) -> np.ndarray:
    """The fold of each image of all parts, one after the other."""
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _spread(values: list[float | None]) -> tuple[float | None, float | None, int]:
    """Mean, deviation (n - 1) and number of the values that are there."""
    there = np.array([v for v in values if v is not None], np.float64)
    mean = float(there.mean()) if there.size else None
    return mean, float(there.std(ddof=1)) if there.size > 1 else None, int(there.size)
