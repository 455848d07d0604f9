"""Tiny classification data, configs and runs, in this very process."""

import csv
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tests.support.runs import SGD
from tfvision.cli import training

NAMES = ["dark", "grey", "white"]


def picture(seed: int, label: int, size: int = 16) -> np.ndarray:
    """(size, size) uint8: a noisy square, whose grey level is the class, on a noisy ground."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 15, (size, size))
    top, left = rng.integers(0, size // 2, 2)
    image[top : top + size // 2, left : left + size // 2] += 40 + 60 * label
    return np.clip(image, 0, 255).astype(np.uint8)


def write_npz(path: Path, train: int = 12, val: int = 6, test: int = 6) -> Path:
    """Images and label vectors of three parts; the classes take turns."""
    content, seed = {}, 0
    for part, count in {"train": train, "val": val, "test": test}.items():
        labels = np.arange(count) % len(NAMES)
        pictures = [picture(seed + i, int(k)) for i, k in enumerate(labels)]
        content |= {f"x_{part}": np.stack(pictures), f"y_{part}": labels}
        seed += count
    np.savez(path, **content)
    return path


def write_folders(root: Path, each: int = 6, first: int = 0) -> Path:
    """A folder for each class, with PNG files a, b, ..., from seed `first` on."""
    for label, name in enumerate(NAMES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            pixels = picture(first + 100 * label + i, label)
            Image.fromarray(pixels).save(root / name / f"{'abcdefghij'[i]}.png")
    return root


def write_config(path: Path, source: Path, /, **sections) -> Path:
    """A small config: small_cnn, two epochs; `sections` go over it, key by key; one with a name
    takes the place of the whole."""
    config = {
        "seed": 1,
        "data": {"source": {"name": "auto", "path": str(source)}, "batch_size": 4},
        "model": {"name": "small_cnn", "filters": [4, 4], "units": 8, "normalization": "none"},
        "train": {"epochs": 2, "optimizer": SGD},
    }
    for key, value in sections.items():
        part = isinstance(value, dict) and "name" not in value and key in config
        config[key] = {**config[key], **value} if part else value
    path.write_text(yaml.safe_dump(config))
    return path


def train(*argv) -> int:
    return training.train("classification", [*map(str, argv), "--device", "cpu", "--debug"])


def new_run(folder: Path, source: Path, /, **sections) -> Path:
    """A config beside the run, and the run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = write_config(folder.with_suffix(".yaml"), source, **sections)
    assert train("--config", config, "--out", folder) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
