"""Is the interval of `tfvision compare` honest? Simulated comparisons whose truth is known.

    python experiments/compare_coverage.py
    python experiments/compare_coverage.py --simulations 1000 --images 100 --seed 0

Two models are "scored" on simulated images: per-image confusion matrices with the presence,
the sizes and the spread of recall that runs on the embedded scenes and on terrain tiles have;
what makes an image hard is hard for both models. The true difference is that of
400,000 simulated images. Printed for each case: coverage of the 95 % interval, by the method
that `compare` uses and by those it does not; how often 0 is left out (for equal models: false
verdicts, else: power). Exit code 1 where the method in use misses 93-97 % coverage in the
mean over cases, or calls equal models different in more than 7 % of any case.

The default, 12 cases of 1,000 comparisons, takes a few minutes on one core.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfvision.metrics.ratios import score_ratios
from tfvision.stats.bootstrap import Difference, compare
from tfvision.stats.measure import Ratios

NUM_CLASSES, RARE, PIXELS = 5, 4, 8192
HUGE, CHUNK = 400_000, 20_000  # images
METHODS = ("symmetric t", "equal-tailed t", "percentile", "basic", "BCa", "normal")
IN_USE = "symmetric t"


@dataclass(frozen=True)
class Case:
    """A pair of models and the images they meet.

    Attributes:
        presence: Share of the images that hold the rare class.
        shift: Added to the second model's recall of every class, in logits.
        rare_shift: Added to its recall of the rare class alone.
        noise: Spread of what only one model gets wrong, in logits.
    """

    presence: float
    shift: float = 0.0
    rare_shift: float = 0.0
    noise: float = 0.6

    @property
    def equal(self) -> bool:
        return not (self.shift or self.rare_shift)

    @property
    def number(self) -> int:
        """For seeds: every case has samples of its own."""
        return zlib.crc32(str(self).encode())

    def __str__(self) -> str:
        kind = "equal models"
        if not self.equal:
            kind = f"shift {self.shift:g}" if self.shift else f"rare class {self.rare_shift:g}"
        return f"{kind}, rare class in {self.presence:.0%}"


CASES = [
    Case(presence, **change)
    for presence in (0.1, 0.2, 0.3)
    for change in ({}, {"shift": 0.1}, {"shift": 0.3}, {"rare_shift": 0.6})
]


def simulate(case: Case, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Per-image confusion matrices (N, K, K) of two models on the same images."""
    presence = np.array([0, 0.65, 0.65, 0.7, case.presence])
    there = rng.random((count, NUM_CLASSES)) < presence
    shares = there * np.minimum(0.065 * np.exp(rng.normal(0, 0.6, there.shape)), 0.23)
    truth = np.rint(shares * PIXELS)
    truth[:, 0] = PIXELS - truth.sum(axis=1)
    difficulty = 0.7 * rng.normal(size=(count, 1)) + rng.normal(size=there.shape)
    spread = np.array([0.6, 1, 1, 1, 1])
    ease = np.array([3.6, 1.5, 1.2, 1.4, 0.4])
    false_alarms = rng.gamma(0.5, size=(count, NUM_CLASSES)) * (0.15 + there)
    return tuple(
        _confusion(
            truth,
            ease + move + spread * (difficulty + case.noise * rng.normal(size=there.shape)),
            false_alarms * rng.gamma(2.0, size=there.shape),
        )
        for move in (0.0, case.shift + case.rare_shift * (np.arange(NUM_CLASSES) == RARE))
    )


def _confusion(truth: np.ndarray, logits: np.ndarray, attraction: np.ndarray) -> np.ndarray:
    """Pixels of a class are right with its recall; the others go where the image draws them."""
    hits = np.rint(truth / (1 + np.exp(-logits)))
    draw = attraction + 1e-3
    draw[:, 0] += 2 * draw[:, 1:].max(axis=1)  # most confusion is with the background
    draw = np.repeat(draw[:, None], NUM_CLASSES, axis=1)
    own = np.arange(NUM_CLASSES)
    draw[:, own, own] = 0
    missed = np.floor((truth - hits)[..., None] * draw / draw.sum(axis=2, keepdims=True))
    missed[:, own, own] = truth - missed.sum(axis=2)
    return missed


