"""Images a second in training with TensorFlow's oneDNN on and off, in turn on this machine.

    python benchmarks/onednn.py

TensorFlow switches it on by itself only on processors with instructions for neural networks
(AVX-512 VNNI and the like); the commands of this project always do
(`tfvision.cli.shared.import_tensorflow`). Measured once, one round of five steps on two cores
with AVX2 alone: 1.79 and 1.62 times as fast.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

NETS = {
    "small_cnn 48x48x3": ("small_cnn", (48, 48, 3), 32, {}),
    "unet 64x128x1": ("unet", (64, 128, 1), 8, {"width": 16, "depth": 3}),
}
STEPS, ROUNDS = 10, 3


def measure() -> dict[str, float]:
    """Images a second of each net in this process."""
    import keras
    import numpy as np

    from tfvision.models import CLASSIFIERS, MODELS

    found = {}
    for name, (model_name, shape, batch, arguments) in NETS.items():
        table = MODELS if model_name in MODELS else CLASSIFIERS
        model = table[model_name](shape, 5, **arguments)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        images = np.random.default_rng(0).random((batch, *shape), "float32")
        labels = np.zeros((batch, *model.output_shape[1:-1]), "int32")
        for _ in range(3):
            model.train_on_batch(images, labels)
        start = time.perf_counter()
        for _ in range(STEPS):
            model.train_on_batch(images, labels)
        found[name] = STEPS * batch / (time.perf_counter() - start)
    return found


def main() -> None:
    rates: dict[str, dict[str, list[float]]] = {name: {"0": [], "1": []} for name in NETS}
    for _ in range(ROUNDS):
        for setting in ("0", "1"):
            environment = {
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "TF_ENABLE_ONEDNN_OPTS": setting,
                "TF_CPP_MIN_LOG_LEVEL": "3",
            }
            child = subprocess.run(
                [sys.executable, __file__, "--child"],
                env=environment,
                check=True,
                text=True,
                stdout=subprocess.PIPE,
            )
            for name, rate in json.loads(child.stdout.splitlines()[-1]).items():
                rates[name][setting].append(rate)
    print("| net | off, images/s | on, images/s | ratio |\n|---|---:|---:|---:|")
    for name, found in rates.items():
        off, on = (statistics.median(found[setting]) for setting in ("0", "1"))
        print(f"| {name} | {off:.1f} | {on:.1f} | {on / off:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(measure()))
    else:
        main()
