"""The source `yolo_boxes`: YOLO's text files, laid out as `yolo_polygons` has them.

A line is a class number and the centre, width and height of a box in shares of the image; a line
of more numbers is a polygon, whose hull is the box. An image with an empty file or with none has
no box. `data.yaml` names the classes, as a list or as a mapping, which may have gaps; what it says
of `train`, `val` and `test` are the splits, else the folders are.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
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
from tfvision.data.sources.boxes.written import WrittenBox, WrittenImage, takes_box_options
from tfvision.data.sources.exports.samples import Samples, counted, lines_of, open_tree
from tfvision.data.sources.exports.yolo_files import (
    Line,
    numbered_names,
    pair,
    read_lines,
    what_lines_are,
    yaml_files,
    yaml_splits,
)
from tfvision.data.sources.file_source import stem
from tfvision.errors import InputError


def sees(tree: Tree) -> str | None:
    """What speaks for YOLO's boxes, polygons among them or not; None: nothing does."""
    return _seen(tree, ("boxes", "mixed", "pixels"))


def sees_any(tree: Tree) -> str | None:
    """What speaks for YOLO's boxes or polygons, of other images, too; None: nothing does."""
    return _seen(tree, ("boxes", "mixed", "pixels", "polygons"), of_others=True)


def _seen(tree: Tree, kinds: Sequence[str], *, of_others: bool = False) -> str | None:
    kind, texts = what_lines_are(_whole(tree), of_others=of_others)
    if kind not in kinds:
        return None
    return f"YOLO boxes in {texts[0].rpartition('/')[0] or '.'}/ ({counted(len(texts), 'file')})"


def _whole(tree: Tree) -> Tree:
    """data.yaml stands for the folder that it lies in."""
    if tree.of_file and tree.files[""][0] in yaml_files(tree):
        return list_tree(tree.root)
    return tree


@takes_box_options
def yolo_boxes(path: str | Path, **options: Any) -> BoxFiles:
    """Images with the boxes of YOLO's text files; see this module's head.

    Args:
        path: The folder, or its data.yaml.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No label files, those of other images, a class that is not named, or a line
            that is no box; names file and line.
    """
    path = Path(path)
    _, tree = open_tree(path.parent if path.is_file() else path)
    labels, samples = pair(tree), open_samples(tree, options)
    texts = [text for text in labels.texts.values() if text]
    check_found(
        len(texts),
        labels.lost,
        tree,
        f"{(labels.lost or [''])[0]}, ...",
        ", with the texts in labels/ beside images/",
    )
    if not texts:
        raise InputError(f"{path} holds no text file of the name of an image, as YOLO has them.")
    lines = {text: read_lines(tree.root / text, text) for text in texts}
    names, named_by = numbered_names(tree)
    every = [line for of_file in lines.values() for line in of_file]
    _check_named(every, names, named_by, path)
    _check_polygons(every)
    used = {line.label for line in every}
    names = names or {number: str(number) for number in range(max(used, default=-1) + 1)}
    images = [
        WrittenImage(image, text or image, [_box(line, names) for line in lines.get(text, ())])
        for image, text in labels.texts.items()
    ]
    _set_parts(tree, images)
    settle_parts(images)
    _note(samples, lines, labels.texts, labels.lost)
    named = f" (classes of {named_by})" if named_by else ""
    return box_source(
        Annotations(
            tree,
            path,
            "yolo_boxes",
            heading=f"YOLO {counted(len(texts), 'file')}{named}",
            files=[*yaml_files(tree), *texts, *([named_by] if named_by else [])],
            images=images,
            known="centres",
            classes=list(names.values()),
            samples=samples,
        ),
        options,
    )


def _check_named(
    lines: Sequence[Line], names: Mapping[int, str], named_by: str, path: Path
) -> None:
    odd = next((line for line in lines if names and line.label not in names), None)
    if odd is not None:
        known = ", ".join(f"{number} {name}" for number, name in names.items())
        raise InputError(
            f"{path}: {odd.place}, line {odd.number} has the class {odd.label}; {named_by} names "
            f"{known}. Correct the line, or add the name."
        )


