"""The source `cityscapes`: Cityscapes' folders, `leftImg8bit/` and `gtFine/` (or `gtCoarse/`).

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png, or ..._labelIds.png

The numbers of training, 19 classes and 255 for no label, are read: from `labelTrainIds` where
these lie there, else from `labelIds`, whose 34 numbers are mapped to them as Cityscapes does.
`classes: ids` reads the 34 numbers themselves. A city is a group: it stays in one split.
https://github.com/mcordts/cityscapesScripts (helpers/labels.py)
"""

from pathlib import Path, PurePosixPath

import numpy as np

from tfvision.data.files.images import read_mask
from tfvision.data.files.issue import BadSample
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.exports.drawn_mask import NO_LABEL
from tfvision.data.sources.exports.mask_files import MappedMask
from tfvision.data.sources.exports.samples import (
    Samples,
    counted,
    join,
    listed,
    numbered,
    open_tree,
    part_of,
    settle_split,
    the_one,
)
from tfvision.data.sources.file_source import FileSource, stem
from tfvision.errors import InputError

IMAGES, IMAGE_END = "leftImg8bit", "_leftImg8bit"
TRUTHS = ("gtFine", "gtCoarse")
NAMES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic"),
    *("ground", "road", "sidewalk", "parking", "rail track", "building", "wall", "fence"),
    *("guard rail", "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan"),
    *("trailer", "train", "motorcycle", "bicycle"),
)
TRAINED = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
TRAIN_NAMES = tuple(NAMES[number] for number in TRAINED)
LICENSE_PLATE = (-1, NO_LABEL)  # how the number -1 ends in a file of bytes
CLASSES = {
    "train": "the 19 classes of training, all else no label",
    "ids": "the 34 numbers of labelIds",
}


def sees(tree: Tree) -> str | None:
    """What speaks for this layout; None: nothing does.

    Masks called `labelIds` whose numbers all lie below Cityscapes' first class are somebody's own.
    """
    homes = _homes(tree)
    if not homes:
        return None
    truth = join(homes[0], _truth(tree, homes[0]))
    masks = _masks(tree, truth)
    ids = sorted(masks.get("labelIds", {}).values(), key=lambda place: "/test/" in place)
    if not masks.get("labelTrainIds") and not (ids and _highest(tree.root / ids[0]) >= TRAINED[0]):
        return None
    return f"Cityscapes' {join(homes[0], IMAGES)}/ and {truth}/"


def _highest(mask: Path) -> int:
    """The highest value of a mask file that is no mark for no label."""
    try:
        values = read_mask(mask).pixels
    except BadSample:  # the scan says what is wrong with it
        return TRAINED[0]
    return int(values[values != NO_LABEL].max(initial=0))


def _homes(tree: Tree) -> list[str]:
    return [folder for folder in tree.files if _truth(tree, folder)]


def _truth(tree: Tree, folder: str) -> str:
    """gtFine or gtCoarse beside leftImg8bit; "" without them."""
    children = tree.children(folder)
    return next((name for name in TRUTHS if name in children and IMAGES in children), "")


