"""What there is to choose from, and what is installed."""

import os
import re
import shutil
from typing import Any

from tfvision.data.cache import cache_folder
from tfvision.errors import EnvironmentFault
from tfvision.models import MODELS
from tfvision.tasks.environment import versions

SHAPE = (64, 128, 1)
NUM_CLASSES = 5
WINDOW = {"tensorflow": ((2, 20), (2, 21)), "keras": ((3, 13), (3, 15))}  # first, last tested


def models() -> list[dict[str, Any]]:
    """Prints every architecture at its paper's width, with its cost at 64x128x1."""
    rows = []
    for name in MODELS:
        model = MODELS[name](SHAPE, NUM_CLASSES)
        about = (MODELS[name].__doc__ or "").split("\n")[0]
        rows.append(
            {
                "name": name,
                "num_parameters": model.count_params(),
                "multiply_adds": multiply_adds(model),
                "about": about,
            }
        )
    shape = "x".join(map(str, SHAPE))
    print(f"{'name':16}{'parameters':>14}{'multiply-adds':>16}   at {shape}, default width")
    for row in rows:
        adds = f"{row['multiply_adds'] / 1e9:.2f} G"
        print(f"{row['name']:16}{row['num_parameters']:>14,}{adds:>16}   {row['about']}")
    return rows


def multiply_adds(model) -> int:
    """Multiplications with an addition in a model's convolutions and dense layers, an image."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # A transposed convolution applies its kernel at every input pixel, others at every
        # output pixel.
        transposed = "Transpose" in type(layer).__name__
        shape = (layer.input if transposed else layer.output).shape[1:-1]
        places = 1
        for side in shape:
            places *= side
        size = 1
        for side in kernel.shape:
            size *= side
        total += places * size
    return total


def doctor() -> dict[str, Any]:
    """Prints versions, devices, disk and memory, with what to do where something is amiss.

    Raises:
        EnvironmentFault: What nothing works without is missing.
    """
    found = versions()
    problems = []
    for package, version in found.items():
        note = _note(package, version)
        if note:
            problems.append(f"{package}: {note}")
        print(f"{package:24}{version or '-':12}{note}")
    broken = [name for name in ("tensorflow", "keras", "numpy") if found[name] is None]
    if broken:
        raise EnvironmentFault(
            f"Not installed: {', '.join(broken)}. Install what requirements.txt names."
        )
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    print(f"{'GPUs':24}{len(gpus)}")
    print(f"{'CPU cores':24}{os.cpu_count()}")
    free = shutil.disk_usage(os.getcwd()).free / 2**30
    print(f"{'free disk here':24}{free:.1f} GiB")
    if free < 1:
        problems.append(f"only {free:.1f} GiB are free here: checkpoints and exports need space")
    cache = cache_folder()
    print(f"{'cache (TFVISION_CACHE)':24}{cache}")
    parent = next(p for p in [cache, *cache.parents] if p.exists())
    if not os.access(parent, os.W_OK):
        problems.append(f"the cache {cache} cannot be written: set TFVISION_CACHE")
    result = {"versions": found, "gpus": len(gpus), "problems": problems}
    for problem in problems:
        print(f"! {problem}")
    print("no problems found" if not problems else f"{len(problems)} problem(s)")
    return result


def _note(package: str, version: str | None) -> str:
    """What is amiss with a package's version, or nothing."""
    if version is None:
        return "missing: pip install -r requirements.txt"
    if package in WINDOW:
        first, last = WINDOW[package]
        if not first <= _numbers(version) <= last:
            return f"outside the tested window {_text(first)} to {_text(last)}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """`2.21.0` and `2.21rc1` -> (2, 21)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
