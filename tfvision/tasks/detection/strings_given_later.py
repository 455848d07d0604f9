"""Strings that are given after the training, a row an image: `evaluate --labels numbers.csv`."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tfvision.data.files.csv_table import read_cells
from tfvision.data.sources.boxes.coco_ids import image_ids
from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.source import Source
from tfvision.errors import InputError
from tfvision.postprocess.strings import Reading
from tfvision.text import counted, first_lines

FILES = ("file_name", "filename", "file", "image", "image_id", "id", "name")
STRINGS = ("string", "number", "text", "label", "pred_label", "word")
BOXES = ("xmin", "x1", "left", "x", "bbox", "box", "x_min", "width", "w")


def holds_strings(path: Path) -> bool:
    """Whether a file is a table of images and strings, without boxes."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt") or not path.is_file():
        return False
    header = _header(read_cells(path))
    return bool({*header} & {*STRINGS} and {*header} & {*FILES} and not {*header} & {*BOXES})


def read_strings(
    path: Path, source: Source, indices: Sequence[int], reading: Reading | None
) -> tuple[list[str | None], list[str]]:
    """The true string of each image, None where the table does not name it, and notes.

    An image is named by its file, with or without folder and extension, or by its id: that of the
    data's own JSON, or the number that is its name.

    Args:
        path: A table with a header; `holds_strings` tells one.
        source, indices: The images.
        reading: Of the run, whose characters the strings must be of; None: of any.

    Raises:
        InputError: A string of other characters, two strings of one image, a table of other
            images.
    """
    lines = read_cells(path)
    header = _header(lines)
    files = [place for name in FILES for place, own in enumerate(header) if own == name]
    column = next(header.index(name) for name in STRINGS if name in header)
    place_of = _places(source, indices)
    found: dict[int, tuple[int, str]] = {}
    unknown, problems = 0, []
    for line, cells in lines[1:]:
        given = [_key(cells[i]) for i in files if i < len(cells)]
        place = next((place_of[key] for key in given if key in place_of), None)
        text = cells[column].strip() if column < len(cells) else ""
        if place is None:
            unknown += 1
        elif reading and text != reading.empty and not 0 < len(text) == _known(text, reading):
            problems.append(f"line {line}: {text!r} is no string of {''.join(reading.characters)}")
        elif found.setdefault(place, (line, text))[1] != text:
            first, other = found[place]
            problems.append(f"line {line} says {text!r}, line {first} {other!r}")
    if problems:
        raise InputError("\n  ".join([f"--labels {path}:", *first_lines(problems, 10)]))
    if not found:
        shown = ", ".join(source.records[i].id for i in indices[:3])
        raise InputError(
            f"--labels {path}: none of its {counted(len(lines) - 1, 'row')} names one of the "
            f"{counted(len(indices), 'image')} to be scored ({shown}). Is it of other images?"
        )
    missing = len(indices) - len(found)
    notes = [f"{path}: {counted(len(found), 'string')}, column {header[column]!r}"]
    if unknown:
        notes.append(f"{path}: {counted(unknown, 'row')} for images that are none of these")
    if missing:
        notes.append(f"{path}: {counted(missing, 'image')} not named and not scored")
    return [found[i][1] if i in found else None for i in range(len(indices))], notes


def _known(text: str, reading: Reading) -> int:
    return sum(character in reading.characters for character in text)


def _header(lines) -> list[str]:
    return [cell.strip().casefold() for cell in lines[0][1]] if lines else []


def _key(cell: str) -> str:
    name = stem(PurePosixPath(name_key(cell.strip().replace("\\", "/"))).name)
    return str(int(name)) if name.isdecimal() else name


def _places(source: Source, indices: Sequence[int]) -> dict[str, int]:
    """Spelling of an image -> its place among them; none that two images share."""
    seen: dict[str, set[int]] = {}
    for place, (i, number) in enumerate(zip(indices, image_ids(source, indices), strict=True)):
        for key in (_key(source.records[i].place), str(number)):
            seen.setdefault(key, set()).add(place)
    return {key: places.pop() for key, places in seen.items() if len(places) == 1}
