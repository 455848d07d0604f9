"""Is the interval of `tfvision ladder` honest? Simulated ladders whose truth is known.

    python experiments/ladder_coverage.py
    python experiments/ladder_coverage.py --simulations 100 --seed 0

A simulated ladder has 8 rungs of the same true score, or of scores that rise, each trained S
times: a training shifts the recall of each class by its own luck (spread `luck`, in logits),
and every unit of the test part (a block of frames) treats every training a little otherwise.
Printed for each case: how often the 95 % interval holds the true difference, with the interval
in use, with that of the units alone (what `tfvision compare` has), and how often a ladder of
equal rungs has any verdict after Holm's correction. Exit code 1 where the mean coverage over
the cases lies outside 93-97.5 %, or ladders of equal rungs have a verdict in more than 8 %.

Run with the default (100 ladders, 700 intervals a case; each share has a standard error of about
1 %, in `any verdict` 2 %), seed 0:

                                        covered   units alone   any verdict
    10 units, 3 seeds, luck 0             99.9 %        96.6 %           0 %
    10 units, 3 seeds, luck 0.15          97.0 %        58.4 %           1 %
    10 units, 3 seeds, luck 0.4           94.4 %        31.0 %           4 %
    40 units, 3 seeds, luck 0             98.0 %        95.0 %           0 %
    40 units, 3 seeds, luck 0.15          93.7 %        28.6 %           4 %
    40 units, 3 seeds, luck 0.4           95.7 %        12.6 %           1 %
    10 units, 2 seeds, luck 0.15          95.9 %        60.4 %           1 %
    10 units, 5 seeds, luck 0.15          95.9 %        57.4 %           1 %
    10 units, 3 seeds, a real rise        96.9 %        65.0 %          80 %
    40 units, 3 seeds, a real rise        96.7 %        33.6 %          87 %
    10 units, one rung 4 times as shaky   95.0 %        47.3 %           5 %
    40 units, one rung 4 times as shaky   94.1 %        23.0 %           9 %

Mean coverage 96.1 %, a little more than asked; ladders of equal rungs have a verdict in at most
4 %. (A shaky rung's mean score is truly a little lower, so that its verdicts are not all false.)
"""

import argparse
import sys
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfvision.metrics.ratios import score_ratios
from tfvision.stats.bootstrap import compare_means, holm
from tfvision.stats.seeds import compare_seeds

NUM_CLASSES, RUNGS = 4, 8
MANY, HUGE = 200, 200  # trainings and units of the truth


@dataclass(frozen=True)
class Case:
    """A ladder.

    Attributes:
        units: Of the test part.
        seeds: Trainings of each rung.
        luck: Spread of a training's recall, in logits.
        rise: Added to the recall from rung to rung, in logits.
        shaky: Times the luck of the fourth rung is larger than the others'.
    """

    units: int = 10
    seeds: int = 3
    luck: float = 0.15
    rise: float = 0.0
    shaky: float = 1.0

    def __str__(self) -> str:
        shaky = f", one rung {self.shaky:g} times as shaky" if self.shaky != 1 else ""
        return (
            f"{self.units} units, {self.seeds} seeds, luck {self.luck:g}, rise {self.rise:g}{shaky}"
        )


CASES = [
    *(Case(luck=luck) for luck in (0.0, 0.15, 0.4)),
    *(Case(units=40, luck=luck) for luck in (0.0, 0.15, 0.4)),
    Case(seeds=2),
    Case(seeds=5),
    Case(rise=0.2),
    Case(units=40, rise=0.2),
    Case(shaky=4.0),
    Case(units=40, shaky=4.0),
]


