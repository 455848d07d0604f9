"""Speed of Faster R-CNN against torchvision's on the same net, as ratios in one run.

    python benchmarks/detection.py --torch-python /path/of/python   # with torch and torchvision
    python benchmarks/detection.py                                  # without the peer
    python benchmarks/detection.py --threads 1 --rounds 10

The net is the default of `train_det.py`: a slim ResNet of width 32 with group normalisation, a
pyramid of 96 channels at strides 8, 16 and 32, six anchors a place, 300 proposals, 128 of them
learnt from. Batches of 8 images of 256x256 with 20 boxes each lie ready. The sides take a step in
turn (A B C A B C ...), after three that do not count; the median of the rounds counts, processor
seconds beside seconds. Also: how many graphs a training step is traced to when batches hold
other numbers of boxes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZE, BATCH, BOXES, CLASSES = 256, 8, 20, 2
UNCOUNTED = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch-python", metavar="PATH", help="an interpreter with torchvision")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--side", choices=["float32", "mixed_bfloat16"], help=argparse.SUPPRESS)
    parser.add_argument("--batch", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        answer(arguments.side, arguments.batch, arguments.threads)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        batch = str(write_batch(Path(folder) / "batch.npz"))
        threads = str(arguments.threads)
        own = [sys.executable, __file__, "--batch", batch, "--threads", threads, "--side"]
        sides = {name: [*own, name] for name in ("float32", "mixed_bfloat16")}
        if arguments.torch_python:
            peer = ROOT / "benchmarks" / "torch_detection.py"
            sides["torchvision"] = [arguments.torch_python, str(peer), batch, threads]
        print(json.dumps(measured(sides, arguments.rounds), indent=1))
    return 0


def write_batch(path: Path) -> Path:
    """Images of noise with BOXES boxes each, for all sides."""
    import numpy as np

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, SIZE - 80, (BATCH, BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(30, 80, corner.shape)], -1)
    np.savez(
        path,
        images=rng.random((BATCH, SIZE, SIZE, 3), dtype=np.float32),
        boxes=boxes.astype(np.float32),
        classes=rng.integers(0, CLASSES, (BATCH, BOXES)).astype(np.int32),
    )
    return path


def measured(sides: dict[str, list[str]], rounds: int) -> dict:
    """Medians by side and step, and how often each is as fast as torchvision."""
    children = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, command in sides.items()
    }
    found: dict[str, dict] = {name: {} for name in sides}
    for step in ("train", "predict"):
        taken: dict[str, list] = {name: [] for name in sides}
        for _ in range(UNCOUNTED + rounds):
            for name, child in children.items():
                child.stdin.write(f"{step}\n")
                child.stdin.flush()
                taken[name].append([float(word) for word in child.stdout.readline().split()])
        for name, rows in taken.items():
            columns = zip(*rows[UNCOUNTED:], strict=True)
            cpu, wall = (round(statistics.median(column), 4) for column in columns)
            found[name][step] = {"processor_seconds": cpu, "seconds": wall}
    for name, child in children.items():
        rest, _ = child.communicate()
        if rest.strip():
            found[name]["traces"] = int(rest)
    if "torchvision" in found:
        for name in ("float32", "mixed_bfloat16"):
            for step in ("train", "predict"):
                for kind, value in found[name][step].copy().items():
                    ratio = found["torchvision"][step][kind] / value
                    found[name][step][f"times_as_fast_{kind}"] = round(ratio, 2)
    return found


def answer(policy: str, path: str, threads: int) -> None:
    """This toolkit's side: a line of seconds for each line on standard input; last, its traces."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as every command has it
    sys.path.insert(0, str(ROOT))
    import keras
    import numpy as np
    import tensorflow as tf

    from tfvision.engine.step import TrainStep, summed
    from tfvision.losses import DETECTION_LOSSES
    from tfvision.models import DETECTORS
    from tfvision.registry import Spec

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    with np.load(path) as data:
        image, boxes, classes = (data[key] for key in ("images", "boxes", "classes"))
    model = DETECTORS["faster_rcnn"]((SIZE, SIZE, 3), CLASSES)
    terms = [DETECTION_LOSSES.build(Spec(name=name)) for name in ("cross_entropy", "smooth_l1")]
    traces = []

    def loss(batch, heads, names=None):
        traces.append(1)
        return summed({(h, i): t(heads[h]) for h in heads for i, t in enumerate(terms)})

    step = TrainStep(
        model,
        keras.optimizers.AdamW(1e-3),
        loss,
        strategy=tf.distribute.get_strategy(),
        batch_size=BATCH,
        forward=lambda net, batch, training: net.training_outputs(batch, training),
    )
    predict = tf.function(
        lambda images: model.detections(model(images, training=False), tf.shape(images)[1:3]),
        autograph=False,
    )
    rng, images = np.random.default_rng(1), tf.constant(image)

    def batch():
        """With a varying number of boxes; the others are padding."""
        there = np.arange(BOXES) < rng.integers(0, BOXES + 1, (BATCH, 1))
        return {
            "image": images,
            "boxes": tf.constant(np.where(there[..., None], boxes, 0).astype(np.float32)),
            "classes": tf.constant(np.where(there, classes, -1)),
            "seed": tf.constant(rng.integers(0, 2**30, (BATCH, 2)), tf.int32),
            "index": tf.range(BATCH, dtype=tf.int64),
        }

    full = {**batch(), "boxes": tf.constant(boxes), "classes": tf.constant(classes)}
    for line in sys.stdin:
        start = time.process_time(), time.perf_counter()
        if line.strip() == "train":
            step(full, 1e-3).numpy()
        else:
            predict(images)["scores"].numpy()
        print(time.process_time() - start[0], time.perf_counter() - start[1], flush=True)
    for _ in range(3):
        step(batch(), 1e-3).numpy()
    print(len(traces), flush=True)


if __name__ == "__main__":
    sys.exit(main())
