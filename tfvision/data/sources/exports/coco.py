"""The source `coco_masks`: COCO JSON, its polygons and run lengths drawn to masks.

One file, or one a split, wherever they lie: `annotations.json` beside `images/`,
`annotations/instances_train2017.json` and `..._val2017.json`, `_annotations.coco.json` in
`train/`, `valid/` and `test/`. The split is what the file's name or folder says. Categories are
classes in the order of their ids, behind `background`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.exports.coco_file import (
    OUTLINE,
    CocoFile,
    CocoImage,
    ends_of,
    looks_like_coco,
    read_coco,
    shows_outlines,
)
from tfvision.data.sources.exports.drawing import beyond, coordinates
from tfvision.data.sources.exports.drawn_mask import DrawnMask, Rule, Shape
from tfvision.data.sources.exports.image_finder import ImageFinder
from tfvision.data.sources.exports.samples import (
    NO_BOXES,
    Samples,
    counted,
    join,
    listed,
    numbered,
    part_of,
    settle_split,
    split_of,
)
from tfvision.data.sources.file_source import FileSource, stem
from tfvision.errors import InputError

MANY = 50  # JSON files in one folder: a file an image, not a file a split


def sees(tree: Tree) -> str | None:
    """What speaks for outlines in COCO's format; None: nothing does."""
    files = list(coco_files(tree))
    outlined = any(shows_outlines(tree.root / file) for file in files)
    return f"COCO annotations in {listed(files, limit=3)}" if outlined else None


def coco_files(tree: Tree) -> dict[str, str]:
    """Path of each COCO file -> the split that its name or its folder says, or ""."""
    found = {}
    for folder, names in tree.files.items():
        texts = [name for name in names if name.lower().endswith(".json")]
        if len(texts) <= MANY and folder.count("/") < 3:
            paths = [join(folder, name) for name in texts]
            found.update({p: _split(p) for p in paths if looks_like_coco(tree.root / p)})
    whole = [p for p in found if ends_of(tree.root / p).lstrip("\ufeff \t\r\n").startswith("{")]
    found = {p: found[p] for p in whole} or found  # a list beside them is of predictions
    instances = {p: s for p, s in found.items() if PurePosixPath(p).name.startswith("instances")}
    return instances or found


