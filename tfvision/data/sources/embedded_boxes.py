"""The default data of boxes: real handwritten digits on real photographs, several a scene.

Nothing is downloaded: digits and photographs ship inside scikit-learn, as for the embedded
scenes. A scene is a 96x128 grayscale crop of a photograph with one to six digits of six kinds
drawn on it; each has a box, and its kind is the class.

What makes it hard: digits are from 14 to 44 pixels high, turned and stretched; strokes are
darker or lighter than what lies under them, by an amount that varies; digits may overlap, but
no digit hides more than a tenth of another's ink, and no two boxes overlap by more than
`MOST_OVERLAP`; digits of the kinds in `DECOYS` are drawn like the others and are no objects.
The digits and the regions of the photographs that the three splits use are disjoint.
"""

import numpy as np

from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.embedded_masks import (
    background,
    cached_arrays,
    columns,
    deform,
    draw,
    gray,
    own_share,
    split_rows,
)

VERSION = 1  # of the scenes: the name of the cache file
SEED = 3
HEIGHT, WIDTH = 96, 128
SPLITS = {"train": 400, "val": 100, "test": 100}
CLASS_NAMES = ["zero", "one", "three", "four", "seven", "nine"]
DIGITS = [0, 1, 3, 4, 7, 9]
DECOYS = [5, 8]
DECOY_SHARE = 0.5  # of the scenes that have one
NUMBERS = (1, 6)  # of digits in a scene
HEIGHTS = (14, 44)  # of a digit, in pixels
MOST_HIDDEN = 0.1  # of the ink of a digit that another may cover
MOST_OVERLAP = 0.3  # intersection over union of two boxes
TRIES = 20  # to find a place; a digit without one is left out, the first always has one


def embedded_boxes() -> ArraySource:
    """The embedded scenes with boxes: 400 to train, 100 to validate, 100 to test, six classes.

    Returns:
        A source of grayscale images (96, 128, 1) uint8 with boxes (n, 4) float32 `x1 y1 x2 y2`
        in pixels and classes (n,) int32, n from 1 to 6; ids are the index inside the split.
    """
    data = cached_arrays(f"embedded-boxes-{VERSION}.npz", build_scenes)
    parts = {
        split: {
            "images": data[f"{split}_images"],
            "boxes": split_rows(data, split, "boxes"),
            "classes": split_rows(data, split, "classes"),
        }
        for split in SPLITS
    }
    return ArraySource(
        parts,
        name="embedded_boxes",
        layout=f"embedded boxes: {' / '.join(map(str, SPLITS.values()))} to train / validate / "
        f"test, {HEIGHT}x{WIDTH} grayscale, {NUMBERS[0]} to {NUMBERS[1]} real digits on a real "
        "photograph each, with their boxes",
        class_names=CLASS_NAMES,
        stamp=f"embedded-boxes-{VERSION}",
        truth="boxes",
    )


def build_scenes() -> dict[str, np.ndarray]:
    """Makes all scenes; the same on every machine.

    Returns:
        For each split: `<split>_images` (N, 96, 128) uint8, and the boxes of all its scenes on
        end: `<split>_boxes` (M, 4) float32, `<split>_classes` (M,) int32, `<split>_counts` (N,)
        int32 boxes a scene.
    """
    from sklearn.datasets import load_digits, load_sample_images

    photos = [gray(photo) for photo in load_sample_images().images]
    digits = load_digits()
    arrays = {}
    for number, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([SEED, number])
        regions = [photo[:, slice(*columns(photo.shape[1], split))] for photo in photos]
        strokes = {
            digit: own_share(digits.images[digits.target == digit], split)
            for digit in [*DIGITS, *DECOYS]
        }
        scenes = [_scene(rng, regions, strokes) for _ in range(count)]
        images, boxes, classes = zip(*scenes, strict=True)
        arrays[f"{split}_images"] = np.stack(images)
        arrays[f"{split}_boxes"] = np.concatenate(boxes).astype(np.float32)
        arrays[f"{split}_classes"] = np.concatenate(classes).astype(np.int32)
        arrays[f"{split}_counts"] = np.array([len(b) for b in boxes], np.int32)
    return arrays


def _scene(rng, regions, strokes):
    """One image (96, 128) uint8, its boxes (n, 4) and classes (n,)."""
    canvas = background(rng, regions, (HEIGHT, WIDTH))
    owner = np.zeros((HEIGHT, WIDTH), np.int32)  # which drawn digit a pixel belongs to
    chosen = rng.choice(DIGITS, rng.integers(NUMBERS[0], NUMBERS[1] + 1)).tolist()
    chosen += [int(rng.choice(DECOYS))] if rng.random() < DECOY_SHARE else []
    drawn = []
    for number, digit in enumerate(chosen, 1):
        stroke = deform(rng, strokes[digit][rng.integers(len(strokes[digit]))], HEIGHTS)
        place = _place(rng, stroke > 0.5, owner)
        if place is None:
            continue
        draw(rng, canvas, place, stroke)
        owner[place][stroke > 0.5] = number
        drawn += [(number, digit)] if digit in DIGITS else []
    noise = rng.normal(0, rng.uniform(0.01, 0.04), canvas.shape)
    image = np.clip(np.rint((canvas + noise) * 255), 0, 255).astype(np.uint8)
    boxes = np.array([_box(owner == number) for number, _ in drawn], np.float32)
    return image, boxes, np.array([DIGITS.index(digit) for _, digit in drawn])


def _place(rng, ink, owner):
    """Where a digit hides little of each earlier one, and its box overlaps theirs by little."""
    earlier = [number for number in np.unique(owner) if number]
    for _ in range(TRIES):
        top, left = (
            rng.integers(0, side - own + 1)
            for side, own in zip(owner.shape, ink.shape, strict=True)
        )
        place = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
        mine = np.zeros(owner.shape, bool)
        mine[place] = ink
        if all(
            (mine & (owner == n)).sum() <= MOST_HIDDEN * (owner == n).sum()
            and _overlap(_box(mine), _box(owner == n)) <= MOST_OVERLAP
            for n in earlier
        ):
            return place
    return None


def _box(pixels):
    """`x1 y1 x2 y2` around the pixels that are set, the far edges included."""
    ys, xs = np.nonzero(pixels)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def _overlap(one, other):
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return common / (sum(areas) - common)
