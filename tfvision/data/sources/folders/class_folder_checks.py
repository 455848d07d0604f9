"""Whether folders are those of classes: not images and masks, nor a folder above the classes."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tfvision.data.files.images import EXTENSIONS
from tfvision.data.files.tree import Tree, is_image, is_visible
from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.folders.folder_names import read_folder_name
from tfvision.data.sources.folders.mask_folder import IMAGES, MASKS
from tfvision.data.sources.folders.mask_layout import MEANT
from tfvision.data.sources.folders.mask_look import mask_look
from tfvision.data.sources.unread import convertible
from tfvision.errors import InputError

FEW_OF_MASKS = 16  # values of one file: drawn digits of 28 x 28 pixels have more


def check_classes(tree: Tree, folders: Sequence[str]) -> None:
    """Refuses folders that are hardly those of classes.

    Args:
        tree: The data set.
        folders: Paths of the folders that would be classes.

    Raises:
        InputError: They hold nothing but masks; two of them hold files of the same names; the
            class folders lie deeper.
    """
    if not folders:
        return
    _check_depth(tree, folders)
    if len(folders) == 2:
        _check_names(tree, *folders)
    files = [
        tree.root / folder / path
        for folder in folders
        for path in sorted(tree.images(folder), key=lambda path: path.rpartition("/")[2])[:2]
    ]
    if len(folders) > 1 and mask_look(files, few=FEW_OF_MASKS) == "grey":
        raise InputError(
            f"{tree.root}: {_listed(folders)} hold nothing but pictures of one channel and few "
            "values, as masks are, and no images that pair up with them by names. Put the images "
            f"beside them (images/ and masks/) for a segmentation. {MEANT}"
        )


def _check_names(tree: Tree, one: str, other: str) -> None:
    """Two folders of the same names are images and masks, unless these are mere numbers."""
    names = [{name_key(stem(path)) for path in tree.images(folder)} for folder in (one, other)]
    common = names[0] & names[1]
    if not common or len(common) < 0.9 * max(map(len, names)):
        return
    if len(common) < 3 or 2 * len({re.sub(r"\d+", "0", name) for name in common}) <= len(common):
        return  # mere numbers, from 1 on, as classes often have them
    raise InputError(
        f"{tree.root} can be read in two ways: {one}/ and {other}/ hold files of the same "
        f"{len(common)} names, as images and masks do. {MEANT} If they are images and masks, say "
        f"--set data.source.name=folder --set data.source.images={one}/ "
        f"--set data.source.masks={other}/ (or the other way round)."
    )


def _check_depth(tree: Tree, folders: Sequence[str]) -> None:
    """Class folders in a folder of their own, or in each of several."""
    inner = {}
    for folder in folders:
        direct = any(map(is_image, tree.files.get(folder, ())))
        inner[folder] = [name for name in tree.children(folder) if tree.images(f"{folder}/{name}")]
        if direct or not inner[folder]:
            return
    if len(folders) > 1:
        common = set.intersection(*map(set, inner.values()))
        if len(common) > 1:
            shown = _listed(sorted(common))
            raise InputError(
                f"{tree.root} can be read in two ways: {_listed(folders)} each hold {shown}. If "
                f"the latter are the classes, give one folder with these, e.g. --data "
                f"{tree.root / folders[0]}. If the former are, say --set "
                "data.source.name=class_folder."
            )
        return
    (folder,) = folders
    while len(inner[folder]) == 1 and not any(map(is_image, tree.files[folder])):
        (name,) = inner[folder]
        deeper = f"{folder}/{name}"
        below = [step for step in tree.children(deeper) if tree.images(f"{deeper}/{step}")]
        if not below:
            break
        folder, inner = deeper, {deeper: below}
    parts = [read_folder_name(name) for name in inner[folder]]
    what = "parts" if any(found.part and not found.role for found in parts) else "class folders"
    raise InputError(
        f"{tree.root} holds one folder, and the {what} {_listed(inner[folder])} lie in "
        f"{folder}/. Give that folder: --data {tree.root / folder}."
    )


def _listed(folders: Sequence[str]) -> str:
    more = ", ..." if len(folders) > 3 else ""
    return ", ".join(f"{folder}/" for folder in folders[:3]) + more


def class_folders(path: Path, *, leave_out=()) -> tuple[Path, ...]:
    """The folders of classes in a folder.

    None where these are `images/` and `masks/`, or where one folder lies among images.
    """
    out = set(leave_out)
    folders = [
        child
        for child in sorted(path.iterdir())
        if child.is_dir() and is_visible(child.name) and child not in out
        if _may_be_class(child)
    ]
    plain = all(folder.name.lower() in (*IMAGES, *MASKS) for folder in folders)
    plain = plain and not (len(folders) == 1 and _holds_classes(folders[0]))
    beside = len(folders) == 1 and any(is_image_file(child) for child in path.iterdir())
    return () if plain or beside else tuple(folders)


def _holds_classes(folder: Path) -> bool:
    """Whether a folder holds several folders of images, and no image beside them."""
    children = [child for child in folder.iterdir() if is_visible(child.name)]
    inner = [child for child in children if child.is_dir() and _may_be_class(child)]
    parts = [child for child in inner if read_folder_name(child.name).part]
    return len(inner) > 1 and not parts and not any(map(is_image_file, children))


def _may_be_class(folder: Path) -> bool:
    """Whether a folder holds images, or data that are not read, or nothing at all."""
    empty = True
    for _, _, names in os.walk(folder, followlinks=True):
        names = [name for name in names if is_visible(name)]
        if any(is_image(name) or convertible(name) for name in names):
            return True
        empty = empty and not names
    return empty


def is_image_file(path: Path) -> bool:
    """Whether a path is an image file by its name, and no folder."""
    named = path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    return named and not path.is_dir()
