"""Images and masks that lie in one folder, distinguished by a word in their names.

`img_0001.png` and `mask_0001.png`, `a_image.jpg` and `a_mask.png`, `a.png` and `a_seg.png`:
the word stands before or behind, and what is left is the name of the pair.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.sources.file_source import stem
from tfvision.errors import InputError
from tfvision.text import counted

IMAGE_WORDS = ("images", "image", "imgs", "img", "photo", "rgb", "raw", "input")
MASK_WORDS = ("masks", "mask", "segmentation", "seg", "labels", "label", "gt", "target")

# A word is set off by a sign, or by the digit that follows (img0001) or precedes it (0001mask).
_SIGN = r"[-_. ]+"
JOIN_MASKS = "Or join the masks of one image to one file."
_NUMBERED = re.compile(_SIGN + r"\d+$")


@dataclass(frozen=True)
class Pairs:
    """What a folder holds side by side.

    Attributes:
        images, masks: Name of the pair, in composed letters (NFC) -> file.
        convention: "img_*, mask_*", for messages.
    """

    images: dict[str, Path]
    masks: dict[str, Path]
    convention: str


def pair(paths: Mapping[Path, str], *, folder: str) -> Pairs | None:
    """Pairs among the files of one folder.

    Args:
        paths: File -> its path below the folder, `/` between folders.
        folder: What messages call the folder.

    Returns:
        None where no mask lies beside an image of its name.

    Raises:
        InputError: Two files could be the image, or the mask, of one name; or most images
            have no mask, so that the names may mean something else.
    """
    images: dict[str, list[Path]] = {}
    masks: dict[str, list[Path]] = {}
    words: dict[str, None] = {}
    for file, path in paths.items():
        where, _, name = stem(path).rpartition("/")
        is_mask, rest, pattern = read_name(name)
        key = unicodedata.normalize("NFC", f"{where}/{rest}".lstrip("/"))
        (masks if is_mask else images).setdefault(key, []).append(file)
        words[pattern] = None
    both = images.keys() & masks.keys()
    if not both:
        return None
    for key in [key for key in images if key not in both]:
        where, _, name = key.rpartition("/")
        is_mask, rest, _ = read_name(_NUMBERED.sub("", name))
        owner = f"{where}/{rest}".lstrip("/")
        if is_mask and owner in both:  # `a_mask_1` beside `a` and `a_mask`
            masks[owner] += images.pop(key)
    check_once(images, masks, paths, folder=folder)
    if 2 * len(both) < len(images):
        raise InputError(
            f"{folder} holds {counted(len(masks), 'file')} named like masks beside "
            f"{len(images)} others, of which {len(both)} have such a mask: it is unclear "
            f"what belongs together. {_manifest(paths)}"
        )
    return Pairs(
        {key: file for key, (file,) in images.items()},
        {key: file for key, (file,) in masks.items()},
        ", ".join(words),
    )


def check_once(
    images: Mapping[str, Sequence[Path]],
    masks: Mapping[str, Sequence[Path]],
    paths: Mapping[Path, str],
    *,
    folder: str,
) -> None:
    """Raises an `InputError` where two files could be the image, or the mask, of one name."""
    for what, found in (("image", images), ("mask", masks)):
        several = [key for key, files in found.items() if len(files) > 1]
        if several:
            key, more = several[0], len(several) - 1
            names = " and ".join(paths[file] for file in found[key][:2])
            also = f" (and {more} more have several)" if more else ""
            join = f" {JOIN_MASKS}" if what == "mask" else ""
            raise InputError(
                f"{folder}: {names} both look like the {what} of {key!r}{also}. "
                f"{_manifest(paths)}{join}"
            )


def read_name(name: str) -> tuple[bool, str, str]:
    """Whether a name is that of a mask, what is left of it, and its pattern.

    `mask_0001` -> (True, "0001", "mask_*"); `a` -> (False, "a", "*"). A mask may carry the
    image's word too: `img_1_mask` belongs to `img_1`, and both are "1".
    """
    is_mask, rest, pattern = False, name, "*"
    found = _strip(name, MASK_WORDS)
    if found is not None:
        is_mask, (rest, pattern) = True, found
    inner = _strip(rest, IMAGE_WORDS)
    if inner is not None:
        rest, pattern = inner[0], pattern.replace("*", inner[1])
    return is_mask, rest, pattern


def _strip(name: str, words: tuple[str, ...]) -> tuple[str, str] | None:
    """The name without a word before or behind, and its pattern; None without such a word."""
    options = "|".join(words)
    before = re.match(rf"({options})({_SIGN}|(?=\d))(?=.)", name, re.IGNORECASE)
    if before:
        return name[before.end() :], f"{before.group()}*"
    behind = re.search(rf"(?<=.)({_SIGN}|(?<=\d))({options})$", name, re.IGNORECASE)
    if behind:
        return name[: behind.start()], f"*{behind.group()}"
    return None


def _manifest(paths: Mapping[Path, str]) -> str:
    first, second = [*paths.values(), "mask.png"][:2]
    return (
        "Say what belongs together in a CSV file beside them: a first line `image,mask`, then a "
        f"line for each pair, such as `{first},{second}`; and give the path of that file."
    )
