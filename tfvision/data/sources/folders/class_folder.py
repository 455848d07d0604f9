"""The source `class_folder`: a folder of images for each class.

- `cat/`, `dog/`, ...: samples to be split; optionally `test/`;
- `train/`, and optionally `val/` (`valid/`, `validation/`) and `test/`, with a folder a class
  each; `test/` may hold images alone, which then have no label;
- images alone, or one image file: samples without labels, for prediction.

Folders inside a class folder are read too. A mask file beside its image (`img_1.png` and
`mask_1.png`, `a.png` and `a_mask.png`) is the region of the object, not a sample.
`classes.txt` names the classes, one a line, where their order or names are to be others than
those of the folders; folders named 0, 1, 2, ... are then the numbers of its lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfvision.data.files.issue import Issue
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, is_image, list_tree
from tfvision.data.sources.class_files import (
    LabelledFiles,
    regions_beside,
    regions_in,
    settle_labels,
)
from tfvision.data.sources.file_source import (
    Listing,
    list_images,
    name_doubles,
    name_key,
    name_problem,
    show,
    unique_ids,
)
from tfvision.data.sources.folders.class_folder_checks import (
    check_classes,
    class_folders,
    is_image_file,
)
from tfvision.data.sources.folders.mask_folder import (
    IMAGES,
    MASKS,
    PART_FOLDERS,
    child_folder,
    read_class_names,
)
from tfvision.data.sources.folders.mask_layout import find_masks
from tfvision.data.sources.source import Record
from tfvision.data.sources.unread import convertible, instead, unread_issues, unread_notes
from tfvision.errors import InputError
from tfvision.text import counted, verb


@dataclass(frozen=True)
class Part:
    """Where one part of the data stands.

    Attributes:
        name: "train", "val", "test", "" for class folders at the top, "images" for images alone.
        folder: Where its images lie; ids are relative to it.
        classes: Its class folders; None: its images have no label.
        masks: A folder of masks for images alone, or None.
        only: The one image file that is meant, or None.
    """

    name: str
    folder: Path
    classes: tuple[Path, ...] | None
    masks: Path | None = None
    only: Path | None = None


@dataclass
class _Found:
    """What is gathered for the source, part after part."""

    root: Path
    allow_outside_root: bool
    listing: Listing = field(default_factory=Listing)
    problems: list[Issue] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    files: list[tuple[Path, Path | None]] = field(default_factory=list)
    region_places: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report_unread(self, tree: Tree, parts: Sequence[Part]) -> None:
        """Files that nothing reads, and class folders without an image."""
        read = {show(file, self.root) for pair in self.files for file in pair if file}
        issues = unread_issues(tree, {*read, "classes.txt"})
        self.notes = [*self.listing.notes(), *unread_notes(tree, {*read, "classes.txt"})]
        for folder in (folder for part in parts for folder in part.classes or ()):
            place = show(folder, self.root)
            inside = list(tree.below(place)) if place in tree.files else ()
            if not any(map(is_image, inside)) and not any(map(convertible, inside)):
                problem = "the class folder holds no image"
                advice = "Put images there, or delete the folder."
                issues.append(Issue("error", "", place, problem, advice=advice))
        self.problems += issues


@takes_reading(without=OF_MASKS)
def class_folder(
    path: str | Path,
    *,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> LabelledFiles:
    """Samples of a folder per class; see this module's head.

    Args:
        path: The folder, or one image file.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: Neither class folders nor images; says what the folder holds.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    parts = _parts(path)
    found = _Found(root, allow_outside_root)
    given = {part.name for part in parts}
    for part in parts:
        split = None if part.name == "train" and "val" not in given else part.name
        _add_part(found, part, split=split if split in PART_FOLDERS else None)
    labels = [record.label for record in found.records if record.label is not None]
    place = show(path, path.parent)
    if path.is_dir():
        found.report_unread(list_tree(path), parts)
    settled = settle_labels(labels, read_class_names(root) if labels else None, place=place)
    found.problems += settled.problems + _only_elsewhere(parts)
    return LabelledFiles(
        found.records,
        found.files,
        found.region_places,
        name="class_folder",
        path=path,
        layout=_layout(path, parts, found),
        class_names=settled.names,
        class_labels=settled.labels,
        white=white,
        reading=Reading(**reading),
        notes=found.notes,
        problems=[*found.listing.problems, *found.problems],
    )