def true_difference(case: Case, seed: int, images: int) -> float:
    """The difference of mean IoU over a huge sample."""
    rng = np.random.default_rng([seed, case.number])
    totals = [np.zeros((1, NUM_CLASSES, NUM_CLASSES)) for _ in range(2)]
    for _ in range(images // CHUNK):
        for total, cms in zip(totals, simulate(case, CHUNK, rng), strict=True):
            total += cms.sum(axis=0)
    first, second = (score_ratios(total).value() for total in totals)
    return second - first


def intervals(first: Ratios, second: Ratios, found: Difference) -> dict[str, tuple[float, float]]:
    """The 95 % interval by each method, from the resamples of one comparison."""
    normal = NormalDist()
    finite = np.isfinite(found.resampled)
    shifts, errors = found.resampled[finite], np.maximum(found.errors[finite], 1e-12)
    low, high = np.quantile(shifts, [0.025, 0.975])
    lower, upper = np.quantile((shifts - found.difference) / errors, [0.025, 0.975])
    reach = normal.inv_cdf(0.975) * found.standard_error
    below = np.clip((shifts < found.difference).mean(), 1e-4, 1 - 1e-4)
    bias = normal.inv_cdf(float(below))
    skew = _acceleration(first, second)
    ends = []
    for share in (0.025, 0.975):
        z = bias + normal.inv_cdf(share)
        ends.append(normal.cdf(bias + z / (1 - skew * z)))
    return {
        "symmetric t": (found.low, found.high),
        "equal-tailed t": (
            found.difference - upper * found.standard_error,
            found.difference - lower * found.standard_error,
        ),
        "percentile": (low, high),
        "basic": (2 * found.difference - high, 2 * found.difference - low),
        "BCa": tuple(np.quantile(shifts, ends)),
        "normal": (found.difference - reach, found.difference + reach),
    }


def _acceleration(first: Ratios, second: Ratios) -> float:
    """Of BCa: a sixth of the skewness of the jackknife values (Efron and Tibshirani, 14.15)."""
    left = [
        _mean_ratio(p.above.sum(0) - p.above, p.below.sum(0) - p.below) for p in (first, second)
    ]
    values = left[1] - left[0]
    spread = values.mean() - values
    scale = (spread**2).sum() ** 1.5
    return float((spread**3).sum() / (6 * scale)) if scale > 0 else 0.0


def _mean_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(U, Q) sums without one unit each -> (U,) scores."""
    there = below > 0
    return (above / np.where(there, below, 1)).sum(axis=1) / there.sum(axis=1)


@dataclass(frozen=True)
class Outcome:
    """Shares of the simulations, by method: the interval holds the truth; it leaves 0 out."""

    truth: float
    error: float
    width: dict[str, float]
    covered: dict[str, float]
    decided: dict[str, float]


def run(
    case: Case,
    *,
    simulations: int,
    images: int,
    resamples: int,
    seed: int,
    methods: Sequence[str] = METHODS,
    huge: int = HUGE,
) -> Outcome:
    """Compares the two models of a case on `simulations` samples of `images` images.

    The truth is that of `huge` images.
    """
    truth = true_difference(case, seed, huge)
    ends = {method: [] for method in methods}
    differences = []
    for number in range(simulations):
        rng = np.random.default_rng([seed, case.number, number])
        first, second = (score_ratios(cms) for cms in simulate(case, images, rng))
        (found,) = compare([(first, second)], resamples=resamples, seed=number)
        differences.append(found.difference)
        every = (
            intervals(first, second, found)
            if len(methods) > 1
            else {IN_USE: (found.low, found.high)}
        )
        for method in methods:
            ends[method].append(every[method])
    low, high = ({m: np.array(ends[m])[:, side] for m in methods} for side in (0, 1))
    return Outcome(
        truth=truth,
        error=float(np.std(differences)),
        width={m: float(np.median(high[m] - low[m])) for m in methods},
        covered={m: float(((low[m] <= truth) & (truth <= high[m])).mean()) for m in methods},
        decided={m: float(((low[m] > 0) | (high[m] < 0)).mean()) for m in methods},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=1000, help="comparisons a case")
    parser.add_argument("--images", type=int, default=100, help="images a comparison")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    print(f"{arguments['simulations']} comparisons a case, {arguments['images']} images each")
    print(f"{'':42}{'true':>8}{'sd':>7}   " + "".join(f"{m:>24}" for m in METHODS))
    print(f"{'':42}{'':>8}{'':>7}   " + f"{'cover  not 0  width':>24}" * len(METHODS))
    outcomes = []
    for case in CASES:
        found = run(case, **arguments)
        outcomes.append(found)
        cells = (
            f"{found.covered[m]:9.1%}{found.decided[m]:8.1%}{found.width[m]:7.3f}" for m in METHODS
        )
        print(f"{case!s:42}{found.truth:+8.4f}{found.error:7.4f}   " + "".join(cells), flush=True)
    covered = {m: float(np.mean([o.covered[m] for o in outcomes])) for m in METHODS}
    false = [o.decided[IN_USE] for o, case in zip(outcomes, CASES, strict=True) if case.equal]
    print("mean coverage: " + ", ".join(f"{m} {share:.1%}" for m, share in covered.items()))
    print(f"equal models called different ({IN_USE}): at most {max(false):.1%}")
    return int(not (0.93 <= covered[IN_USE] <= 0.97 and max(false) <= 0.07))


if __name__ == "__main__":
    sys.exit(main())
