"""What a folder of images holds: in which part each lies, and which file is its mask."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.folders.folder_names import read_folder_name
from tfvision.data.sources.folders.folder_pairs import Place, place_of
from tfvision.data.sources.folders.mask_layout import MaskLayout, find_masks
from tfvision.data.sources.folders.side_by_side import pair_beside
from tfvision.data.sources.unread import instead
from tfvision.errors import InputError

PARTS = ("", "train", "val", "test", "images")


@dataclass(frozen=True)
class Item:
    """An image, and what is known of it before it is read.

    Attributes:
        path: Of the image, below the root.
        part: "train", "val", "test", "images" where no image has a mask, or "".
        name: Its path without part and role; the id comes of it.
        mask: Path of its mask, or None.
        labelled: Whether it must have one.
        expected: What would be its mask, for messages.
        mask_top: The folder of the masks.
    """

    path: str
    part: str
    name: str
    mask: str | None = None
    labelled: bool = False
    expected: str = ""
    mask_top: str = ""

    @property
    def top(self) -> str:
        """The folder of the images."""
        beside = not self.path.endswith(self.name)
        return posixpath.dirname(self.path) if beside else self.path[: -len(self.name)].rstrip("/")


@dataclass(frozen=True)
class ImageFolder:
    """What was recognised.

    Attributes:
        items: The images.
        spare: Masks without an image.
        convention: How names pair, for messages; "" without masks.
        side_by_side: Whether masks lie beside their images.
        folders: Those that must hold images.
        notes: On what was declared.
        mask_names: Path of each mask in a folder of masks -> part and name, which is unique.
    """

    items: tuple[Item, ...]
    spare: tuple[str, ...] = ()
    convention: str = ""
    side_by_side: bool = False
    folders: tuple[str, ...] = ()
    mask_names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def split_of(self, part: str) -> str | None:
        """A train part without a val part beside it is still to be split."""
        if part in ("val", "test"):
            return part
        return "train" if "val" in self._parts and part != "images" else None

    @cached_property
    def _parts(self) -> set[str]:
        return {item.part for item in self.items}


def recognise_masks(
    tree: Tree, *, images: str | None = None, masks: str | None = None
) -> ImageFolder:
    """Images with their masks; images alone where no file is a mask.

    Args:
        tree: The folder, or one file.
        images, masks: As `mask_layout.find_masks` has them.

    Raises:
        InputError: No image at all; it is unclear which files are the masks.
    """
    if tree.of_file:
        (name,) = tree.files[""]
        return ImageFolder((Item(name, "images", name),))
    found = find_masks(tree, images=images, masks=masks)
    if found is not None:
        return _of_folders(found)
    if images or masks:
        declared = " and ".join(
            f"data.source.{key}={value}"
            for key, value in {"images": images, "masks": masks}.items()
            if value
        )
        note = f"no images and masks pair up by names with {declared}: read as images alone"
        return replace(_alone(tree), notes=(note,))
    beside = masks_beside(tree)
    return beside if beside is not None else _alone(tree)


def _of_folders(found: MaskLayout) -> ImageFolder:
    items = []
    for place in sorted(found.images, key=lambda place: Path(place.path)):
        mask = found.masks.get(place.path)
        labelled = place.part not in found.unlabelled
        expected = found.expected(place) if labelled and mask is None else ""
        top = "" if mask is None else found.top_of(mask)
        items.append(Item(place.path, place.part, place.name, mask, labelled, expected, top))
    return ImageFolder(
        tuple(items),
        found.spare,
        found.convention,
        folders=found.folders,
        mask_names=found.mask_names,
    )


@lru_cache(maxsize=4)  # several layouts ask it of the same tree
def masks_beside(tree: Tree) -> ImageFolder | None:
    """Images and masks in one folder, where there are such.

    Raises:
        InputError: It is unclear what belongs together.
    """
    places = _main_images(tree)
    files = {tree.root / place.path: place for place in places}
    paths = {file: "/".join((p.part, p.name)).lstrip("/") for file, p in files.items()}
    pairs = pair_beside(paths, folder=str(tree.root))
    if pairs is None:
        return None
    masks = {key: files[file].path for key, file in pairs.masks.items()}
    expected = f"no such file beside it (names here: {pairs.convention})"
    with_masks = {files[file].part for file in pairs.masks.values()}
    items = []
    for key, file in pairs.images.items():
        place, mask = files[file], masks.pop(key, None)
        part = place.part
        name = key.removeprefix(f"{part}/") if part else key
        labelled = part != "test" or part in with_masks
        items.append(Item(place.path, part, name, mask, labelled, expected))
    items.sort(key=lambda item: Path(item.path))
    return ImageFolder(tuple(items), tuple(masks.values()), pairs.convention, side_by_side=True)


def _main_images(tree: Tree) -> list[Place]:
    """The images of the folder that is named so, where there is one; else all."""
    named = [
        name
        for name in tree.children("")
        if read_folder_name(name).role == "image" and tree.images(name)
    ]
    if len(named) == 1 and not any(map(is_image, tree.files[""])):
        return [place_of(f"{named[0]}/{path}", 0) for path in tree.images(named[0])]
    return [place_of(path, None) for path in tree.images("")]


def _alone(tree: Tree) -> ImageFolder:
    """Images without masks.

    Raises:
        InputError: There is none.
    """
    places = _main_images(tree)
    if not places:
        raise InputError(_no_images(tree))
    items = []
    for place in sorted(places, key=lambda place: Path(place.path)):
        named = read_folder_name(place.path.split("/")[0]).role == "image"
        name = place.path.partition("/")[2] if named and "/" in place.path else place.path
        items.append(Item(place.path, "images", name))
    return ImageFolder(tuple(items))


def _no_images(tree: Tree) -> str:
    """The message on a folder without any image that is read."""
    entries = sorted([*(f"{name}/" for name in tree.children("")), *tree.files[""]])
    text = (
        f"{tree.root} holds {', '.join(entries[:8]) or 'nothing'}"
        f"{', ...' if len(entries) > 8 else ''}. Expected: images/ and masks/ (optionally "
        "test/), or train/, val/ and test/ with images/ and masks/ each, or image files"
    )
    inside = [name for name in tree.files[""] if name.endswith((".npz", ".csv"))]
    if inside:
        return f"{text}. Or give the path of {inside[0]} itself."
    return " ".join([f"{text}.", *instead(tree)])
