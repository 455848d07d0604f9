"""The source `coco_boxes`: the boxes of COCO JSON, in the layouts that `coco_masks` reads.

A box is `bbox`, `x y width height` in pixels; where an annotation has none, the hull of its
polygons. Categories are classes in the order of their ids, without those that only group others.
Crowds are regions to ignore, outlines are not read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.boxes.annotations import (
    Annotations,
    check_found,
    open_samples,
    settle_parts,
)
from tfvision.data.sources.boxes.box_files import BoxFiles, box_source
from tfvision.data.sources.boxes.written import (
    UPRIGHT,
    WrittenBox,
    WrittenImage,
    takes_box_options,
)
from tfvision.data.sources.exports import coco as masks
from tfvision.data.sources.exports.coco_file import OUTLINE, CocoFile, read_coco
from tfvision.data.sources.exports.drawing import coordinates
from tfvision.data.sources.exports.samples import Samples, counted, listed
from tfvision.data.sources.ids import CocoIds, as_id


def sees(tree: Tree) -> str | None:
    """What speaks for boxes alone in COCO's format; None: nothing does."""
    return None if masks.sees(tree) else sees_any(tree)


def sees_any(tree: Tree) -> str | None:
    """What speaks for COCO's format, boxes alone or with outlines; None: nothing does."""
    files = list(masks.coco_files(tree))
    return f"COCO boxes in {listed(files, limit=3)}" if files else None


@takes_box_options
def coco_boxes(
    path: str | Path,
    *,
    annotations: str | Sequence[str] | None = None,
    image_folder: str | None = None,
    **options: Any,
) -> BoxFiles:
    """Images with the boxes of COCO annotations; see this module's head.

    Args:
        path, annotations, image_folder: As `coco_masks` has them.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No annotations, two files for one split, annotations of other images, an
            entry that does not fit, or boxes that cannot be sizes; names file, entry and key.
    """
    path = Path(path)
    tree = list_tree(path.parent if path.is_file() else path)
    splits = masks.choose_files(tree, path.name if path.is_file() else annotations, "coco_boxes")
    files = {name: read_coco(tree.root / name, name) for name in splits}
    names, groups = masks.class_names(list(files.values()))
    samples = open_samples(tree, options)
    images = [
        image
        for name, coco in files.items()
        for image in _images(samples, coco, image_folder, splits[name])
    ]
    check_found(
        len(images),
        [image.file_name for coco in files.values() for image in coco.images],
        tree,
        listed([*files], limit=3),
        ", or type --set data.source.image_folder=FOLDER where names are relative to that",
    )
    settle_parts(images)
    _note(samples, files, groups)
    source = box_source(
        Annotations(
            tree,
            path,
            "coco_boxes",
            heading=f"COCO {listed(list(files), limit=3)}",
            files=list(files),
            images=images,
            known="sizes",
            classes=names,
            samples=samples,
        ),
        options,
    )
    source.coco_ids = _ids(images, list(files.values()), names)
    return source


def _ids(
    images: Sequence[WrittenImage], files: Sequence[CocoFile], names: Sequence[str]
) -> CocoIds:
    """The ids of classes by their names, and of images, each of whose `place` names its own; those
    that no file lists have none."""
    of_name = {name: as_id(i) for coco in files for i, name in coco.categories.items()}
    of_place = {
        f"{coco.name}, image {one.id} ({one.file_name})": as_id(one.id)
        for coco in files
        for one in coco.images
    }
    of_image = {one.image: of_place[one.place] for one in images if one.place in of_place}
    return CocoIds(of_image, [of_name[name] for name in names])


def _images(samples: Samples, coco: CocoFile, folder: str | None, split: str) -> list[WrittenImage]:
    """The images of a file that are found."""
    finder = masks.finder_of(samples, coco, folder, split)
    found, missing = [], []
    for image in coco.images:
        entries = coco.annotations.get(image.id, ())
        place = f"{coco.name}, image {image.id} ({image.file_name})"
        files = finder.find(image.file_name)
        if len(files) != 1:
            missing.append((place, files, len(entries)))
            continue
        boxes = [b for e in entries if (b := _box(samples, coco, e, place)) is not None]
        found.append(WrittenImage(files[0], place, boxes, image.size, split))
    for place, files, count in missing if found else ():
        masks.image_not_found(samples, place, files, count)
    return found


def _box(samples: Samples, coco: CocoFile, entry: Mapping, place: str) -> WrittenBox | None:
    """The box of an annotation; None with a problem added where it has none."""
    where = f"annotation {entry.get('id', '?')} of {coco.name}"
    label = coco.categories[str(entry["category_id"])]
    given = entry.get("bbox")
    sides = as_sides(given)
    points = coordinates(entry.get(OUTLINE))
    if not given and len(points):
        (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        sides = (x1, y1, x2 - x1, y2 - y1)
    if sides is None:
        problem = f"its bbox is {str(given)[:60]}, not four numbers"
        turned = isinstance(given, Sequence) and len(given) in (5, 8)
        advice = f"{UPRIGHT}." if turned else "Correct it, x y width height, or delete it."
        samples.problem("", where, problem, advice)
        return None
    return WrittenBox(where, sides, label, crowd=entry.get("iscrowd") in (1, "1"))


def as_sides(given: Any) -> tuple[float, float, float, float] | None:
    """Four finite numbers, also as text; None where they are none."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 4:
        return None
    try:
        sides = tuple(float(side) for side in given if not isinstance(side, bool))
    except (TypeError, ValueError):
        return None
    finite = len(sides) == 4 and all(abs(side) < 1e9 for side in sides)
    return sides if finite else None


def _note(samples: Samples, files: Mapping[str, CocoFile], groups: Sequence[str]) -> None:
    every = [e for coco in files.values() for of in coco.annotations.values() for e in of]
    outlined = sum(bool(entry.get(OUTLINE)) for entry in every)
    hulls = sum(not entry.get("bbox") and bool(entry.get(OUTLINE)) for entry in every)
    if outlined - hulls:
        count = counted(outlined - hulls, "annotation")
        samples.notes.append(f"outlines of {count} (polygons, run lengths) are not read: boxes are")
    if hulls:
        samples.notes.append(f"{counted(hulls, 'annotation')} without a bbox: the hull of polygons")
    if any(entry.get("id") == 0 for entry in every):
        samples.notes.append(
            "annotations are numbered anew from 1: COCO's tools take one of id 0 for unmatched"
        )
    if groups:
        samples.notes.append(f"no classes, as they only group others: {listed(groups)}")
