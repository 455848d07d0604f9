"""Are the intervals of AP honest? Simulated detections whose true AP is known.

    python experiments/detection_coverage.py
    python experiments/detection_coverage.py --simulations 1000 --resamples 1000

Three models "detect" objects of three classes, the third in a fifth of the images, in images that
are hard or easy for all: a first, an equal one and a better one. How well a box lies and how sure
a model is of it hang together. The true AP is the mean of 20 samples of 5,000 images. For 50, 100
and 400 images it prints the mean error of AP (its bias: a curve made falling is read too high
where there are few objects), and how often 95 % intervals hold the truth, by `interval` and
`compare` (symmetric bootstrap-t) and, in brackets, by plain percentiles of the same resamples: of
the first model's AP, of its difference to the equal one and to the better one; last, how often
each difference is called one.

With the defaults, 400 simulations (of 400 images 200, so a share is known to 1.1 or 1.5 points):

    score images   bias          one AP      equal models      better model   called
    ap        50 +0.009   94.8% ( 93.0%)    95.2% ( 91.2%)    96.2% ( 93.5%)   4.8%  48.5%
    ap       100 +0.007   96.5% ( 95.2%)    95.8% ( 95.8%)    95.8% ( 94.5%)   4.2%  82.2%
    ap       400 +0.003   94.0% ( 94.0%)    95.5% ( 96.0%)    94.0% ( 94.0%)   4.5% 100.0%
    ap50      50 +0.001   95.5% ( 92.8%)    95.0% ( 91.8%)    96.5% ( 94.5%)   5.0%  25.2%
    ap50     100 +0.002   96.2% ( 94.2%)    95.0% ( 94.2%)    94.8% ( 94.2%)   5.0%  54.2%
    ap50     400 -0.001   96.0% ( 95.5%)    91.5% ( 92.0%)    96.5% ( 97.0%)   8.5%  99.5%

The last row was run again for its 91.5 %, with seed 1 and 800 simulations: 95.2, 94.4 and 94.6 %
(93.8, 93.4 and 94.5 % by percentiles), equal models called different in 5.6 %; both runs together
hold the truth of equal models in 93.8 % of 1,000.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfvision.metrics.coco_matching import RANGES, THRESHOLDS
from tfvision.metrics.detections import DetectionEvidence
from tfvision.stats.bootstrap import compare

MEANS = np.array([2.0, 1.0, 0.25])  # objects an image of each class
MOVES = (0.0, 0.0, 0.5)  # of the models, in logits
LARGE, SAMPLES = 5000, 20
SIZES = {50: 1.0, 100: 1.0, 400: 0.5}  # images: share of the simulations


def simulate(images: int, rng: np.random.Generator) -> list[DetectionEvidence]:
    """What the models find in the same images."""
    hard = rng.normal(0, 0.7, images)
    number = rng.poisson(MEANS, (images, 3))
    image, label = (np.repeat(one, number.ravel()) for one in np.divmod(np.arange(images * 3), 3))
    ease = rng.normal(0, 1, len(image)) - hard[image]
    return [_model(number, image, label, ease + move, hard, rng) for move in MOVES]


def _model(number, image, label, ease, hard, rng) -> DetectionEvidence:
    images = len(number)
    ease = ease + rng.normal(0, 0.7, len(ease))
    found = rng.random(len(ease)) < 1 / (1 + np.exp(-ease - 1.5))
    false = rng.poisson(0.5 * np.exp(0.4 * hard)[:, None] * np.array([1, 1, 0.4]))
    alarm, kind = (np.repeat(one, false.ravel()) for one in np.divmod(np.arange(images * 3), 3))
    iou = 1 / (1 + np.exp(-1.2 - 0.5 * ease[found] - rng.normal(0, 0.6, found.sum())))
    right = (iou[:, None] >= THRESHOLDS) @ (1 << np.arange(len(THRESHOLDS)))
    score = np.concatenate([1.5 + ease[found], np.full(len(alarm), -0.5)])
    score = 1 / (1 + np.exp(-score - rng.normal(0, 1, len(score))))
    where = np.concatenate([image[found], alarm])
    what = np.concatenate([label[found], kind])
    bits = np.concatenate([right, np.zeros(len(alarm), np.int64)]).astype(np.uint16)
    order = np.lexsort((-score, what, where))
    return DetectionEvidence(
        ids=[str(i) for i in range(images)],
        thresholds=np.full((images, 3), 0.5),
        truths=np.repeat(number[:, :, None], len(RANGES), axis=2),
        checksum=np.zeros(images, np.int64),
        number=np.bincount(where, minlength=images),
        label=what[order],
        score=score[order],
        matched=np.repeat(bits[order, None], len(RANGES), axis=1),
        ignored=np.zeros((len(order), len(RANGES)), np.uint16),
    )


def true_scores(score: str, seed: int) -> np.ndarray:
    """(3,) the score of each model; that of two equal ones is one."""
    rng = np.random.default_rng([seed, LARGE])
    samples = [
        [one.measure(score, None).value() for one in simulate(LARGE, rng)] for _ in range(SAMPLES)
    ]
    first, equal, better = np.mean(samples, axis=0)
    return np.array([(first + equal) / 2, (first + equal) / 2, better])


def run(
    score: str, truths: np.ndarray, images: int, *, simulations: int, resamples: int, seed: int
):
    """(3, 4) of one AP and both differences: mean error, shares of intervals that hold the truth
    and of percentiles that do, share that is called different from 0."""
    targets = (truths[0], 0.0, truths[2] - truths[0])
    rows = []
    for number in range(simulations):
        rng = np.random.default_rng([seed, images, number])
        first, equal, better = (one.measure(score, None) for one in simulate(images, rng))
        pairs = [(first.zero(), first), (first, equal), (first, better)]
        row = []
        for found, true in zip(
            compare(pairs, resamples=resamples, seed=number), targets, strict=True
        ):
            low, high = np.nanquantile(found.resampled, [0.025, 0.975])
            held = (found.low <= true <= found.high, low <= true <= high)
            row.append([found.difference - true, *held, found.decided])
        rows.append(row)
    return np.mean(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=400, help="half as many of 400 images")
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    count = arguments.pop("simulations")
    print("score images   bias          one AP      equal models      better model   called")
    for score in ("ap", "ap50"):
        truths = true_scores(score, arguments["seed"])
        print(f"{score} {truths[0]:.3f}, of the better model {truths[2]:.3f}")
        for images, share in SIZES.items():
            found = run(score, truths, images, simulations=round(count * share), **arguments)
            covered = "  ".join(f"{t:7.1%} ({plain:6.1%})" for _, t, plain, _ in found)
            print(
                f"{score:5} {images:6} {found[0, 0]:+6.3f} {covered} "
                f"{found[1, 3]:6.1%} {found[2, 3]:6.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
