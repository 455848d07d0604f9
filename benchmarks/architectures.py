"""Cost and speed of every architecture, and of the same nets in other packages.

    python benchmarks/architectures.py                          # ours, both sizes
    python benchmarks/architectures.py --peers PYTHON           # and those of other packages

PYTHON is the interpreter of an environment with benchmarks/peers.txt. Every net is measured in
a process of its own: one training step and one prediction on batches that are ready, the median
of the rounds, and the growth of the resident memory from before the net is built to its peak.
Writes benchmarks/architectures.md and .json.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as every command has it
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

SIZES = ("64x128x1", "256x256x3")
CLASSES, BATCH = 5, 8
WARM, ROUNDS, SECONDS = 2, 5, 1.0  # steps before the clock; rounds; least time of a round

# The same net, here and there: widths, depths and blocks as near as both packages allow.
PAIRS = [
    ("unet", {"width": 16, "depth": 3}, "keras-unet-collection", "unet_2d", {}),
    ("unetpp", {"width": 16, "depth": 3}, "keras-unet-collection", "unet_plus_2d", {}),
    ("attention_unet", {"width": 16, "depth": 3}, "keras-unet-collection", "att_unet_2d", {}),
    ("segformer", {}, "segmentation_models.pytorch", "Segformer", {"encoder_name": "mit_b0"}),
    *[
        (ours, {"encoder": {"name": "MobileNetV2"}, **own}, "segmentation_models.pytorch", theirs,
         {"encoder_name": "mobilenet_v2"})
        for ours, own, theirs in (
            ("unet", {"width": 16, "depth": 5}, "Unet"),
            ("pan", {}, "PAN"),
            ("pan", {"variant": "fpn"}, "FPN"),
            ("deeplab_v3plus", {}, "DeepLabV3Plus"),
        )
    ],
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--peers", metavar="PYTHON", help="interpreter that has benchmarks/peers.txt"
    )
    parser.add_argument("--out", type=Path, default=HERE / "architectures")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return
    found = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "batch_size": BATCH,
        "shipped": [],
        "pairs": [],
    }
    for size in SIZES:
        for label, name, settings in shipped():
            row = in_process(sys.executable, "tfvision", name, settings, size)
            found["shipped"].append({"label": label, "size": size, **row})
            _say(found["shipped"][-1])
            write(found, arguments.out)
    for name, settings, package, builder, options in PAIRS if arguments.peers else ():
        for size in SIZES:
            for python, who, what, how in (
                (sys.executable, "tfvision", name, settings),
                (arguments.peers, package, builder, {**options, **_filters(settings)}),
            ):
                row = in_process(python, who, what, how, size)
                label = f"{who} {what}({', '.join(f'{k}={v}' for k, v in how.items())})"
                found["pairs"].append({"label": label, "size": size, **row})
                _say(found["pairs"][-1])
                write(found, arguments.out)


def write(found: dict, out: Path) -> None:
    """Both files, anew after every net: a benchmark that is stopped keeps what it has."""
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(found))


def shipped():
    """(label, model, its arguments) of every config in configs/seg that needs no file."""
    import yaml

    seen = []
    for path in sorted((HERE.parent / "configs" / "seg").glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())["model"]
        encoder = settings.get("encoder") or {}
        if "path" in encoder or settings in seen:
            continue
        seen.append(settings)
        own = {k: v for k, v in settings.items() if k not in ("name", "pretrained")}
        yield path.stem, settings["name"], own


def _filters(settings: dict) -> dict:
    """Our width and depth as keras-unet-collection writes them."""
    if "encoder" in settings or "width" not in settings:
        return {}
    return {"filters": [settings["width"] * 2**i for i in range(settings["depth"] + 1)]}


def in_process(python: str, package: str, name: str, settings: dict, size: str) -> dict:
    """`measure` in a fresh process; what went wrong where it fails."""
    request = {"package": package, "name": name, "settings": settings, "size": size}
    command = [python, __file__, "--one", json.dumps(request)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        return {"error": result.stderr.strip().splitlines()[-1][:200]}
    return json.loads(result.stdout.splitlines()[-1])


def measure(package: str, name: str, settings: dict, size: str) -> dict:
    """One net: {num_parameters, multiply_adds, train, predict (images/s), memory (bytes)}."""
    import numpy as np

    shape = tuple(map(int, size.split("x")))
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, *shape), dtype="float32")
    masks = rng.integers(0, CLASSES, (BATCH, *shape[:2])).astype("int32")
    make = {
        "tfvision": _ours,
        "keras-unet-collection": _unet_collection,
        "segmentation_models.pytorch": _pytorch,
    }[package]
    return make(name, settings, shape, images, masks)


def _ours(name, settings, shape, images, masks):
    import keras
    import tensorflow as tf

    from tfvision.engine.step import TrainStep, batch_loss
    from tfvision.losses import CrossEntropy
    from tfvision.models import MODELS
    from tfvision.system.models import multiply_adds

    before = resident()
    model = MODELS[name](shape, CLASSES, **settings)
    step = TrainStep(
        model,
        keras.optimizers.AdamW(1e-3),
        batch_loss([(CrossEntropy(), 1.0)]),
        strategy=tf.distribute.get_strategy(),
        batch_size=BATCH,
    )
    batch = {"image": tf.constant(images), "mask": tf.constant(masks)}
    predict = tf.function(lambda x: keras.tree.flatten(model(x, training=False))[-1])
    return {
        "num_parameters": model.count_params(),
        "multiply_adds": multiply_adds(model),
        "train": speed(lambda: float(step(batch, 1e-3))),
        "memory": resident(peak=True) - before,
        "predict": speed(lambda: predict(batch["image"]).numpy()),
    }


def _unet_collection(name, settings, shape, images, masks):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras
    from keras_unet_collection import models

    from tfvision.system.models import multiply_adds

    before = resident()
    model = getattr(models, name)(
        shape,
        settings["filters"],
        n_labels=CLASSES,
        stack_num_down=2,
        stack_num_up=2,
        activation="ReLU",
        output_activation=None,
        batch_norm=True,
        pool=True,
        unpool=False,
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.AdamW(1e-3), loss=loss)
    return {
        "num_parameters": model.count_params(),
        "multiply_adds": multiply_adds(model),
        "train": speed(lambda: model.train_on_batch(images, masks)),
        "memory": resident(peak=True) - before,
        "predict": speed(lambda: model.predict_on_batch(images)),
    }


def _pytorch(name, settings, shape, images, masks):
    import torch
    from torch import library

    # There is no torchvision for this torch without CUDA; its Python part is all
    # that is needed, and asks for these two names while it is imported.
    for operator in ("nms", "qnms"):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(f"torchvision::{operator}", schema)
    import segmentation_models_pytorch as smp
    from torch.utils.flop_counter import FlopCounterMode

    before = resident()
    model = getattr(smp, name)(
        encoder_weights=None, in_channels=shape[-1], classes=CLASSES, **settings
    ).to(memory_format=torch.channels_last)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    y = torch.from_numpy(masks).long()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loss = torch.nn.CrossEntropyLoss()

    def step():
        model.train()
        optimizer.zero_grad(set_to_none=True)
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    def predict():
        model.eval()
        with torch.inference_mode():
            return model(x).numpy()

    train = speed(step)
    memory = resident(peak=True) - before
    model.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(x)
    return {
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": counter.get_total_flops() // 2 // BATCH,
        "train": train,
        "memory": memory,
        "predict": speed(predict),
    }


def speed(step) -> float:
    """Images a second: the median of the rounds."""
    for _ in range(WARM):
        step()
    rates = []
    for _ in range(ROUNDS):
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            step()
            count += 1
        rates.append(count * BATCH / (time.perf_counter() - began))
    return statistics.median(rates)


def resident(*, peak: bool = False) -> int:
    """Bytes of this process in memory, now or at most."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def table(found: dict) -> str:
    """The Markdown page."""
    lines = [
        "# Cost and speed of the architectures",
        "",
        f"Made by `python benchmarks/architectures.py --peers PYTHON` on {found['date']}: "
        f"{found['machine']}, float32, batches of {found['batch_size']}, {CLASSES} classes. Memory "
        "is what the process grew by, from before the net was built to its peak in training.",
        "",
        "## As the configs ship them",
        "",
        *_rows(found["shipped"], "config"),
    ]
    if found["pairs"]:
        lines += [
            "",
            "## Beside other packages",
            "",
            "Pairs of the same net, as near as both allow: other biases, and decoders of other "
            "widths, make the counts differ; most those of PAN and FPN, where ours stop at stride "
            "8.",
            "",
            *_rows(found["pairs"], "net"),
        ]
    return "\n".join(lines) + "\n"


def _rows(rows: list[dict], first: str) -> list[str]:
    lines = [
        f"| {first} | size | parameters | multiply-adds | training, images/s | "
        "prediction, images/s | memory, MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['label']} | {row['size']} | fails: {row['error']} | | | | |")
            continue
        lines.append(
            f"| {row['label']} | {row['size']} | {row['num_parameters']:,} | "
            f"{row['multiply_adds'] / 1e9:.2f} G | {row['train']:.1f} | {row['predict']:.1f} | "
            f"{row['memory'] / 2**20:.0f} |"
        )
    return lines


def _say(row: dict) -> None:
    rest = {k: v for k, v in row.items() if k not in ("label", "size")}
    print(row["label"], row["size"], json.dumps(rest), flush=True)


if __name__ == "__main__":
    main()
