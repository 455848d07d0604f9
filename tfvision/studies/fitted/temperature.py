"""`calibrate`: a temperature for the probabilities of a classification, judged before it is used.

Guo et al., 2017; see `tfvision.metrics.calibration`. It changes probabilities and no label.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import load_any
from tfvision.engine.distribute import make_strategy
from tfvision.engine.files import write_json
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.metrics.calibration import (
    HIGHEST,
    LOWEST,
    cross_fitted,
    expected_calibration_error,
    fit_temperature,
    log_of,
    with_temperature,
)
from tfvision.postprocess.fit import assign_parts
from tfvision.recipe.read import samples_of_split
from tfvision.runs.load import load_run, own_data
from tfvision.stats.bootstrap import Difference, compare
from tfvision.stats.measure import Ratios, by_group
from tfvision.studies.compare.scored_run import groups_in
from tfvision.studies.folds.folder import is_folds, load_folds_config, read_folds
from tfvision.studies.folds.predictions import FEW, read_predictions
from tfvision.tasks.facts import facts_of

FILE = "temperature.json"
LARGEST = 16.0  # nats: -log of the least float32 probability that `log_of` tells from 0


@dataclass(frozen=True)
class Judged:
    """Probabilities as they are, and as a temperature makes them that has not seen them.

    Attributes:
        temperature: Fitted on all that may be fitted on.
        by_part: Those that `after` was made with, by part; one where it is `temperature`.
        how: What it was fitted on and judged on, one sentence.
        before, after: (N, K) float32.
        labels: (N,) true classes.
        units: N names, for the bootstrap.
    """

    temperature: float
    by_part: list[float]
    how: str
    before: np.ndarray
    after: np.ndarray
    labels: np.ndarray
    units: list[str]


def calibrate(
    folder: Path, *, data: Path | None = None, device: str = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Fits a temperature, judges it on other images, and writes `temperature.json`.

    Of folds it is fitted on out-of-fold predictions, and each fold is judged with the one of the
    other folds. Of a run, or an ensemble, it is fitted on the validation split and judged on the
    labelled test split; without one, on parts of the validation split by the one of the others.

    Args:
        folder: A folder of folds, or a run.
        data: Where the data of a run lies now; None: where it was.
        device: Value of `--device`.
        quiet: Print nothing.

    Returns:
        What the file holds; `verdict` is `applied` where the log-loss falls for sure: the 95 %
        interval of its change over units lies below 0.

    Raises:
        InputError: It is neither, no classification, or has no images to fit on.
    """
    of_folds = is_folds(folder)
    config = load_folds_config(folder) if of_folds else load_any(RunFolder.existing(folder).config)
    if without := facts_of(config.task).supports("calibrate"):
        raise InputError(f"calibrate means nothing to {folder}, a {config.task}. {without}")
    make_strategy(device)
    found, class_names = _of_folds(folder) if of_folds else _of_run(folder, data)
    about = {"of": str(folder), "class_names": class_names, "aggregate": config.data.aggregate}
    result = {**about, **_judgement(found)}
    write_json(folder / FILE, result)
    if not quiet:
        print(f"{_text(result)}\ntemperature: {folder / FILE}", file=sys.stderr)
    return result


def loss_change(found: Judged) -> Difference:
    """The change of the mean log-loss in nats, with its 95 % interval over units."""
    rows = np.arange(len(found.labels))

    def mean_loss(probabilities: np.ndarray) -> Ratios:
        losses = -log_of(probabilities)[rows, found.labels]
        sides = (by_group(side[:, None], found.units) for side in (losses, np.ones(len(rows))))
        return Ratios(*sides, high=LARGEST, larger_is_better=False)

    (change,) = compare([(mean_loss(found.before), mean_loss(found.after))])
    return change


def _judgement(found: Judged) -> dict[str, Any]:
    """The verdict and its figures."""
    loss = loss_change(found)
    reason = _refusal(found.temperature, loss)
    errors = [expected_calibration_error(p, found.labels) for p in (found.before, found.after)]
    return {
        "verdict": "refused" if reason else "applied",
        "reason": reason,
        "temperature": found.temperature,
        "by_part": found.by_part,
        "how": found.how,
        "num_images": len(found.labels),
        "num_units": loss.num_units,
        "log_loss": {
            "before": loss.first,
            "after": loss.second,
            **{key: getattr(loss, key) for key in ("difference", "low", "high", "p_value")},
        },
        "expected_calibration_error": {"before": errors[0], "after": errors[1]},
        "cautions": _cautions(loss.num_units),
    }


