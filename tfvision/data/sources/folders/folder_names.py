"""What the names of folders say: images or masks; training, validation or test.

`masks`, `Ground_Truth`, `labelsTr`, `trainannot` and `binary_masks_png` are folders of masks,
`JPEGImages`, `imagesTr` and `train_images` of images. Names alone decide nothing: see
`tfvision.data.sources.folders.mask_layout`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

IMAGE_WORDS = frozenset(
    (
        *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic"),
        *("pics", "frame", "frames", "jpegimages", "imagery", "rgb", "input", "inputs"),
        *("scan", "scans", "data", "raw", "original", "originals", "leftimg8bit"),
    )
)
MASK_WORDS = frozenset(
    (
        *("mask", "masks", "label", "labels", "labelmap", "labelmaps", "annotation"),
        *("annotations", "annot", "annots", "ann", "anns", "gt", "gts", "groundtruth"),
        *("groundtruths", "truth", "target", "targets", "seg", "segs", "segmentation"),
        *("segmentations", "segmask", "segmasks", "segmap", "segmaps", "segmentationclass"),
        *("segmentationclassraw", "segmentationclassaug", "manual", "labelled", "labeled"),
        *("annotated",),
    )
)
DRAWING_WORDS = frozenset(
    (
        *("sketch", "sketches", "drawing", "drawings", "lineart", "doodle", "doodles", "quickdraw"),
        *("silhouette", "silhouettes", "clipart", "cartoon", "cartoons", "comic", "comics", "icon"),
        *("icons", "logo", "logos", "painting", "paintings", "infograph", "handdrawn", "scribble"),
    )
)
"""Kinds of picture that hold few colours, as masks do, and are none."""
PART_WORDS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
_FILLERS = frozenset(
    (
        *("ground", "class", "binary", "png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif"),
        *("8bit", "map", "maps", "file", "files", "folder", "set", "1st", "2nd", "aug"),
        *("resized", "cropped", "all", "new", "final", "dataset"),
    )
)
"""Words that say nothing on the role: class_masks, 1st_manual, images_png."""
_SHORT = ("tr", "ts")  # parts only behind a role: imagesTr


@dataclass(frozen=True)
class FolderName:
    """What the name of a folder says.

    Attributes:
        part: "train", "val", "test", or "".
        role: "image", "mask", or "".
        kind: The name in small letters without the part: "annot" of `trainannot`; "" where
            the name is that of a part alone.
    """

    part: str
    role: str
    kind: str


@lru_cache(maxsize=10_000)
def read_folder_name(name: str) -> FolderName:
    """Takes the name of one folder apart."""
    plain = re.sub(r"[\s_.-]+", "", name.lower())
    if plain in PART_WORDS and plain not in _SHORT:
        return FolderName(PART_WORDS[plain], "", "")
    if role := _role_of_word(plain):
        return FolderName("", role, name.lower())
    for word in sorted(PART_WORDS, key=len, reverse=True):  # glued together: trainannot, imagesTr
        lower = name.lower()
        rests = [name[: -len(word)]] if lower.endswith(word) else []
        rests += [name[len(word) :]] if lower.startswith(word) and word not in _SHORT else []
        for rest in rests:
            plain = re.sub(r"[\s_.-]+", "", rest.lower())
            role = _role_of_word(plain)
            found = FolderName("", role, plain) if role else _read_words(rest)
            if found.role and not found.part:
                return FolderName(PART_WORDS[word], found.role, found.kind)
    return _read_words(name)


def says_drawing(name: str) -> bool:
    """Whether the name of a folder says that drawings lie in it."""
    words = re.split(r"[\s_.-]+", name.lower())
    return "".join(words) in DRAWING_WORDS or not DRAWING_WORDS.isdisjoint(words)


def _role_of_word(word: str) -> str:
    return "mask" if word in MASK_WORDS else "image" if word in IMAGE_WORDS else ""


def _read_words(name: str) -> FolderName:
    """A name of several words, all of which must be known: `train_binary_masks`, `RawImages`."""
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = [word for word in re.split(r"[\s_.-]+", spread.lower()) if word]
    parts = [PART_WORDS[word] for word in words if word in PART_WORDS and word not in _SHORT]
    rest = [word for word in words if word not in PART_WORDS or word in _SHORT]
    roles = [_role_of_word(word) for word in rest]
    known = all(
        role or word in _FILLERS or word.isdigit() for word, role in zip(rest, roles, strict=True)
    )
    if not known or len(parts) > 1 or not any(roles):
        return FolderName("", "", name.lower())
    role = "mask" if "mask" in roles else "image"
    return FolderName(parts[0] if parts else "", role, "_".join(rest))
