"""YOLO's label files: found beside their images, read line by line, their classes named."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.drawing import MOST_SHARE
from tfvision.data.sources.exports.image_beside import ImageBeside
from tfvision.data.sources.exports.samples import join, read_text
from tfvision.data.sources.file_source import stem
from tfvision.errors import InputError

NAME_FILES = ("classes.txt", "obj.names", "names.txt")
NOT_LABELS = {*NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt"}
BOX = 5  # numbers of a line that is a box
LOOKED_AT = 20  # text files that recognition looks into


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

    `labels` stands for `images` in the path, at its last place; else the text lies beside. Capitals
    do not matter. Where no image has one so, texts belong to the images of their names.
    """
    found = YoloLabels()
    texts = {path for path in tree.below("") if path.lower().endswith(".txt")}
    texts = {path for path in texts if PurePosixPath(path).name.lower() not in NOT_LABELS}
    if not texts:
        return YoloLabels(unlabelled=tree.images(""))
    folded = {text.casefold(): text for text in texts}
    of_image = {
        image: next((folded[t] for t in _label_files(image) if t in folded), "")
        for image in tree.images("")
    }
    if not any(of_image.values()):
        of_image |= _of_same_name(tree, sorted(texts))
    labelled = {image.rpartition("/")[0] for image, text in of_image.items() if text}
    for image, text in of_image.items():
        if image.rpartition("/")[0] in labelled:
            found.texts[image] = text
        else:
            found.unlabelled.append(image)
    found.lost = sorted(texts - {*found.texts.values()})
    return found


def _of_same_name(tree: Tree, texts: Sequence[str]) -> dict[str, str]:
    """Image -> the text file of its name, wherever that lies; {} where one has several, or is one
    of several images of that name of which others have none."""
    beside, found = ImageBeside(tree), {}
    for text in texts:
        for image in beside.find(text):
            if image in found:
                return {}
            found[image] = text
    names = {stem(image.rpartition("/")[2]) for image in found}
    same = (image for image in tree.images("") if stem(image.rpartition("/")[2]) in names)
    return found if {*same} == {*found} else {}


def _label_files(image: str) -> list[str]:
    """Where the label file of an image may be, in small letters."""
    folder, _, name = image.rpartition("/")
    parts = folder.split("/")
    at = next((i for i in reversed(range(len(parts))) if parts[i].lower() == "images"), None)
    places = [folder] if at is None else [join(*parts[:at], "labels", *parts[at + 1 :]), folder]
    return [join(place, f"{stem(name)}.txt").casefold() for place in places]


def what_lines_are(tree: Tree, *, of_others: bool = False) -> tuple[str, list[str]]:
    """What the lines of label files are, by the first files: "polygons", "boxes", "mixed" (some
    of either), "pixels" (boxes, not in shares), or "" (else, or no line); and the label files.

    Args:
        tree: What lies below a folder.
        of_others: Whether those without an image count where no image has one.
    """
    found = pair(tree)
    texts = [text for text in found.texts.values() if text]
    texts = texts or (found.lost if of_others else [])
    kinds: set[str] = set()
    for text in texts[:LOOKED_AT]:
        kinds |= kinds_of(tree.root / text)
    known = kinds <= {"polygons", "boxes"} or kinds == {"pixels"}
    return ("mixed" if len(kinds) > 1 else next(iter(kinds), "")) if known else "", texts


def kinds_of(path: Path) -> set[str]:
    """What the first lines of a text file are: "polygons", "boxes", "pixels", "other"."""
    try:
        with path.open("rb") as file:
            text = file.read(65536).decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError:
        return set()
    lines = text.splitlines()[: -1 if len(text) > 65000 else None]
    return {_kind_of(line.split()) for line in lines if line.strip()}


def _kind_of(words: Sequence[str]) -> str:
    numbers = [value for word in words if (value := _number(word)) is not None]
    if _class_of(words[0]) is None or not BOX <= len(numbers) == len(words):
        return "other"
    if not all(1 - MOST_SHARE <= value <= MOST_SHARE for value in numbers[1:]):
        return "pixels" if len(numbers) == BOX else "other"
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
        label = _class_of(words[0])
        if label is None:
            raise InputError(
                f"{name}, line {number} begins with {words[0]!r}; a class number 0, 1, 2, ... must "
                "stand there, then x1 y1 x2 y2 ... in shares of width and height."
            )
        values = [word if _number(word) is None else float(word) for word in words[1:]]
        lines.append(Line(name, number, label, values))
    return lines


