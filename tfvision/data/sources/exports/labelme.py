"""The source `labelme`: a LabelMe JSON an image, its shapes drawn to masks.

`a.json` beside `a.jpg`, or in a folder of its own; in one folder or in `train/`, `val/`, `test/`.
Polygons, rectangles, circles and masks are drawn as LabelMe draws them; `imageData` is not read.
Labels are classes in the order of the alphabet behind `background`, or as `labels.txt` lists
them; `_background_` is class 0, `__ignore__` no label.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.coco_file import ends_of, read_json_file
from tfvision.data.sources.exports.drawing import beyond, coordinates
from tfvision.data.sources.exports.drawn_mask import NO_LABEL, DrawnMask, Rule, Shape
from tfvision.data.sources.exports.samples import (
    Samples,
    counted,
    join,
    lines_of,
    listed,
    numbered,
    open_tree,
    part_of,
    settle_split,
    short_ids,
)
from tfvision.data.sources.file_source import FileSource, stem
from tfvision.errors import InputError

IGNORE = "__ignore__"
KINDS = {
    "polygon": "polygon",
    "rectangle": "rectangle",
    "circle": "circle",
    "mask": "pixels",
    "oriented_rectangle": "polygon",
}
WITHOUT_AREA = ("point", "points", "line", "linestrip")
LABEL_FILES = ("labels.txt", "classes.txt")


@dataclass(frozen=True)
class LabelMeFile:
    """Attributes:
    path: Below the data set's folder.
    image: Name of its image, as `imagePath` says.
    size: (H, W) of the image, None where it is not said.
    shapes: (what messages call it, label, kind, content) each.
    without_area: Points and lines that are not drawn, by kind.
    """

    path: str
    image: str
    size: tuple[int, int] | None
    shapes: list[tuple[str, str, str, Any]]
    without_area: list[str]


def sees(tree: Tree) -> str | None:
    """What speaks for this layout with outlines; None: nothing does."""
    return _seen(tree, rectangles=False)


def sees_rectangles(tree: Tree) -> str | None:
    """What speaks for this layout with rectangles alone; None: nothing does."""
    return _seen(tree, rectangles=True)


def _seen(tree: Tree, *, rectangles: bool) -> str | None:
    found, kinds = "", set()
    for folder, names in tree.files.items():
        texts = [name for name in names if name.endswith(".json")]
        for name in texts[:3]:
            text = ends_of(tree.root / join(folder, name))
            if '"shapes"' in text and ('"imagePath"' in text or '"imageHeight"' in text):
                where = f"{folder}/" if folder else ""
                found = found or f"{counted(len(texts), 'LabelMe file')} ({where}{texts[0]}, ...)"
                kinds |= {*re.findall(r'"shape_type"\s*:\s*"(\w+)"', text)}
    return found if found and rectangles == (kinds == {"rectangle"}) else None


@takes_reading(without=OF_MASKS)
def labelme(
    path: str | Path,
    *,
    overlap: str = "last",
    undrawn: str = "background",
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images with masks drawn from LabelMe's files; see this module's head.

    Args:
        path: The folder.
        overlap, undrawn: See `tfvision.data.sources.exports.drawn_mask.Rule`.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No such file, or one that is no JSON or lacks a key; names file, shape, key.
    """
    rule = Rule(overlap, undrawn)
    path, tree = open_tree(path)
    files = labelme_files(tree)
    classes, labels = rule.classes(label_names(tree, files))
    labels[IGNORE] = NO_LABEL
    samples = Samples(tree, allow_outside_root)
    images = LabelMeImages(tree)
    found = {one.path: images.of(one, samples) for one in files}
    parts = {i: part_of(i.rpartition("/")[0]) for i in found.values() if i}
    given, ids = {*parts.values()}, short_ids(parts)
    for one in files:
        image = found[one.path]
        if image is None:
            continue
        shapes = tuple(Shape(what, labels[name], k, c) for what, name, k, c in one.shapes)
        samples.add(
            ids[image],
            image,
            DrawnMask(shapes, one.size, rule),
            part=parts[image],
            split=settle_split(parts[image], given),
            mask_place=one.path,
        )
    samples.notes.append(rule.others())
    _note_what_is_drawn(samples, files)
    samples.note_unlisted()
    return samples.source(
        name="labelme",
        path=path,
        layout=f"{counted(len(files), 'LabelMe file')}: {samples.counts()}, {_objects(files)} of "
        f"{counted(len(classes), 'class')} ({numbered(classes)}); {rule}",
        class_names=classes,
        white=white,
        reading=Reading(**reading),
        reads_also=[*(one.path for one in files), *label_files(tree)],
    )


def labelme_files(tree: Tree) -> list[LabelMeFile]:
    """All files below a folder.

    Raises:
        InputError: There is none, or as `read_labelme`.
    """
    paths = (join(f, name) for f, names in tree.files.items() for name in names)
    files = [
        one
        for name in paths
        if name.endswith(".json") and (one := read_labelme(tree.root / name, name)) is not None
    ]
    if not files:
        raise InputError(f"{tree.root} holds no LabelMe file: a JSON with shapes and imagePath.")
    return files


def label_files(tree: Tree) -> list[str]:
    """The files that list the labels."""
    return [name for name in LABEL_FILES if name in tree.files[""]]


