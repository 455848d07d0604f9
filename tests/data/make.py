"""Tiny data sets for the tests of this folder."""

from pathlib import Path

import numpy as np
from PIL import Image


def image(seed: int, height: int = 8, width: int = 12, channels: int = 3) -> np.ndarray:
    """(H, W, C) uint8 noise, or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mask(seed: int, height: int = 8, width: int = 12, classes: int = 3) -> np.ndarray:
    """(H, W) uint8 noise that holds every class."""
    labels = np.random.default_rng(1000 + seed).integers(0, classes, (height, width))
    labels.flat[:classes] = np.arange(classes)
    return labels.astype(np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def pairs(root: Path, count: int = 6, *, first: int = 0, **size) -> Path:
    """`images/` and `masks/` with files s0.png, s1.png, ..."""
    for seed in range(first, first + count):
        save(root / "images" / f"s{seed}.png", image(seed, **size))
        save(root / "masks" / f"s{seed}.png", mask(seed, **size))
    return root


def arrays(count: int = 6, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 8, 12) and masks (N, 8, 12), uint8."""
    images = np.stack([image(seed, channels=1) for seed in range(count)])
    return images, np.stack([mask(seed, classes=classes) for seed in range(count)])
