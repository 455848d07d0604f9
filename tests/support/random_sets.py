"""Small data sets drawn at random: layout, names, format, values and depth; half are spoilt.

Each knows what it was made of, and what a message must say where it was spoilt.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

HEIGHT, WIDTH = 16, 20
IMAGE_FOLDERS = ("images", "img", "Imgs", "photos", "JPEGImages", "frames", "pictures", "data")
MASK_FOLDERS = (
    *("masks", "labels", "Annotation", "gt", "ground_truth", "SegmentationClass", "targets"),
    *("label", "seg", "GroundTruth", "binary_masks", "anns"),
)
OTHER_FOLDERS = ("A", "B", "field", "first", "zwei", "2019", "north", "sheet_1")
CLASSES = ("cat", "dog", "no mask", "mask", "Äpfel", "10", "9", "leaf rust", "ok", "defect")
IMAGE_FORMATS, MASK_FORMATS = (".jpg", ".png", ".tif", ".bmp", ".webp"), (".png", ".gif", ".tif")


@dataclass
class RandomSet:
    """What a data set was made of.

    Attributes:
        description: In words, for a failing test.
        truth: "masks" or "label".
        images: Path of an image -> its pixels (H, W, 3) uint8.
        masks: Path of an image -> path of its mask, and the labels it was made from (H, W).
        labels: Path of an image -> its class.
        values: Class number -> value in the mask's file.
        extra: Path -> bytes of other files.
        fault: A pattern of which some message must hold one, where the set was spoilt.
    """

    description: str
    truth: str
    images: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    values: tuple[int, ...] = (0, 1)
    extra: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    stray: str = ""

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        """How hypothesis shows it."""
        printer.text(self.description)

    def write(self, root: Path) -> None:
        """Writes the files; a path in `extra` replaces what would stand there."""
        for path, pixels in self.images.items():
            _save(root / path, pixels)
        for mask, labels in self.masks.values():
            pixels = np.array(self.values, np.uint8)[labels]
            if mask == self.stray:
                pixels[2:6, 2:6] = 77
            _save(root / mask, pixels)
        for path, content in self.extra.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(H, W, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def drawn_labels(seed: int, classes: int) -> np.ndarray:
    """(H, W) uint8: a rectangle of each class on background; no two are alike."""
    rng = np.random.default_rng(10_000 + seed)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label in range(1, classes):
        top, left = rng.integers(0, 4), 9 * (label - 1) + rng.integers(0, 3)
        labels[top : top + rng.integers(5, 11), left : left + rng.integers(4, 6)] = label
    labels[15, seed % WIDTH] = 1
    labels[14, seed // WIDTH % WIDTH] = 1
    return labels


@st.composite
def stems(draw, count: int) -> list[str]:
    """Names that differ: numbers, numbers behind a word, or words."""
    kind = draw(st.sampled_from(["numbers", "word and number", "words"]))
    first = draw(st.integers(0, 120))
    if kind == "numbers":
        digits = draw(st.integers(1, 5))
        return [f"{first + i:0{digits}}" for i in range(count)]
    word = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=7)
    if kind == "word and number":
        start = draw(word) + draw(st.sampled_from(["_", "-", " ", ""]))
        return [f"{start}{first + i:03}" for i in range(count)]
    return draw(st.lists(word, min_size=count, max_size=count, unique=True))


@st.composite
def affix(draw) -> tuple[str, str]:
    """What is put before and behind a name."""
    word = draw(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9))
    sign = draw(st.sampled_from(["_", "-", "."]))
    number = draw(st.sampled_from(["", "", "1"]))
    return draw(st.sampled_from([("", ""), ("", f"{sign}{word}{number}"), (f"{word}{sign}", "")]))


@st.composite
def mask_sets(draw) -> RandomSet:
    """Images and masks."""
    nesting = draw(st.sampled_from(["flat", "part/role", "role/part", "glued", "beside", "top"]))
    usual = nesting in ("glued", "top") or draw(st.booleans())
    if usual:
        image_folder = draw(st.sampled_from(IMAGE_FOLDERS))
        mask_folder = draw(st.sampled_from(MASK_FOLDERS))
    else:
        image_folder, mask_folder = draw(
            st.lists(st.sampled_from(OTHER_FOLDERS), min_size=2, max_size=2, unique=True)
        )
    splits = nesting in ("part/role", "role/part", "glued") or (
        nesting == "beside" and draw(st.booleans())
    )
    parts = (
        {"train": draw(st.integers(4, 6)), "val": 3} if splits else {"": draw(st.integers(4, 7))}
    )
    image_ending, mask_ending = (
        draw(st.sampled_from(IMAGE_FORMATS)),
        draw(st.sampled_from(MASK_FORMATS)),
    )
    of_image = draw(affix()) if draw(st.booleans()) else ("", "")
    of_mask = draw(affix())
    if nesting == "beside" and of_image == of_mask:
        of_image, of_mask = ("", ""), ("", "_t")
    values = draw(st.sampled_from([(0, 1), (0, 255), (0, 1, 2)]))
    deep = draw(st.sampled_from(["", "", "s1/"])) if nesting != "beside" else ""
    names = draw(stems(sum(parts.values())))
    made = RandomSet("", "masks", values=values)
    made.description = (
        f"{nesting}: {image_folder}/ and {mask_folder}/, *{image_ending} {of_image} with "
        f"*{mask_ending} {of_mask}, values {values}, folder {deep!r} inside, names {names}"
    )
    seed = 0
    for part, count in parts.items():
        places = {
            "flat": (image_folder, mask_folder),
            "part/role": (f"{part}/{image_folder}", f"{part}/{mask_folder}"),
            "role/part": (f"{image_folder}/{part}", f"{mask_folder}/{part}"),
            "glued": (part, f"{part}{mask_folder}"),
            "beside": (part, part),
            "top": ("", mask_folder),
        }[nesting]
        starts = [f"{place}/" if place else "" for place in places]
        for _ in range(count):
            name = names[seed]
            image = f"{starts[0]}{deep}{of_image[0]}{name}{of_image[1]}{image_ending}"
            mask = f"{starts[1]}{deep}{of_mask[0]}{name}{of_mask[1]}{mask_ending}"
            made.images[image] = picture(seed)
            made.masks[image] = mask, drawn_labels(seed, len(values))
            seed += 1
    return made


@st.composite
def class_sets(draw) -> RandomSet:
    """Folders of classes."""
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True))
    splits = draw(st.booleans())
    parts = {"train": 4, "val": 2} if splits else {"": draw(st.integers(3, 5))}
    ending = draw(st.sampled_from(IMAGE_FORMATS))
    deep = draw(st.sampled_from(["", "", "s1/"]))
    own_names = draw(st.booleans())
    made = RandomSet(f"classes {classes}, parts {parts}, *{ending}, folder {deep!r}", "label")
    seed = 0
    for part, count in parts.items():
        for label in classes:
            for i in range(count):
                start = f"{part}/{label}/{deep}" if part else f"{label}/{deep}"
                path = f"{start}{f'{label} {i}' if own_names else i}{ending}"
                made.images[path] = picture(seed)
                made.labels[path] = label
                seed += 1
    return made


def _some(made: RandomSet, draw) -> str:
    return draw(st.sampled_from(sorted(made.images)))


def _mask_missing(made: RandomSet, draw) -> None:
    image = _some(made, draw)
    del made.masks[image]
    made.fault = "has no mask"


def _mask_of_other_size(made: RandomSet, draw) -> None:
    mask, labels = made.masks[image := _some(made, draw)]
    made.masks[image] = mask, np.ascontiguousarray(labels[:-3])
    made.fault = "its mask"


def _stray_value(made: RandomSet, draw) -> None:
    made.stray = made.masks[_some(made, draw)][0]
    made.fault = "77"
    if made.stray.endswith(".gif"):  # Pillow writes the place of a grey level among those used
        made.masks = {i: (m.replace(".gif", ".png"), x) for i, (m, x) in made.masks.items()}
        made.stray = made.stray.replace(".gif", ".png")


def _doubled(made: RandomSet, draw) -> None:
    image = _some(made, draw)
    other = ".png" if not image.endswith(".png") else ".bmp"
    stem = image.rpartition(".")[0]
    made.images[stem + other] = picture(999)
    made.fault = "extension aside|both look like"


def _unreadable(made: RandomSet, draw) -> None:
    path = _some(made, draw)
    made.extra[path] = b"\x89PNG\r\n\x1a\n and nothing else"
    made.fault = "cannot be|is no|damaged|not an image|incomplete|truncated"


def _not_converted(made: RandomSet, draw) -> None:
    path = _some(made, draw)
    ending = draw(st.sampled_from([".heic", ".HEIC", ".dcm", ".npy", ".nii.gz", ".avif"]))
    for table in (made.images, made.labels):
        table.pop(path, None)
    made.masks.pop(path, None)
    made.extra[path.rpartition(".")[0] + ending] = b"content"
    made.fault = f"1 \\{ending.lower()} file .*(not read|Convert)"


def _two_kinds_of_mask(made: RandomSet, draw) -> None:
    """Another folder of masks beside the first: which one is meant?"""
    for seed, (mask, labels) in enumerate(list(made.masks.values())):
        folder, _, name = mask.rpartition("/")
        made.images[f"{folder}_2/{name}" if folder else f"masks_2/{name}"] = np.array(
            made.values, np.uint8
        )[np.roll(labels, seed + 3, axis=1)]
    made.fault = "which one is meant"


def _one_class_of_masks(made: RandomSet, draw) -> None:
    """Nothing but masks in the folders of classes."""
    made.images = {
        path.rpartition(".")[0] + ".png": 255 * drawn_labels(seed, 2)
        for seed, path in enumerate(made.images)
    }
    made.fault = "hold nothing but pictures of one channel|data.source.name=class_folder"


SPOIL_MASKS: tuple[Callable, ...] = (
    _mask_missing,
    _mask_of_other_size,
    _stray_value,
    _doubled,
    _unreadable,
    _not_converted,
)
SPOIL_CLASSES: tuple[Callable, ...] = (_unreadable, _not_converted, _one_class_of_masks)


@st.composite
def random_sets(draw) -> RandomSet:
    """A data set as it should be, or one that is spoilt in one way."""
    made = draw(st.one_of(mask_sets(), mask_sets(), class_sets()))
    if draw(st.booleans()):
        ways = SPOIL_MASKS if made.truth == "masks" else SPOIL_CLASSES
        if made.truth == "masks" and made.description.startswith("flat"):
            ways = (*ways, _two_kinds_of_mask)
        spoil = draw(st.sampled_from(ways))
        spoil(made, draw)
        made.description = f"{spoil.__name__} {made.description}"
    return made
