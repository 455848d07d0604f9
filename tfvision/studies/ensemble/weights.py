"""Weights of folds folders in an ensemble: fitted out of fold, used only where they earn it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.ensemble_weights import OBJECTIVES
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.recipe import Recipe
from tfvision.stats.bootstrap import Difference, compare
from tfvision.studies.folds.folder import read_folds, targets_of, units_of
from tfvision.tasks.blends import Truths
from tfvision.tasks.task import task_of
from tfvision.text import finite, some


@dataclass(frozen=True)
class OutOfFold:
    """What J folds folders predict of the same N samples, none by a run that trained on it.

    Attributes:
        names: J, of the folders.
        stores: J stores of predictions.
        folds: (N,) which fold each sample of the first store validates in.
        units: N names; samples that belong together have one.
        truths: Gives (id, truth by name) of all samples, in the order of the first store.
    """

    names: list[str]
    stores: list[Shards]
    folds: np.ndarray
    units: list[str]
    truths: Truths


def read_out_of_fold(folders: Sequence[Path]) -> OutOfFold:
    """The predictions of folds folders of the same folds.

    Raises:
        InputError: They differ, or have no whole predictions.
    """
    names = [str(folder) for folder in folders]
    stores = [Shards.open(Path(folder) / "out_of_fold") for folder in folders]
    samples = [read_folds(folder)["samples"] for folder in folders]
    assigned = [dict(zip(s["ids"], s["folds"], strict=True)) for s in samples]
    check_same_samples(names, stores, assigned)
    return OutOfFold(
        names,
        stores,
        np.array([assigned[0][name] for name in stores[0].ids]),
        units_of(folders[0]),
        truths=lambda: targets_of(folders[0]),
    )


def check_same_samples(names: Sequence[str], stores: Sequence[Shards], folds) -> None:
    """Refuses folders whose samples, classes or folds differ.

    Args:
        names: Of the folders.
        stores: Their out-of-fold predictions.
        folds: For each folder, id -> fold.

    Raises:
        InputError: Names the first difference.
    """
    for name, store, assigned in zip(names, stores, folds, strict=True):
        both = f"{names[0]} and {name}"
        if store.class_names != stores[0].class_names:
            raise InputError(
                f"{both} have different classes: {stores[0].class_names} against "
                f"{store.class_names}."
            )
        own, other = set(stores[0].ids), set(store.ids)
        if own != other:
            only = sorted(own ^ other)
            raise InputError(
                f"{both} have folds of different samples: {len(own)} and {len(other)} ids, "
                f"{len(own & other)} in both; for example {some(only)}. Train both on one data "
                "set with one seed, or use --weights mean."
            )
        moved = [i for i in stores[0].ids if assigned[i] != folds[0][i]]
        if moved:
            raise InputError(
                f"{both} were assigned to different folds: {len(moved)} of {len(own)} samples are "
                f"in another ({some(moved)}). Weights are fitted on some folds and scored on "
                "the others, so all must have one assignment: train both with one seed and the "
                "same --folds, or use --weights mean."
            )


def weigh(found: OutOfFold, method: str, recipe: Recipe) -> dict[str, Any]:
    """Fits a weight for each folder, and says whether it earns its place.

    The fit is made once on all samples, and once for each fold on the samples of the other
    folds; these latter weights are scored on the fold they have not seen, with all rules, at
    the images' own sizes. The gain is that score minus the mean's, with the interval of
    `stats.bootstrap.compare` over units. Only where the interval lies above 0 do the fitted
    weights replace equal ones. What is not nested: the models of the other folds have trained
    on the held-out fold's samples, as in all stacking.

    Args:
        found: The predictions.
        method: A key of `OBJECTIVES`.
        recipe: Contract and rules.

    Returns:
        For `ensemble.json`: `asked`, `used`, `weights` (J, those to use), `fitted` (J),
        `fitted_without_fold`, `out_of_fold` scores, `gain`, `text`.

    Raises:
        InputError: Nothing to fit on, fewer than two folds or units.
    """
    ids, folds = found.stores[0].ids, np.asarray(found.folds)
    num_models = len(found.stores)
    if len(set(folds.tolist())) < 2 or len(set(found.units)) < 2:
        raise InputError(
            f"{found.names[0]}: weights need at least 2 folds and 2 independent samples to be "
            f"fitted on one part and scored on another; there are {len(set(folds.tolist()))} and "
            f"{len(set(found.units))}. Use --weights mean."
        )
    blends = task_of(recipe.config.task).blends(recipe, found.stores, found.truths)
    fitted = blends.fit(method)
    nested = {
        fold: blends.fit(method, np.flatnonzero(folds != fold))
        for fold in sorted(set(folds.tolist()))
    }
    mean = np.full(num_models, 1 / num_models)
    plans = [[mean, nested[fold], *np.eye(num_models)] for fold in folds.tolist()]
    evidence = blends.evidence(plans)
    metric = recipe.config.metrics[0].name
    scores = [one.over_folds(metric, recipe.contract, folds=folds).value() for one in evidence]
    plain, weighted = (
        one.over_folds(metric, recipe.contract, folds=folds, groups=found.units)
        for one in evidence[:2]
    )
    (gain,) = compare([(plain, weighted)])
    used = gain.better
    return {
        "asked": method,
        "objective": OBJECTIVES[method],
        "used": method if used else "mean",
        "weights": (fitted if used else mean).tolist(),
        "fitted": fitted.tolist(),
        "fitted_without_fold": {str(fold): w.tolist() for fold, w in nested.items()},
        "metric": metric,
        "num_samples": len(ids),
        "out_of_fold": {
            "mean": finite(scores[0]),
            "nested": finite(scores[1]),
            "alone": [finite(s) for s in scores[2:]],
        },
        "gain": _gain_json(gain),
        "text": gain_text(gain, method, metric, used),
    }


def score_mean(found: OutOfFold, weights: Sequence[float], recipe: Recipe) -> dict[str, Any]:
    """Out-of-fold scores of the folders and of their mean with weights that were not fitted."""
    num_models = len(found.stores)
    plans = [[np.asarray(weights), *np.eye(num_models)]] * len(found.folds)
    metric = recipe.config.metrics[0].name
    blends = task_of(recipe.config.task).blends(recipe, found.stores, found.truths)
    scores = [
        finite(one.over_folds(metric, recipe.contract, folds=found.folds).value())
        for one in blends.evidence(plans)
    ]
    return {"metric": metric, "mean": scores[0], "alone": scores[1:]}


def gain_text(gain: Difference, method: str, metric: str, used: bool) -> str:
    """One sentence on a nested gain."""
    verdict = (
        f"{gain.better_side} zero: the {method} weights are used"
        if used
        else f"it does not lie {gain.better_side} zero: refused, the plain mean is used"
    )
    return (
        f"nested gain of {method} weights over the mean: {gain.difference:+.4f} {metric} "
        f"({gain.first:.4f} -> {gain.second:.4f}), 95 % interval [{gain.low:+.4f}, "
        f"{gain.high:+.4f}] over {gain.num_units} units; {verdict}"
    )


def _gain_json(gain: Difference) -> dict[str, Any]:
    keys = ("difference", "low", "high", "p_value")
    values = {key: finite(getattr(gain, key)) for key in keys}
    return {**values, "num_units": gain.num_units, "num_differing": gain.num_differing}
