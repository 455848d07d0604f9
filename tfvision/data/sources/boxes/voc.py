"""The source `voc_boxes`: Pascal VOC's XML, a file an image, wherever the files lie.

`a.xml` is of `a.jpg`, whatever `filename` says; sides are read by their tags, and boxes of parts
are not read. Lists in `ImageSets/Main/` are the splits, else the folders `train/`, `val/`,
`test/`. Labels are classes in the order of the alphabet, or as `classes.txt` lists them.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.csv_table import to_number
from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.tree import Tree
from tfvision.data.sources.boxes.annotations import (
    Annotations,
    check_found,
    open_samples,
    settle_classes,
    settle_parts,
)
from tfvision.data.sources.boxes.box_files import BoxFiles, box_source
from tfvision.data.sources.boxes.written import UPRIGHT, WrittenBox, WrittenImage, takes_box_options
from tfvision.data.sources.exports.coco_file import ends_of
from tfvision.data.sources.exports.image_beside import ImageBeside
from tfvision.data.sources.exports.samples import Samples, counted, join, lines_of, open_tree
from tfvision.errors import InputError

SIDES = ("xmin", "ymin", "xmax", "ymax")
LISTS = "ImageSets/Main"


def sees(tree: Tree) -> str | None:
    """What speaks for Pascal VOC's XML without masks beside it; None: nothing does."""
    masks = any(name.startswith("SegmentationClass") for f in tree.files for name in f.split("/"))
    return None if masks else sees_any(tree)


def sees_any(tree: Tree) -> str | None:
    """What speaks for Pascal VOC's XML; None: nothing does."""
    for folder, names in tree.files.items():
        files = [name for name in names if name.lower().endswith(".xml")]
        if any(_looks_like_voc(tree.root / join(folder, name)) for name in files[:3]):
            return f"Pascal VOC boxes in {folder or '.'}/"
    return None


def _looks_like_voc(path: Path) -> bool:
    return re.search(r"<annotation[\s/>]", ends_of(path)) is not None


@takes_box_options
def voc_boxes(path: str | Path, **options: Any) -> BoxFiles:
    """Images with the boxes of Pascal VOC's XML; see this module's head.

    Args:
        path: The folder.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No such file, one that is no XML, or annotations of other images.
    """
    path, tree = open_tree(path)
    samples, beside = open_samples(tree, options), ImageBeside(tree)
    paths = (join(folder, name) for folder, names in tree.files.items() for name in names)
    read = {p: _read(tree, p) for p in paths if p.lower().endswith(".xml")}
    files = {p: root for p, root in read.items() if root is not None}
    if not files:
        raise InputError(f"{path} holds no XML of Pascal VOC: <annotation> with <object>.")
    found = {p: beside.find(p, root.findtext("filename") or "") for p, root in files.items()}
    images = {
        p: _image(samples, p, files[p], places[0])
        for p, places in found.items()
        if len(places) == 1
    }
    check_found(len(images), [*files], tree, f"{next(iter(files))}, ...")
    for p, places in found.items():
        if len(places) != 1:
            _not_found(samples, p, files[p], places)
    _set_parts(tree, images)
    settle_parts([*images.values()])
    other = _of_another_image(files, images)
    _note(samples, files, images, other)
    names, labels = settle_classes(samples, [*images.values()], tree)
    folders = sorted({p.rpartition("/")[0] for p in files})
    where = f"{folders[0] or '.'}/" if len(folders) == 1 else counted(len(folders), "folder")
    return box_source(
        Annotations(
            tree,
            path,
            "voc_boxes",
            heading=f"Pascal VOC {counted(len(files), 'file')} in {where}",
            files=[*files, *_lists(tree)],
            images=[*images.values()],
            known="corners",
            said_by="by tag",
            others=("sizes", "centres"),
            classes=labels,
            class_names=names,
            samples=samples,
        ),
        options,
    )


def _read(tree: Tree, name: str) -> ElementTree.Element | None:
    """The root of a file; None where it is not Pascal VOC's.

    Raises:
        InputError: It cannot be read, or is no XML; names the line.
    """
    try:
        data = read_bytes(tree.root / name, place=name)
        if b"<!ENTITY" in data:
            raise InputError(f"{name} declares entities, which are not read. Export it again.")
        root = ElementTree.fromstring(data)
    except BadSample as error:
        raise InputError(str(error)) from error
    except ElementTree.ParseError as error:
        raise InputError(f"{name} is no whole XML: {error}. Export it again.") from error
    return root if root.tag == "annotation" else None