def sees(tree: Tree) -> str | None:
    """What speaks for a folder a class; see `tfvision.data.sources.recognise`.

    Raises:
        InputError: The folders may hold images and their masks, or masks alone; or the class
            folders lie deeper.
    """
    if tree.of_file or find_masks(tree) is not None:
        return None
    try:
        classes = _parts(tree.root)[0].classes or ()
    except InputError:
        return None
    names = [show(folder, tree.root) for folder in classes]
    check_classes(tree, names)
    listed = ", ".join(f"{name}/" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"class folders: {listed}" if len(names) > 1 else None


def sees_regions(tree: Tree) -> str | None:
    """What speaks for a folder a class with masks beside the images, as regions.

    Raises:
        InputError: As `sees`, and where it is unclear what belongs together.
    """
    words = sees(tree)
    if words is None:
        return None
    parts = _parts(tree.root)
    nested = {tree.root / path: path for path in tree.images("") if path.count("/")}
    inside = any(regions_beside(nested, folder=str(tree.root))) and parts[0].classes
    return f"{words}, with regions beside their images" if inside else None


def _parts(path: Path) -> list[Part]:
    """The parts of the layout that is recognised."""
    if not path.is_dir():
        return [Part("images", path.parent, None, only=path)]
    named = {
        name: child
        for name, options in PART_FOLDERS.items()
        if (child := child_folder(path, options))
    }
    if "train" in named and (classes := class_folders(named["train"])):
        parts = [Part("train", named["train"], classes)]
    elif classes := class_folders(path, leave_out=named.values()):
        parts = [Part("", path, classes)]
    else:
        images = child_folder(path, IMAGES) or path
        if not any(is_image_file(p) for p in images.iterdir()):
            raise InputError(_unknown_layout(path))
        return [Part("images", images, None, None if images == path else child_folder(path, MASKS))]
    for name in ("val", "test"):
        if name in named:
            inside = class_folders(named[name])
            if name == "val" and not inside:
                raise InputError(
                    f"{named[name]} holds no class folders. Validation needs labels: a folder of "
                    "images for each class, as in training."
                )
            plain = None if inside else child_folder(named[name], IMAGES)
            masks = child_folder(named[name], MASKS) if plain else None
            parts.append(Part(name, plain or named[name], inside or None, masks))
    return parts


def _unknown_layout(path: Path) -> str:
    entries = sorted(p.name + "/" * p.is_dir() for p in path.iterdir() if p.name[0] != ".")
    text = (
        f"{path} holds {', '.join(entries[:8]) or 'nothing'}{', ...' if len(entries) > 8 else ''}. "
        "Expected: a folder of images for each class; train/, val/ and test/ with these; a CSV "
        "file of file names and labels beside its images; or images alone, for prediction."
    )
    return " ".join([text, *instead(list_tree(path))])


def _add_part(found: _Found, part: Part, *, split: str | None) -> None:
    """Gathers the samples of one part."""
    if part.classes is None:
        _add_unlabelled(found, part, split=split)
        return
    of_file: dict[Path, str] = {}
    for folder in part.classes:
        wrong = name_problem(folder, found.root, found.allow_outside_root)
        if wrong is not None:
            found.problems.append(Issue("error", "", show(folder, found.root), *wrong))
            continue
        files = _list(found, folder)
        of_file.update(dict.fromkeys(files, name_key(folder.name)))
    paths = {file: show(file, part.folder) for file in of_file}
    regions, masks = regions_beside(paths, folder=str(part.folder))
    loose = [p for p in sorted(part.folder.iterdir()) if is_image_file(p)]
    if loose:
        names = ", ".join(show(p, found.root) for p in loose[:3])
        problem = (
            f"{counted(len(loose), 'image')} beside the class folders "
            f"{verb(len(loose), 'has', 'have')} no class ({names}, ...)"
        )
        advice = "Left out: put each into the folder of its class."
        place = show(part.folder, found.root)
        found.problems.append(Issue("warning", "", place, problem, advice=advice))
    _add_files(
        found, part, [f for f in of_file if f not in masks], regions, of_file=of_file, split=split
    )


def _add_unlabelled(found: _Found, part: Part, *, split: str | None) -> None:
    """Gathers images without labels: a test part, or what is to be predicted."""
    files = _list(found, part.folder) if part.only is None else [part.only]
    paths = {file: show(file, part.folder) for file in files}
    if part.masks is None:
        regions, masks = regions_beside(paths, folder=str(part.folder))
    else:
        inside = {file: show(file, part.masks) for file in _list(found, part.masks)}
        regions, masks = regions_in(inside, paths), set()
    if not files:
        place = show(part.folder, found.root)
        found.problems.append(
            Issue("error", "", place, "holds no image file", advice="Put images there.")
        )
    _add_files(found, part, [f for f in files if f not in masks], regions, of_file={}, split=split)


def _add_files(found: _Found, part: Part, files, regions, of_file, split) -> None:
    """Records of some files of a part; `of_file` says the label of each that has one."""
    paths = {file: name_key(show(file, part.folder)) for file in files}
    twice, problems = name_doubles(paths, root=found.root, by_stem=False)
    found.problems += problems
    for file, identity in zip(files, unique_ids(list(paths.values())), strict=True):
        if file in twice:
            continue
        label, mask = of_file.get(file), regions.get(file)
        place = show(file, found.root)
        found.records.append(
            Record(
                identity, part.name, split, label is not None, group=None, place=place, label=label
            )
        )
        found.files.append((file, mask))
        found.region_places.append("" if mask is None else show(mask, found.root))


def _list(found: _Found, where: Path) -> list[Path]:
    listing = Listing()
    list_images(where, root=found.root, allow_outside_root=found.allow_outside_root, into=listing)
    found.listing.hidden += listing.hidden
    found.listing.others += listing.others
    found.listing.problems += listing.problems
    return listing.files


def _only_elsewhere(parts: Sequence[Part]) -> list[Issue]:
    """An error for each class of val or test that training does not have."""
    known = {name_key(folder.name) for folder in parts[0].classes or ()}
    return [
        Issue(
            "error",
            "",
            f"{part.folder.name}/{folder.name}",
            "is a class that is not among those of training",
            advice="Rename the folder, or add one of its name to training.",
        )
        for part in parts[1:]
        for folder in part.classes or ()
        if name_key(folder.name) not in known
    ]


def _layout(path: Path, parts: Sequence[Part], found: _Found) -> str:
    pieces = []
    for part in parts:
        count = sum(record.part == part.name for record in found.records)
        kind = "without labels"
        if part.classes is not None:
            kind = f"in {counted(len(part.classes), 'class folder')}"
        where = f" in {show(part.folder, path)}/" if part.folder != path and not part.only else ""
        pieces.append(f"{counted(count, 'image')} {kind}{where}")
    return f"{path.name or path}: " + "; ".join(pieces)