def _of_folds(folder: Path) -> tuple[Judged, list[str]]:
    read_folds(folder)  # complete
    found = read_predictions(folder)
    labels = np.array([int(mask[0, 0]) for mask in found.masks])
    counted = np.flatnonzero(~np.isin(labels, found.recipe.ignored))
    probabilities = np.array([found.store[found.store.ids[i]][0, 0] for i in counted])
    probabilities = probabilities.reshape(len(counted), -1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float16 may miss 1
    labels, folds = labels[counted], np.array(found.folds)[counted]
    units = [found.units[i] for i in counted]
    _check_enough(folder, len(set(folds.tolist())), "folds with images that count")
    _check_enough(folder, len(set(units)), "units")
    after, by_part = cross_fitted(probabilities, labels, folds)
    judged = Judged(
        fit_temperature(probabilities, labels),
        by_part,
        "fitted on out-of-fold predictions; each fold judged with the temperature of the others",
        probabilities,
        after=after,
        labels=labels,
        units=units,
    )
    return judged, found.store.class_names


def _of_run(folder: Path, place: Path | None) -> tuple[Judged, list[str]]:
    loaded = load_run(RunFolder.existing(folder))
    prepared = own_data(loaded, place)
    data, recipe = prepared.record(), loaded.recipe

    def read(split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
        scored = loaded.task.score(recipe, loaded.predictor, samples_of_split(prepared, split))
        truth, probabilities = scored.details["truth"], scored.details["probabilities"]
        counted = np.flatnonzero(~np.isin(truth, recipe.ignored))
        units = groups_in(data, split, scored.ids) or [f"image {i}" for i in scored.ids]
        labels = truth[counted].astype(np.int64)
        return probabilities[counted], labels, [units[i] for i in counted]

    if not prepared.indices("val"):
        raise InputError(
            f"{folder} has no labelled validation split to fit a temperature on. Use folds: "
            "train_cls.py --folds 5, then calibrate that folder."
        )
    probabilities, labels, units = read("val")
    _check_enough(folder, len(labels), "validation images that count", least=1)
    temperature = fit_temperature(probabilities, labels)
    if prepared.indices("test"):
        probabilities, labels, units = read("test")
        after, by_part = with_temperature(probabilities, temperature), [temperature]
        how = "fitted on the validation split, judged on the test split"
    else:
        _check_enough(folder, len(set(units)), "units in its validation split, and no test split")
        parts = np.empty(len(labels), np.int64)
        for number, places in enumerate(assign_parts(units, [0] * len(units))):
            parts[places] = number
        after, by_part = cross_fitted(probabilities, labels, parts)
        how = (
            "fitted on the validation split, which has chosen the best epoch too; judged on its "
            "parts, each with the temperature of the others"
        )
    _check_enough(folder, len(set(units)), "units to judge a temperature on")
    judged = Judged(
        temperature, by_part, how, probabilities, after=after, labels=labels, units=units
    )
    return judged, list(loaded.data["class_names"])


def _check_enough(folder: Path, number: int, what: str, *, least: int = 2) -> None:
    if number < least:
        raise InputError(f"{folder} has {number} {what}; at least {least} are needed.")


def _refusal(temperature: float, loss: Difference) -> str:
    """Why the temperature is not to be applied, or ""."""
    if temperature in (LOWEST, HIGHEST):
        return (
            f"the log-loss falls up to the end of the temperatures that are sought ({temperature:g}"
            "): every image is right, or the probabilities say nothing"
        )
    if loss.better:
        return ""
    return (
        f"the log-loss changes by {loss.difference:+.4f} (95 % interval {loss.low:+.4f} to "
        f"{loss.high:+.4f}), and that interval is not below 0"
    )


def _cautions(num_units: int) -> list[str]:
    lines = [
        "The temperature is of these models' own predictions. Means of models or of views "
        "(ensembles, --tta) are less sure, and may need another: calibrate the ensemble."
    ]
    if num_units < FEW:
        lines.append(f"Only {num_units} units: the interval is rough itself.")
    return lines


def _text(result: dict[str, Any]) -> str:
    loss, error = result["log_loss"], result["expected_calibration_error"]
    parts: Sequence[float] = result["by_part"]
    lines = [
        f"temperature {result['temperature']:.4f} ({min(parts):.4f} to {max(parts):.4f} where it "
        f"is judged), {result['how']}; {result['num_images']} images, {result['num_units']} units",
        f"log-loss {loss['before']:.4f} -> {loss['after']:.4f}: {loss['difference']:+.4f} (95 % "
        f"interval {loss['low']:+.4f} to {loss['high']:+.4f})",
        f"expected calibration error {error['before']:.4f} -> {error['after']:.4f}",
        f"{result['verdict']}{': ' + result['reason'] if result['reason'] else ''}",
    ]
    return "\n".join([*lines, *result["cautions"]])
