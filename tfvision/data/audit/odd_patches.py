"""Pictures with a patch of one colour that nothing else in the set has: a stain, a pen stroke.

No twin is needed. A patch stands out where it has a sharp outline, and is odd where hardly any
other picture has one of that colour, half as large or of 2 % of the picture. What is usual is the
set's own: an empty background or an overexposed sky is a patch too, but one that others have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.data.audit.finding import Finding
from tfvision.data.scan.measure import Facts
from tfvision.data.scan.patches import Patch

ENOUGH = 20  # pictures, without which nothing is usual
LARGER, LARGE = 0.5, 0.02  # of its area, or of the picture, that theirs must have
MOST = 0.6  # of the picture that a stain covers
CLIPPED = 2  # grey levels of black or white, that under- or overexposed places have too
CLIPPED_SHARE = 0.04  # of the picture, that a patch of these must have
USUAL = 0.15  # of the pictures; where so many have noise that fills no odd patch, it is no sign
COMMON = 0.04  # likewise, of those with patches of noise that stand out, and that others have too
MANY = 0.35  # of the pictures; where so many have odd patches, these are no sign
PICTURES = 500  # compared at a time


@dataclass(frozen=True)
class Kind:
    """Attributes:
    share: Of the picture, that a patch must have.
    contrast: Grey levels; see `Patch`.
    alike: Grey levels that a channel of like colours may differ by.
    others: Share of the pictures that must have a patch like it, to make it usual; and how many
        at least.
    words: In a reading.
    """

    share: float
    contrast: float
    alike: int
    others: tuple[float, int]
    words: str


KINDS = {
    False: Kind(0.02, 12.0, 4, (0.03, 2), "one flat colour"),
    True: Kind(0.02, 10.0, 10, (0.03, 2), "one colour but for noise"),
}


@dataclass(frozen=True)
class Odd:
    """Attributes:
    patch: The largest odd patch of a picture.
    like: How many other pictures have one like it.
    others: How many others there are; equal pictures count once.
    """

    patch: Patch
    like: int
    others: int

    @property
    def false_alarms(self) -> float:
        """How often at most a picture of this set has a patch that so few others have, if it
        is no stain: the rank of a picture among pictures that are drawn alike."""
        return (self.like + 1) / (self.others + 1)

    @property
    def reading(self) -> str:
        patch, kind = self.patch, KINDS[self.patch.noisy]
        others = "no other picture has" if not self.like else f"{self.like} of the others have"
        return (
            f"{patch.share:.1%} of the picture, about row {patch.row}, column {patch.column}, is "
            f"{kind.words} (red, green, blue {', '.join(map(str, patch.colour))}) with a sharp "
            f"outline, and {others} a patch like it, of {self.others}"
        )

    @property
    def evidence(self) -> dict[str, Any]:
        return {
            "patch_share": self.patch.share,
            "patch_contrast": self.patch.contrast,
            "pictures_with_one_like_it": self.like,
            "false_alarms_at_most": round(self.false_alarms, 4),
        }


def odd_patches(facts: Sequence[Facts | None]) -> dict[int, Odd]:
    """The pictures that have an odd patch.

    Args:
        facts: Of each sample, None where it was not read.
    """
    numbers: dict[str, int] = {}  # equal pictures are one
    for fact in facts:
        if fact is not None:
            numbers.setdefault(fact.image_sha256, len(numbers))
    total = len(numbers)
    if total < ENOUGH:
        return {}
    first = {}
    for fact in facts:
        if fact is not None:
            first.setdefault(numbers[fact.image_sha256], fact.sketch.patches)
    rows = [(number, patch) for number, found in first.items() for patch in found]
    odd: dict[int, Odd] = {}
    for noisy, kind in KINDS.items():
        others = [(n, p) for n, p in rows if p.noisy == noisy]
        stand_out = [(n, p) for n, p in others if _stands_out(p, kind)]
        least = max(kind.others[1], round(kind.others[0] * total))
        like = _like(stand_out, others, kind.alike, least).tolist()
        pairs = [(n, p, m) for (n, p), m in zip(stand_out, like, strict=True) if m < least]
        common, usual = (
            {n for n, _ in some} - {n for n, *_ in pairs} for some in (stand_out, others)
        )
        if noisy and (len(common) > COMMON * total or len(usual) > USUAL * total):
            continue
        for number, patch, count in pairs:
            known = odd.get(number)
            if known is None or patch.share > known.patch.share:
                odd[number] = Odd(patch, count, total - 1)
    if len(odd) > MANY * total:
        return {}
    places = enumerate(None if f is None else numbers[f.image_sha256] for f in facts)
    return {i: odd[number] for i, number in places if number in odd}


def _stands_out(patch: Patch, kind: Kind) -> bool:
    low, high = min(patch.colour), max(patch.colour)
    clipped = high <= CLIPPED or low >= 255 - CLIPPED
    large = max(kind.share, CLIPPED_SHARE * clipped) <= patch.share <= MOST
    return (
        large
        and patch.contrast >= kind.contrast
        and (patch.white or not (patch.across or patch.noisy))
    )


def _like(
    chosen: Sequence[tuple[int, Patch]],
    rows: Sequence[tuple[int, Patch]],
    alike: int,
    least: int,
) -> np.ndarray:
    """How many other pictures have a patch like each of the chosen ones; where it is `least` or
    more, not all were counted.

    Args:
        chosen, rows: Pictures and patches, in the order of the pictures.
    """
    owner, share, colour = _columns(rows)
    own, area, tone = _columns(chosen)
    counts = np.zeros(len(own), np.int64)
    for begin in range(0, int(owner.max(initial=-1)) + 1, PICTURES):
        part = slice(*np.searchsorted(owner, [begin, begin + PICTURES]))
        starts = np.unique(owner[part], return_index=True)[1]
        left = np.nonzero(counts < least)[0]
        for some in np.split(left, range(PICTURES, len(left), PICTURES)) if len(starts) else ():
            near = share[None, part] >= np.minimum(LARGER * area[some, None], LARGE)
            near &= owner[None, part] != own[some, None]
            for channel in range(3):
                apart = colour[None, part, channel] - tone[some, channel, None]
                near &= np.abs(apart) <= alike
            counts[some] += np.logical_or.reduceat(near, starts, axis=1).sum(axis=1)
    return counts


def _columns(rows: Sequence[tuple[int, Patch]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    owner = np.array([number for number, _ in rows], np.int64)
    share = np.array([patch.share for _, patch in rows], np.float32)
    colour = np.array([patch.colour for _, patch in rows], np.int16).reshape(-1, 3)
    return owner, share, colour


def findings_of(odd: Mapping[int, Odd], said: Sequence[int]) -> list[Finding]:
    """A finding for each odd picture, but for those that another finding names already.

    Args:
        odd: As `odd_patches` gives them.
        said: Samples whose patches are told of among near-duplicates.
    """
    return [
        Finding("stained_image", "warning", (i,), (i,), reading=o.reading, evidence=o.evidence)
        for i, o in sorted(odd.items())
        if i not in said
    ]
