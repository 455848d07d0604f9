"""The source `yolo_polygons`: YOLO's text files of polygons, drawn to masks.

A line is a class number and `x1 y1 x2 y2 ...` in shares of width and height. `labels/` lies
beside `images/`, in either nesting (`images/train` or `train/images`), or the text beside its
image. `data.yaml` names the classes, as a list or as a mapping, or `classes.txt` does. An image
with an empty file or with none is all background.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.exports.drawing import beyond, coordinates
from tfvision.data.sources.exports.drawn_mask import DrawnMask, Rule, Shape
from tfvision.data.sources.exports.samples import (
    NO_BOXES,
    Samples,
    counted,
    numbered,
    open_tree,
    part_of,
    settle_split,
    short_ids,
)
from tfvision.data.sources.exports.yolo_files import (
    BOX,
    Line,
    YoloLabels,
    check_classes,
    class_names,
    pair,
    read_lines,
    what_lines_are,
    yaml_files,
)
from tfvision.data.sources.file_source import FileSource
from tfvision.errors import InputError


def sees(tree: Tree) -> str | None:
    """What speaks for YOLO's polygons; None: nothing does."""
    return _seen(tree, "polygons")


def sees_mixed(tree: Tree) -> str | None:
    """What speaks for YOLO's polygons with boxes among them; None: nothing does."""
    return _seen(tree, "mixed")


def _seen(tree: Tree, wanted: str) -> str | None:
    if tree.of_file:  # data.yaml stands for the folder that it lies in
        tree = list_tree(tree.root) if tree.files[""][0] in yaml_files(tree) else tree
    kind, texts = what_lines_are(tree)
    if kind != wanted:
        return None
    where = texts[0].rpartition("/")[0] or "."
    return f"YOLO polygons in {where}/ ({counted(len(texts), 'file')})"


@takes_reading(without=OF_MASKS)
def yolo_polygons(
    path: str | Path,
    *,
    overlap: str = "last",
    undrawn: str = "background",
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images with masks drawn from YOLO's polygons; see this module's head.

    Args:
        path: The folder, or its data.yaml.
        overlap, undrawn: See `tfvision.data.sources.exports.drawn_mask.Rule`.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No label files, boxes alone, key points, or a class that is not named.
    """
    rule = Rule(overlap, undrawn)
    path = Path(path)
    root, tree = open_tree(path.parent if path.is_file() else path)
    labels = pair(tree)
    if not any(labels.texts.values()):
        raise InputError(f"{path} holds no text file of the name of an image, as YOLO has them.")
    lines = {t: read_lines(tree.root / t, t) for t in labels.texts.values() if t}
    everything = [line for of_file in lines.values() for line in of_file]
    if everything and all(len(line.numbers) == BOX - 1 for line in everything):
        count = counted(len(everything), "line")
        raise InputError(
            f"{path}: each of {count} of {next(iter(lines))}, ... has five numbers. {NO_BOXES}"
        )
    names, named_by = class_names(tree)
    check_classes(everything, names, named_by, root)
    names = names or [str(i) for i in range(1 + max((one.label for one in everything), default=0))]
    classes, values = rule.classes(names)
    masks = {
        text: DrawnMask(tuple(_shape(one, names, values) for one in of_file), None, rule)
        for text, of_file in lines.items()
    }
    samples = Samples(tree, allow_outside_root)
    _add_images(samples, labels, masks, DrawnMask((), None, rule))
    samples.notes.append(rule.others())
    _note_what_is_drawn(samples, labels, everything)
    named = f", named by {named_by}" if named_by else ""
    return samples.source(
        name="yolo_polygons",
        path=path,
        layout=f"YOLO: {samples.counts()}, {counted(len(everything), 'polygon')}"
        f"{_empty(labels, lines)} of {counted(len(classes), 'class')} "
        f"({numbered(classes)}{named}); {rule}",
        class_names=classes,
        white=white,
        reading=Reading(**reading),
        reads_also=[*yaml_files(tree), *lines, *([named_by] if named_by else [])],
    )


def _shape(line: Line, names: Sequence[str], values: Mapping[str, int]) -> Shape:
    name = names[line.label]
    return Shape(f"line {line.number} ({name})", values[name], "shares", line.numbers)


def _add_images(
    samples: Samples, labels: YoloLabels, masks: Mapping[str, DrawnMask], nothing: DrawnMask
) -> None:
    """Adds images with their masks, and those of a test part that have none."""
    parts = {image: part_of(image.rpartition("/")[0]) for image in labels.texts}
    given, ids = {*parts.values()}, short_ids(parts)
    for image, text in labels.texts.items():
        mask = masks[text] if text else nothing
        place = text or f"{image} (no label file)"
        split = settle_split(parts[image], given)
        samples.add(ids[image], image, mask, part=parts[image], split=split, mask_place=place)
    left = [i for i in labels.unlabelled if part_of(i.rpartition("/")[0]) != "test"]
    test = {image: "test" for image in labels.unlabelled if image not in {*left}}
    for image, identity in short_ids(test).items():
        samples.add(identity, image, None, part="test", split="test")
    samples.spoken_of |= {*left, *labels.lost}
    if left:
        problem = f"{counted(len(left), 'image')} in folders without any label file: not used"
        advice = "Add label files (empty ones where nothing is to see), or move the images away."
        samples.problem("", left[0], problem, advice, severity="warning")


def _empty(labels: YoloLabels, lines: Mapping[str, Sequence[Line]]) -> str:
    """How many images hold nothing, told apart by an empty file and none."""
    empty = sum(bool(text) and not lines[text] for text in labels.texts.values())
    absent = sum(not text for text in labels.texts.values())
    counts = [(empty, "with an empty file"), (absent, "without a file")]
    said = " and ".join(f"{counted(number, 'image')} {what}" for number, what in counts if number)
    return f" ({said}: nothing drawn)" if said else ""


def _note_what_is_drawn(samples: Samples, labels: YoloLabels, lines: Sequence[Line]) -> None:
    out = [one for one in lines if beyond(coordinates(one.numbers), (1, 1)) == "some"]
    if out:
        samples.notes.append(
            f"{counted(len(out), 'polygon')} with coordinates beyond the picture, clipped (first: "
            f"{out[0].place}, line {out[0].number})"
        )
    if lines and all(len(one.numbers) == 8 for one in lines):
        samples.problem(
            "",
            lines[0].place,
            "every polygon has four corners, as oriented boxes have",
            "Check that outlines were drawn: a model of masks would learn boxes.",
            severity="warning",
        )
    if labels.lost:
        problem = f"{counted(len(labels.lost), 'label file')} without an image of the name"
        advice = "Add the images, or delete them."
        samples.problem("", labels.lost[0], problem, advice, severity="warning")
