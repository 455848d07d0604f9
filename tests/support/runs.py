"""Tiny data sets, configs and whole runs, in this very process."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tfvision.cli import commands, training

CLASSES = 3
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
ADAMW = {"name": "adamw", "learning_rate": 1e-2}
MODEL = {"name": "unet", "width": 4, "depth": 1, "dropout": 0.2, "normalization": "none"}
TIMES = {"seconds", "images_per_second"}


def scene(seed: int, height: int = 16, width: int = 16):
    """An image (H, W) uint8 and its mask: blocks whose grey level tells their class."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(np.arange(16) % CLASSES).reshape(4, 4)
    mask = np.kron(blocks, np.ones((8, 8)))[:height, :width].astype(np.uint8)
    image = 40 + 80 * mask + rng.normal(0, 20, mask.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def arrays(count: int, first: int = 0):
    """`count` scenes of 16x16: images and masks (N, 16, 16) uint8."""
    images, masks = zip(*(scene(seed) for seed in range(first, first + count)), strict=True)
    return np.stack(images), np.stack(masks)


def write_npz(path: Path, train: int = 10, val: int = 4, test: int = 4) -> Path:
    """A data set of three labelled parts."""
    content, first = {}, 0
    for part, count in {"train": train, "val": val, "test": test}.items():
        content[f"x_{part}"], content[f"y_{part}"] = arrays(count, first)
        first += count
    np.savez(path, **content)
    return path


def write_folder(root: Path, sizes) -> Path:
    """`images/` and `masks/` of PNGs a.png, b.png, ... of these sizes."""
    for seed, size in enumerate(sizes):
        name = f"{'abcdefghijklmnop'[seed]}.png"
        for folder, array in zip(("images", "masks"), scene(seed, *size), strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / folder / name)
    return root


def write_config(path: Path, source: Path, /, **sections) -> Path:
    """A small config: unet, two epochs; `sections` go over it, key by key.

    SGD without normalisation, since tracing Adam takes a quarter of such a run, and batch
    normalisation another; `whole` has both.
    """
    config = {
        "seed": 1,
        "data": {"source": {"name": "auto", "path": str(source)}, "batch_size": 4},
        "model": MODEL,
        "train": {"epochs": 2, "optimizer": SGD},
    }
    for key, value in sections.items():
        config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
    path.write_text(yaml.safe_dump(config))
    return path


def train(*argv) -> int:
    return training.train("segmentation", [*map(str, argv), "--device", "cpu", "--debug"])


def use(*argv) -> int:
    return commands.main([*map(str, argv), "--device", "cpu", "--debug"])


def new_run(folder: Path, source: Path, /, **sections) -> Path:
    """A config beside the run, and the run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = write_config(folder.with_suffix(".yaml"), source, **sections)
    assert train("--config", config, "--out", folder) == 0
    return folder


def copy(run: Path, to: Path, **texts) -> Path:
    """A copy of a run; in its config every key of `texts` is replaced by its value."""
    shutil.copytree(run, to)
    config = (to / "config.yaml").read_text()
    for old, new in texts.items():
        assert old in config
        config = config.replace(old, new)
    (to / "config.yaml").write_text(config)
    return to


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def data(run: Path) -> dict:
    return json.loads((run / "data.json").read_text())


def history(run: Path) -> list[dict]:
    """Rows of `metrics.csv` without the columns of time."""
    with open(run / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def labels(path: Path) -> dict[str, np.ndarray]:
    """id -> labels (H, W) of an npz or a folder of predictions, in order."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return dict(zip(file["ids"].tolist(), file["labels"], strict=True))
    with open(path / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["id"]: np.asarray(Image.open(path / row["file"])) for row in rows}


def mean_iou(truth, predicted, *, ignored=()) -> float:
    """Counted by hand: the mean over the classes that occur in truth or prediction."""
    truth, predicted = (
        np.concatenate([t.ravel() for t in truth]),
        np.concatenate([p.ravel() for p in predicted]),
    )
    counted = ~np.isin(truth, list(ignored))
    truth, predicted = truth[counted], predicted[counted]
    values = []
    for k in range(CLASSES):
        union = ((truth == k) | (predicted == k)).sum()
        if union:
            values.append(((truth == k) & (predicted == k)).sum() / union)
    return float(np.mean(values))