def read_labelme(path: Path, name: str) -> LabelMeFile | None:
    """One file; None where a JSON is none of LabelMe's.

    Raises:
        InputError: It is no JSON, or lacks a key; names the shape.
    """
    content = read_json_file(path, name)
    if not isinstance(content, Mapping) or "shapes" not in content:
        return None
    if not isinstance(content["shapes"], list) or not isinstance(content.get("imagePath"), str):
        raise InputError(
            f"{name}: LabelMe needs 'shapes', a list, and 'imagePath', a text; found the keys "
            f"{', '.join(content)}. Save it again in LabelMe."
        )
    shapes, without_area = [], []
    for index, entry in enumerate(content["shapes"]):
        what = f"shape {index + 1}"
        missing = [
            k for k in ("label", "points") if not isinstance(entry, Mapping) or k not in entry
        ]
        if missing:
            raise InputError(f"{name}: {what} has no {missing[0]!r}. Save it again in LabelMe.")
        kind, label = entry.get("shape_type") or "polygon", str(entry["label"])
        if kind in WITHOUT_AREA:
            without_area.append(kind)
            continue
        if kind not in KINDS:
            raise InputError(
                f"{name}: {what} ({label}) is of the unknown kind {kind!r}; known: "
                f"{', '.join([*KINDS, *WITHOUT_AREA])}. Draw it as a polygon."
            )
        points = _flat(entry["points"], f"{name}: {what} ({label})")
        drawn = {"points": points, "png": entry.get("mask")} if kind == "mask" else points
        shapes.append((f"{what} ({label})", label, KINDS[kind], drawn))
    size = (content.get("imageHeight"), content.get("imageWidth"))
    whole = all(isinstance(v, int) for v in size)
    image = content["imagePath"]
    return LabelMeFile(name, image, size if whole else None, shapes, without_area)


def _flat(points: Any, what: str) -> list[float]:
    good = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
    if not good:
        raise InputError(f"{what}: 'points' must be a list of [x, y]; got {str(points)[:60]}.")
    return [value for point in points for value in point]


def label_names(tree: Tree, files: Sequence[LabelMeFile]) -> list[str]:
    """The labels in the order of `labels.txt` or `classes.txt`, else of the alphabet."""
    used = sorted({label for one in files for _, label, _, _ in one.shapes} - {IGNORE})
    name = next((name for name in LABEL_FILES if name in tree.files[""]), None)
    if name is None:
        return used
    names = [label for label in lines_of(tree.root / name, name) if label != IGNORE]
    if left := [label for label in used if label not in names and label.strip("_") != "background"]:
        raise InputError(
            f"{tree.root / name} does not list {listed(left)}, which shapes are labelled as. Add "
            "a line for each, or correct the shapes."
        )
    return names


class LabelMeImages:
    """Finds the image of a file: the one of its name beside it, or that of `imagePath`."""

    def __init__(self, tree: Tree):
        self._paths = set(tree.images(""))
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for place in sorted(self._paths):
            name = PurePosixPath(place).name
            self._by_name.setdefault(name, []).append(place)
            self._by_stem.setdefault(stem(name), []).append(place)

    def of(self, one: LabelMeFile, samples: Samples) -> str | None:
        """Its path; None with a problem added where there is none, or two may be meant."""
        folder, _, name = one.path.rpartition("/")
        written, own = one.image.replace("\\", "/"), PurePosixPath(name).stem
        said = posixpath.normpath(join(folder, written))
        beside = [p for p in self._by_stem.get(own, ()) if p.rpartition("/")[0] == folder]
        found = sorted({*beside, *({said} & self._paths)})
        found = found or self._by_name.get(PurePosixPath(written).name, [])
        found = found or self._by_stem.get(own, [])
        if len(found) == 1:
            return found[0]
        if found:
            problem = f"its image may be {found[0]} or {found[1]} (imagePath is {one.image!r})"
            advice = "Correct imagePath, or rename one of them."
        else:
            shapes = counted(len(one.shapes), "shape")
            problem = f"no image {own}.* and no {one.image} for its {shapes}"
            advice = "Put the image beside it; imageData is not read."
        samples.problem("", one.path, problem, advice)
        return None


def _objects(files: Sequence[LabelMeFile]) -> str:
    kinds = Counter(kind for one in files for _, _, kind, _ in one.shapes)
    names = {"polygon": "polygon", "rectangle": "rectangle", "circle": "circle", "pixels": "mask"}
    text = ", ".join(counted(kinds[kind], names[kind]) for kind in names if kinds[kind])
    empty = sum(not one.shapes for one in files)
    text = text or "no shape"
    return f"{text} ({counted(empty, 'image')} without any: nothing drawn)" if empty else text


def _note_what_is_drawn(samples: Samples, files: Sequence[LabelMeFile]) -> None:
    left = Counter(kind for one in files for kind in one.without_area)
    for kind, number in sorted(left.items()):
        samples.problem(
            "",
            next(one.path for one in files if kind in one.without_area),
            f"{counted(number, 'shape')} of the kind {kind} have no area and are not drawn",
            "Draw polygons where an area is meant.",
            severity="warning",
        )
    out = [
        f"{what} of {one.path}"
        for one in files
        if one.size
        for what, _, kind, points in one.shapes
        if kind in ("polygon", "rectangle") and beyond(coordinates(points), one.size) == "some"
    ]
    if out:
        samples.notes.append(
            f"{counted(len(out), 'object')} with coordinates beyond the picture, clipped (first: "
            f"{out[0]})"
        )