def _class_of(word: str) -> int | None:
    """The class number that a line begins with, `3` or `3.0`; None: it does not."""
    return int(word.split(".")[0]) if re.fullmatch(r"\d+(\.0*)?", word) else None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def yaml_files(tree: Tree) -> list[str]:
    """The YAML files that name classes: those at the root, else those below."""
    paths = [path for path in tree.below("") if path.endswith((".yaml", ".yml"))]
    own = [path for path in paths if "/" not in path and "names" in _yaml(tree.root / path)]
    return own or [path for path in paths if "/" in path and _names_classes(tree.root / path)]


def _names_classes(path: Path) -> bool:
    try:
        return isinstance(_yaml(path).get("names"), Mapping | list)
    except InputError:  # of whatever is below, not of these labels
        return False


def _yaml(path: Path) -> Mapping:
    try:
        content = yaml.safe_load(read_bytes(path, place=path.name))
    except (yaml.YAMLError, BadSample) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    return content if isinstance(content, Mapping) else {}


def class_names(tree: Tree) -> tuple[list[str], str]:
    """The names of the classes by number, and the file that says them; [] and "" without one.

    Raises:
        InputError: They leave a number out.
    """
    names, file = numbered_names(tree)
    if {*names} != {*range(len(names))}:
        raise InputError(
            f"{file}: the keys of 'names' must be 0, 1, 2, ... without a gap; got "
            f"{', '.join(map(str, [*names][:12]))}."
        )
    return [names[number] for number in range(len(names))], file


def numbered_names(tree: Tree) -> tuple[dict[int, str], str]:
    """Number -> name of the classes, and the file that says them; {} and "" without one.

    Raises:
        InputError: They are no names, or two files name a number differently.
    """
    found = {file: _names_of_yaml(tree, file) for file in yaml_files(tree)}
    if not found:
        paths = [path for path in tree.below("") if PurePosixPath(path).name in NAME_FILES]
        paths = [path for path in paths if "/" not in path] or paths
        found = {path: _names_of_lines(tree, path) for path in paths}
    if not found:
        return {}, ""
    longest = max(found, key=lambda file: len(found[file]))  # others may have fewer
    for file, names in found.items():
        odd = [n for n in names if names[n] != found[longest].get(n)]
        if odd:
            raise InputError(
                f"{tree.root}: {longest} and {file} name the classes differently: number {odd[0]} "
                f"is {found[longest].get(odd[0], 'none')!r} and {names[odd[0]]!r}. Keep the file "
                "that is meant; of several data sets give the folder of one."
            )
    return found[longest], longest


def _names_of_yaml(tree: Tree, file: str) -> dict[int, str]:
    content = _yaml(tree.root / file)
    if "kpt_shape" in content:
        raise InputError(f"{tree.root / file} declares key points (kpt_shape), no masks or boxes.")
    return _listed_names(content, file)


def _names_of_lines(tree: Tree, file: str) -> dict[int, str]:
    """A name a line; an empty line between others counts, too, as the tools that write it do."""
    lines = read_text(tree.root / file, file).strip().splitlines()
    return {number: line.strip() for number, line in enumerate(lines) if line.strip()}


def yaml_splits(tree: Tree) -> dict[str, list[str]]:
    """Split -> folders of images and lists of them below the root that data.yaml says.

    Its paths may be relative to another folder: what lies there below its own counts.
    """
    found: dict[str, list[str]] = {}
    files = {path for path in tree.below("") if path.endswith(".txt")}
    for file in yaml_files(tree):
        content, home = _yaml(tree.root / file), file.rpartition("/")[0]
        for key, split in {"train": "train", "val": "val", "valid": "val", "test": "test"}.items():
            given = content.get(key)
            for place in given if isinstance(given, list) else [given] if given else []:
                parts = str(place).replace("\\", "/").split("/")
                parts = [part for part in parts if part not in ("", ".", "..")]
                tails = [join(home, *parts[n:]) for n in range(len(parts))]
                there = next((tail for tail in tails if tail in tree.files or tail in files), None)
                found.setdefault(split, []).extend([there] if there else [])
    return found


def _listed_names(content: Mapping, file: str) -> dict[int, str]:
    given = content["names"]
    if isinstance(given, Mapping):
        odd = [key for key in given if not isinstance(key, int) or key < 0]
        if odd:
            raise InputError(f"{file}: the keys of 'names' must be numbers from 0; got {odd[0]!r}.")
        names = {number: str(given[number]) for number in sorted(given)}
    elif not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"{file}: 'names' must be a list, or a mapping 0: name; got {given!r}.")
    else:
        names = {number: str(name) for number, name in enumerate(given)}
    if not names:
        raise InputError(f"{file}: 'names' must be a list, or a mapping 0: name; got {given!r}.")
    different = len({*names.values()})
    if content.get("nc", len(names)) not in (len(names), max(names) + 1) or different != len(names):
        raise InputError(
            f"{file} has {len(names)} names ({different} different) and nc: "
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
