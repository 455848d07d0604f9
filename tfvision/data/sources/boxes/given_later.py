"""Boxes that come later: a file or folder of them, read for images that a data set holds without.

The readers of this folder find images below the annotations. So both are put together first, by
links in a folder that is gone afterwards: there lie the annotations, these images, and no others.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfvision.data.files.tree import is_image, list_tree
from tfvision.data.sources.boxes.box_files import ImageBoxes
from tfvision.data.sources.exports.samples import part_of
from tfvision.data.sources.file_source import FileSource, name_key, stem
from tfvision.data.sources.recognise import ALONE, KNOWN, open_source, recognise
from tfvision.detection.crowds import renumbered
from tfvision.errors import InputError
from tfvision.text import counted, first_lines

NO_IMAGE = ("no such image", "no image ")  # how readers begin to say that an image is not there
NAMES = "classes.txt"


@dataclass(frozen=True)
class GivenBoxes:
    """What annotations say of some images.

    Attributes:
        truths: Of each image its `boxes` (n, 4) float32 `x1 y1 x2 y2` in pixels and `classes` (n,)
            int32, numbers of the classes that were asked for; None where they do not name it.
        sizes: (H, W) of each that they name, by its header; None where that is not known.
        notes: Lines to print.
    """

    truths: list[dict[str, np.ndarray] | None]
    sizes: list[tuple[int, int] | None]
    notes: list[str] = field(default_factory=list)


def read_boxes_given_later(
    path: Path,
    source: FileSource,
    indices: Sequence[int],
    class_names: Sequence[str],
    options: Mapping[str, Any],
) -> GivenBoxes:
    """Reads the boxes of some images of a source from annotations that are not of it.

    Args:
        path: A file or a folder, in any format that boxes are read from.
        source, indices: The images. How the source reads them holds here, too.
        class_names: The classes, matched by name; by number where the annotations have no names.
        options: Fields of `BoxOptions`, and what else the reader takes. `unlisted` says what
            images are that the annotations do not name: None, where it is left out.

    Raises:
        InputError: No boxes, those of other images, of other classes, or faulty ones.
    """
    images = {source.records[i].place: source.files(i)[0] for i in indices}
    if len(images) < len(indices):
        raise InputError(
            f"--labels {path}: pages of one file are several images of this data, and boxes are "
            "matched by file. Save each page as a file of its own."
        )
    how = {"exif": source.reading.exif, **options, "unlisted": "left_out"}
    with _together(path, source, indices) as (place, folder, of_link):
        try:
            if "columns" not in how and recognise(place, truth="boxes") == ALONE["boxes"]:
                raise InputError(f"holds no boxes. {KNOWN['boxes']}.")
            found = open_source(place, truth="boxes", allow_outside_root=True, **how)
        except InputError as error:
            said = _own(str(error), folder, path)
            named, other, _ = said.partition(", and none of them is below ")
            if other:
                places = first_lines([source.records[i].place for i in indices], 3)
                said = (
                    f"{named}, and none of them is one of the {counted(len(indices), 'image')} to "
                    f"be scored ({', '.join(places)}). Are these the annotations of other images?"
                )
            raise InputError(f"--labels {path}: {said}") from error
    unknown = [issue for issue in found.problems if issue.problem.startswith(NO_IMAGE)]
    wrong = [i for i in found.problems if i.severity == "error" and i not in unknown]
    if wrong:
        lines = first_lines([f"  {_own(str(issue), folder, path)}" for issue in wrong])
        raise InputError("\n".join([f"--labels {path}: {counted(len(wrong), 'fault')}.", *lines]))
    said = {of_link[place]: boxes for place, boxes in found.boxes_by_place().items()}
    numbers = _numbers(path, found.class_names, class_names, source.class_names, said.values())
    truths, sizes = [], []
    for i in indices:
        boxes = said.get(i)
        truths.append(_truth(boxes, numbers, options.get("unlisted")))
        sizes.append(None if boxes is None else boxes.size)
    ids = [source.records[i].id for i in indices]
    notes = [_own(note, folder, path) for note in (found.layout, *found.notes)]
    notes += [f"{path}: {counted(len(unknown), 'image')} that are none of these"] * bool(unknown)
    return GivenBoxes(truths, sizes, [*notes, *_not_named(path, ids, indices, said, options)])


def _truth(
    boxes: ImageBoxes | None, numbers: np.ndarray, unlisted: str | None
) -> dict[str, np.ndarray] | None:
    if boxes is None and unlisted != "negatives":
        return None
    sides, classes = (np.zeros((0, 4), "f4"), []) if boxes is None else boxes.arrays()
    return {"boxes": sides, "classes": renumbered(np.asarray(classes, np.int32), numbers)}


def _not_named(
    path: Path, ids: Sequence[str], indices: Sequence[int], said: Mapping, options: Mapping
) -> list[str]:
    missing = [name for name, i in zip(ids, indices, strict=True) if i not in said]
    if not missing:
        return []
    what = f"{path}: {len(missing)} of {counted(len(ids), 'image')} are not named ({missing[0]}"
    what += ", ...)" * (len(missing) > 1) + ")" * (len(missing) == 1)
    if options.get("unlisted") == "negatives":
        return [f"{what}: as declared they count as images without any box"]
    return [
        f"{what} and not scored; where there is nothing to see on them type --set "
        "data.source.unlisted=negatives"
    ]


def _numbers(
    path: Path,
    names: Sequence[str],
    wanted: Sequence[str],
    written: Sequence[str] | None,
    said: Any,
) -> np.ndarray:
    """(n,) int32: the number among `wanted` of each class of the annotations, -1 where no box has
    it.

    Args:
        path: For messages.
        names: Of the annotations.
        wanted: The classes.
        written: How the data of the run writes them.
        said: Boxes of each image.

    Raises:
        InputError: A box has a class that is none of these.
    """
    used: dict[int, str] = {}
    boxed: set[int] = set()  # a crowd of another class is nothing that is asked of the run
    for boxes in said:
        for box in boxes.read:
            if box.stays:
                used.setdefault(boxes.classes[box.label], box.place)
            if box.counts:
                boxed.add(boxes.classes[box.label])
    tables = [*_spelt(wanted), *_spelt(written or ())]
    number_of: dict[int, int] = {}
    for k in used:
        name = name_key(names[k])
        keys = (name, name.strip().casefold()) * 2
        found = [table[key] for table, key in zip(tables, keys, strict=True) if key in table]
        if found:
            number_of[k] = found[0]
    if not number_of and not any(name.isdigit() for name in wanted):  # none has a name
        places = {str(number): number for number in range(len(wanted))}
        number_of = {k: places[names[k]] for k in used if names[k] in places}
    strange = [f"{names[k]!r} ({place})" for k, place in used.items() if k in boxed - {*number_of}]
    if strange:
        raise InputError(
            f"--labels {path} has boxes of {counted(len(strange), 'class')} that the run does not "
            f"know: {', '.join(strange[:5])}. Its classes are {', '.join(wanted)}, or their "
            "numbers from 0. Rename the classes, or take their boxes out: what no training saw "
            "cannot be scored."
        )
    numbers = np.full(len(names), -1, np.int32)
    for k, number in number_of.items():
        numbers[k] = number
    return numbers


def _spelt(names: Sequence[str]) -> list[dict[str, int]]:
    """Name -> number, as written and without a difference of case; nothing where two are alike."""
    tables = []
    for spell in (str, lambda name: name.strip().casefold()):
        table = {spell(name_key(name)): number for number, name in enumerate(names)}
        tables.append(table if len(table) == len(names) else {})
    return tables


def _own(text: str, folder: Path, path: Path) -> str:
    """A message with the user's own folder in place of the one where all was put together."""
    return text.replace(str(folder), str(path.parent if path.is_file() else path))


