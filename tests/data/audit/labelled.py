"""Small labelled images with a form before a ground, made so that either tells the class."""

import numpy as np

from tfvision.data.audit.audit import audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource

SIDE = 24
NAMES = ["bar", "disc", "cross", "ring"]


def ground(rng: np.random.Generator, kind: int) -> np.ndarray:
    """(24, 24, 3) float: noise of a colour and a grain that go with `kind`."""
    colour = np.random.default_rng(900 + kind).uniform(70, 180, 3)
    noise = rng.normal(0, 18, (SIDE, SIDE, 1))
    if kind % 2:
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 1.5
    return colour + noise + rng.normal(0, 10, 3)


def with_form(picture: np.ndarray, label: int) -> np.ndarray:
    """uint8, with the form of a class in the middle 8 x 8 pixels."""
    y, x = np.mgrid[-4:4, -4:4] + 0.5
    forms = [np.abs(y) < 2, y**2 + x**2 < 12, (np.abs(y) < 1) | (np.abs(x) < 1), y**2 + x**2 > 12]
    picture = picture.copy()
    picture[8:16, 8:16][forms[label]] = (250, 240, 20)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def pictures(labels: np.ndarray, kinds: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 24, 24, 3) uint8 of these classes before these grounds, and their boxes."""
    rng = np.random.default_rng(seed)
    images = [with_form(ground(rng, k), c) for c, k in zip(labels, kinds, strict=True)]
    boxes = np.tile(np.array([8, 8, 16, 16], np.float32), (len(labels), 1, 1))
    return np.stack(images), boxes


def balanced(number: int, seed: int = 0, classes: int = 4) -> np.ndarray:
    """(number,) classes, equally many of each, shuffled."""
    return np.random.default_rng(seed).permutation(np.arange(number) % classes)


def source(images, labels, *, boxes=None, regions=None, groups=None, **parts) -> ArraySource:
    """A classification out of arrays; `parts` are others beside it."""
    part = {"images": images, "labels": np.asarray(labels)}
    part |= {} if boxes is None else {"boxes": boxes, "classes": np.asarray(labels)[:, None]}
    part |= {} if regions is None else {"regions": regions}
    part |= {} if groups is None else {"groups": groups}
    return ArraySource({"": part, **parts}, class_names=NAMES)


def audited(made: ArraySource, splits=None):
    return audit(made, scan(made, cache=False), splits=splits)


def of_kind(found, *kinds):
    return [finding for finding in found.findings if finding.kind in kinds]
