"""The 95 % interval of one score of a classification. NumPy only.

Where mistakes are few, resampling says too little: many resamples hold none at all. So three
intervals share the work, see `score_interval`.
"""

import math
from collections.abc import Sequence

import numpy as np

from tfvision.metrics.contract import Contract
from tfvision.metrics.ratios import score_ratios
from tfvision.stats.bootstrap import interval

FEW = 5  # wrong units below which resampling says too little
_CELLS = 64**2  # of a confusion matrix that is drawn whole
_DRAWS = 4_000


def score_interval(
    counts: np.ndarray,
    contract: Contract,
    *,
    score: str,
    groups: Sequence[str] | None = None,
    resamples: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Ends of the interval of a score of (N, K, K) counts, one count an image.

    Accuracy of independent images: `wilson`. With at least 5 wrong units (images, or groups
    with a wrong image): the bootstrap-t of `bootstrap.interval`. With
    fewer: `posterior`, with the images of a group counted as one.

    Of 200 to 300 simulated test sets each, macro-F1's interval held the truth in 92 to 100 % with
    2 or 4 classes, the rarest 5 % of 100 images or 10 % of 40, and 2 to 15 % mistakes. Classes
    of one to four images make it hold less often: 90 % of 40 images with a class of two, 88 and
    76 % of 40 images of 10 classes, even and skewed.

    Args:
        counts, contract: As `metrics.classification.scores` has them.
        score: A name of `ratios.SCORES`.
        groups: The group of each image, or None.
        resamples, seed: Of the bootstrap.

    Returns:
        Low and high, in 0..1; NaN where nothing is counted, or of a single unit.
    """
    counts = np.asarray(counts)
    counted = counts.sum(axis=(1, 2)) > 0
    if contract.ignore_labels:
        rows = [k for k in contract.ignore_labels if 0 <= k < counts.shape[1]]
        counted &= counts[:, rows].sum(axis=(1, 2)) == 0
    counts = counts[counted]
    groups = None if groups is None else np.asarray(groups, dtype=str)[counted]
    right = np.trace(counts, axis1=1, axis2=2) == counts.sum(axis=(1, 2))
    units = np.arange(len(counts)) if groups is None else groups
    num_units, wrong = len(set(units.tolist())), len(set(units[~right].tolist()))
    if score == "accuracy" and groups is None:
        return wilson(int(right.sum()), len(right))
    if num_units < 2:
        return math.nan, math.nan
    if wrong < FEW and counts.shape[1] ** 2 <= _CELLS:
        total = counts.sum(axis=0) * (num_units / len(counts))
        return posterior(total, contract, score=score, seed=seed)
    ratios = score_ratios(counts, contract, score=score, groups=groups)
    return interval(ratios, resamples=resamples, seed=seed)


def wilson(right: int, total: int, *, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share of independent images, also where all or none are right.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
    the American Statistical Association 22, 1927. NaN of no images.
    """
    if not total:
        return math.nan, math.nan
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = share * (1 - share) / total + z * z / (4 * total**2)
    reach = z / (1 + z * z / total) * math.sqrt(spread)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def posterior(
    total: np.ndarray, contract: Contract, *, score: str, seed: int = 0
) -> tuple[float, float]:
    """The middle 95 % of a score under the Dirichlet posterior of the confusion matrix.

    The prior is one image in all, spread evenly over the cells of the classes that occur, so
    that a cell without a count may have a chance. The interval is stretched to hold the score
    itself, which is the largest possible where every image is right.

    Args:
        total: (K, K) counts of all images, not necessarily whole; rows the truth.
        contract: What is counted.
        score: A name of `ratios.SCORES`.
        seed: Of the draws.
    """
    size = len(total)
    true, there = total.sum(axis=1) > 0, (total.sum(axis=0) + total.sum(axis=1)) > 0
    prior = (true[:, None] & there).astype(np.float64)
    prior /= max(prior.sum(), 1.0)
    rng = np.random.default_rng(seed)
    draws = max(200, min(_DRAWS, 8_000_000 // size**2))
    weights = rng.standard_gamma(total + prior, (draws, size, size)).reshape(draws, -1)
    cells = score_ratios(np.eye(size**2).reshape(-1, size, size), contract, score=score)
    own = float(cells.values(np.reshape(total, (1, -1)))[0])
    low, high = np.quantile(cells.values(weights), [0.025, 0.975])
    return float(min(low, own)), float(max(high, own))
