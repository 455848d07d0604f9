"""The default data of a classification: one real handwritten digit on a real photograph.

Nothing is downloaded: digits and photographs ship inside scikit-learn, as for the embedded
scenes. An image is a 48x48 crop of a photograph in colour with one digit of six kinds drawn on
it, and pieces of other digits as clutter; the kind of the digit is the class. The digit's pixels
are the image's region, their hull its box.

What makes it hard: few images; strokes are lighter than what lies under them, and tinted, by
amounts that vary; digits are turned, stretched and not centred; clutter is drawn like the
digit, and behind both is anything. The digits and the regions of the photographs that the three
splits use are disjoint.
"""

import numpy as np

from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.embedded_masks import cached_arrays, columns, deform, own_share

VERSION = 2  # of the images: the name of the cache file
SEED = 1
SIZE = 48
SPLITS = {"train": 600, "val": 150, "test": 200}
CLASS_NAMES = ["zero", "one", "three", "four", "seven", "nine"]
DIGITS = [0, 1, 3, 4, 7, 9]
CLUTTER = [2, 5, 6, 8]  # digits of which pieces are drawn
HEIGHTS = (32, 40)  # of a digit, in pixels; at most 40, or its strokes may not fit
CONTRAST = (0.5, 0.8)  # by how much a stroke is lighter than what lies under it, of 0..1
PIECES = (0, 3)  # of clutter, the last exclusive


def embedded_classes() -> ArraySource:
    """The embedded images: 600 to train, 150 to validate, 200 to test, in six classes.

    Returns:
        A source of images (48, 48, 3) uint8, each with its label, its region (48, 48) and one
        box `x1 y1 x2 y2` in pixels; ids are the index inside the split.
    """
    data = cached_arrays(f"embedded-classes-{VERSION}.npz", build_images)
    parts = {
        split: {
            "images": data[f"{split}_images"],
            "labels": data[f"{split}_labels"],
            "regions": data[f"{split}_regions"],
            "boxes": data[f"{split}_boxes"][:, None],
            "classes": data[f"{split}_labels"][:, None],
        }
        for split in SPLITS
    }
    return ArraySource(
        parts,
        name="embedded_classes",
        layout=f"embedded images: {' / '.join(map(str, SPLITS.values()))} to train / validate / "
        f"test, {SIZE}x{SIZE} in colour, one of {len(DIGITS)} real digits on a real photograph "
        "each, with its box and region",
        class_names=CLASS_NAMES,
        stamp=f"embedded-classes-{VERSION}",
    )


def build_images() -> dict[str, np.ndarray]:
    """Makes all images; the same on every machine.

    Returns:
        For each split: `<split>_images` (N, 48, 48, 3) uint8, `<split>_labels` (N,) int32,
        `<split>_regions` (N, 48, 48) uint8, 0 or 1, `<split>_boxes` (N, 4) float32.
    """
    from sklearn.datasets import load_digits, load_sample_images

    photos = [photo / 255 for photo in load_sample_images().images]
    digits = load_digits()
    arrays = {}
    for number, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([SEED, number])
        regions = [photo[:, slice(*columns(photo.shape[1], split))] for photo in photos]
        strokes = {
            digit: own_share(digits.images[digits.target == digit], split)
            for digit in [*DIGITS, *CLUTTER]
        }
        labels = rng.permutation(np.arange(count) % len(DIGITS))
        made = [_image(rng, regions, strokes, DIGITS[label]) for label in labels]
        images, masks = zip(*made, strict=True)
        arrays[f"{split}_images"] = np.stack(images)
        arrays[f"{split}_labels"] = labels.astype(np.int32)
        arrays[f"{split}_regions"] = np.stack(masks)
        arrays[f"{split}_boxes"] = np.array([_hull(mask) for mask in masks], np.float32)
    return arrays


def _image(rng, regions, strokes, digit):
    """One image (48, 48, 3) uint8 and the digit's region (48, 48) uint8."""
    canvas = _background(rng, regions)
    stroke = deform(rng, strokes[digit][rng.integers(len(strokes[digit]))], HEIGHTS)
    place = _anywhere(rng, stroke.shape)
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[place][stroke > 0.5] = 1
    _draw(rng, canvas, place, stroke)
    for _ in range(rng.integers(*PIECES)):
        _draw_piece(rng, canvas, region, strokes)
    noise = rng.normal(0, rng.uniform(0.01, 0.05), canvas.shape)
    return np.clip(np.rint((canvas + noise) * 255), 0, 255).astype(np.uint8), region


def _draw_piece(rng, canvas, region, strokes):
    """Half a digit of a kind that is no class, small, where it does not touch the digit."""
    images = strokes[CLUTTER[rng.integers(len(CLUTTER))]]
    half = images[rng.integers(len(images))].copy()
    half[:, 4:] = 0
    piece = deform(rng, np.rot90(half, rng.integers(4)), (16, 26))
    place = _anywhere(rng, piece.shape)
    if not (region[place] & (piece > 0.2)).any():
        _draw(rng, canvas, place, piece)


def _draw(rng, canvas, place, stroke):
    """Lays strokes (h, w) in [0, 1] on a part of the canvas, in one tinted tone."""
    opacity = rng.uniform(0.7, 1.0) * np.clip(2 * stroke - 0.5, 0, 1)[..., None]
    under = canvas[place][stroke > 0.5].mean(axis=0)
    tone = under + rng.uniform(*CONTRAST) + rng.uniform(-0.15, 0.15, 3)
    canvas[place] = (1 - opacity) * canvas[place] + opacity * tone


def _anywhere(rng, shape):
    top, left = (rng.integers(0, SIZE - side + 1) for side in shape)
    return np.s_[top : top + shape[0], left : left + shape[1]]


def _background(rng, regions):
    """A crop of one photograph (48, 48, 3), mirrored or not, its light and contrast varied."""
    region, step = regions[rng.integers(len(regions))], rng.integers(1, 3)
    wide = step * SIZE
    top, left = (rng.integers(0, side - wide + 1) for side in region.shape[:2])
    crop = region[top : top + wide, left : left + wide]
    crop = crop.reshape(SIZE, step, SIZE, step, 3).mean(axis=(1, 3))
    crop = crop[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    return 0.5 + rng.uniform(0.3, 0.8) * (crop - crop.mean()) + rng.uniform(-0.15, 0.15)


def _hull(mask):
    """`x1 y1 x2 y2` of the pixels of a mask, the far edges included."""
    ys, xs = np.nonzero(mask)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
