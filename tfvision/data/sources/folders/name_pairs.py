"""Names that belong together, by what all names of one side share before or behind.

`a.jpg` with `a_segmentation.png`, `21_training.tif` with `21_manual1.gif`, `img_7` with `mask_7`:
no list of words is needed. What is stripped is the same for all names of a side, and as little
as possible.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Name = tuple[str, str]  # folder (and part), and stem

_MOST_AFFIXES, _SAMPLED, _CONTAINING = 6, 300, 5


@dataclass(frozen=True)
class Affix:
    """What stands before and behind the part of a name that pairs have in common."""

    before: str = ""
    behind: str = ""

    def core(self, stem: str) -> str | None:
        """The name without it; None where it does not have it, or nothing is left."""
        enough = len(stem) > len(self.before) + len(self.behind)
        if not (enough and stem.startswith(self.before) and stem.endswith(self.behind)):
            return None
        return stem[len(self.before) : len(stem) - len(self.behind)]

    @property
    def length(self) -> int:
        return len(self.before) + len(self.behind)

    def __str__(self) -> str:
        return f"{self.before}*{self.behind}"


@dataclass(frozen=True)
class Matched:
    """Pairs of names.

    Attributes:
        pairs: Place among the images -> place among the masks.
        image, mask: What was stripped.
        rival: Where other images, or other masks, pair as well: what they have in common
            instead, and whether these are "images" or "masks"; else None.
    """

    pairs: dict[int, int]
    image: Affix
    mask: Affix
    rival: tuple[Affix, str] | None = None


def match_names(images: Sequence[Name], masks: Sequence[Name]) -> Matched:
    """Pairs each mask with its image: equal names first, else by what all names share.

    A convention that contradicts equal names is not considered.
    """
    plain = Affix()
    exact = _pairs(images, masks, plain, plain)
    if 2 * len(exact) >= min(len(images), len(masks)):
        return Matched(exact, plain, plain, _rival(images, masks, exact, plain, plain))
    best, best_key = (exact, plain, plain), (len(exact), 0)
    for image, mask in _conventions(images, masks):
        pairs = _pairs(images, masks, image, mask)
        if any(pairs.get(i) != j for i, j in exact.items()):
            continue
        key = (len(pairs), -image.length - mask.length)
        if key > best_key:
            best, best_key = (pairs, image, mask), key
    pairs, image, mask = best
    return Matched(pairs, image, mask, _rival(images, masks, pairs, image, mask))


def _pairs(images: Sequence[Name], masks: Sequence[Name], image: Affix, mask: Affix):
    """Place -> place under one convention; names that are no longer unique pair with nothing."""
    at, twice = _index(images, image), set()
    pairs: dict[int, int] = {}
    for j, (folder, stem) in enumerate(masks):
        core = mask.core(stem)
        i = None if core is None else at.get((folder, core))
        if i is None:
            continue
        if i in pairs:
            twice.add(i)
        pairs[i] = j
    return {i: j for i, j in pairs.items() if i not in twice}


def _index(names: Sequence[Name], affix: Affix) -> dict[Name, int | None]:
    at: dict[Name, int | None] = {}
    for i, (folder, stem) in enumerate(names):
        core = affix.core(stem)
        if core is not None:
            at[folder, core] = None if (folder, core) in at else i
    return at


def _conventions(images: Sequence[Name], masks: Sequence[Name]) -> list[tuple[Affix, Affix]]:
    """What may have been added to names, the likely ones."""
    found = {(Affix(), affix): None for affix in _containing(images, masks)}
    found |= {(affix, Affix()): None for affix in _containing(masks, images)}
    own, other = affixes(images), affixes(masks)
    some = masks[:: max(1, len(masks) // _SAMPLED)]
    scored = []
    for image in own:
        at = _index(images, image)
        for mask in other:
            cores = ((folder, mask.core(stem)) for folder, stem in some)
            count = sum(at.get(key) is not None for key in cores)
            if count:
                scored.append((count, -image.length - mask.length, image, mask))
    scored.sort(key=lambda item: item[:2], reverse=True)
    return [*found, *((image, mask) for _, _, image, mask in scored[:4])]


def _containing(inner: Sequence[Name], outer: Sequence[Name]) -> list[Affix]:
    """What stands around names of `inner` within some names of `outer`, the commonest first."""
    stems: dict[str, list[str]] = {}
    for folder, stem in inner:
        stems.setdefault(folder, []).append(stem)
    counts: Counter[Affix] = Counter()
    for folder, whole in outer[:: max(1, len(outer) // _CONTAINING)][:_CONTAINING]:
        inside = [stem for stem in stems.get(folder, ()) if stem in whole and stem != whole]
        for stem in sorted(inside, key=len)[-2:]:
            start = whole.index(stem)
            counts[Affix(whole[:start], whole[start + len(stem) :])] += 1
    return [affix for affix, _ in counts.most_common(4)]


def affixes(names: Sequence[Name], share: float = 0.5) -> list[Affix]:
    """What at least a share of the names has before or behind, cut where a word may end."""
    before: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for _, stem in names:
        before.update(stem[:k] for k in _ends(stem))
        behind.update(stem[k:] for k in _starts(stem))
    least = max(1, share * len(names))
    kept = []
    for counts in (before, behind):
        common = [text for text, count in counts.items() if count >= least]
        kept.append(["", *sorted(common, key=len)[-_MOST_AFFIXES:]])
    return [Affix(a, b) for a in kept[0] for b in kept[1]]


def _ends(stem: str) -> list[int]:
    """Where something put before a name may end: behind a sign, or before digits."""
    return [m.end() for m in re.finditer(r"[-_. ]+(?=.)|[^\W\d_](?=\d)", stem)]


def _starts(stem: str) -> list[int]:
    """Where something put behind a name may begin: at a sign, or behind digits."""
    return [m.start() for m in re.finditer(r"(?<=[^-_. ])[-_. ]|(?<=\d)[^\W\d_]", stem)]


def _rival(images, masks, pairs, image: Affix, mask: Affix) -> tuple[Affix, str] | None:
    """Another convention for the images that are left, or for the masks that are left."""
    if not pairs:
        return None
    cores = {(images[i][0], image.core(images[i][1])) for i in pairs}
    used = set(pairs.values())
    left = {
        "images": [name for i, name in enumerate(images) if i not in pairs],
        "masks": [name for j, name in enumerate(masks) if j not in used],
    }
    for side, names in left.items():
        if 2 * len(names) < len(pairs):
            continue
        for affix in affixes(names):
            keys = {(folder, affix.core(stem)) for folder, stem in names}
            if 2 * len(keys & cores) >= len(pairs):
                return affix, side
    return None
