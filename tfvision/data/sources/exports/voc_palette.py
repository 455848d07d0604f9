"""The colours and classes of Pascal VOC, and the `labelmap.txt` of annotation tools."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.data.files.pixels import Colour
from tfvision.data.sources.exports.drawn_mask import NO_LABEL
from tfvision.data.sources.exports.samples import lines_of
from tfvision.errors import InputError

BORDER = (224, 224, 192)
NO_CLASS = ("void", "border", "boundary", "ignore", "ignored", "__ignore__", "unlabeled")
VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
_LINE = re.compile(r"(.*?):(\d+,\d+,\d+)?(?::[^:]*:[^:]*)?$")


def voc_colours() -> list[Colour]:
    """The 256 colours of VOC's palette: bits of the number, spread over red, green and blue."""
    colours = []
    for number in range(256):
        colour, rest = [0, 0, 0], number
        for shift in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= ((rest >> channel) & 1) << shift
            rest >>= 3
        colours.append((colour[0], colour[1], colour[2]))
    return colours


@dataclass(frozen=True)
class Labelmap:
    """Attributes:
    names: Of the classes, background first, then as the file lists them.
    palette: The label of each colour.
    ignored: Names that mean no label.
    in_order: Whether the file itself lists background first.
    """

    names: list[str]
    palette: dict[Colour, int]
    ignored: list[str]
    in_order: bool


def read_labelmap(path: Path, name: str) -> Labelmap:
    """Reads lines `name:red,green,blue:parts:actions`.

    Raises:
        InputError: Names the line that is none, or a colour or a name that is there twice.
    """
    entries: list[tuple[str, Colour]] = []
    for line in lines_of(path, name):
        if line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise InputError(f"{path}: {line!r} must be name:red,green,blue:parts:actions.")
        label, written = match[1].strip(), match[2]
        colour = _colour(written, f"{path}: {line!r}") if written else None
        colour = colour or voc_colours()[len(entries)]
        if any(label == other or colour == used for other, used in entries):
            raise InputError(f"{path}: {line!r} repeats a name or a colour.")
        entries.append((label, colour))
    ignored = [entry for entry in entries if entry[0].lower() in NO_CLASS]
    return _in_order([entry for entry in entries if entry not in ignored], ignored, name)


def _colour(written: str, what: str) -> Colour:
    red, green, blue = (int(value) for value in written.split(","))
    if max(red, green, blue) > 255:
        raise InputError(f"{what} has the colour {written}; its parts must be 0 to 255.")
    return red, green, blue


def _in_order(
    entries: Sequence[tuple[str, Colour]], ignored: Sequence[tuple[str, Colour]], name: str
) -> Labelmap:
    """Background first: what is called so, else what is black."""
    if len(entries) < 2:
        raise InputError(f"{name} must list two classes or more; found {len(entries)}.")
    named = [e for e in entries if e[0].strip("_").lower() == "background"]
    first = (named or [e for e in entries if e[1] == (0, 0, 0)])[:1]
    ordered = [*first, *(entry for entry in entries if entry not in first)]
    palette = {colour: label for label, (_, colour) in enumerate(ordered)}
    palette |= {colour: NO_LABEL for _, colour in ignored}
    palette.setdefault(BORDER, NO_LABEL)
    names, without = [label for label, _ in ordered], [label for label, _ in ignored]
    return Labelmap(names, palette, without, ordered == list(entries))
