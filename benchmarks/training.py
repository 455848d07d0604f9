"""Speed of a training epoch, as ratios in one run on this machine.

    python benchmarks/training.py                      # UNet and UNet++, 64x128x1, batch 32
    python benchmarks/training.py --torch              # also against PyTorch, where installed

Four ways train the same graph on the same images with the same augmentation, in turn (A B C
A B C ...), and the median of the rounds counts:

    loop            this project's loop
    fit             Keras fit as everyone writes it: shuffle, map, batch, prefetch(AUTOTUNE)
    fit, no tuner   the same with tf.data's autotuner off and two map workers
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as every command has it
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tensorflow as tf

from tfvision.augment import OPS, compose
from tfvision.data.pipeline import Samples, training_batches
from tfvision.data.sources.embedded_masks import embedded
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy, Dice
from tfvision.models import MODELS

SHAPE = (64, 128, 1)
MODELS_MEASURED = {"unet": {"width": 16, "depth": 4}, "unetpp": {"width": 12, "depth": 3}}


def samples() -> Samples:
    source = embedded()
    rows = [i for i, record in enumerate(source.records) if record.split == "train"]
    raw = [source.read(i) for i in rows]
    return Samples(
        [source.records[i].id for i in rows],
        np.stack([r.image for r in raw]),
        1 / 255,
        {"mask": np.stack([r.mask for r in raw]).astype(np.uint8)},
    )


def augmentation():
    return compose(
        [
            OPS["flip_lr"](p=0.5),
            OPS["rotate"](max_degrees=10),
            OPS["scale"](minimum=0.8, maximum=1.25),
            OPS["translate"](max_shift=0.1),
            OPS["brightness"](max_delta=0.2),
            OPS["contrast"](minimum=0.8, maximum=1.25),
        ]
    )


def build(name: str, num_classes: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    return MODELS[name](SHAPE, num_classes, **MODELS_MEASURED[name])


class OurLoop:
    """An endless stream and one compiled step."""

    def __init__(self, name, data, batch_size, num_classes):
        optimizer = keras.optimizers.AdamW(1e-3)
        loss = batch_loss([(CrossEntropy(), 1.0), (Dice(), 1.0)])
        self.step = TrainStep(
            build(name, num_classes),
            optimizer,
            loss,
            strategy=tf.distribute.get_strategy(),
            batch_size=batch_size,
        )
        stream = training_batches(data, batch_size=batch_size, seed=0, augment=augmentation())
        self.batches = iter(stream)
        self.steps = round(len(data) / batch_size)

    def epochs(self, count):
        pending = None
        for _ in range(count * self.steps):
            loss = self.step(next(self.batches), 1e-3)
            if pending is not None:
                float(pending)
            pending = loss
        float(pending)
        return count * self.steps


class Fit:
    """`compile` and `fit` with a data set made the usual way."""

    def __init__(self, name, data, batch_size, num_classes, *, tuned):
        workers = tf.data.AUTOTUNE if tuned else 2
        augment = augmentation()

        def prepare(number, image, mask):
            sample = {
                "image": tf.cast(image, tf.float32) * data.scale,
                "mask": tf.cast(mask, tf.int32),
            }
            sample = augment(sample, tf.stack([tf.constant(0, tf.int64), number]))
            return sample["image"], sample["mask"]

        images = tf.data.Dataset.from_tensor_slices((data.images, data.targets["mask"]))
        stream = tf.data.Dataset.zip((tf.data.Dataset.range(len(data)), images))
        stream = stream.map(lambda i, pair: (i, *pair)).shuffle(len(data))
        stream = stream.map(prepare, num_parallel_calls=workers)
        stream = stream.batch(batch_size, drop_remainder=True)
        stream = stream.prefetch(tf.data.AUTOTUNE if tuned else 4)
        if not tuned:
            options = tf.data.Options()
            options.autotune.enabled = False
            stream = stream.with_options(options)
        self.stream, self.steps = stream, len(data) // batch_size
        self.model = build(name, num_classes)
        self.model.compile(keras.optimizers.AdamW(1e-3), loss=_SumOfBoth())

    def epochs(self, count):
        self.model.fit(self.stream, epochs=count, verbose=0)
        return count * self.steps


class _SumOfBoth(keras.losses.Loss):
    def __init__(self):
        super().__init__()
        self.parts = [CrossEntropy(), Dice()]

    def call(self, y_true, y_pred):
        return sum(part.call(y_true, y_pred) for part in self.parts)


def measure(name: str, data: Samples, batch_size: int, rounds: int, epochs: int) -> dict:
    num_classes = int(data.targets["mask"].max()) + 1
    ways = {
        "loop": OurLoop(name, data, batch_size, num_classes),
        "fit": Fit(name, data, batch_size, num_classes, tuned=True),
        "fit, no tuner": Fit(name, data, batch_size, num_classes, tuned=False),
    }
    rates = {way: [] for way in ways}
    for way in ways.values():
        way.epochs(1)
    for _ in range(rounds):
        for way, runner in ways.items():
            began = time.perf_counter()
            steps = runner.epochs(epochs)
            rates[way].append(steps * batch_size / (time.perf_counter() - began))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    return {
        "model": {"name": name, **MODELS_MEASURED[name]},
        "batch_size": batch_size,
        "images_per_second": rates,
        "median": medians,
        "ratio_to_fit": medians["loop"] / medians["fit"],
        "ratio_to_fit_without_tuner": medians["loop"] / medians["fit, no tuner"],
    }


def memory_over_epochs(data: Samples, batch_size: int, epochs: int = 12) -> list[float]:
    """Resident MiB after each epoch of the loop."""
    loop = OurLoop("unetpp", data, batch_size, int(data.targets["mask"].max()) + 1)
    page = resource.getpagesize()
    sizes = []
    for _ in range(epochs):
        loop.epochs(1)
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="epochs a round")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--torch", action="store_true", help="also measure PyTorch's UNet")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    data = samples()
    found = {"cpus": os.cpu_count(), "training": [], "torch": []}
    for name in MODELS_MEASURED:
        row = measure(name, data, arguments.batch_size, arguments.rounds, arguments.epochs)
        found["training"].append(row)
        rates = "  ".join(f"{way} {rate:.0f}" for way, rate in row["median"].items())
        print(
            f"{name}: images/s {rates};  loop / fit {row['ratio_to_fit']:.2f},  "
            f"loop / fit without tuner {row['ratio_to_fit_without_tuner']:.2f}",
            flush=True,
        )
    found["resident_mib"] = memory_over_epochs(data, arguments.batch_size)
    print("resident MiB over epochs:", " ".join(f"{m:.0f}" for m in found["resident_mib"]))
    if arguments.torch:
        from torch_unet import compare

        found["torch"] = compare(data, arguments.batch_size, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
