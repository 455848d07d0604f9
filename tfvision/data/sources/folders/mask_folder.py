"""The source `folder`: image files, and mask files paired with them by names.

- `images/` and `masks/`, or what people call these (`folder_names`): samples to be split;
- `train/`, `val/` (`valid/`, `validation/`), `test/` with images and masks each, in either
  nesting: `train/images/` or `images/train/`, `train/` and `trainannot/`;
- images and masks side by side, told apart by what their names share: `img_1.png` and
  `mask_1.png`, `a.jpg` and `a_segmentation.png`; see `tfvision.data.sources.folders.side_by_side`;
- images alone, or one image file: samples without masks, for prediction.

An image and its mask have the same path below their folders, apart from the extension and from
what all names of a side have before or behind (`name_pairs`). Folders inside are read too.
`classes.txt` names the classes, one a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfvision.data.files.issue import Issue
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.reading import Reading, takes_reading
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.file_source import (
    FileSource,
    Listing,
    list_images,
    name_doubles,
    show,
    unique_ids,
)
from tfvision.data.sources.folders.image_folder import (
    PARTS,
    ImageFolder,
    Item,
    masks_beside,
    recognise_masks,
)
from tfvision.data.sources.folders.mask_layout import find_masks
from tfvision.data.sources.source import Record
from tfvision.data.sources.unread import unread_issues, unread_notes
from tfvision.errors import InputError
from tfvision.text import counted

IMAGES = ("images", "image", "imgs")
MASKS = ("masks", "mask")
PART_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@takes_reading()
def folder(
    path: str | Path,
    *,
    images: str | None = None,
    masks: str | None = None,
    mask_values: Sequence[int] | None = None,
    reads_also: Sequence[str] = (),
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Samples of a folder; see this module's head.

    Args:
        path: The folder, or one image file.
        images, masks: Which files are which, where that is not recognised: the name of a folder
            (`gt/`), a pattern of file names (`*_seg.png`), or both (`gt/*_seg.png`).
        mask_values: The values of the masks in class order, where they are not 0, 1, 2, ...
        reads_also: Other files that say how it is read, paths below the folder.
        white: The pixel value that means 1.0; by default 255, 65535 or 1.0, by the dtype.
        allow_outside_root: Whether links may lead out of the folder.
        **reading: Fields of `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: The folder holds no image; it is unclear which files are the masks.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    tree = list_tree(path) if path.is_dir() else Tree(root, {"": (path.name,)}, of_file=True)
    layout = recognise_masks(tree, images=images, masks=masks)
    found = _Found(root, layout)
    listing = Listing(files=[path])
    if not tree.of_file:
        list_images(root, root=root, allow_outside_root=allow_outside_root, into=listing)
    found.files_at = {show(file, root): file for file in listing.files}
    found.report_doubles(layout.mask_names, by_stem=True)
    for part in PARTS:
        found.add([item for item in layout.items if item.part == part])
    found.problems += [_no_image(place) for place in layout.spare if place not in found.doubles]
    if not tree.of_file:
        found.report_unread(tree, listing, reads_also)
    return FileSource(
        found.records,
        found.files,
        found.mask_places,
        name="folder",
        path=path,
        layout=_sentence(path, layout, found.records),
        class_names=read_class_names(root),
        mask_values=mask_values,
        reads_also=[root / file for file in reads_also],
        white=white,
        reading=Reading(**reading),
        notes=found.notes,
        problems=found.problems,
    )


def sees(tree: Tree) -> str | None:
    """What speaks for masks in files of their own; see `tfvision.data.sources.recognise`."""
    if tree.of_file:
        return None
    found = find_masks(tree)
    if found is not None:
        return found.words
    beside = masks_beside(tree)
    return None if beside is None else f"masks beside their images ({beside.convention})"


@dataclass
class _Found:
    """What is gathered for the source, part after part."""

    root: Path
    layout: ImageFolder
    files_at: dict[str, Path] = field(default_factory=dict)
    problems: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubles: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)
    files: list[tuple[Path, Path | None]] = field(default_factory=list)
    mask_places: list[str] = field(default_factory=list)

    def add(self, items: Sequence[Item]) -> None:
        """Adds the samples of one part."""
        items = [item for item in items if item.path in self.files_at]
        by_stem = any(item.labelled for item in items)
        self.report_doubles({item.path: item.name for item in items}, by_stem=by_stem)
        for item, identity in zip(items, unique_ids([i.name for i in items]), strict=True):
            if item.path in self.doubles:
                continue
            mask = self.files_at.get(item.mask or "")
            if item.labelled and mask is None:
                self.problems.append(_no_mask(identity, item))
                continue
            split = self.layout.split_of(item.part)
            self.records.append(
                Record(identity, item.part, split, item.labelled, group=None, place=item.path)
            )
            self.files.append((self.files_at[item.path], mask))
            self.mask_places.append(item.mask or "")

    def report_doubles(self, names: Mapping[str, str], *, by_stem: bool) -> None:
        """Names that stand twice; `names` is path -> the name that must be unique."""
        paths = {self.root / path: name for path, name in names.items()}
        twice, problems = name_doubles(paths, root=self.root, by_stem=by_stem)
        self.doubles |= {show(file, self.root) for file in twice}
        self.problems += problems

    def report_unread(self, tree: Tree, listing: Listing, reads_also: Sequence[str]) -> None:
        """What is wrong with the listing, and what nothing reads."""
        layout = self.layout
        masks = [item.mask for item in layout.items if item.mask]
        read = {item.path for item in layout.items} | {
            *layout.spare,
            *masks,
            "classes.txt",
            *reads_also,
        }
        beside = {"classes.txt", *reads_also}
        tops = {path.rpartition("/")[0].split("/")[0] for path in read - beside}
        tops |= set(layout.folders)
        tops |= {place.split("/")[0] for place in tree.closed}
        wrong = [i for i in listing.problems if "" in tops or i.place.split("/")[0] in tops]
        unread = unread_issues(tree, read)
        empty = [
            Issue("error", "", place, "holds no image file", advice="Put images there.")
            for place in layout.folders
            if not unread and not tree.images(place)
        ]
        self.problems = [*wrong, *unread, *empty, *self.problems]
        self.notes = [*layout.notes, *listing.notes(), *unread_notes(tree, read)]


def _no_mask(identity: str, item: Item) -> Issue:
    advice = "Add the mask, or take the image out (images without masks go to test/)."
    problem = f"has no mask: {item.expected}"
    return Issue("error", identity, item.path, problem, advice=advice)


def _no_image(place: str) -> Issue:
    advice = "Add the image, or delete the mask."
    return Issue("warning", "", place, "a mask without an image of its name", advice=advice)


def child_folder(path: Path, names: Sequence[str]) -> Path | None:
    """The folder inside `path` whose lower-case name is one of `names`."""
    found = [p for p in sorted(path.iterdir()) if p.name.lower() in names and p.is_dir()]
    if len(found) > 1:
        raise InputError(
            f"{path} holds {' and '.join(f'{p.name}/' for p in found)}: which one is meant? "
            "Rename the other."
        )
    return found[0] if found else None


def _sentence(path: Path, layout: ImageFolder, records: Sequence[Record]) -> str:
    """What was recognised, in one line with its counts."""
    name = path.name or str(path)
    if layout.side_by_side:
        labelled = sum(record.labelled for record in records)
        bare = len(records) - labelled
        return (
            f"{name}: {counted(labelled, 'image')} with masks side by side, told apart by their "
            f"names ({layout.convention})" + f"; {bare} without masks in test/" * (bare > 0)
        )
    pieces = []
    for part in PARTS:
        items = [item for item in layout.items if item.part == part]
        count = sum(record.part == part for record in records)
        if not items:
            continue
        kind = f"image{'s' * (count != 1)} {'with' if items[0].labelled else 'without'} masks"
        where = _where(items)
        pieces.append(f"{count} {kind}" + (f" in {where}" if where else ""))
    same = f" ({layout.convention})" if pieces and layout.convention else ""
    return f"{name}: {'; '.join(pieces) or 'no image'}{same}"


def _where(items: Sequence[Item]) -> str:
    """The folders of the images of a part and of their masks, for the layout's line."""
    pairs = dict.fromkeys((item.top, item.mask_top) for item in items if item.mask)
    tops = list(next(iter(pairs), (items[0].top, "")))
    if len(pairs) > 1:
        tops = [top.rpartition("/")[2] for top in tops]
        return f"{tops[0]}/ and {tops[1]}/ of {len(pairs)} folders"
    tops = tops if tops[1] else tops[:1]
    return " and ".join(f"{top}/" if top else "the folder itself" for top in tops if any(tops))


def read_class_names(root: Path) -> list[str] | None:
    """The lines of `classes.txt` in a folder; None without one.

    Raises:
        InputError: It is not UTF-8 text, or holds an empty line or a name twice.
    """
    path = root / "classes.txt"
    if not path.exists():
        return None
    try:
        text = read_bytes(path, place=str(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    names = [line.strip() for line in text.rstrip().split("\n")]
    for line, name in enumerate(names, 1):
        if not name or name in names[: line - 1]:
            what = "is empty" if not name else f"repeats {name!r}"
            raise InputError(f"{path}, line {line} {what}. Write one class name a line, once.")
    return names