def _check_polygons(lines: Sequence[Line]) -> None:
    """Raises an `InputError` where all polygons can be boxes with something behind them."""
    many = [line for line in lines if len(line.numbers) > 4]
    if len(many) < 3 or len({len(line.numbers) for line in many}) > 1:
        return
    rest = [line.numbers[4:] for line in many]
    what = ""
    if len(rest[0]) == 2 and all(isinstance(of[1], float) and of[1].is_integer() for of in rest):
        what = "a score and a track"
    elif len(rest[0]) % 3 == 0 and all(v in (0, 1, 2) for of in rest for v in of[2::3]):
        what = "key points"
    if what:
        first = many[0]
        raise InputError(
            f"line {first.number} of {first.place}, as all others, holds {len(first.numbers)} "
            f"values behind its class: {_words(first.numbers)}. They look like a box and {what}, "
            "not like a polygon. Write the class and the four numbers of the box alone."
        )


def _box(line: Line, names: Mapping[int, str]) -> WrittenBox:
    """The box of a line, of a polygon its hull.

    Raises:
        InputError: It is neither.
    """
    place, numbers = f"line {line.number} of {line.place}", line.numbers
    values = [n for n in numbers if not isinstance(n, str) and abs(n) < 1e9]
    if len(values) != len(numbers) or len(values) < 4 or (len(values) > 4 and len(values) % 2):
        score = " It looks like a prediction with a score." if len(numbers) == 5 else ""
        raise InputError(
            f"{place} holds {len(numbers)} values behind its class: {_words(numbers)}. A box is "
            f"centre x, centre y, width, height; a polygon x1 y1 x2 y2 ...{score} Correct it."
        )
    if len(values) > 4:
        xs, ys = values[::2], values[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        values = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return WrittenBox(place, (values[0], values[1], values[2], values[3]), names[line.label])


def _words(numbers: Sequence[float | str]) -> str:
    return " ".join(map(str, numbers))[:60]


def _set_parts(tree: Tree, images: Sequence[WrittenImage]) -> None:
    """The parts that data.yaml says, by folders or by lists of images.

    Raises:
        InputError: Two lists of different parts name an image.
    """
    by_name: dict[str, list[WrittenImage]] = {}
    for image in images:
        by_name.setdefault(stem(image.image.rpartition("/")[2]), []).append(image)
    listed_in: dict[str, str] = {}
    for part, places in yaml_splits(tree).items():
        for place in places:
            lines = lines_of(tree.root / place, place) if place.endswith(".txt") else []
            chosen = [image for line in lines for image in _named_by(line, by_name)]
            for image in chosen:
                other = listed_in.setdefault(image.image, place)
                if other != place and image.part != part:
                    raise InputError(
                        f"{other} and {place} both name {image.image}. Take it out of one of "
                        "them: the score would not be honest."
                    )
                image.part = part
            if not place.endswith(".txt"):
                start = f"{place}/" if place else ""
                for image in (image for image in images if image.image.startswith(start)):
                    image.part = image.part or part


def _named_by(line: str, by_name: Mapping[str, Sequence[WrittenImage]]) -> list[WrittenImage]:
    """The images that a line of a list may mean: of several of its name those whose folders have
    most in common with its."""
    folder, _, name = line.replace("\\", "/").rpartition("/")
    found = by_name.get(stem(name), [])
    if len(found) < 2:
        return list(found)
    common = [_common_end(folder, image.image.rpartition("/")[0]) for image in found]
    return [i for i, number in zip(found, common, strict=True) if number == max(common)]


def _common_end(folder: str, other: str) -> int:
    """How many folders two paths end with alike."""
    pairs = zip(reversed(folder.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _note(
    samples: Samples,
    lines: Mapping[str, Sequence[Line]],
    texts: Mapping[str, str],
    lost: Sequence[str],
) -> None:
    empty = sum(bool(text) and not lines[text] for text in texts.values())
    absent = sum(not text for text in texts.values())
    polygons = sum(len(line.numbers) > 4 for of_file in lines.values() for line in of_file)
    counts = [(empty, "with an empty label file"), (absent, "without a label file")]
    said = " and ".join(f"{counted(number, 'image')} {what}" for number, what in counts if number)
    if said:
        samples.notes.append(f"{said}: read as images without any box")
    if polygons:
        samples.notes.append(f"{counted(polygons, 'polygon')}: the hull of each is its box")
    if lost:
        problem = f"{counted(len(lost), 'label file')} without an image of the name"
        advice = "Add the images, or delete them."
        samples.problem("", lost[0], problem, advice, severity="warning")