@takes_reading(without=OF_MASKS)
def coco_masks(
    path: str | Path,
    *,
    annotations: str | Sequence[str] | None = None,
    image_folder: str | None = None,
    overlap: str = "last",
    undrawn: str = "background",
    holes: bool = False,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images with masks drawn from COCO annotations; see this module's head.

    Args:
        path: The folder, or the JSON file, whose folder it then is.
        annotations: The JSON files, paths below the folder; by default those found there.
        image_folder: The folder that `file_name` is relative to, below `path`; by default found.
        overlap, undrawn, holes: See `tfvision.data.sources.exports.drawn_mask.Rule`.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No annotations, two files for one split, boxes alone, or an entry that does
            not fit; names file, entry and key.
    """
    path, rule = Path(path), Rule(overlap, undrawn, holes)
    tree = list_tree(path.parent if path.is_file() else path)
    given = [path.name] if path.is_file() else annotations
    splits = choose_files(tree, given, "coco_masks")
    files = {name: read_coco(tree.root / name, name) for name in splits}
    found = _survey(files)
    names, groups = class_names(files.values())
    classes, labels = rule.classes(names)
    samples, given_splits = Samples(tree, allow_outside_root), {*splits.values()}
    for name, coco in files.items():
        split = splits[name]
        _add_file(
            samples,
            coco,
            finder_of(samples, coco, image_folder, split),
            rule,
            labels,
            part=split,
            split=settle_split(split, given_splits),
        )
    _note(samples, found, groups, rule, name=next(iter(files)))
    samples.note_unlisted()
    return samples.source(
        name="coco_masks",
        path=path,
        layout=f"COCO {listed(list(files), limit=3)}: {samples.counts()}, "
        f"{_objects(files, found, rule)} of {counted(len(classes), 'class')} "
        f"({numbered(classes)}); {rule}",
        class_names=classes,
        white=white,
        reading=Reading(**reading),
        reads_also=list(files),
    )


def class_names(files: Sequence[CocoFile]) -> tuple[list[str], list[str]]:
    """Names of the categories in order, and those that only group others: no annotation has them,
    and they are named as a supercategory, or have none where others have one."""
    files = list(files)
    used = {
        coco.categories[str(entry["category_id"])]
        for coco in files
        for entries in coco.annotations.values()
        for entry in entries
    }
    parents = {name for coco in files for name in (*coco.parents, *coco.tops)}
    names = list(dict.fromkeys(name for coco in files for name in coco.categories.values()))
    groups = [name for name in names if name in parents and name not in used]
    return [name for name in names if name not in groups], groups


def _split(path: str) -> str:
    return split_of(PurePosixPath(path).name) or part_of(path.rpartition("/")[0])


def choose_files(tree: Tree, given: Sequence[str] | str | None, source: str) -> dict[str, str]:
    """The files that are read -> the split of each, or "".

    Args:
        tree: What lies below the data set's folder.
        given: Those that are declared, or None.
        source: The name of the source, for messages.

    Raises:
        InputError: There is none, or two may be meant.
    """
    given = [given] if isinstance(given, str) else given
    files = coco_files(tree) if given is None else {name: _split(name) for name in given}
    if not files:
        raise InputError(
            f"{tree.root} holds no COCO annotations (a JSON with images, annotations)."
        )
    if len(files) == 1:  # alone, `crash_test.json` names no split
        files = {name: part_of(name.removesuffix(".json")) for name in files}
    of_split: dict[str, list[str]] = {}
    for name, split in files.items():
        of_split.setdefault(split, []).append(name)
    twice = next((names for names in of_split.values() if len(names) > 1), None)
    if twice is None and "" in of_split and len(of_split) > 1:
        twice = [*of_split.pop(""), *next(iter(of_split.values()))]
    if twice:
        raise InputError(
            f"{tree.root} holds {' and '.join(twice[:2])}: which one is meant? Write --set "
            f"data.source.name={source} --set 'data.source.annotations=[{twice[0]}]', with a "
            "file a split where there are several."
        )
    return files


@dataclass
class _Survey:
    """What the annotations of all files hold.

    Attributes:
        objects, outlined, crowds, several, rectangles, clipped: Numbers of annotations; `several`
            of those of more than one polygon.
        highest: The highest coordinate of a polygon.
        first_clipped: What messages call the first that reaches beyond its picture.
    """

    objects: int = 0
    outlined: int = 0
    crowds: int = 0
    several: int = 0
    rectangles: int = 0
    clipped: int = 0
    highest: float = 0.0
    first_clipped: str = ""


def _survey(files: Mapping[str, CocoFile]) -> _Survey:
    """Counts, and refuses boxes alone and coordinates that are shares.

    Raises:
        InputError: Says which of them.
    """
    found = _Survey()
    for coco in files.values():
        for image in coco.images:
            for entry in coco.annotations.get(image.id, ()):
                _count(found, entry, image, coco.name)
    name = next(iter(files))
    if found.objects and not found.outlined:
        raise InputError(f"{name}: none of {found.objects} annotations has an outline. {NO_BOXES}")
    if 0 < found.highest <= 1:
        raise InputError(
            f"{name}: no coordinate of any polygon is above 1. They look like shares of width and "
            "height; COCO has pixels. Multiply them, or export again."
        )
    return found


def _count(found: _Survey, entry: Mapping, image: CocoImage, name: str) -> None:
    points = coordinates(entry.get(OUTLINE))
    found.objects += 1
    found.outlined += bool(entry.get(OUTLINE))
    found.crowds += entry.get("iscrowd") == 1
    found.several += isinstance(entry.get(OUTLINE), list) and len(entry[OUTLINE]) > 1
    if len(points) == 0:
        return
    found.highest = max(found.highest, float(points.max()))
    corners = len(points) in (4, 5) and all(len({*side}) == 2 for side in points.T.tolist())
    found.rectangles += corners
    if image.size is not None and beyond(points, image.size) == "some":
        found.clipped += 1
        found.first_clipped = found.first_clipped or f"annotation {entry.get('id')} of {name}"


def finder_of(samples: Samples, coco: CocoFile, folder: str | None, split: str) -> ImageFinder:
    """What finds the images of a file; a note where folders of their names are left out."""
    names = [image.file_name for image in coco.images]
    finder = ImageFinder(samples.tree, names, folder, annotations=coco.name, split=split)
    if finder.dropped:
        samples.notes.append(
            f"{coco.name} names {names[0]!r}: read without its first "
            f"{counted(finder.dropped, 'folder')}: not there"
        )
    return finder


def _add_file(
    samples: Samples,
    coco: CocoFile,
    finder: ImageFinder,
    rule: Rule,
    labels: Mapping[str, int],
    *,
    part: str,
    split: str | None,
) -> None:
    """Adds the images that a file lists."""
    for image in coco.images:
        entries = coco.annotations.get(image.id, ())
        place = f"{coco.name}, image {image.id} ({image.file_name})"
        found = finder.find(image.file_name)
        if len(found) != 1:
            image_not_found(samples, place, found, len(entries))
            continue
        shapes = tuple(_shape(entry, coco, labels) for entry in entries)
        samples.add(
            stem(finder.short(image.file_name)),
            found[0],
            DrawnMask(shapes, image.size, rule),
            part=part,
            split=split,
            mask_place=place,
        )


def image_not_found(samples: Samples, place: str, found: Sequence[str], annotations: int) -> None:
    """Adds the problem of an image of which no file is found, or several."""
    if found:
        problem = f"may be {found[0]} or {found[1]}"
        advice = "Say the folder of the images: --set data.source.image_folder=FOLDER."
    else:
        problem = f"no such image, and {counted(annotations, 'annotation')} of it"
        advice = "Put the image there, or take the entry out of the annotations."
    samples.problem("", place, problem, advice)


def _shape(entry: Mapping, coco: CocoFile, labels: Mapping[str, int]) -> Shape:
    category = coco.categories[str(entry["category_id"])]
    what = f"annotation {entry.get('id', '?')} ({category})"
    return Shape(what, labels[category], "coco", entry.get(OUTLINE))


def _objects(files: Mapping[str, CocoFile], found: _Survey, rule: Rule) -> str:
    """`45 objects`, and how many images have none."""
    empty = sum(i.id not in coco.annotations for coco in files.values() for i in coco.images)
    text, nothing = counted(found.objects, "object"), rule.undrawn.replace("_", " ")
    return f"{text} ({counted(empty, 'image')} without any: all {nothing})" if empty else text


def _note(
    samples: Samples, found: _Survey, groups: Sequence[str], rule: Rule, *, name: str
) -> None:
    """Notes on other readings, and on what of the annotations is read in which way."""
    samples.notes.append(rule.others())
    if found.several:
        joined = "one within another is a hole" if rule.holes else "they join"
        samples.notes.append(
            f"{counted(found.several, 'object')} of several polygons: {joined} (--set "
            f"data.source.holes={str(not rule.holes).lower()} for the other reading)"
        )
    if found.crowds:
        samples.notes.append(f"drawn as their class: {counted(found.crowds, 'crowd')}")
    if found.clipped:
        samples.notes.append(
            f"{counted(found.clipped, 'object')} with coordinates beyond the picture, clipped "
            f"(first: {found.first_clipped})"
        )
    if groups:
        samples.notes.append(f"no classes, as they only group others: {listed(groups)}")
    if found.objects and found.rectangles == found.objects:
        problem = (
            f"every outline is a rectangle along the axes ({counted(found.objects, 'object')})"
        )
        advice = "Check that outlines were drawn: a model of masks would learn boxes."
        samples.problem("", name, problem, advice, severity="warning")
