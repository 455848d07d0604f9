"""The source `labelme_boxes`: LabelMe's files as `labelme` finds them, of each shape its hull.

The corners of a rectangle may stand in any order. Points and lines have no area and are named.
Labels are classes as for `labelme`, without a background; `__ignore__` is left out.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from tfvision.data.files.tree import Tree
from tfvision.data.sources.boxes.annotations import (
    Annotations,
    check_found,
    open_samples,
    settle_parts,
)
from tfvision.data.sources.boxes.box_files import BoxFiles, box_source
from tfvision.data.sources.boxes.written import WrittenBox, WrittenImage, takes_box_options
from tfvision.data.sources.exports import labelme as masks
from tfvision.data.sources.exports.samples import Samples, counted, open_tree


def sees(tree: Tree) -> str | None:
    """What speaks for LabelMe's files of rectangles alone; None: nothing does."""
    return masks.sees_rectangles(tree)


def sees_any(tree: Tree) -> str | None:
    """What speaks for LabelMe's files of any shapes; None: nothing does."""
    return masks.sees(tree) or masks.sees_rectangles(tree)


@takes_box_options
def labelme_boxes(path: str | Path, **options: Any) -> BoxFiles:
    """Images with the boxes of LabelMe's files; see this module's head.

    Args:
        path: The folder.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No such file, or one that is no JSON or lacks a key; names file, shape, key.
    """
    path, tree = open_tree(path)
    files = masks.labelme_files(tree)
    samples, finder = open_samples(tree, options), masks.LabelMeImages(tree)
    aside: list[tuple[masks.LabelMeFile, str | None]] = []
    probe = Samples(tree)
    aside = [(one, finder.of(one, probe)) for one in files]
    images = [
        WrittenImage(image, one.path, _boxes(one, samples), one.size)
        for one, image in aside
        if image is not None
    ]
    check_found(len(images), [one.image for one in files], tree, f"{files[0].path}, ...")
    samples.problems += probe.problems
    settle_parts(images)
    left = Counter(kind for one in files for kind in one.without_area)
    for kind, number in sorted(left.items()):
        place = next(one.path for one in files if kind in one.without_area)
        problem = f"{counted(number, 'shape')} of the kind {kind} have no area and are not read"
        samples.problem("", place, problem, "Draw rectangles.", severity="warning")
    kinds = Counter(kind for one in files for _, _, kind, _ in one.shapes)
    if other := sum(kinds.values()) - kinds["rectangle"]:
        shapes = counted(other, "shape")
        samples.notes.append(f"{shapes} that are no rectangles: the hull of each is its box")
    return box_source(
        Annotations(
            tree,
            path,
            "labelme_boxes",
            heading=counted(len(files), "LabelMe file"),
            files=[*(one.path for one in files), *masks.label_files(tree)],
            images=images,
            known="corners",
            others=(),
            classes=masks.label_names(tree, files),
            samples=samples,
        ),
        options,
    )


def _boxes(one: masks.LabelMeFile, samples: Samples) -> list[WrittenBox]:
    boxes = []
    for what, label, kind, content in one.shapes:
        points = content["points"] if kind == "pixels" else content
        place = f"{what} of {one.path}"
        numbers = [p for p in points if isinstance(p, int | float) and math.isfinite(p)]
        if len(numbers) != len(points) or len(points) < 4:
            problem = f"its points are no numbers, or fewer than two: {str(points)[:60]}"
            samples.problem("", place, problem, "Draw it again.")
            continue
        xs, ys = numbers[::2], numbers[1::2]
        if kind == "circle":
            radius = math.hypot(xs[1] - xs[0], ys[1] - ys[0])
            xs, ys = [xs[0] - radius, xs[0] + radius], [ys[0] - radius, ys[0] + radius]
        sides = (min(xs), min(ys), max(xs), max(ys))
        boxes.append(WrittenBox(place, sides, label, "ignored" if label == masks.IGNORE else ""))
    return boxes
