"""The source `voc_masks`: Pascal VOC's folders, as VOC itself, CVAT and others write them.

    JPEGImages/a.jpg
    SegmentationClass/a.png            colours, or numbers with a palette
    SegmentationObject/a.png           single objects: not read
    ImageSets/Segmentation/train.txt   names a line; val.txt, test.txt, trainval.txt, default.txt
    labelmap.txt                       name:red,green,blue:parts:actions

`labelmap.txt` says classes and colours: background first, then as it lists them. Without it
VOC's own palette counts. The border (224, 224, 192), number 255, is no label. Without `val.txt`
the split is made by this toolkit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tfvision.data.files.pixels import Colour
from tfvision.data.files.reading import Reading, takes_reading
from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.samples import (
    NO_BOXES,
    Samples,
    by_stem,
    counted,
    join,
    lines_of,
    listed,
    numbered,
    open_tree,
    settle_split,
    split_of,
    the_one,
)
from tfvision.data.sources.exports.voc_palette import VOC_CLASSES, read_labelmap, voc_colours
from tfvision.data.sources.file_source import FileSource
from tfvision.errors import InputError

IMAGES, BOXES, OBJECTS = "JPEGImages", "Annotations", "SegmentationObject"
MASKS = (
    *("SegmentationClass", "SegmentationClassRaw", "SegmentationClassAug"),
    "SegmentationClassPNG",
)
LISTS = {"train": "train", "val": "val", "test": "test", "trainval": "", "default": ""}
NAMES = ("classes.txt", "class_names.txt")
LOOKED_AT = 20  # masks, and files of boxes, whose classes are looked at


def sees(tree: Tree) -> str | None:
    """What speaks for masks in Pascal VOC's folders; None: nothing does."""
    homes = _homes(tree)
    if len(homes) > 1 and all(split_of(home.rpartition("/")[2]) for home in homes):
        return None  # one set, in parts: names alone pair it
    home = next(iter(homes), None)
    return None if home is None else f"Pascal VOC's {join(home, _mask_folder(tree, home))}/"


def _homes(tree: Tree) -> list[str]:
    """The folders that hold masks as VOC names them, and more of VOC than names of folders:
    where images and masks alone lie there, the masks are drawn in colours or with a palette."""

    def more(folder: str) -> bool:
        beside = {*tree.children(folder), *tree.files[folder]}
        if not beside.isdisjoint({"ImageSets", "labelmap.txt", OBJECTS, BOXES}):
            return True
        if IMAGES not in tree.children(folder) or any(
            map(split_of, tree.children(join(folder, IMAGES)))
        ):
            return False
        masks = join(folder, _mask_folder(tree, folder))
        return _coloured(tree.root / masks / tree.images(masks)[0])

    return [folder for folder in tree.files if _mask_folder(tree, folder) and more(folder)]


def _homes_of_boxes(tree: Tree) -> list[str]:
    return [
        folder
        for folder in tree.files
        if {IMAGES, BOXES} <= {*tree.children(folder)}
        and any(name.endswith(".xml") for name in tree.files[join(folder, BOXES)])
    ]


def _coloured(mask: Path) -> bool:
    """Whether a mask file stores colours; its head tells."""
    try:
        with Image.open(mask) as image:
            return image.mode not in ("1", "L", "I", "F") and not image.mode.startswith("I;16")
    except OSError:
        return False


def _mask_folder(tree: Tree, home: str) -> str:
    """The first of `MASKS` in a folder that holds image files; "" without one."""
    there = [name for name in MASKS if name in tree.children(home)]
    return next((name for name in there if tree.images(join(home, name))), "")


