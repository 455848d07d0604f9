"""What becomes of faulty boxes: put right, left out, or refused; each is listed with what was done.

| fault | `faults: mend` |
|---|---|
| corners in the wrong order | put right |
| reaches beyond the image | clipped |
| wholly outside the image, no area, of one pixel or less | left out |
| sides and label of an earlier box of the image | left out |
| sides of an earlier box, another label | as `conflicts` says |

Crowds are no fault: they stay as regions to ignore, cut at the edges, and repeat no box.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.data.files.issue import Issue
from tfvision.data.sources.boxes.told import outside
from tfvision.data.sources.boxes.written import BoxOptions, WrittenBox
from tfvision.text import counted

SWAPPED, CLIPPED, OUT = "swapped corners", "clipped", "left out"
OUTSIDE, NO_AREA, ONE_PIXEL, REPEATED = (
    f"{OUT}: outside the image",
    f"{OUT}: no area",
    f"{OUT}: one pixel or less",
    f"{OUT}: repeats another box",
)
CONFLICT, BOTH = f"{OUT}: another label of a box", "another label of a box"
CROWD = "ignored: crowd"
ROUNDING = 0.01  # pixels over the edge that are no fault


@dataclass(frozen=True)
class ReadBox:
    """A box as it was read, and what was done to it.

    Attributes:
        place: What messages call it.
        sides: `x1 y1 x2 y2` in pixels of the image as it is seen.
        label: Its class.
        done: In words, joined by "; ", "" for nothing; begins with "left out" where it is none.
        other: Of a box that repeats or contradicts an earlier one the place of that.
        crowd: Whether it is a region to ignore.
    """

    place: str
    sides: tuple[float, float, float, float]
    label: str
    done: str = ""
    other: str = ""
    crowd: bool = False

    @property
    def stays(self) -> bool:
        """Whether it is with the sample, as a box or as a crowd."""
        return OUT not in self.done

    @property
    def counts(self) -> bool:
        """Whether it is a box of its class."""
        return self.stays and not self.crowd


def mend(
    written: Sequence[WrittenBox],
    corners: np.ndarray,
    size: tuple[float, float],
    conflicts: str,
) -> list[ReadBox]:
    """The boxes of one image.

    Args:
        written: What is written of each.
        corners: (n, 4) `x1 y1 x2 y2` in pixels of the image.
        size: (H, W) of it; NaN where it is not known, and nothing is clipped.
        conflicts: See `BoxOptions`.
    """
    swapped = (corners[:, :2] > corners[:, 2:]).any(axis=1)
    straight = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])],
        axis=1,
    )
    limits = np.array([size[1], size[0]] * 2)
    inside = np.fmin(np.fmax(straight, 0), limits) if size[0] == size[0] else straight
    gone = outside(straight, np.tile(size, (len(straight), 1)))
    flat = (straight[:, :2] == straight[:, 2:]).any(axis=1)
    area = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
    read = []
    for row, box in enumerate(written):
        done, sides = [SWAPPED] if swapped[row] else [], inside[row]
        if box.left_out:
            done, sides = [f"{OUT}: {box.left_out}"], straight[row]
        elif flat[row]:
            done, sides = [NO_AREA], straight[row]
        elif gone[row]:
            done, sides = [*done, OUTSIDE], straight[row]
        elif area[row] <= 1:
            done, sides = [*done, ONE_PIXEL], straight[row]
        elif np.abs(inside[row] - straight[row]).max() > ROUNDING:
            done.append(CLIPPED)
        if box.crowd and OUT not in "".join(done):
            done = [CROWD, *done]
        rounded = tuple(float(side) for side in sides.astype(np.float32))
        read.append(ReadBox(box.place, rounded, box.label, "; ".join(done), crowd=box.crowd))
    return _without_doubles(read, conflicts)


def _without_doubles(read: Sequence[ReadBox], conflicts: str) -> list[ReadBox]:
    """Marks boxes that repeat or contradict an earlier one."""
    same: dict[tuple, list[int]] = {}
    for row, box in enumerate(read):
        if box.counts:
            same.setdefault(box.sides, []).append(row)
    marked = list(read)
    for rows in same.values():
        first: dict[str, int] = {}
        for row in rows:
            earlier = first.setdefault(read[row].label, row)
            if earlier != row:
                marked[row] = _marked(read[row], REPEATED, read[earlier])
        kept = list(first.values())
        if len(kept) > 1:
            done = BOTH if conflicts == "both" else CONFLICT
            for row in kept if conflicts == "none" else kept[1:]:
                other = read[kept[1] if row == kept[0] else kept[0]]
                marked[row] = _marked(read[row], done, other)
    return marked


def _marked(box: ReadBox, done: str, other: ReadBox) -> ReadBox:
    said = f"{done} ({other.place}" + (f": {other.label})" if other.label != box.label else ")")
    joined = "; ".join(part for part in (box.done, said) if part)
    return ReadBox(box.place, box.sides, box.label, joined, other.place)


def kind_of(box: ReadBox) -> str:
    """What was done to a box, without what differs from box to box; "" for nothing."""
    return box.done.split(" (")[0]


def report(
    images: Sequence[tuple[str, Sequence[ReadBox]]], options: BoxOptions
) -> tuple[list[str], list[Issue]]:
    """Lines on how often what was done, and findings on single boxes.

    Args:
        images: (id of the image, its boxes) each.
        options: `refuse` makes an error of each fault; conflicts are warnings.
    """
    boxes = [box for _, of_image in images for box in of_image if box.done]
    counts = Counter(kind_of(box) for box in boxes)
    first = {kind_of(box): box.place for box in reversed(boxes)}
    notes = [
        f"{counted(number, 'box')} {kind} (first: {first[kind]})"
        for kind, number in counts.most_common()
    ]
    issues = []
    for identity, of_image in images:
        for box in of_image:
            sides = ", ".join(f"{side:g}" for side in box.sides)
            said = f"the box ({sides}) {box.label!r}"
            if options.faults == "refuse" and box.done and not _is_declared(box):
                problem = f"{said} would be {box.done}, and faults: refuse is set"
                issues.append(Issue("error", identity, box.place, problem, "Correct the box."))
            elif box.other and REPEATED not in box.done:
                problem = f"{said} is {box.done}"
                advice = "Delete the wrong one; --set data.source.conflicts=both or none else."
                issues.append(Issue("warning", identity, box.place, problem, advice))
    return notes, issues


def _is_declared(box: ReadBox) -> bool:
    """Whether the annotations themselves say that a box is no truth."""
    return box.done == CROWD or (
        box.done.startswith(OUT)
        and not box.done.startswith((OUTSIDE, NO_AREA, ONE_PIXEL, REPEATED, CONFLICT))
    )
