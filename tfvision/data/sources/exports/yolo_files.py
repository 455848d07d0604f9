"""YOLO's label files: found beside their images, read line by line, their classes named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.drawing import MOST_SHARE
from tfvision.data.sources.exports.samples import join, lines_of
from tfvision.data.sources.file_source import stem
from tfvision.errors import InputError

NAME_FILES = ("classes.txt", "obj.names", "names.txt")
NOT_LABELS = {*NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt"}
BOX = 5  # numbers of a line that is a box


@dataclass
class YoloLabels:
    """The label files of a folder, paired with images.

    Attributes:
        texts: Path of each image -> that of its label file; "" without one.
        lost: Label files without an image.
        unlabelled: Images of folders that have no label files at all.
    """

    texts: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)


def pair(tree: Tree) -> YoloLabels:
    """The images below a folder and their label files.

    `labels` stands for `images` in the path, at its last place; else the text lies beside.
    """
    found = YoloLabels()
    texts = {path for path in tree.below("") if path.endswith(".txt")}
    texts = {path for path in texts if PurePosixPath(path).name.lower() not in NOT_LABELS}
    if not texts:
        return YoloLabels(unlabelled=tree.images(""))
    of_image = {
        image: next((text for text in _label_files(image) if text in texts), "")
        for image in tree.images("")
    }
    labelled = {image.rpartition("/")[0] for image, text in of_image.items() if text}
    for image, text in of_image.items():
        if image.rpartition("/")[0] in labelled:
            found.texts[image] = text
        else:
            found.unlabelled.append(image)
    found.lost = sorted(texts - {*found.texts.values()})
    return found


def _label_files(image: str) -> list[str]:
    """Where the label file of an image may be."""
    folder, _, name = image.rpartition("/")
    parts = folder.split("/")
    at = next((i for i in reversed(range(len(parts))) if parts[i].lower() == "images"), None)
    places = [folder] if at is None else [join(*parts[:at], "labels", *parts[at + 1 :]), folder]
    return [join(place, f"{stem(name)}.txt") for place in places]


def kind_of(path: Path) -> str:
    """What the first line of a text file is: "polygons", "boxes", "other", or "" (no line)."""
    try:
        with path.open("rb") as file:
            text = file.read(65536).decode("utf-8", "replace")
    except OSError:
        return ""
    first = next((line.split() for line in text.splitlines() if line.strip()), [])
    if not first:
        return ""
    numbers = [_number(word) for word in first]
    if not first[0].isdigit() or len(numbers) < BOX or None in numbers:
        return "other"
    if not all(1 - MOST_SHARE <= value <= MOST_SHARE for value in numbers[1:]):
        return "other"
    return "boxes" if len(numbers) == BOX else "polygons"


@dataclass(frozen=True)
class Line:
    """A line of a label file: class number, and coordinates; words that are no numbers stay."""

    place: str
    number: int
    label: int
    numbers: list[float | str]


def read_lines(path: Path, name: str) -> list[Line]:
    """The lines of a label file.

    Raises:
        InputError: It cannot be read, or a line does not begin with a class number.
    """
    lines = []
    try:
        text = read_bytes(path, place=name).decode("utf-8-sig", "replace")
    except BadSample as error:
        if "is empty" in error.problem:
            return []
        raise InputError(str(error)) from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if not words[0].isdigit():
            raise InputError(
                f"{name}, line {number} begins with {words[0]!r}; a class number 0, 1, 2, ... must "
                "stand there, then x1 y1 x2 y2 ... in shares of width and height."
            )
        values = [word if _number(word) is None else float(word) for word in words[1:]]
        lines.append(Line(name, number, int(words[0]), values))
    return lines


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def yaml_files(tree: Tree) -> list[str]:
    """The YAML files at the root that name classes."""
    names = [name for name in tree.files[""] if name.endswith((".yaml", ".yml"))]
    return [name for name in names if "names" in _yaml(tree.root / name)]


def _yaml(path: Path) -> Mapping:
    try:
        content = yaml.safe_load(read_bytes(path, place=path.name))
    except (yaml.YAMLError, BadSample) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    return content if isinstance(content, Mapping) else {}


def class_names(tree: Tree) -> tuple[list[str], str]:
    """The names of the classes by number, and the file that says them; [] and "" without one."""
    for file in yaml_files(tree):
        content = _yaml(tree.root / file)
        if "kpt_shape" in content:
            raise InputError(f"{tree.root / file} declares key points (kpt_shape), no masks.")
        return _listed_names(content, file), file
    for folder in ("", "labels", "labels/train", "train/labels"):
        for name in NAME_FILES:
            if name in tree.files.get(folder, ()):
                file = join(folder, name)
                return lines_of(tree.root / file, file), file
    return [], ""


def _listed_names(content: Mapping, file: str) -> list[str]:
    names = content["names"]
    if isinstance(names, Mapping):
        numbers = sorted(names, key=str)
        if {*names} != {*range(len(names))}:
            raise InputError(
                f"{file}: the keys of 'names' must be 0, 1, 2, ... without a gap; got "
                f"{', '.join(map(str, numbers[:12]))}."
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise InputError(f"{file}: 'names' must be a list, or a mapping 0: name; got {names!r}.")
    names = [str(name) for name in names]
    if content.get("nc", len(names)) != len(names) or len({*names}) != len(names):
        raise InputError(
            f"{file} has {len(names)} names ({len({*names})} different) and nc: "
            f"{content.get('nc')}. List each class once, and as many as nc says."
        )
    return names


def check_classes(lines: Sequence[Line], names: Sequence[str], named_by: str, path: Path) -> None:
    odd = next((line for line in lines if names and line.label >= len(names)), None)
    if odd is not None:
        raise InputError(
            f"{path}: {odd.place}, line {odd.number} has the class {odd.label}; {named_by} names "
            f"{len(names)} classes, 0 to {len(names) - 1}. Correct the line, or add the name."
        )
