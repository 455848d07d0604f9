"""Weights for the mean of several models' probabilities. NumPy only, all deterministic.

What is fitted here is fitted on predictions of samples that the models did not train on
(out of fold), and on a sample of their pixels: at most `PIXELS`, drawn evenly over all images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics.contract import Contract
from tfvision.metrics.ratios import score_ratios

PIXELS = 131_072  # drawn in all
ROUNDS = 20  # of the greedy selection
LEAST = 1e-3  # a fitted weight below it is 0: that model need not run
OBJECTIVES = {
    "fitted": "least log-loss out of fold over convex weights, by EM",
    "greedy": "greedy selection with replacement (Caruana et al. 2004) by the contract's score "
    "out of fold",
}
_FLOOR = 1e-6  # probabilities come from float16, where a small one is 0
_STEPS, _GAP = 1_000, 1e-6


@dataclass(frozen=True)
class Pixels:
    """P pixels as J models predict them.

    Attributes:
        probabilities: (P, J, K) float32.
        truth: (P,) int64, 0 to K - 1.
        stand_for: (P,) float64, how many pixels of its image each stands for.
        images: (P,) int64, which image each is of.
    """

    probabilities: np.ndarray
    truth: np.ndarray
    stand_for: np.ndarray
    images: np.ndarray

    def of(self, images: np.ndarray) -> "Pixels":
        """Those of some images."""
        kept = np.isin(self.images, images)
        return Pixels(
            self.probabilities[kept], self.truth[kept], self.stand_for[kept], self.images[kept]
        )


def normalise(weights: Sequence[float]) -> list[float]:
    """Weights divided by their sum.

    Raises:
        InputError: One is not a positive, finite number.
    """
    values = [float(weight) for weight in weights]
    wrong = [value for value in values if not (math.isfinite(value) and value > 0)]
    if wrong:
        raise InputError(
            f"Weights of an ensemble must be positive numbers; received {wrong[0]:g} among "
            f"{values}. Leave out a member that is to count nothing."
        )
    total = math.fsum(values)
    return [value / total for value in values]


def draw(
    probabilities: Sequence[np.ndarray],
    mask: np.ndarray,
    *,
    image: int,
    most: int,
    ignored: Sequence[int],
    seed: int = 0,
) -> Pixels:
    """A sample of an image's pixels, drawn without replacement.

    Args:
        probabilities: J arrays (H, W, K).
        mask: (H, W) labels.
        image: The image's number.
        most: Pixels to draw.
        ignored: True labels that do not count.
        seed: With the image's number, of the draw.
    """
    truth = mask.reshape(-1)
    places = np.flatnonzero(~np.isin(truth, list(ignored)))
    counted = len(places)
    if counted > most:
        rng = np.random.default_rng([seed, image])
        places = np.sort(rng.choice(places, most, replace=False))
    drawn = [p.reshape(-1, p.shape[-1])[places] for p in probabilities]
    each = counted / max(len(places), 1)
    return Pixels(
        np.stack(drawn, axis=1).astype(np.float32),
        truth[places].astype(np.int64),
        np.full(len(places), each),
        np.full(len(places), image, np.int64),
    )


def join(parts: Sequence[Pixels]) -> Pixels:
    """Samples of several images as one."""
    columns = zip(*[(p.probabilities, p.truth, p.stand_for, p.images) for p in parts], strict=True)
    return Pixels(*(np.concatenate(column) for column in columns))


def blend(probabilities: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """J arrays (..., K) and J weights -> their weighted sum, float32."""
    total = np.zeros(probabilities[0].shape, np.float32)
    for array, weight in zip(probabilities, weights, strict=True):
        if weight:
            total += np.float32(weight) * array
    return total


def fit_log_loss(pixels: Pixels) -> np.ndarray:
    """The convex weights whose mixture has the least log-loss.

    The loss is convex in the weights. EM for mixture proportions (Dempster, Laird, Rubin,
    Journal of the Royal Statistical Society B 39, 1977, section 4.3) climbs to its minimum:
    w_j <- w_j g_j, where g_j is the mean over the pixels of p_j / sum_k w_k p_k at the true
    class. As sum_j w_j g_j = 1, the loss is within log(max_j g_j) of the least one, so this
    bound is what ends it: at 1e-6, or after 1,000 steps.

    Returns:
        (J,) float64, sum 1; what was below `LEAST` is 0.
    """
    num_models = pixels.probabilities.shape[1]
    likely = np.take_along_axis(pixels.probabilities, pixels.truth[:, None, None], axis=2)[..., 0]
    likely = np.maximum(likely.astype(np.float64), _FLOOR)
    share = pixels.stand_for / pixels.stand_for.sum()
    weights = np.full(num_models, 1 / num_models)
    for _ in range(_STEPS):
        gains = (share / (likely @ weights)) @ likely
        if np.log(gains.max()) <= _GAP:
            break
        weights = weights * gains
        weights /= weights.sum()
    weights = np.where(weights < LEAST, 0.0, weights)
    return weights / weights.sum()


def select_greedily(
    pixels: Pixels,
    *,
    labels_of: Callable[[np.ndarray], np.ndarray],
    contract: Contract,
    metric: str = "mean_iou",
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Forward selection of models, with replacement, by the score of their mean.

    Caruana, Niculescu-Mizil, Crew, Ksikes, "Ensemble Selection from Libraries of Models",
    ICML 2004, sections 2 and 2.1: in each round the model joins whose addition scores best
    (the first of equals), also where the score falls; the round that scored best (the first
    of equals) is what counts.

    Args:
        pixels: To score on.
        labels_of: (P, K) probabilities -> (P,) labels: rules of single pixels, and argmax.
        contract: What the score counts.
        metric: The score's name, as `metrics.ratios` has it.
        rounds: How many.

    Returns:
        (J,) float64, how often each was taken, over the number taken.
    """
    models = [pixels.probabilities[:, j] for j in range(pixels.probabilities.shape[1])]
    num_classes = models[0].shape[-1]
    images = np.zeros_like(pixels.images)
    if contract.average == "image":
        images = np.unique(pixels.images, return_inverse=True)[1].reshape(-1)
    total, taken = np.zeros_like(models[0]), np.zeros(len(models))
    best, chosen = -np.inf, taken
    for done in range(1, rounds + 1):
        scores = []
        for model in models:
            labels = np.asarray(labels_of((total + model) / np.float32(done))).astype(np.int64)
            cells = (images * num_classes + pixels.truth) * num_classes + labels
            size = (int(images.max()) + 1) * num_classes**2
            cms = np.bincount(cells, weights=pixels.stand_for, minlength=size)
            cms = cms.reshape(-1, num_classes, num_classes)
            scores.append(np.nan_to_num(score_ratios(cms, contract, score=metric).value(), nan=-1))
        winner = int(np.argmax(scores))
        total = total + models[winner]
        taken = taken + np.eye(len(models))[winner]
        if scores[winner] > best:
            best, chosen = scores[winner], taken
    return chosen / chosen.sum()