def truth_of(rng: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each class in each unit (U, K), the last class rare; how easy they are (U, K)."""
    pixels = rng.integers(500, 4000, (units, NUM_CLASSES)).astype(float)
    pixels[:, -1] *= 0.1 * (rng.random(units) < 0.7)
    ease = np.array([2.0, 1.0, 1.5, 0.2]) + 0.5 * rng.normal(size=(units, 1))
    return pixels, ease + 0.4 * rng.normal(size=pixels.shape)


def training(
    pixels: np.ndarray, ease: np.ndarray, luck: float, rng: np.random.Generator
) -> np.ndarray:
    """Counts (U, K, K) of one training: its own luck, and its own way with each unit."""
    logits = ease + luck * rng.normal(size=NUM_CLASSES) + 0.15 * rng.normal(size=pixels.shape)
    hits = np.rint(pixels / (1 + np.exp(-logits)))
    cms = np.zeros((*pixels.shape, NUM_CLASSES))
    for k in range(NUM_CLASSES):
        cms[:, k, k] = hits[:, k]
        cms[:, k, (k + 1) % NUM_CLASSES] = pixels[:, k] - hits[:, k]
    return cms


def ladder(case: Case, rng: np.random.Generator, *, units: int, seeds: int) -> list[list]:
    """Scores of each training of each rung, on the same units."""
    pixels, ease = truth_of(rng, units)
    return [
        [
            score_ratios(
                training(
                    pixels,
                    ease + case.rise * rung,
                    case.luck * (case.shaky if rung == 3 else 1.0),
                    rng,
                )
            )
            for _ in range(seeds)
        ]
        for rung in range(RUNGS)
    ]


def true_differences(case: Case, seed: int) -> np.ndarray:
    """(7,) differences of mean scores over many trainings and units."""
    if not case.rise and case.shaky == 1:
        return np.zeros(RUNGS - 1)
    rng = np.random.default_rng([seed, zlib.crc32(str(case).encode())])
    rungs = ladder(case, rng, units=HUGE, seeds=MANY)
    return np.diff([np.mean([ratios.value() for ratios in rung]) for rung in rungs])


@dataclass(frozen=True)
class Outcome:
    """Shares: intervals that hold the truth; of units alone; ladders with a verdict."""

    covered: float
    covered_by_units: float
    any_verdict: float
    width: float


def run(case: Case, *, simulations: int, seed: int, resamples: int = 200) -> Outcome:
    """Climbs a case `simulations` times."""
    truth = true_differences(case, seed)
    covered, alone, verdicts, widths = [], [], [], []
    for number in range(simulations):
        rng = np.random.default_rng([seed, zlib.crc32(str(case).encode()), number])
        rungs = ladder(case, rng, units=case.units, seeds=case.seeds)
        pairs = [list(zip(below, above, strict=True)) for below, above in pairwise(rungs)]
        found = compare_seeds(pairs, resamples=resamples, seed=number)
        units = compare_means(pairs, resamples=resamples, seed=number)
        covered += [f.low <= t <= f.high for f, t in zip(found, truth, strict=True)]
        alone += [f.low <= t <= f.high for f, t in zip(units, truth, strict=True)]
        adjusted = holm([f.p_value for f in found])
        verdicts.append(any(f.decided and p <= 0.05 for f, p in zip(found, adjusted, strict=True)))
        widths += [f.high - f.low for f in found]
    return Outcome(
        covered=float(np.mean(covered)),
        covered_by_units=float(np.mean(alone)),
        any_verdict=float(np.mean(verdicts)),
        width=float(np.median(widths)),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=100, help="ladders a case")
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    print(f"{'':64}{'covered':>9}{'units alone':>13}{'any verdict':>13}{'width':>8}")
    outcomes = []
    for case in CASES:
        found = run(case, **arguments)
        outcomes.append(found)
        print(
            f"{case!s:64}{found.covered:9.1%}{found.covered_by_units:13.1%}"
            f"{found.any_verdict:13.1%}{found.width:8.4f}",
            flush=True,
        )
    mean = float(np.mean([o.covered for o in outcomes]))
    false = max(
        o.any_verdict
        for o, case in zip(outcomes, CASES, strict=True)
        if not case.rise and case.shaky == 1
    )
    print(f"mean coverage {mean:.1%}; ladders of equal rungs with a verdict: at most {false:.1%}")
    return int(not (0.93 <= mean <= 0.975 and false <= 0.08))


if __name__ == "__main__":
    sys.exit(main())