@contextmanager
def _together(
    path: Path, source: FileSource, indices: Sequence[int]
) -> Iterator[tuple[Path, Path, dict[str, int]]]:
    """Annotations and images in one folder: what to open, the folder, and the image of each link.

    An image lies beside the file that is annotated with its name, where there is one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        whole = path.is_dir()
        folder = Path(os.path.realpath(temporary)) / (path.resolve().name if whole else "labels")
        if whole:
            names = [name for name in list_tree(path).below("") if not is_image(name)]
            files = {name: path / name for name in names}
        else:
            files = {name: path.parent / name for name in (path.name, NAMES)}
            files = {name: file for name, file in files.items() if file.is_file()}
        own: dict[str, list[str]] = {}
        for name in files:
            own.setdefault(name_key(PurePosixPath(name).stem), []).append(name)
        of_link: dict[str, int] = {}
        for i in indices:
            record = source.records[i]
            image = PurePosixPath(record.place)
            beside = own.get(name_key(stem(image.name)), []) if whole else []
            of_part = [name for name in beside if part_of(name.rpartition("/")[0]) == record.split]
            beside = beside if len(beside) == 1 else of_part
            place = str(PurePosixPath(beside[0]).parent / image.name) if beside else str(image)
            of_link[place] = i
            files[place] = source.files(i)[0]
        for name, file in files.items():
            _link(file, folder / name)
        yield (folder if whole else folder / path.name), folder, of_link


def _link(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(os.path.abspath(file))
    except OSError:  # a system without links
        shutil.copyfile(file, place)
