"""Masks drawn from objects: which of them counts where, and what nothing drawn means."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfvision.data.files.issue import BadSample
from tfvision.data.sources.exports.drawing import DRAW, beyond, coordinates
from tfvision.errors import InputError

NO_LABEL = 255
OVERLAPS = {
    "last": "the later of two overlapping objects counts",
    "first": "the earlier of two overlapping objects counts",
    "smallest": "the smaller of two overlapping objects counts",
}
UNDRAWN = {
    "background": "background where nothing is drawn",
    "no_label": "no label where nothing is drawn",
}


@dataclass(frozen=True)
class Rule:
    """How objects become one mask.

    Attributes:
        overlap: Which of two overlapping objects counts: "last" in the file, "first", or
            "smallest".
        undrawn: What a pixel is where nothing is drawn: class 0 ("background"), or "no_label".
        holes: Whether a polygon inside another one of the same object is a hole (even-odd);
            else all polygons of an object join.
    """

    overlap: str = "last"
    undrawn: str = "background"
    holes: bool = False

    def __post_init__(self):
        for name, known in (("overlap", OVERLAPS), ("undrawn", UNDRAWN)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )

    def classes(self, names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        """The classes in order, and the label of each name that is drawn.

        Where nothing drawn is background, that is class 0; a name that says so is this class.

        Raises:
            InputError: More classes than a mask can tell apart.
        """
        if len(names) >= NO_LABEL:
            raise InputError(
                f"{len(names)} classes are drawn; at most {NO_LABEL - 1} can be, since the label "
                f"{NO_LABEL} means no label. Leave some out of the annotations."
            )
        if self.undrawn == "no_label":
            return list(names), {name: label for label, name in enumerate(names)}
        own = [name for name in names if name.strip("_").lower() != "background"]
        classes = ["background", *own]
        return classes, {name: classes.index(name) if name in own else 0 for name in names}

    def __str__(self) -> str:
        return f"{UNDRAWN[self.undrawn]}; {OVERLAPS[self.overlap]}"

    def others(self) -> str:
        """A note on what to type for another reading."""
        overlaps = " or ".join(name for name in OVERLAPS if name != self.overlap)
        (undrawn,) = (name for name in UNDRAWN if name != self.undrawn)
        return (
            f"other readings: --set data.source.overlap={overlaps}, "
            f"--set data.source.undrawn={undrawn}"
        )


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        what: For messages: "annotation 17 (leaf)".
        label: Its value in the mask.
        kind: A name of `DRAW`.
        content: What is drawn, as JSON holds it.
    """

    what: str
    label: int
    kind: str
    content: Any


@dataclass(frozen=True)
class DrawnMask:
    """A `MaskReader` of objects.

    Attributes:
        shapes: The objects of one image, in the order of the file.
        size: (H, W) of the image as the annotations say; None: they do not.
        rule: How they become one mask.
    """

    shapes: Sequence[Shape]
    size: tuple[int, int] | None
    rule: Rule

    def read(self, place: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) int32.

        Raises:
            BadSample: Another size than the annotations say, or an object that cannot be drawn.
        """
        _check_size(self.size, shape, place)
        empty = NO_LABEL if self.rule.undrawn == "no_label" else 0
        mask = np.full(shape, empty, np.int32)
        drawn = ((one.label, _pixels(one, place, shape, self.rule.holes)) for one in self.shapes)
        if self.rule.overlap == "smallest":
            drawn = sorted(drawn, key=lambda pair: -int(np.count_nonzero(pair[1])))
        if self.rule.overlap == "first":
            drawn = reversed(list(drawn))
        for label, pixels in drawn:
            mask[pixels] = label
        return mask

    def stamp(self) -> str:
        return self._stamp

    @cached_property
    def _stamp(self) -> str:
        shapes = [[one.what, one.label, one.kind, one.content] for one in self.shapes]
        text = json.dumps([shapes, self.size, asdict(self.rule)], default=repr)
        return hashlib.sha256(text.encode()).hexdigest()


def _check_size(said: tuple[int, int] | None, shape: tuple[int, int], place: str) -> None:
    if said is None or said == tuple(shape):
        return
    turned = said == (shape[1], shape[0])
    raise BadSample(
        place,
        f"says {said[0]} x {said[1]} pixels, the image has {shape[0]} x {shape[1]} (height x "
        "width)",
        "Annotations must be those of this very image, at its size."
        + (
            " They fit an image that lies on its side: where it has an EXIF orientation, type "
            "--set data.source.exif=ignore; else it was turned after it was annotated."
            if turned
            else ""
        ),
    )


def _pixels(one: Shape, place: str, shape: tuple[int, int], holes: bool) -> np.ndarray:
    """Where an object is, (H, W) bool."""
    try:
        pixels = DRAW[one.kind](one.content, shape, holes)
        if not pixels.any() and beyond(coordinates(one.content), shape) == "all":
            raise ValueError(f"all of it lies beyond the picture of {shape[0]} x {shape[1]}")
        return pixels
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BadSample(
            place,
            f"{one.what} cannot be drawn: {error}",
            "Correct it in the annotations, or delete it there.",
        ) from error
