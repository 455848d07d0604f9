"""The source `folder`: image files, and mask files of the same name.

- `images/` and `masks/`: samples to be split; optionally `test/`, which holds images, or
  `images/` and `masks/`;
- `train/`, `val/` (`valid/`, `validation/`), `test/`, each with `images/` and `masks/`;
- images and masks side by side, distinguished by a word in their names: `img_1.png` and
  `mask_1.png`, `a.png` and `a_mask.png`; see `tfvision.data.sources.paired_names`;
- images alone, or one image file: samples without masks, for prediction.

An image and its mask have the same path below their folders, extension and word aside.
Folders inside are read too. `classes.txt` names the classes, one a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfvision.data.files.images import EXTENSIONS, MAX_PIXELS
from tfvision.data.files.issue import Issue
from tfvision.data.files.paths import read_bytes
from tfvision.data.sources.file_source import (
    FileSource,
    Listing,
    list_images,
    name_doubles,
    name_key,
    show,
    stem,
    unique_ids,
)
from tfvision.data.sources.paired_names import Pairs, pair
from tfvision.data.sources.source import Record
from tfvision.errors import InputError

IMAGES = ("images", "image", "imgs")
MASKS = ("masks", "mask")
PART_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Part:
    """Where one part of the data stands."""

    name: str
    images: Path
    masks: Path | None


@dataclass
class _Found:
    """What is gathered for the source, part after part."""

    root: Path
    allow_outside_root: bool
    listing: Listing = field(default_factory=Listing)
    problems: list[Issue] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    files: list[tuple[Path, Path | None]] = field(default_factory=list)
    mask_places: list[str] = field(default_factory=list)
    side_by_side: str = ""


def folder(
    path: str | Path,
    *,
    mask_values: Sequence[int] | None = None,
    mask_palette: Mapping | Sequence | None = None,
    white: float | None = None,
    exif: str = "apply",
    max_pixels: int = MAX_PIXELS,
    allow_outside_root: bool = False,
    images_alone: bool = False,
) -> FileSource:
    """Samples of a folder; see the table in this module's head.

    Args:
        path: The folder, or one image file.
        mask_values: The values of the masks in class order, where they are not 0, 1, 2, ...
        mask_palette: Label of each colour, where masks are stored as colours.
        white: The pixel value that means 1.0; by default 255, 65535 or 1.0, by the dtype.
        exif: "apply", "ignore" or "fail" on a declared orientation, of image and mask.
        max_pixels: Larger images are refused.
        allow_outside_root: Whether links may lead out of the folder.
        images_alone: Every image at any depth is a sample without a mask, whatever the layout.

    Raises:
        InputError: The folder has none of the layouts; says what it holds.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    parts = [Part("images", path, None)] if images_alone else _parts(path)
    found = _Found(root, allow_outside_root)
    given = {part.name for part in parts}
    for part in parts:
        _add_part(found, part, split=_split(part.name, given), only=path)
    return FileSource(
        found.records,
        found.files,
        found.mask_places,
        name="folder",
        path=path,
        layout=_layout(path, parts, found),
        class_names=read_class_names(root),
        mask_values=mask_values,
        mask_palette=mask_palette,
        white=white,
        exif=exif,
        max_pixels=max_pixels,
        notes=found.listing.notes(),
        problems=[*found.listing.problems, *found.problems],
    )


