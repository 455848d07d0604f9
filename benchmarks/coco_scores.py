"""How fast COCO's numbers are computed from arrays, against pycocotools in the same run.

    python benchmarks/coco_scores.py
    python benchmarks/coco_scores.py --images 500

Processor seconds of one thread: pycocotools from annotations and results in memory (reading files
and making rows from arrays are not counted), `coco_numbers` from the arrays of the toolkit, the
same numbers by `DetectionEvidence`, which can be resampled, and the 95 % interval of AP by 1,000
resamples of up to 1,000 of the images. Exit code 1 where numbers differ in any bit, `coco_numbers`
is less than 40 times as fast as pycocotools, or the interval takes more than 20 s.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.detections import coco_rows, evaluated
from tfvision.metrics.coco import NUMBERS, coco_numbers
from tfvision.metrics.detections import DetectionEvidence
from tfvision.stats.bootstrap import interval


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="an image")
    parser.add_argument("--truths", type=int, default=20, help="an image")
    parser.add_argument("--classes", type=int, default=80)
    arguments = parser.parse_args()
    classes = arguments.classes
    answers, truths = simulate(**vars(arguments))
    ids = [str(i) for i in range(len(truths))]
    numbers, fast = timed(lambda: coco_numbers(answers, truths, classes))
    found, matching = timed(lambda: DetectionEvidence.of(ids, answers, truths, classes))
    own, scoring = timed(lambda: [found.measure(name, None).value() for name in NUMBERS])
    part = found.take(range(min(1000, len(ids))))
    ends, resampling = timed(lambda: interval(part.measure("ap", None), resamples=1000))
    rows = coco_rows(answers, truths)
    theirs, slow = timed(lambda: evaluated(*rows, len(ids), classes).stats.tolist())
    equal = [numbers[name] for name in NUMBERS] == own == theirs
    print(f"pycocotools            {slow:7.2f} s")
    print(f"coco_numbers           {fast:7.2f} s, {slow / fast:.0f} times as fast")
    print(f"DetectionEvidence      {matching + scoring:7.2f} s, matching {matching:.2f} s of them")
    print(f"interval of {len(part)} images {resampling:7.2f} s, {ends[0]:.4f} .. {ends[1]:.4f}")
    print(f"the twelve numbers are {'equal' if equal else 'NOT equal'}; AP {theirs[0]:.4f}")
    return int(not (equal and slow >= 40 * fast and resampling <= 20))


def timed(call):
    """What a call returns, and its processor seconds."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def simulate(*, images: int, detections: int, truths: int, classes: int, seed: int = 0):
    """A third of the detections lie near a truth, mostly of its class and with higher scores."""
    rng = np.random.default_rng(seed)
    answers, real = [], []
    for _ in range(images):
        box, label = boxes(rng, truths), rng.integers(0, classes, truths)
        own, near = rng.integers(0, truths, detections), rng.random(detections) < 0.35
        side = np.tile(box[own, 2:] - box[own, :2], 2)
        moved = box[own] + rng.normal(0, 0.07, (detections, 4)) * side
        found = np.where(near[:, None], moved, boxes(rng, detections))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        right = near & (rng.random(detections) < 0.9)
        labels = np.where(right, label[own], rng.integers(0, classes, detections))
        score = (rng.beta(1, 4, detections) + 0.5 * near) / 1.5
        order = np.argsort(-score)
        rows = {"boxes": found[order].astype(np.float32), "classes": labels[order].astype(np.int32)}
        answers.append({**rows, "scores": score[order].astype(np.float32)})
        real.append({"boxes": box.astype(np.float32), "classes": label.astype(np.int32)})
    return answers, real


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) corners; sides of 10 to 200 pixels."""
    start = rng.uniform(0, 500, (count, 2))
    return np.concatenate([start, start + np.exp(rng.uniform(2.3, 5.3, (count, 2)))], axis=1)


if __name__ == "__main__":
    sys.exit(main())
