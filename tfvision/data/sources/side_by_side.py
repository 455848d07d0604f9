"""Images and masks that lie in one folder, told apart by what their names share.

Usual words come first (`paired_names`: `img_1.png` and `mask_1.png`). Others are found from the
names themselves: `a.jpg` and `a_labeled.png`, `x_photo.png` and `x_truth.png`, or by format alone,
`a.jpg` and `a.png`. Then the files that are taken for masks must look like masks, and those that
are taken for images must not: a set of photographs and their edited copies stays one of images.
"""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.mask_look import mask_look
from tfvision.data.sources.name_pairs import Affix, affixes
from tfvision.data.sources.paired_names import Pairs, pair

_SHARE = 0.25  # of all names, that must have what marks a mask


def pair_beside(paths: Mapping[Path, str], *, folder: str) -> Pairs | None:
    """Images and masks among the files of one folder.

    Args:
        paths: File -> its path below the folder, `/` between folders.
        folder: What messages call the folder.

    Raises:
        InputError: See `paired_names.pair`.
    """
    return pair(paths, folder=folder) or _by_affix(paths) or _by_format(paths)


def _by_affix(paths: Mapping[Path, str]) -> Pairs | None:
    """By what masks have before or behind the names of their images."""
    files = {file: _name(path) for file, path in paths.items()}
    best: tuple[int, Pairs | None] = (0, None)
    marks = affixes(list(files.values()), share=_SHARE)
    for mark in sorted(marks, key=lambda affix: affix.length):
        if not mark.length:
            continue
        masks = _with(files, mark)
        rest = {file: name for file, name in files.items() if file not in masks.values()}
        for other in affixes(list(rest.values()), share=0.5):
            images = _with(rest, other)
            count = len(images.keys() & masks.keys())
            if count <= best[0] or 2 * count < max(len(images), len(masks)):
                continue
            pairs = _told_apart((mark, masks), (other, images))
            if pairs is not None:
                best = count, pairs
    return best[1]


def _by_format(paths: Mapping[Path, str]) -> Pairs | None:
    """By the extension: `a.jpg` is the image, `a.png` its mask."""
    by_ending: dict[str, dict[str, Path]] = {}
    for file, path in paths.items():
        by_ending.setdefault(posixpath.splitext(path)[1].lower(), {})[name_key(stem(path))] = file
    if len(by_ending) != 2:
        return None
    (one, first), (other, second) = by_ending.items()
    if 2 * len(first.keys() & second.keys()) < max(len(first), len(second)):
        return None
    found = _as_masks(first, second)
    if found is None:
        return None
    endings = (one, other) if found[0] is first else (other, one)
    return Pairs(*found, f"*{endings[0]}, *{endings[1]}")


def _told_apart(one: tuple[Affix, dict], other: tuple[Affix, dict]) -> Pairs | None:
    found = _as_masks(other[1], one[1])
    if found is None:
        return None
    shown = {id(files): f"{affix}{_ending(files)}" for affix, files in (one, other)}
    return Pairs(*found, ", ".join(shown[id(files)] for files in found))


def _as_masks(one: dict[str, Path], other: dict[str, Path]) -> tuple[dict, dict] | None:
    """(images, masks) where just one of the two looks like masks."""
    looks = [bool(mask_look([files[key] for key in sorted(files)])) for files in (one, other)]
    if looks[0] == looks[1]:
        return None
    return (other, one) if looks[0] else (one, other)


def _with(files: Mapping[Path, tuple[str, str]], affix: Affix) -> dict[str, Path]:
    """Name of the pair -> file, of those that have an affix; none where one stands twice."""
    found: dict[str, Path] = {}
    for file, (where, name) in files.items():
        core = affix.core(name)
        if core is not None:
            key = f"{where}/{core}".lstrip("/")
            if key in found:
                return {}
            found[key] = file
    return found


def _name(path: str) -> tuple[str, str]:
    where, _, name = stem(name_key(path)).rpartition("/")
    return where, name


def _ending(files: Mapping[str, Path]) -> str:
    endings: Sequence[str] = [file.suffix for file in files.values()]
    return max(endings, key=endings.count)
