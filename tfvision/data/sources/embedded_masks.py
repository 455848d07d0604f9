"""The default data: real handwritten digits set in real photographs, made on the spot.

Nothing is downloaded: the digits and the two photographs ship inside scikit-learn. A
scene is a 64x128 grayscale crop of a photograph with three to five digits drawn on it, so
that one scene has a mask (which pixels are which digit), boxes and their classes.

What makes it hard: strokes are darker or lighter than what lies under them, by an amount
that varies; digits are turned and stretched; digits of the kinds in `DECOYS`
are drawn like the others but count as background, so that shape decides, not contrast;
one class is rare. The digits and the regions of the photographs that the three splits
use are disjoint.
"""

import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfvision.data.files.cache import cache_folder, write_atomic
from tfvision.data.sources.array_source import ArraySource

VERSION = 2  # of the scenes: their seed, and the name of the cache file
HEIGHT, WIDTH = 64, 128
SPLITS = {"train": 400, "val": 100, "test": 100}
CLASS_NAMES = ["background", "zero", "one", "three", "four"]
DIGITS = {0: 1, 1: 2, 3: 3, 4: 4}  # digit -> class
RARE = 0  # drawn in place of a common digit once in eight
DECOYS = [8, 5]
SHARE = {"train": (0.0, 0.56), "val": (0.56, 0.78), "test": (0.78, 1.0)}


def embedded() -> ArraySource:
    """The embedded scenes: 400 to train, 100 to validate, 100 to test.

    Returns:
        A source of grayscale images (64, 128, 1) uint8 with masks (64, 128) int32,
        boxes (N, 4) float32 `x1 y1 x2 y2` in pixels and classes (N,) int32; ids are the
        index inside the split. Classes: background and four kinds of digit.
    """
    data = _cached()
    parts = {
        split: {
            "images": data[f"{split}_images"],
            "masks": data[f"{split}_masks"],
            "boxes": split_rows(data, split, "boxes"),
            "classes": split_rows(data, split, "classes"),
        }
        for split in SPLITS
    }
    return ArraySource(
        parts,
        name="embedded",
        layout=f"embedded scenes: {' / '.join(map(str, SPLITS.values()))} to train / validate / "
        f"test, {HEIGHT}x{WIDTH} grayscale, real digits on real photographs",
        class_names=CLASS_NAMES,
        stamp=f"embedded-{VERSION}",
    )


def build_scenes() -> dict[str, np.ndarray]:
    """Makes all scenes; the same on every machine.

    Returns:
        For each split: `<split>_images` (N, 64, 128) uint8, `<split>_masks` (N, 64, 128)
        uint8, and the boxes of all its scenes on end: `<split>_boxes` (M, 4) float32,
        `<split>_classes` (M,) int32, `<split>_counts` (N,) int32 boxes a scene.
    """
    from sklearn.datasets import load_digits, load_sample_images

    photos = [gray(photo) for photo in load_sample_images().images]
    digits = load_digits()
    arrays = {}
    for number, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([VERSION, number])
        regions = [photo[:, slice(*columns(photo.shape[1], split))] for photo in photos]
        strokes = {
            digit: own_share(digits.images[digits.target == digit], split)
            for digit in [*DIGITS, *DECOYS]
        }
        scenes = [_scene(rng, regions, strokes) for _ in range(count)]
        images, masks, boxes, classes = zip(*scenes, strict=True)
        arrays[f"{split}_images"] = np.stack(images)
        arrays[f"{split}_masks"] = np.stack(masks)
        arrays[f"{split}_boxes"] = np.concatenate(boxes).astype(np.float32)
        arrays[f"{split}_classes"] = np.concatenate(classes).astype(np.int32)
        arrays[f"{split}_counts"] = np.array([len(b) for b in boxes], np.int32)
    return arrays


def _scene(rng, regions, strokes):
    """One image (H, W) uint8, its mask (H, W) uint8, boxes (N, 4) and classes (N,)."""
    canvas = background(rng, regions, (HEIGHT, WIDTH))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    owner = np.zeros((HEIGHT, WIDTH), np.int32)  # which drawn digit a pixel belongs to
    drawn = []
    for number in range(1, rng.integers(3, 6) + 1):
        digit = _choose_digit(rng)
        stroke = deform(rng, strokes[digit][rng.integers(len(strokes[digit]))])
        ink = stroke > 0.5
        place = _place(rng, ink, owner)
        if place is None:
            continue
        draw(rng, canvas, place, stroke)
        mask[place][ink] = DIGITS.get(digit, 0)
        owner[place][ink] = number
        drawn.append((number, digit))
    noise = rng.normal(0, rng.uniform(0.01, 0.04), canvas.shape)
    image = np.clip(np.rint((canvas + noise) * 255), 0, 255).astype(np.uint8)
    boxes, classes = [], []
    for number, digit in drawn:
        if digit in DIGITS:
            ys, xs = np.nonzero(owner == number)
            boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            classes.append(DIGITS[digit])
    return image, mask, np.array(boxes).reshape(-1, 4), np.array(classes, int)


