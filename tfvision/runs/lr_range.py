"""Learning-rate range test: a few steps at rising rates, and a rate to start from.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3
(https://arxiv.org/abs/1506.01186): the rate rises from step to step, the loss first stays,
then falls, then breaks out. Here it rises by a constant factor, so that all magnitudes are
tried alike. Pipeline, model, losses and optimizer are those of the run.
"""

import csv
import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes, write_text
from tfvision.engine.progress import duration
from tfvision.engine.step import TrainStep
from tfvision.errors import InputError
from tfvision.report.curve import Mark, curve_png
from tfvision.runs.request import TrainRequest
from tfvision.runs.train import train

STEPS, LOWEST, HIGHEST = 100, 1e-6, 1.0
DIVERGED = 4.0  # times the best smoothed loss
TRAILING = 0.8  # decay of the average that is watched while the test runs
WIDTH = 3.0  # steps, of the Gaussian that smooths the curve afterwards
LEAST_FALL = 0.02  # share of the first loss that counts as a fall


@dataclass(frozen=True)
class Curve:
    """What a range test measured.

    Attributes:
        rates: Learning rate of each step taken, ascending.
        losses: Loss of the batch before that step.
        smoothed: `losses`, each the mean of its neighbours, Gaussian weights.
        diverged: The rate at which the loss broke out, None where it did not.
        steepest: The rate at which the smoothed loss fell fastest, None where it never fell.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged: float | None
    steepest: float | None

    @property
    def suggested(self) -> float | None:
        """The steepest, or a tenth of the diverging rate where that is smaller; two digits."""
        if self.steepest is None:
            return None
        rate = min(self.steepest, (self.diverged or math.inf) / 10)
        return float(f"{rate:.1e}")


def lr_range_test(request: TrainRequest, *, out: Path | None = None) -> dict[str, Any]:
    """Runs the test on what a config trains, prints it, and writes the curve.

    Args:
        request: As for a training; no run is made.
        out: Folder for `lr_range.csv` and `lr_range.png`, or None.

    Raises:
        InputError: The folder has a curve already, and `request.overwrite` is not set.
    """
    if out is not None and (out / "lr_range.csv").exists() and not request.overwrite:
        raise InputError(f"{out} has an lr_range.csv already. Add --overwrite, or another --out.")

    def trial(recipe, step: TrainStep, batches, say) -> dict[str, Any]:
        stream = iter(step.strategy.experimental_distribute_dataset(batches(0)))
        curve = measure(lambda rate: float(step(next(stream), rate)), say=say)
        say(table(curve))
        say(advice(curve))
        if out is not None:
            write_curve(curve, out, title=f"{recipe.config.model.name}: loss over learning rate")
            say(f"{out / 'lr_range.csv'} and lr_range.png have the curve")
        return {
            "task": request.config.task,
            "arch": recipe.config.model.name,
            "lr_range": True,
            "steps": len(curve.rates),
            "steepest": curve.steepest,
            "diverged": curve.diverged,
            "suggested": curve.suggested,
        }

    return train(replace(request, dry_run=True), trial=trial)


def measure(
    take: Callable[[float], float], *, say: Callable[[str], None] = lambda text: None
) -> Curve:
    """Takes up to `STEPS` steps at rising rates; ends where the loss breaks out.

    Args:
        take: `rate -> loss` of one step, the loss before it.
        say: Told how long it will take.
    """
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    mean, best, diverged = 0.0, math.inf, None
    for number, rate in enumerate(rates):
        began = time.monotonic()
        loss = take(rate)
        if number == 1:  # the first one builds the graph
            left = duration((time.monotonic() - began) * (STEPS - 2))
            say(f"learning-rate range test: {STEPS} steps, {LOWEST:g} to {HIGHEST:g}, about {left}")
        if not math.isfinite(loss):
            diverged = rate
            break
        losses.append(loss)
        mean = TRAILING * mean + (1 - TRAILING) * loss
        value = mean / (1 - TRAILING ** (number + 1))
        best = min(best, value)
        if value > DIVERGED * best:
            diverged = rate
            break
    rates = rates[: len(losses)]
    smoothed = smooth(losses)
    return Curve(rates, losses, smoothed, diverged, steepest=_steepest(rates, smoothed))


def smooth(losses: Sequence[float]) -> list[float]:
    """Each value the mean of its neighbours, which does not shift the curve as a trailing
    average would."""
    values, places = np.asarray(losses, float), np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places) / WIDTH) ** 2)
    return (weights @ values / weights.sum(axis=1)).tolist()


def _steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Where the smoothed loss falls fastest, before it is lowest."""
    if not smoothed:
        return None
    lowest = int(np.argmin(smoothed))
    if lowest == 0 or smoothed[0] - smoothed[lowest] < LEAST_FALL * abs(smoothed[0]):
        return None
    slopes = np.gradient(np.asarray(smoothed), np.log10(rates))
    return rates[int(np.argmin(slopes[: lowest + 1]))]


def table(curve: Curve) -> str:
    """Twice a magnitude: rate, loss, smoothed loss."""
    every = (STEPS - 1) // 12
    lines = [f"{'learning rate':>14}{'loss':>10}{'smoothed':>10}"]
    for i in range(0, len(curve.rates), every):
        lines.append(f"{curve.rates[i]:>14.2g}{curve.losses[i]:>10.4f}{curve.smoothed[i]:>10.4f}")
    return "\n".join(lines)


def advice(curve: Curve) -> str:
    """What the curve says, and what to type."""
    broke = (
        f"the loss did not break out up to {HIGHEST:g}"
        if curve.diverged is None
        else f"the loss broke out at {curve.diverged:.2g}"
    )
    if curve.suggested is None:
        return (
            f"no rate is suggested: the loss did not fall by {100 * LEAST_FALL:g} %; {broke}. "
            "Look at data and losses (--dry-run, the audit) before the rate."
        )
    tenth = (curve.diverged or math.inf) / 10
    which = (
        "a tenth of that, as the loss fell fastest only beyond it"
        if tenth < curve.steepest
        else "where the loss fell fastest"
    )
    return (
        f"the loss fell fastest at {curve.steepest:.2g}; {broke}\n"
        f"suggested, {which}: --set train.optimizer.learning_rate={curve.suggested:g}\n"
        "This is a rate to start from, not the best one: try a third and three times of it."
    )


def write_curve(curve: Curve, folder: Path, *, title: str) -> None:
    """Writes `lr_range.csv` (step, learning_rate, loss, smoothed) and `lr_range.png`.

    Raises:
        EnvironmentFault: No space, no permission.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "learning_rate", "loss", "smoothed"])
    writer.writerows(
        zip(range(1, len(curve.rates) + 1), curve.rates, curve.losses, curve.smoothed, strict=True)
    )
    marks = [
        Mark(name, rate)
        for name, rate in (
            ("suggested", curve.suggested),
            ("fell fastest", curve.steepest),
            ("broke out", curve.diverged),
        )
        if rate is not None
    ]
    write_text(folder / "lr_range.csv", text.getvalue())
    lines = {"loss": curve.losses, "smoothed": curve.smoothed}
    picture = curve_png(curve.rates, lines, title=title, x_name="learning rate", marks=marks)
    write_bytes(folder / "lr_range.png", picture)
