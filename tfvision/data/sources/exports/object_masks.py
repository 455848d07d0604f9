"""The source `object_masks`: a folder an image, with a mask file an object.

    7f38/images/7f38.png
    7f38/masks/0a1b.png, 7f38/masks/22c4.png, ...

as in the Data Science Bowl 2018, at the root or in `train/`, `stage1_train/`, `stage1_test/`, ...
Where any object is, is the class `object`; objects that overlap join.
"""

from pathlib import Path, PurePosixPath

from tfvision.data.files.issue import BadSample
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.exports.mask_files import ObjectMasks
from tfvision.data.sources.exports.samples import (
    SPLIT_WORDS,
    Samples,
    counted,
    join,
    open_tree,
    part_of,
    settle_split,
)
from tfvision.data.sources.file_source import FileSource
from tfvision.errors import InputError

IMAGES, MASKS = "images", "masks"


def sees(tree: Tree) -> str | None:
    """What speaks for this layout; None: nothing does."""
    folders = _folders(tree)
    labelled = [folder for folder in folders if MASKS in tree.children(folder)]
    if not labelled:
        return None
    count = counted(len(folders), "folder")
    return f"{count} of one image with a mask file an object ({labelled[0]}/masks/)"


def _folders(tree: Tree) -> list[str]:
    """Folders with just `images/` of one image and perhaps `masks/`, the image not named there."""
    found = []
    for folder in tree.files:
        children = {*tree.children(folder)}
        name = PurePosixPath(folder).name.lower()
        if not folder or name in SPLIT_WORDS or not {IMAGES} <= children <= {IMAGES, MASKS}:
            continue
        images = tree.images(join(folder, IMAGES))
        masks = {*tree.images(join(folder, MASKS))} if MASKS in children else set()
        if len(images) == 1 and not masks & {*images}:
            found.append(folder)
    return found


@takes_reading(without=OF_MASKS)
def object_masks(
    path: str | Path,
    *,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images with the joined masks of their objects; see this module's head.

    Args:
        path: The folder that holds a folder an image, or one above it.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No such folders.
    """
    path, tree = open_tree(path)
    folders = _folders(tree)
    if not any(MASKS in tree.children(folder) for folder in folders):
        raise InputError(
            f"{path} holds no folder an image, with the image in {IMAGES}/ and the masks of its "
            f"objects in {MASKS}/."
        )
    samples = Samples(tree, allow_outside_root)
    parts = {folder: part_of(folder.rpartition("/")[0]) for folder in folders}
    given = {*parts.values()}
    objects = empty = 0
    for folder in folders:
        image = join(folder, IMAGES, tree.images(join(folder, IMAGES))[0])
        labelled = MASKS in tree.children(folder)
        if not labelled and parts[folder] != "test":
            problem = f"has no {MASKS}/ beside {IMAGES}/"
            advice = f"Add it, with a mask file an object, or an empty {MASKS}/ where none is."
            samples.problem(folder, image, problem, advice)
            continue
        masks = [join(folder, MASKS, name) for name in tree.images(join(folder, MASKS))] * labelled
        objects, empty = objects + len(masks), empty + (labelled and not masks)
        samples.add(
            PurePosixPath(folder).name,
            image,
            _reader(samples, folder, masks) if labelled else None,
            part=parts[folder],
            split=settle_split(parts[folder], given),
            mask_place=join(folder, MASKS),
        )
    _warn_of_others(samples, folders)
    nothing = f" ({counted(empty, 'image')} without any: all background)" if empty else ""
    return samples.source(
        name="object_masks",
        path=path,
        layout=f"a folder an image: {samples.counts()}, {counted(objects, 'mask file')} of one "
        f"object each{nothing}; 0 background, 1 object: objects that overlap or touch join",
        class_names=["background", "object"],
        white=white,
        reading=Reading(**reading),
        reads_also=[join(folders[0], MASKS)],
    )


def _reader(samples: Samples, folder: str, masks: list[str]) -> ObjectMasks:
    files = []
    for mask in masks:
        try:
            files.append(samples.path(mask))
        except BadSample as error:
            samples.problem(folder, error.place, error.problem, error.advice)
    return ObjectMasks(tuple(files), samples.tree.root)


def _warn_of_others(samples: Samples, folders: list[str]) -> None:
    """Warns of files that are not read: images elsewhere, other files beside the masks."""
    used = {join(folder, inner) for folder in folders for inner in (IMAGES, MASKS)}
    left = [
        join(folder, name)
        for folder, names in samples.tree.files.items()
        for name in names
        if (is_image(name) and folder not in used) or (folder in used and not is_image(name))
    ]
    samples.leave("")
    if left:
        problem = f"{counted(len(left), 'file')} beside the layout, not read (first: {left[0]})"
        advice = "Each image needs a folder of its own with images/ and masks/."
        samples.problem("", left[0], problem, advice, severity="warning")