def _parts(path: Path) -> list[Part]:
    """The parts of the layout that is recognised."""
    if not path.is_dir():
        return [Part("images", path, None)]
    images, masks = child_folder(path, IMAGES), child_folder(path, MASKS)
    named = {
        name: child
        for name, options in PART_FOLDERS.items()
        if (child := child_folder(path, options))
    }
    pairs = {
        name: Part(name, inner, child_folder(child, MASKS))
        for name, child in named.items()
        if (inner := child_folder(child, IMAGES))
    }
    if images and masks:
        if "train" in pairs:
            raise InputError(
                f"{path} holds images/ and masks/, and {named['train'].name}/ too: which one is "
                "to be trained on? Give the path of one of them, or move the other away."
            )
        parts = [Part("", images, masks)]
    elif "train" in pairs:
        parts = [pairs["train"]]
    elif images:
        return [Part("images", images, None)]
    elif any(p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") for p in path.iterdir()):
        return [Part("images", path, None)]
    else:
        raise InputError(_unknown_layout(path))
    if "val" in pairs:
        parts.append(pairs["val"])
    if "test" in named:
        parts.append(pairs.get("test") or Part("test", named["test"], None))
    for part in parts:
        if part.masks is None and part.name != "test":
            raise InputError(
                f"{part.images.parent} holds images/ but no masks/. Training needs a mask an "
                "image, of the same name."
            )
    return parts


def _split(name: str, given: set[str]) -> str | None:
    """A train part without a val part beside it is still to be split."""
    if name in ("val", "test"):
        return name
    return "train" if "val" in given else None


def _unknown_layout(path: Path) -> str:
    entries = sorted(p.name + "/" * p.is_dir() for p in path.iterdir() if p.name[0] != ".")
    text = (
        f"{path} holds {', '.join(entries[:8]) or 'nothing'}"
        f"{', ...' if len(entries) > 8 else ''}. Expected: images/ and masks/ (optionally "
        "test/), or train/, val/ and test/ with images/ and masks/ each, or image files"
    )
    inside = [name for name in entries if name.endswith((".npz", ".csv"))]
    return f"{text}. Or give the path of {inside[0]} itself." if inside else f"{text}."


def _add_part(found: _Found, part: Part, *, split: str | None, only: Path) -> None:
    images = _list(found, part.images, only)
    paths = {file: show(file, part.images) if file != only else file.name for file in images}
    if not images:
        place = show(part.images, found.root)
        found.problems.append(
            Issue("error", "", place, "holds no image file", advice="Put images there.")
        )
    labelled = part.masks is not None
    masks = _by_key(found, part.masks) if labelled else {}
    twice = _report_doubles(found, paths, by_stem=labelled)
    if part.name == "images" and (pairs := pair(paths, folder=str(part.images))):
        _add_pairs(found, pairs)
        return
    for file, identity in zip(
        images, unique_ids([name_key(p) for p in paths.values()]), strict=True
    ):
        if file in twice:
            continue
        key = name_key(stem(paths[file]))
        mask = masks.pop(key, None)
        place = show(file, found.root)
        if labelled and mask is None:
            expected = f"no file {stem(paths[file])}.* in {show(part.masks, found.root)}/"
            found.problems.append(_no_mask(identity, place, expected))
            continue
        found.records.append(Record(identity, part.name, split, labelled, group=None, place=place))
        found.files.append((file, mask))
        found.mask_places.append(show(mask, found.root) if mask else "")
    found.problems += [_no_image(show(mask, found.root)) for mask in masks.values()]


def _add_pairs(found: _Found, pairs: Pairs) -> None:
    """Samples of images and masks that lie side by side; the pair's name is the id."""
    found.side_by_side = pairs.convention
    masks = dict(pairs.masks)
    for name, file in pairs.images.items():
        place, mask = show(file, found.root), masks.pop(name, None)
        if mask is None:
            expected = f"no such file beside it (names here: {pairs.convention})"
            found.problems.append(_no_mask(name, place, expected))
            continue
        found.records.append(Record(name, "", None, True, group=None, place=place))
        found.files.append((file, mask))
        found.mask_places.append(show(mask, found.root))
    found.problems += [_no_image(show(mask, found.root)) for mask in masks.values()]


def _no_mask(identity: str, place: str, expected: str) -> Issue:
    advice = "Add the mask, or take the image out (images without masks go to test/)."
    return Issue("error", identity, place, f"has no mask: {expected}", advice=advice)


def _no_image(place: str) -> Issue:
    advice = "Add the image, or delete the mask."
    return Issue("warning", "", place, "a mask without an image of its name", advice=advice)


def _list(found: _Found, where: Path, only: Path) -> list[Path]:
    if where == only and not where.is_dir():
        return [where]
    listing = Listing()
    list_images(where, root=found.root, allow_outside_root=found.allow_outside_root, into=listing)
    found.listing.hidden += listing.hidden
    found.listing.others += listing.others
    found.listing.problems += listing.problems
    return listing.files


def _by_key(found: _Found, where: Path) -> dict[str, Path]:
    files = _list(found, where, where)
    paths = {file: show(file, where) for file in files}
    twice = _report_doubles(found, paths, by_stem=True)
    return {name_key(stem(paths[file])): file for file in files if file not in twice}


def _report_doubles(found: _Found, paths: dict[Path, str], *, by_stem: bool) -> set[Path]:
    twice, problems = name_doubles(paths, root=found.root, by_stem=by_stem)
    found.problems += problems
    return twice


def child_folder(path: Path, names: Sequence[str]) -> Path | None:
    """The folder inside `path` whose lower-case name is one of `names`."""
    found = [p for p in sorted(path.iterdir()) if p.name.lower() in names and p.is_dir()]
    if len(found) > 1:
        raise InputError(
            f"{path} holds {' and '.join(f'{p.name}/' for p in found)}: which one is meant? "
            "Rename the other."
        )
    return found[0] if found else None


def _layout(path: Path, parts: list[Part], found: _Found) -> str:
    if found.side_by_side:
        return (
            f"{path.name or path}: {len(found.records)} images with masks side by side, told "
            f"apart by their names ({found.side_by_side})"
        )
    pieces = []
    for part in parts:
        count = sum(record.part == part.name for record in found.records)
        kind = "images with masks" if part.masks else "images without masks"
        where = f" in {show(part.images, path)}/" if part.images != path else ""
        pieces.append(f"{count} {kind}{where}")
    return f"{path.name or path}: " + "; ".join(pieces)


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