@takes_reading(without=OF_MASKS)
def cityscapes(
    path: str | Path,
    *,
    classes: str = "train",
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Samples of Cityscapes' folders; see this module's head.

    Args:
        path: The folder that holds leftImg8bit/, or one above it.
        classes: "train": the 19 classes of training; "ids": all 34 numbers.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No such folders, no masks in them that are read, unknown `classes`.
    """
    if classes not in CLASSES:
        raise InputError(f"classes must be one of {', '.join(CLASSES)}; got {classes!r}.")
    path, tree = open_tree(path)
    homes = _homes(tree)
    if not homes:
        raise InputError(f"{path} holds no {IMAGES}/ beside {' or '.join(TRUTHS)}/.")
    home = the_one(homes, "Cityscapes' folders", path)
    truth = join(home, _truth(tree, home))
    masks = _masks(tree, truth)
    kind = _kind_to_read(masks, classes, tree.root / truth)
    samples = Samples(tree, allow_outside_root)
    read = masks.pop(kind)
    samples.leave(truth)
    left = [f"{counted(len(files), 'file')} {ending}" for ending, files in sorted(masks.items())]
    if left:
        samples.notes.append(f"not read of {truth}/: {', '.join(left)}")
    _add(samples, join(home, IMAGES), read, kind, classes)
    names = list(TRAIN_NAMES if classes == "train" else NAMES)
    groups = len({record.group for record in samples.records})
    return samples.source(
        name="cityscapes",
        path=path,
        layout=f"Cityscapes: {samples.counts()} in {join(home, IMAGES)}/ with masks {kind} in "
        f"{truth}/; {CLASSES[classes]} ({numbered(names)}); {groups} cities as groups",
        class_names=names,
        white=white,
        reading=Reading(**reading),
        reads_also=[truth],
    )


def _masks(tree: Tree, truth: str) -> dict[str, dict[str, str]]:
    """Ending, such as `labelIds` -> `train/aachen/aachen_000000_000019` -> path."""
    found: dict[str, dict[str, str]] = {}
    ending = f"_{PurePosixPath(truth).name}_"
    for path in tree.below(truth):
        start, mark, end = path.rpartition(ending)
        if mark:
            kind = stem(end) if is_image(end) else end
            found.setdefault(kind, {})[start] = join(truth, path)
    return found


def _kind_to_read(masks: dict[str, dict[str, str]], classes: str, where: Path) -> str:
    wanted = ("labelTrainIds", "labelIds") if classes == "train" else ("labelIds",)
    kind = next((kind for kind in wanted if masks.get(kind)), None)
    if kind is None:
        raise InputError(
            f"{where} holds no masks of the kind {' or '.join(wanted)}; found "
            f"{listed(sorted(masks)) or 'none'}. Make them with Cityscapes' own "
            "createTrainIdLabelImgs.py, or restore them."
        )
    return kind


def _values(kind: str, classes: str) -> dict[int, int]:
    """Value in the file -> label."""
    if classes == "ids":
        return {**{i: i for i in range(len(NAMES))}, **dict.fromkeys(LICENSE_PLATE, NO_LABEL)}
    if kind == "labelTrainIds":
        return {**{i: i for i in range(len(TRAINED))}, **dict.fromkeys(LICENSE_PLATE, NO_LABEL)}
    every = (*range(len(NAMES)), *LICENSE_PLATE)
    return {value: TRAINED.index(value) if value in TRAINED else NO_LABEL for value in every}


def _add(samples: Samples, folder: str, masks: dict[str, str], kind: str, classes: str) -> None:
    """Adds images with their masks; a test part whose masks hold no class has none."""
    tree, values = samples.tree, _values(kind, classes)
    names = {stem(path).removesuffix(IMAGE_END): join(folder, path) for path in tree.images(folder)}
    parts = {name: part_of(name.partition("/")[0]) for name in names}
    of_test = [masks[name] for name in names if parts[name] == "test" and name in masks]
    empty = bool(of_test) and _without_classes(samples, of_test[0], kind)
    given = {*parts.values()}
    cities = {name: _city(name) for name in names}
    to_split = {cities[name] for name in names if parts[name] != "test"}
    for name, image in names.items():
        part, mask = parts[name], masks.pop(name, None)
        if mask is None and part != "test":
            problem = f"has no mask: no file {name}_*.png of this kind"
            samples.problem(name, image, problem, "Add it, or take the image out.")
            continue
        reader = None
        if mask is not None and not (part == "test" and empty):
            try:
                reader = MappedMask(samples.path(mask), values)
            except BadSample as error:
                samples.problem(name, error.place, error.problem, error.advice)
                continue
        samples.add(
            name.partition("/")[2] if part else name,
            image,
            reader,
            part=part,
            split=settle_split(part, given),
            group=cities[name] if len(to_split) > 1 else None,
            mask_place=mask or "",
        )
    if empty:
        samples.notes.append("the masks of test/ hold no class, as Cityscapes gives them: left out")
    for mask in masks.values():
        samples.mask_without_image(mask)


def _without_classes(samples: Samples, place: str, kind: str) -> bool:
    """Whether a mask of the test part holds no class at all: Cityscapes keeps these back."""
    try:
        found = np.unique(read_mask(samples.path(place), place=place).pixels).tolist()
    except BadSample:  # the scan says what is wrong with it
        return False
    return all(_values(kind, "train").get(value) == NO_LABEL for value in found)


def _city(name: str) -> str:
    """`train/aachen/aachen_000000_000019` -> `aachen`; by the file's name without a folder."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 2 else parts[-1].partition("_")[0]
