"""Whether folders are those of classes: not images and masks, nor a folder above the classes."""

import re
from collections.abc import Sequence

from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.folder_names import read_folder_name
from tfvision.data.sources.mask_look import mask_look
from tfvision.errors import InputError

_MEANT = "If these are classes, say --set data.source.name=class_folder."


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
    files = [
        tree.root / folder / path
        for folder in folders
        for path in sorted(tree.images(folder), key=lambda path: path.rpartition("/")[2])[:2]
    ]
    if len(folders) > 1 and mask_look(files) == "grey":
        raise InputError(
            f"{tree.root}: {_listed(folders)} hold nothing but pictures of one channel and few "
            "values, as masks are, and no images that pair up with them by names. Put the images "
            f"beside them (images/ and masks/) for a segmentation. {_MEANT}"
        )
    if len(folders) == 2:
        _check_names(tree, *folders)


def _check_names(tree: Tree, one: str, other: str) -> None:
    """Two folders of the same names are images and masks, unless these are mere numbers."""
    names = [{name_key(stem(path)) for path in tree.images(folder)} for folder in (one, other)]
    common = names[0] & names[1]
    if not common or len(common) < 0.9 * max(map(len, names)):
        return
    if len(common) < 3 or len({re.sub(r"\d+", "0", name) for name in common}) == 1:
        return  # both numbered from 1 on, as classes often are
    raise InputError(
        f"{tree.root} can be read in two ways: {one}/ and {other}/ hold files of the same "
        f"{len(common)} names, as images and masks do. {_MEANT} If they are images and masks, say "
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