@takes_reading()
def voc_masks(
    path: str | Path,
    *,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images and masks in Pascal VOC's folders; see this module's head.

    Args:
        path: The folder that holds them, or one above it.
        white, allow_outside_root, **reading: As `folder` has them; `mask_palette` in place of
            what labelmap.txt or VOC says.

    Raises:
        InputError: No such folders, boxes alone, or a labelmap.txt that cannot be read.
    """
    path, tree = open_tree(path)
    homes = _homes(tree)
    if not homes and (boxed := _homes_of_boxes(tree)):
        where = tree.root / join(boxed[0], BOXES)
        raise InputError(f"{where} holds boxes, and no {MASKS[0]}/ lies beside it. {NO_BOXES}")
    if not homes:
        raise InputError(f"{path} holds no {MASKS[0]}/ with masks.")
    home = the_one(homes, "Pascal VOC data", path)
    folder = _mask_folder(tree, home)
    samples = Samples(tree, allow_outside_root)
    images, masks = by_stem(tree, join(home, IMAGES)), by_stem(tree, join(home, folder))
    if not images:
        raise InputError(
            f"{tree.root / home} holds {folder}/, but no image in {IMAGES}/. Put the images there, "
            "with the names of the masks, or export with images."
        )
    lists = _lists(samples, home)
    _add(samples, images, masks, lists, folder=folder)
    classes = _classes(tree, home, folder, [join(home, IMAGES, name) for name in images])
    _note_what_is_left(samples, home, folder)
    used = [join(home, name) for name in (*lists, classes.file) if name]
    made = "" if {"val"} & {*map(_part, lists)} else "; the split is made here"
    return samples.source(
        name="voc_masks",
        path=path,
        layout=f"Pascal VOC: {samples.counts()} in {join(home, IMAGES)}/ with masks in "
        f"{join(home, folder)}/ ({classes.said}); "
        f"{listed(list(lists)) or 'no lists in ImageSets/Segmentation/'}{made}",
        class_names=classes.names,
        white=white,
        reading=Reading(**{"mask_palette": classes.palette, **reading}),
        reads_also=used,
    )


def _part(name: str) -> str:
    return LISTS.get(PurePosixPath(name).stem, "")


def _lists(samples: Samples, home: str) -> dict[str, list[str]]:
    """Path of each list below `home` -> the names in it; {} without lists."""
    folder = "ImageSets/Segmentation"
    there = [n for n in samples.tree.files.get(join(home, folder), ()) if n.endswith(".txt")]
    known = [name for name in there if name[:-4] in LISTS]
    if {"train.txt", "val.txt"} & {*known} and "trainval.txt" in known:
        known.remove("trainval.txt")
    left = [name for name in there if name not in known and known]
    samples.spoken_of |= {join(home, folder, name) for name in left}
    if left:
        samples.notes.append(f"lists in {join(home, folder)}/ that are not read: {listed(left)}")
    return {
        f"{folder}/{name}": [
            line.strip('"')  # quotes stand about names that hold spaces
            for line in lines_of(samples.tree.root / join(home, folder, name), name)
        ]
        for name in known or there
    }


def _add(
    samples: Samples,
    images: Mapping[str, list[str]],
    masks: Mapping[str, list[str]],
    lists: Mapping[str, list[str]],
    *,
    folder: str,
) -> None:
    """Adds the listed samples, or all that have a mask where there are no lists."""
    given = {_part(name) for name in lists}
    seen: dict[str, str] = {}
    for name, ids in (lists or {folder: list(masks)}).items():
        part = _part(name)
        for identity in ids:
            if identity in seen:
                problem = f"is listed in {seen[identity]} and in {name}"
                samples.problem(identity, identity, problem, "Keep it in one of them.")
                continue
            seen[identity] = name
            image, mask = images.get(identity, []), masks.get(identity, [])
            if len(image) != 1 or len(mask) > 1 or (not mask and part != "test"):
                _not_usable(samples, identity, name, folder, image, mask)
                continue
            samples.add(
                identity,
                image[0],
                mask[0] if mask else None,
                part=part,
                split=settle_split(part, given),
            )
    left = [name for name in masks if name not in seen]
    if left:
        problem = f"{counted(len(left), 'mask')} in no list ({listed(left, limit=3)}): not used"
        advice = "Add the names to a list in ImageSets/Segmentation/ where they are meant."
        samples.problem("", folder, problem, advice, severity="warning")
    spare = [name for name in images if name not in masks and name not in seen]
    samples.spoken_of.update(
        place for name in left for place in (*images.get(name, ()), *masks[name])
    )
    samples.spoken_of.update(place for name in spare for place in images[name])
    if spare:
        samples.notes.append(f"{counted(len(spare), 'image')} without a mask: not used")


def _not_usable(
    samples: Samples, identity: str, name: str, folder: str, image: list[str], mask: list[str]
) -> None:
    if len(image) > 1 or len(mask) > 1:
        first, second = (image if len(image) > 1 else mask)[:2]
        problem, advice = f"stands for {first} and {second}", "Delete one of them."
    elif not image:
        problem = f"is listed in {name}, but {IMAGES}/ has no image {identity}.*"
        advice = "Add the image, or take the name out."
    else:
        problem = f"is listed in {name}, but {folder}/ has no mask {identity}.*"
        advice = "Add the mask, or take the name out."
    samples.problem(identity, identity, problem, advice)


@dataclass(frozen=True)
class _Classes:
    """Attributes:
    names: In class order; None: unknown.
    palette: Label of each colour, None where masks hold numbers.
    said: How masks are read, for the layout.
    file: What says so, below the folder of the data; "" VOC itself.
    """

    names: list[str] | None
    palette: dict[Colour, int] | None
    said: str
    file: str = ""


def _classes(tree: Tree, home: str, folder: str, images: list[str]) -> _Classes:
    masks = [tree.root / join(home, folder, name) for name in tree.images(join(home, folder))]
    numbers, colours = _values(masks[:LOOKED_AT])
    if "labelmap.txt" in tree.files[home]:
        labelmap = read_labelmap(tree.root / join(home, "labelmap.txt"), "labelmap.txt")
        known = numbered(labelmap.names)
        without = f", no label: {listed(labelmap.ignored)}" if labelmap.ignored else ""
        classes = {*range(len(labelmap.names))}
        if not colours <= {*labelmap.palette} and {0} < numbers - {255} <= classes:
            if not labelmap.in_order:
                raise InputError(
                    f"{masks[0]} holds class numbers, and labelmap.txt does not begin with the "
                    "background: it is unclear what the numbers mean. Order its lines so that "
                    "the first is number 0."
                )
            said = f"numbers as labelmap.txt lists them: {known}{without}"
            return _Classes(labelmap.names, None, said, "labelmap.txt")
        said = f"colours of labelmap.txt: {known}{without}"
        return _Classes(labelmap.names, labelmap.palette, said, "labelmap.txt")
    palette = None
    if not numbers:
        palette = {colour: label for label, colour in enumerate(voc_colours())}
    how = "class numbers" if palette is None else "colours of VOC's palette"
    for name in NAMES:
        if name in tree.files[home]:
            names = lines_of(tree.root / join(home, name), name)
            return _Classes(names, palette, f"{how}, {name}: {numbered(names)}", name)
    if _is_voc(tree, home, images):
        classes = list(VOC_CLASSES)
        return _Classes(classes, palette, f"{how}, VOC's classes: {numbered(classes)}")
    return _Classes(None, palette, f"{how}, no names: labelmap.txt or classes.txt would say them")


def _values(paths: Sequence[Path]) -> tuple[set[int], set[Colour]]:
    """The numbers (none where a file stores colours) and the colours that mask files hold."""
    numbers: set[int] = set()
    colours: set[Colour] = set()
    grey = True
    for path in paths:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
                grey &= image.mode in ("L", "P", "1")
                numbers |= {*np.unique(np.asarray(image)).tolist()} if grey else set()
        except OSError:  # the scan says what is wrong with it
            continue
        colours |= {*map(tuple, np.unique(pixels, axis=0).tolist())}
    return numbers if grey else set(), colours


def _is_voc(tree: Tree, home: str, images: list[str]) -> bool:
    """Whether the classes are VOC's own: by the names of its boxes, or of its images."""
    xml = [name for name in tree.files.get(join(home, BOXES), ()) if name.endswith(".xml")]
    found: set[str] = set()
    for name in xml[:LOOKED_AT]:
        text = (tree.root / join(home, BOXES, name)).read_text("utf-8", errors="replace")
        found.update(re.findall(r"<object>\s*<name>([^<]*)</name>", text))
    if found:
        return found <= {*VOC_CLASSES}
    return all(re.search(r"/20\d\d_\d{6}$", name) for name in images)


def _note_what_is_left(samples: Samples, home: str, folder: str) -> None:
    kinds = {OBJECTS: "single objects", BOXES: "boxes", **dict.fromkeys(MASKS, "masks")}
    counts = {name: samples.leave(join(home, name)) for name in kinds if name != folder}
    left = [
        f"{join(home, name)}/ ({kinds[name]}, {counted(number, 'file')})"
        for name, number in counts.items()
        if number
    ]
    if left:
        samples.notes.append(f"not read: {', '.join(left)}")
