"""Images and masks that lie in one folder, told apart by what their names share.

Usual words come first (`paired_names`: `img_1.png` and `mask_1.png`). Others are found from the
names themselves: `a.jpg` and `a_labeled.png`, `x_photo.png` and `x_truth.png`, or by format alone,
`a.jpg` and `a.png`. Then the files that are taken for masks must look like masks, and those that
are taken for images must not: a set of photographs and their edited copies stays one of images.
"""

import posixpath
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.folders.mask_look import mask_look
from tfvision.data.sources.folders.name_pairs import Affix, affixes
from tfvision.data.sources.folders.paired_names import Pairs, check_once, pair

Files = dict[str, list[Path]]  # name of a pair -> the files that could be meant

_SHARE = 0.25  # of all names, that must have what marks a mask


def pair_beside(paths: Mapping[Path, str], *, folder: str) -> Pairs | None:
    """Images and masks among the files of one folder.

    Args:
        paths: File -> its path below the folder, `/` between folders.
        folder: What messages call the folder.

    Raises:
        InputError: Two files could be the image, or the mask, of one name; see
            `paired_names.pair`.
    """
    by_words = pair(paths, folder=folder)
    if by_words is not None:
        return by_words
    found = _by_affix(paths) or _by_format(paths)
    if found is None:
        return None
    images, masks, convention = found
    check_once(images, masks, paths, folder=folder)
    first = ({key: files[0] for key, files in side.items()} for side in (images, masks))
    return Pairs(*first, convention)


def _by_affix(paths: Mapping[Path, str]) -> tuple[Files, Files, str] | None:
    """By what masks have before or behind the names of their images."""
    names = {file: _name(path) for file, path in paths.items()}
    best, most = None, 0
    marks = affixes(list(names.values()), share=_SHARE)
    for mark in sorted(marks, key=lambda affix: affix.length):
        masks = _with(names, mark) if mark.length else {}
        marked = {file for files in masks.values() for file in files}
        rest = {file: name for file, name in names.items() if file not in marked}
        for other in affixes(list(rest.values()), share=0.5) if masks else ():
            images = _with(rest, other)
            both = images.keys() & masks.keys()
            count = sum(len(images[key]) == len(masks[key]) == 1 for key in both)
            if count <= most or 2 * count < max(len(images), len(masks)):
                continue
            told = _as_masks(images, masks)
            if told is not None:
                order = (other, mark) if told[0] is images else (mark, other)
                shown = [f"{a}{_ending(side)}" for a, side in zip(order, told, strict=True)]
                best, most = (*told, ", ".join(shown)), count
    return best


def _by_format(paths: Mapping[Path, str]) -> tuple[Files, Files, str] | None:
    """By the extension: `a.jpg` is the image, `a.png` its mask."""
    by_ending: dict[str, Files] = {}
    for file, path in paths.items():
        sorted_in = by_ending.setdefault(posixpath.splitext(path)[1].lower(), {})
        sorted_in.setdefault(name_key(stem(path)), []).append(file)
    if len(by_ending) < 2:
        return None
    one, other, *rare = sorted(by_ending, key=lambda ending: -len(by_ending[ending]))
    first, second = by_ending[one], by_ending[other]
    if 2 * len(first.keys() & second.keys()) < max(len(first), len(second)):
        return None
    told = _as_masks(first, second)
    if told is None:
        return None
    for key, files in (item for ending in rare for item in by_ending[ending].items()):
        told[0].setdefault(key, []).extend(files)
    endings = (one, other) if told[0] is first else (other, one)
    return *told, f"*{endings[0]}, *{endings[1]}"


def _as_masks(one: Files, other: Files) -> tuple[Files, Files] | None:
    """(images, masks) where just one of the two looks like masks."""
    looks = [bool(mask_look([files[key][0] for key in sorted(files)])) for files in (one, other)]
    if looks[0] == looks[1]:
        return None
    return (other, one) if looks[0] else (one, other)


def _with(names: Mapping[Path, tuple[str, str]], affix: Affix) -> Files:
    """Name of the pair -> files, of those that have an affix."""
    found: Files = {}
    for file, (where, name) in names.items():
        core = affix.core(name)
        if core is not None:
            found.setdefault(f"{where}/{core}".lstrip("/"), []).append(file)
    return found


def _name(path: str) -> tuple[str, str]:
    where, _, name = stem(name_key(path)).rpartition("/")
    return where, name


def _ending(files: Files) -> str:
    return Counter(same[0].suffix for same in files.values()).most_common(1)[0][0]