def _image(samples: Samples, file: str, root: ElementTree.Element, image: str) -> WrittenImage:
    sides = [to_number(root.findtext(f"size/{tag}") or "") for tag in ("height", "width")]
    height, width = (round(side or 0) for side in sides)
    size = (height, width) if min(height, width) > 0 else None
    boxes = []
    for number, entry in enumerate(root.findall("object"), 1):
        place = f"object {number} of {file}"
        label, box = (entry.findtext("name") or "").strip(), entry.find("bndbox")
        texts = [] if box is None else [(box.findtext(tag) or "").strip() for tag in SIDES]
        given = [to_number(text) for text in texts]
        if not label or len(given) != 4 or None in given:
            problem = "has no name" if not label else f"has no <bndbox> with {', '.join(SIDES)}"
            advice = "Correct it, or delete the object."
            if label and entry.find("robndbox") is not None:
                problem, advice = f"{problem}, but a turned box (<robndbox>)", f"{UPRIGHT}."
            samples.problem("", place, problem, advice)
            continue
        boxes.append(WrittenBox(place, tuple(side for side in given if side is not None), label))
    return WrittenImage(image, file, boxes, size)


def _not_found(samples: Samples, file: str, root: ElementTree.Element, places: list[str]) -> None:
    if places:
        problem = f"its image may be {places[0]} or {places[1]}"
        advice = "Rename one of them."
    else:
        inner = root.findtext("filename") or "none"
        boxes = counted(len(root.findall("object")), "object")
        problem = f"no image of its name and none of its filename ({inner}) for {boxes}"
        advice = "Put the image there, or delete the file."
    samples.problem("", file, problem, advice)


def _lists(tree: Tree) -> dict[str, tuple[str, str]]:
    """Path of each list of images -> the folder that it is for, and its split."""
    return {
        join(folder, f"{split}.txt"): (folder[: -len(LISTS)].rstrip("/"), split)
        for folder in tree.files
        if f"/{folder}".endswith(f"/{LISTS}")
        for split in ("train", "val", "test")
        if f"{split}.txt" in tree.files[folder]
    }


def _set_parts(tree: Tree, images: Mapping[str, WrittenImage]) -> None:
    """The parts that lists say, each of the annotations below its own folder.

    Raises:
        InputError: Two lists name one image.
    """
    named: dict[tuple[str, str], str] = {}
    for file, (folder, _) in _lists(tree).items():
        for line in lines_of(tree.root / file, file):
            name = PurePosixPath(line.split()[0]).stem
            other = named.setdefault((folder, name), file)
            if other != file:
                raise InputError(
                    f"{other} and {file} both name {name}. Take it out of one of them: the score "
                    "would not be honest."
                )
    lists = _lists(tree)
    for p, image in images.items():
        above = [*map(str, PurePosixPath(p).parents)]
        places = [(folder if folder != "." else "", PurePosixPath(p).stem) for folder in above]
        file = next((named[place] for place in places if place in named), "")
        image.part = lists[file][1] if file else ""


def _of_another_image(
    files: Mapping[str, ElementTree.Element], images: Mapping[str, WrittenImage]
) -> list[str]:
    """The files that name another image inside.

    Raises:
        InputError: Each of them names one that is there, and no two the same.
    """
    named = {p: PurePosixPath(files[p].findtext("filename") or "").name for p in images}
    own = {p: PurePosixPath(image.image).name for p, image in images.items()}
    other = [p for p in images if named[p] not in ("", own[p])]
    inner = [named[p] for p in other]
    if len(other) > 1 and {*inner} <= {*own.values()} and len({*inner}) == len(inner):
        raise InputError(
            f"{counted(len(other), 'file')} of XML name another image inside than by their own "
            f"names, and both are there (the first {named[other[0]]} in {other[0]}). Name the "
            "files as their images, or delete <filename> where it is wrong."
        )
    return other


def _note(
    samples: Samples,
    files: Mapping[str, ElementTree.Element],
    images: Mapping[str, WrittenImage],
    other: Sequence[str],
) -> None:
    every = [entry for root in files.values() for entry in root.findall("object")]
    hard = sum((entry.findtext("difficult") or "").strip() == "1" for entry in every)
    parts = sum(entry.find("part") is not None for entry in every)
    if other:
        inner = files[other[0]].findtext("filename")
        samples.notes.append(
            f"{counted(len(other), 'file')} of XML name another image inside (the first {inner} in "
            f"{other[0]}): the name of the file counts"
        )
    if hard:
        samples.notes.append(f"{counted(hard, 'object')} marked difficult: read like the others")
    if parts:
        samples.notes.append(f"boxes of parts of {counted(parts, 'object')} are not read")