def _place(rng, ink, owner):
    """Where a digit covers at most a tenth of an earlier one's ink; None after ten tries."""
    height, width = ink.shape
    for _ in range(10):
        top = rng.integers(0, HEIGHT - height + 1)
        left = rng.integers(0, WIDTH - width + 1)
        place = np.s_[top : top + height, left : left + width]
        hidden = np.bincount(owner[place][ink], minlength=owner.max() + 1)[1:]
        whole = np.bincount(owner.ravel())[1:]
        if (hidden <= 0.1 * whole).all():
            return place
    return None


def _choose_digit(rng):
    if rng.random() < 0.06:
        return int(rng.choice(DECOYS))
    if rng.random() < 0.12:
        return RARE
    return int(rng.choice([digit for digit in DIGITS if digit != RARE]))


def draw(rng, canvas, place, stroke):
    """Lays strokes (h, w) in [0, 1] on a part of a gray canvas, darker or lighter than it."""
    opacity = rng.uniform(0.7, 1.0) * np.clip(2 * stroke - 0.5, 0, 1)
    tone = canvas[place][stroke > 0.5].mean() + rng.uniform(0.35, 0.7) * rng.choice([-1, 1])
    canvas[place] = (1 - opacity) * canvas[place] + opacity * tone


def background(rng, regions, size):
    """A crop of one gray photograph in [0, 1], mirrored or not, its light and contrast varied.

    `size`: (height, width) of the crop.
    """
    height, width = size
    region = regions[rng.integers(len(regions))]
    top = rng.integers(0, region.shape[0] - height + 1)
    left = rng.integers(0, region.shape[1] - width + 1)
    crop = region[top : top + height, left : left + width]
    crop = crop[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    light = np.linspace(*rng.uniform(-0.15, 0.15, 2), width)
    return 0.5 + rng.uniform(0.3, 0.7) * (crop - crop.mean()) + rng.uniform(-0.15, 0.15) + light


def deform(rng, digit, heights=(28, 52)):
    """Enlarges an 8x8 digit, turned and stretched, to a height among `heights` in pixels.

    Returns strokes (h, w) in [0, 1]; h is 5 above the height at most, w is 1.1 h at most.
    """
    height = rng.uniform(*heights)
    width = height * rng.uniform(0.7, 1.1)
    angle = np.deg2rad(rng.uniform(-20, 20))
    shear = rng.uniform(-0.2, 0.2)
    size = np.ceil([height, width]).astype(int) + 4
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    y, x = y - (size[0] - 1) / 2, x - (size[1] - 1) / 2
    x, y = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    x = x + shear * y
    return _sample(digit / 16.0, y / height * 8 + 3.5, x / width * 8 + 3.5)


def _sample(image, y, x):
    """Bilinear values of `image` at (y, x), 0 outside."""
    padded = np.pad(image, 2)
    y = np.clip(y + 2, 0, padded.shape[0] - 1.001)
    x = np.clip(x + 2, 0, padded.shape[1] - 1.001)
    top, left = y.astype(int), x.astype(int)
    fy, fx = y - top, x - left
    upper = padded[top, left] * (1 - fx) + padded[top, left + 1] * fx
    lower = padded[top + 1, left] * (1 - fx) + padded[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def gray(photo):
    """(H, W, 3) uint8 -> (H, W) in [0, 1] by the weights of ITU-R BT.601."""
    return photo.astype(np.float64) @ [0.299, 0.587, 0.114] / 255


def columns(width, split):
    """First and last place, exclusive, of a split's share of `width` places."""
    return tuple(int(share * width) for share in SHARE[split])


def own_share(images, split):
    """The images of one split, disjoint from those of the others."""
    return images[slice(*columns(len(images), split))]


def split_rows(data, split, what):
    """Boxes or classes of a split, which stand on end, as one array a scene."""
    ends = np.cumsum(data[f"{split}_counts"])[:-1]
    return np.split(data[f"{split}_{what}"], ends)


def cached_arrays(name: str, build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `build` makes, kept in the user's cache folder under a name.

    A cache file that is damaged is built again, one that cannot be written is done without.
    """
    path = cache_folder() / name
    arrays = _read(path)
    if arrays is None:
        arrays = build()
        content = io.BytesIO()
        np.savez(content, **arrays, checksum=np.array(_checksum(arrays)))
        with contextlib.suppress(OSError):  # a cache that cannot be written costs seconds
            write_atomic(path, content.getvalue())
    return arrays


def _cached() -> dict[str, np.ndarray]:
    return cached_arrays(f"embedded-{VERSION}.npz", build_scenes)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The cached arrays, or None where they are absent or damaged."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception:  # whatever a damaged file raises, it is built again
        return None
    checksum = arrays.pop("checksum", None)
    return arrays if checksum is not None and str(checksum) == _checksum(arrays) else None


def _checksum(arrays) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()
