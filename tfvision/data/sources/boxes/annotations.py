"""What a reader of boxes found, and which images it is of: those that are named, and the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.boxes.written import (
    COORDINATES,
    BoxOptions,
    WrittenImage,
    split_options,
)
from tfvision.data.sources.class_files import settle_labels
from tfvision.data.sources.exports.image_finder import IMAGE_FOLDERS
from tfvision.data.sources.exports.samples import (
    Samples,
    counted,
    join,
    listed,
    part_of,
    settle_split,
    short_ids,
)
from tfvision.data.sources.folders.mask_folder import read_class_names
from tfvision.errors import InputError


@dataclass
class Annotations:
    """What a reader found.

    Attributes:
        tree: The names below the data set's folder.
        path: What was given.
        name: The builder's name.
        heading: What was recognised: "CSV annotations.csv".
        files: Annotation files that were read, below the folder.
        images: With their boxes.
        known: What the format says of the four numbers, or None.
        said_by: What says it, for the layout: "by column names"; "" for the format itself.
        others: What they may be instead.
        classes: The labels in class order.
        class_names: Their names, where these are not the labels.
        unlisted: What images that no annotation names are, where the user does not say.
        samples: Gathers problems and notes.
    """

    tree: Tree
    path: Path
    name: str
    heading: str
    files: list[str]
    images: list[WrittenImage]
    known: str | None
    classes: list[str]
    samples: Samples
    said_by: str = ""
    others: Sequence[str] = tuple(COORDINATES)
    class_names: list[str] | None = None
    unlisted: str = "left_out"


def open_samples(tree: Tree, options: Mapping[str, Any]) -> Samples:
    """Where the samples of a reader are gathered."""
    return Samples(tree, split_options(dict(options))[0].allow_outside_root)


def add_unlisted(found: Annotations, how: BoxOptions) -> list[str]:
    """Adds images that no annotation names where they are negatives; returns those left."""
    used = {image.image for image in found.images}
    spoken = found.samples.spoken_of
    folders = {image.image.rpartition("/")[0] for image in found.images}
    like = {image.image.rpartition("/")[0]: image for image in reversed(found.images)}
    left = [path for path in found.tree.images("") if path not in used and path not in spoken]
    beside = [path for path in left if path.rpartition("/")[0] in folders]
    choice = how.unlisted or found.unlisted
    if not beside:
        return left
    if choice == "negatives" and how.unlisted is None and len(beside) > len(used):
        raise InputError(
            f"{listed(found.files, limit=2)}: {counted(len(beside), 'image')} beside the annotated "
            f"ones, {beside[0]}, ..., have no annotation, more than have one ({len(used)}). Where "
            "there is nothing to see on them type --set data.source.unlisted=negatives; where they "
            "were not annotated, --set data.source.unlisted=left_out."
        )
    count = counted(len(beside), "image")
    if choice == "negatives":
        for path in beside:
            sibling = like[path.rpartition("/")[0]]
            found.images.append(WrittenImage(path, path, part=sibling.part, split=sibling.split))
        found.samples.notes.append(
            f"{count} that no annotation names count as images without any box (first: "
            f"{beside[0]}); --set data.source.unlisted=left_out leaves them out"
        )
        return [path for path in left if path not in {*beside}]
    problem = f"{count} beside the annotated ones, {beside[0]}, ..., have no annotation: left out"
    advice = "Where there is nothing to see on them type --set data.source.unlisted=negatives."
    found.samples.problem("", beside[0], problem, advice, severity="warning")
    spoken.update(beside)
    return [path for path in left if path not in {*beside}]


def add_test(found: Annotations, left: Sequence[str]) -> None:
    """Adds images of a test folder without annotations; warns of those of other folders."""
    samples = found.samples
    test = {path: "test" for path in left if part_of(path.rpartition("/")[0]) == "test"}
    if not any(image.part == "test" for image in found.images):
        for path, identity in short_ids(test, IMAGE_FOLDERS).items():
            samples.add(identity, path, None, part="test", split="test")
    rest = [path for path in left if path not in samples.spoken_of]
    samples.spoken_of.update(rest)
    if rest:
        problem = f"{counted(len(rest), 'image')} in folders without any annotation: not used"
        advice = "Add annotations where they are meant, or move the images away."
        samples.problem("", rest[0], problem, advice, severity="warning")


def settle_parts(images: Sequence[WrittenImage]) -> None:
    """Gives images the part that their folder says where nothing else does, and splits."""
    for image in images:
        image.part = image.part or part_of(image.image.rpartition("/")[0])
    given = {image.part for image in images}
    for image in images:
        image.split = image.split or settle_split(image.part, given)


def check_found(found: int, names: Sequence[str], tree: Tree, where: str, option: str = "") -> None:
    """Raises an `InputError` where none of the images that annotations name is there."""
    if found or not names:
        return
    there = [join(f, n) for f, files in tree.files.items() for n in files if is_image(n)]
    raise InputError(
        f"{where} names {counted(len(names), 'image')} ({listed(list(names), limit=3)}), and none "
        f"of them is below {tree.root}, which holds {counted(len(there), 'image')} "
        f"({listed(there, limit=3) or 'none'}). Are these the annotations of other images? Give "
        f"the folder of both{option}."
    )


def settle_classes(
    samples: Samples, images: Sequence[WrittenImage], tree: Tree, place: str = ""
) -> tuple[list[str], list[str]]:
    """Names of the classes and their labels, in class order, as `settle_labels` has them."""
    labels = {box.label for image in images for box in image.boxes}
    samples.spoken_of.add("classes.txt")
    settled = settle_labels(labels, read_class_names(tree.root), place=place or "the annotations")
    alone = "nothing to tell apart"  # one class is enough where there are boxes
    samples.problems += [issue for issue in settled.problems if alone not in issue.problem]
    return settled.names, settled.labels
