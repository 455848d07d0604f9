"""The tiny data sets and configs of compare_checkouts.py, made anew and always alike."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"dark": 70, "grey": 130, "light": 200}  # classes, and how bright an object of each is
SEG = {
    "seed": 1,
    "data": {"batch_size": 4, "augment": ["flip_lr(p=0.5)", "rotate(max_degrees=10)"]},
    "model": {"name": "unet", "width": 4, "depth": 1, "dropout": 0.2},
    "loss": ["cross_entropy(class_weights='sqrt_inverse')", "dice(weight=0.5)"],
    "train": {
        "epochs": 2,
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "schedule": "cosine(warmup=0.05)",
        "ema": 0.9,
        "clip_norm": 1.0,
        "export": False,
    },
}
CLS = {
    "task": "classification",
    "seed": 1,
    "data": {"batch_size": 4, "augment": ["flip_lr(p=0.5)", "brightness(max_delta=0.1)"]},
    "model": {"name": "small_cnn", "filters": [4, 4], "units": 8},
    "loss": ["cross_entropy(label_smoothing=0.1)"],
    "metrics": ["macro_f1"],
    "train": {
        "epochs": 2,
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "ema": 0.9,
        "export": False,
    },
}


def write_data(root: Path) -> None:
    """All data sets and configs, the same ones on every call."""
    _write_scenes(root)
    _write_objects(root)
    pieces = {"input": "patches(min_size=4)", "image_size": [12, 12], "aggregate": "area"}
    configs = {
        "seg": SEG,
        "cls": CLS,
        "pieces": {**CLS, "data": {**CLS["data"], **pieces}},
        "median": {"class_names": list(COLOURS), "input": pieces["input"], "aggregate": "median"},
        "ladder_seg": _ladder(SEG, "unet", {"width": 6, "depth": 1}, seeds=[0, 1]),
        "ladder_cls": _ladder(CLS, "small_cnn", {"filters": [6, 6], "units": 8}, seeds=[0]),
        "search": {
            "base": SEG,
            "folds": 2,
            "candidates": [
                {"name": "dice", "set": {"loss": ["dice"]}},
                {"name": "rising", "set": {"loss": ["focal(weight=1.0, weight_end=0.1)"]}},
            ],
        },
    }
    for name, content in configs.items():  # JSON is YAML
        (root / f"{name}.yaml").write_text(json.dumps(content, indent=1))


def _ladder(base: dict, model: str, wider: dict, *, seeds: list[int]) -> dict:
    rungs = [
        {"name": "low", "about": "The lowest.", "reported": 0.4},
        {"name": "wide", "from": "low", "over": {"model": {"name": model, **wider}}},
    ]
    train = {key: value for key, value in base["train"].items() if key != "epochs"}
    base = {**{key: value for key, value in base.items() if key != "seed"}, "train": train}
    return {"base": base, "steps": 6, "seeds": seeds, "rungs": rungs}


def _scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask: blocks whose grey level tells their class, 0 to 2."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(np.arange(height // 8 * (width // 8)) % 3)
    mask = np.kron(blocks.reshape(height // 8, width // 8), np.ones((8, 8))).astype(np.uint8)
    image = 40 + 60 * mask + rng.normal(0, 35, mask.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _write_scenes(root: Path) -> None:
    """scenes/ (one size), sizes/ (several), mars.npz (a test set without labels), its truth."""
    for seed in range(30):
        for part, array in zip(("images", "masks"), _scene(seed, 24, 32), strict=True):
            _save(root / "scenes" / part / f"s{seed:02d}.png", array)
    for seed, size in enumerate(((24, 32), (40, 56), (32, 24)), 100):
        for part, array in zip(("images", "masks"), _scene(seed, *size), strict=True):
            _save(root / "sizes" / part / f"s{seed}.png", array)
    train = np.stack([np.stack(_scene(seed, 24, 32)) for seed in range(200, 216)])
    test = np.stack([np.stack(_scene(seed, 24, 32)) for seed in range(300, 306)])
    np.savez(root / "mars.npz", training_set=train, test_set=test[:, 0])
    np.savez(root / "truth.npz", masks=test[:, 1])


def _object(seed: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of two squares of nearly one brightness, and the mask of both."""
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(40, 15, (24, 32)), np.zeros((24, 32), np.uint8)
    for left, side in ((1, 10), (18, 7)):
        top, left = rng.integers(0, 24 - side), left + rng.integers(0, 5)
        place = np.s_[top : top + side, left : left + side]
        image[place], mask[place] = rng.normal(level, 45, (side, side)), 255
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _write_objects(root: Path) -> None:
    """shapes/ (a folder a class), cells/ (CSV, boxes, masks), loose/, unseen.npz, its truth."""
    rows = [["file", "label", "xmin", "ymin", "xmax", "ymax", "mask"]]
    for seed in range(36):
        name = list(COLOURS)[seed % 3]
        image, mask = _object(seed, COLOURS[name])
        _save(root / "shapes" / name / f"s{seed:02d}.png", image)
        _save(root / "cells" / f"img_{seed:03d}.png", image)
        _save(root / "cells" / f"mask_{seed:03d}.png", mask)
        y, x = np.nonzero(mask)
        box = [int(v) for v in (x.min(), y.min(), x.max() + 1, y.max() + 1)]
        rows.append([f"img_{seed:03d}.png", name, *box, f"mask_{seed:03d}.png"])
    _write_csv(root / "cells" / "labels.csv", rows)
    levels = [COLOURS[name] for name in COLOURS]
    for seed in range(500, 509):
        _save(root / "loose" / f"l{seed}.png", _object(seed, levels[seed % 3])[0])
    images = [_object(seed, levels[seed % 3])[0] for seed in range(600, 630)]
    np.savez(
        root / "unseen.npz",
        x_train=np.stack(images[:24]),
        y_train=np.arange(24) % 3,
        x_test=np.stack(images[24:]),
    )
    _write_csv(root / "truth.csv", [["Id", "Category"], *([i, i % 3] for i in range(6))])


def _write_csv(path: Path, rows: list) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
