"""Embedded scenes with faults planted in known places."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from tfvision.data.audit.audit import audit
from tfvision.data.audit.finding import Audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.embedded_masks import embedded

H, W = 64, 128


@dataclass
class Planted:
    """Images (N, 64, 128) uint8, masks (N, 64, 128) int32, splits, and what was planted:
    `faulty` the samples at fault, `groups` samples that belong together."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    splits: list[str | None]
    rng: np.random.Generator
    faulty: set[int] = field(default_factory=set)
    groups: list[set[int]] = field(default_factory=list)

    def add(self, image, mask, split=None) -> int:
        self.images.append(image)
        self.masks.append(mask)
        self.splits.append(split)
        return len(self.images) - 1

    def shuffled(self) -> "Planted":
        """The same in another order, so that nothing can lean on it."""
        order = self.rng.permutation(len(self.images))
        new = {int(old): place for place, old in enumerate(order)}
        return Planted(
            [self.images[i] for i in order],
            [self.masks[i] for i in order],
            [self.splits[i] for i in order],
            self.rng,
            {new[i] for i in self.faulty},
            [{new[i] for i in group} for group in self.groups],
        )

    def audited(self) -> Audit:
        part = {"images": np.stack(self.images), "masks": np.stack(self.masks)}
        source = ArraySource({"": part}, class_names=["back", "zero", "one", "three", "four"])
        return audit(source, scan(source, cache=False), splits=self.splits)


def scenes(seed: int, count: int = 160) -> Planted:
    rng = np.random.default_rng(seed)
    images, masks = _scenes()
    chosen = rng.permutation(400)[:count]
    return Planted([images[i] for i in chosen], [masks[i] for i in chosen], [None] * count, rng)


def strangers(planted: Planted, count: int) -> list[np.ndarray]:
    """Images of four kinds that belong to no mask of the set: crops of photographs without
    digits, scenes of the test split, textures of noise, single digits enlarged."""
    rng, images = planted.rng, _scenes()[0]
    others = iter(rng.permutation(np.arange(400, len(images))))
    kinds = [
        lambda: crop(rng),
        lambda: images[next(others)],
        lambda: _texture(rng),
        lambda: _digit(rng),
    ]
    return [kinds[k % 4]() for k in range(count)]


def crop(rng: np.random.Generator) -> np.ndarray:
    """A piece of a photograph, its mask would be all background."""
    photo = load_sample_images().images[int(rng.integers(2))].mean(axis=2)
    top, left = rng.integers(0, photo.shape[0] - H), rng.integers(0, photo.shape[1] - W)
    piece = photo[top : top + H, left : left + W]
    return np.clip(128 + 0.6 * (piece - piece.mean()), 0, 255).astype(np.uint8)


def stain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An ellipse over 4 to 20 % of the picture, opaque or half clear."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    radius = np.sqrt(rng.uniform(0.04, 0.2) * height * width / np.pi)
    form = rng.uniform(0.7, 1.4)
    middle = rng.uniform(0.25, 0.75, 2) * (height, width)
    inside = ((y - middle[0]) * form) ** 2 + ((x - middle[1]) / form) ** 2 < radius**2
    tone, opacity = rng.choice([10, 60, 200, 250]), rng.choice([0.7, 1.0])
    mixed = (1 - opacity) * image + opacity * tone
    return np.where(inside.reshape(height, width, *[1] * (image.ndim - 2)), mixed, image).astype(
        np.uint8
    )


def again(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same picture through JPEG, or with noise and another brightness."""
    if rng.random() < 0.5:
        content = io.BytesIO()
        Image.fromarray(image).save(content, "JPEG", quality=50)
        return np.array(Image.open(content))
    noisy = 0.8 * image + 15 + rng.normal(0, 5, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def moved(mask: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The mask moved down and right, background where nothing came from."""
    out = np.zeros_like(mask)
    out[max(dy, 0) : H + min(dy, 0), max(dx, 0) : W + min(dx, 0)] = mask[
        max(-dy, 0) : H + min(-dy, 0), max(-dx, 0) : W + min(-dx, 0)
    ]
    return out


_CACHE: list[tuple[np.ndarray, np.ndarray]] = []


def _scenes() -> tuple[np.ndarray, np.ndarray]:
    """All 600 scenes, the training ones first; read once."""
    if not _CACHE:
        source = embedded()
        samples = [source.read_raw(i) for i in range(len(source))]
        images = np.stack([sample.image[..., 0] for sample in samples])
        _CACHE.append((images, np.stack([sample.mask for sample in samples])))
    return _CACHE[0]


def _texture(rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(size=(H + 8, W + 8))
    width = int(rng.integers(1, 6))
    total = sum(noise[k : k + H, k : k + W] for k in range(width)) / np.sqrt(width)
    return np.clip(128 + 40 * total, 0, 255).astype(np.uint8)


def _digit(rng: np.random.Generator) -> np.ndarray:
    digit = load_digits().images[int(rng.integers(1700))] / 16
    picture = Image.fromarray((digit * 255).astype(np.uint8)).resize((W, H), Image.BILINEAR)
    noisy = 0.8 * np.array(picture) + 20 + rng.normal(0, 6, (H, W))
    return np.clip(noisy, 0, 255).astype(np.uint8)
