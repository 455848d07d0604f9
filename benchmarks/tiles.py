"""Peak memory and time of predicting one large image, in tiles and whole.

    python benchmarks/tiles.py                     # 4096x4096x3, 5 classes, UNet of width 8
    python benchmarks/tiles.py --whole             # also without tiles; takes several GB
    python benchmarks/tiles.py --only labels       # one line

Each line is a process of its own. Memory is the largest resident size of the process; "own" is
that less what the process held after one batch of tiles, which is what Python, TensorFlow, the
model and its activations take with an image of any size. The stored image (uint8) counts.
Exit code 1 where an image of 4096x4096 or smaller takes more than `BOUND` of its own.

On two cores of an AMD EPYC, other work beside it:

    predict --tile 512                   peak 1206 MiB, own 279 MiB, 14.9 s
    predict --tile 512 --tta flip_lr     peak 1221 MiB, own 244 MiB, 29.3 s
    predict --tile 512 --probabilities   peak 1453 MiB, own 526 MiB, 14.7 s
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from tfvision.tasks.task import task_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

WAYS = {
    "labels": "predict --tile 512",
    "views": "predict --tile 512 --tta flip_lr",
    "probabilities": "predict --tile 512 --probabilities",
    "whole": "predict",
}
BOUND = {"labels": 400, "views": 400, "probabilities": 700}  # MiB; probabilities alone are 320


@dataclass(frozen=True)
class Loaded:
    """What `tasks.use.LoadedRun` has, without a run."""

    recipe: SimpleNamespace
    config: SimpleNamespace
    inference: object


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--whole", action="store_true", help="also without tiles")
    parser.add_argument("--only", choices=list(WAYS))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options)))
        return 0
    ways = [options.only] if options.only else list(WAYS)[: 4 if options.whole else 3]
    print(f"one image of {options.side}x{options.side}x3 uint8, {options.classes} classes")
    print(f"{'':42} {'peak':>9} {'own':>9} {'seconds':>8}")
    above = []
    for way in ways:
        command = [sys.executable, __file__, "--child", "--only", way]
        command += [f"--{k}={getattr(options, k)}" for k in ("side", "tile", "classes", "width")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        name = WAYS[way].replace("512", str(options.tile))
        print(
            f"{name:42} {found['peak']:6.0f} MiB {found['own']:6.0f} MiB {found['seconds']:8.1f}",
            flush=True,
        )
        if options.side <= 4096 and found["own"] > BOUND.get(way, math.inf):
            above.append(f"{name}: {found['own']:.0f} MiB of its own, more than {BOUND[way]}")
    print("\n".join(above), end="\n" * bool(above))
    return int(bool(above))


def measure(options) -> dict[str, float]:
    from tfvision.cli.shared import import_tensorflow

    import_tensorflow()
    import numpy as np

    from tfvision.data.sources.array_source import ArraySource
    from tfvision.engine.inference import Inference
    from tfvision.models import MODELS
    from tfvision.runs import views_and_tiles
    from tfvision.runs.request import UseRequest

    shape, batch = (None, None, 3), 4
    model = MODELS["unet"](shape, options.classes, width=options.width, depth=4)
    recipe = SimpleNamespace(
        rules=(),
        component_rules=(),
        channels=3,
        size=(options.tile, options.tile),
        config=SimpleNamespace(data=SimpleNamespace(batch_size=batch)),
    )
    run = Loaded(
        task=task_of("segmentation"),
        recipe=recipe,
        predictor=Inference(model, channels=3),
    )
    tile = None if options.only == "whole" else (options.tile, options.tile)
    tta = "flip_lr" if options.only == "views" else None
    run = views_and_tiles.as_requested(run, UseRequest(run=None, tile=tile, tta=tta))
    first = np.zeros((batch, options.tile, options.tile, 3), np.float32)
    views_and_tiles.predict_probabilities(run.inference, first)
    before = peak()
    image = np.random.default_rng(0).integers(
        0, 256, (options.side, options.side, 3), dtype=np.uint8
    )
    parts = {"test": {"images": image[None]}}
    source = ArraySource(parts, name="random", layout="random", class_names=None, stamp="random")
    predict = views_and_tiles.labels_of
    if options.only == "probabilities":
        predict = views_and_tiles.probabilities_of
    began = time.perf_counter()
    for found in predict(run, source, [0]):
        assert found.shape[:2] == image.shape[:2]
    seconds = time.perf_counter() - began
    return {"peak": peak(), "own": peak() - before, "seconds": seconds}


def peak() -> float:
    """The largest resident size so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
