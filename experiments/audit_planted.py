"""How well the audit finds planted faults, over seeds it was not tuned on.

    python experiments/audit_planted.py
    python experiments/audit_planted.py --first-seed 100 --seeds 20 --scenes 160

Five cases as in tests/data/audit/test_planted.py, which uses the seeds 1 and 2: twelve
intruders under one copied mask among masks that are rightly equal; twenty intruders each with
the mask of another image; fifteen stained copies; five leaks from train to test (two of them
encoded anew); ten masks moved by 4 to 10 pixels. Found means: named as suspect for intruders
and moved masks, the right group for copies and leaks. A genuine sample among the suspects is
an error of the worst kind, and is counted apart.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from tests.data.audit.planted import H, W, again, crop, moved, scenes, stain, strangers


def one_mask(seed: int, count: int):
    planted = scenes(seed, count)
    copied = planted.masks[0]
    for _ in range(25):
        planted.add(crop(planted.rng), np.zeros((H, W), np.int32))
    planted.faulty = {planted.add(image, copied) for image in strangers(planted, 12)}
    return planted


def twenty_masks(seed: int, count: int):
    planted = scenes(seed, count)
    for owner, image in enumerate(strangers(planted, 20)):
        planted.faulty.add(planted.add(image, planted.masks[owner]))
    return planted


def stains(seed: int, count: int):
    planted = scenes(seed, count)
    for original in range(15):
        copy = planted.add(stain(planted.images[original], planted.rng), planted.masks[original])
        planted.faulty.add(copy)
        planted.groups.append({original, copy})
    return planted


def leaks(seed: int, count: int):
    planted = scenes(seed, count)
    planted.splits = ["train"] * (count - count // 3) + ["test"] * (count // 3)
    for leaked in range(5):
        image = planted.images[leaked]
        copy = image if leaked < 3 else again(image, planted.rng)
        planted.groups.append({leaked, planted.add(copy, planted.masks[leaked], "test")})
    return planted


def slipped(seed: int, count: int):
    planted = scenes(seed, count)
    for index in range(10):
        angle, length = planted.rng.uniform(0, 2 * np.pi), planted.rng.uniform(4, 10)
        shift = round(length * np.sin(angle)), round(length * np.cos(angle))
        planted.masks[index] = moved(planted.masks[index], *shift)
        planted.faulty.add(index)
    return planted


GROUPS = {"stained copies": {"near_duplicates"}, "leaks": {"leak", "near_leak"}}
CASES = {
    "one copied mask": one_mask,
    "masks of others": twenty_masks,
    "stained copies": stains,
    "leaks": leaks,
    "moved masks": slipped,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--scenes", type=int, default=160)
    arguments = parser.parse_args()
    head = f"{'case':<18}{'planted':>9}{'found':>8}{'recall':>8}"
    print(head + f"{'genuine named':>15}{'groups wrong':>14}")
    for name, plant in CASES.items():
        total = Counter()
        began = time.monotonic()
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            total += tally(plant(seed, arguments.scenes).shuffled(), GROUPS.get(name))
        print(
            f"{name:<18}{total['planted']:>9}{total['found']:>8}"
            f"{total['found'] / total['planted']:>8.3f}{total['genuine']:>15}{total['wrong']:>14}"
            f"   {time.monotonic() - began:.0f} s"
        )


def tally(planted, kinds) -> Counter:
    """What was planted and found in one data set."""
    findings = planted.audited().findings
    named = {i for finding in findings for i in finding.suspects}
    count = Counter(genuine=len(named - planted.faulty))
    if kinds is None:
        count.update(planted=len(planted.faulty), found=len(named & planted.faulty))
    else:
        groups = [set(finding.members) for finding in findings if finding.kind in kinds]
        right = sum(group in groups for group in planted.groups)
        count.update(planted=len(planted.groups), found=right, wrong=len(groups) - right)
    return count


if __name__ == "__main__":
    main()
