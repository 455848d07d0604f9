"""Which folders of a data set hold images and which their masks: what pairs up by names.

Two folders that differ in one name of their path are images and masks where their files pair up:
`images/` and `labels/`, `train/img` and `train/gt`, `images/train` and `masks/train`, `val/` and
`valannot/`. Folders of usual names (`folder_names`) are taken as such; of others just one of the
two must hold what looks like masks. Two answers that are equally good are an error.
"""

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product
from pathlib import Path

from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.folders.folder_names import read_folder_name, says_drawing
from tfvision.data.sources.folders.folder_pairs import (
    Attempt,
    Place,
    declared_kinds,
    folder_kinds,
    stem_of,
    take,
)
from tfvision.data.sources.folders.mask_look import class_numbers, mask_look, on_paper
from tfvision.data.sources.folders.name_pairs import Affix
from tfvision.errors import InputError

MEANT = "If these are classes, say --set data.source.name=class_folder."
_USUAL = ("images", "masks", "image", "mask", "imgs")
MOST_KINDS = 12  # folders of unusual names that are compared with one another


@dataclass(frozen=True)
class MaskLayout:
    """Images, and the masks they have.

    Attributes:
        images: Those of all parts.
        masks: Path of an image -> path of its mask.
        spare: Masks without an image.
        unlabelled: Parts that hold no masks at all.
        image_kind, mask_kind: Names of the folders; "" where images lie beside that of masks.
        convention: "same names", or how names pair.
        affixes: Part -> what was stripped of the names of its images and of its masks.
        folders: Those of these names that hold no image.
        mask_names: Path of each mask -> part and name, which is unique.
    """

    images: tuple[Place, ...]
    masks: dict[str, str]
    spare: tuple[str, ...]
    unlabelled: frozenset[str]
    image_kind: str
    mask_kind: str
    convention: str
    affixes: dict[str, tuple[Affix, Affix]]
    folders: tuple[str, ...]
    mask_names: dict[str, str]

    def top_of(self, mask: str) -> str:
        """The folder that holds the masks of a mask's part."""
        steps = mask.split("/")[:-1]
        kinds = [read_folder_name(step) for step in steps]
        last = max(
            (i for i, found in enumerate(kinds) if found.part or found.kind == self._kind),
            default=-1,
        )
        return "/".join(steps[: last + 1])

    @cached_property
    def _kind(self) -> str:
        return read_folder_name(self.mask_kind).kind

    @cached_property
    def _tops(self) -> dict[str, None]:
        return dict.fromkeys(map(self.top_of, self.masks.values()))

    def expected(self, place: Place) -> str:
        """What would be the mask of an image, for messages."""
        image, mask = self.affixes.get(place.part, self.affixes[""])
        core = image.core(stem_of(place))
        same = [top for top in self._tops if place.part and _part_of(top) == place.part]
        folder = next(iter([*same, *self._tops]), self.mask_kind)
        if core is None:
            return f"its name is not like that of the others ({self.convention})"
        start = place.name.rpartition("/")[0]
        where = f"{start}/" if start else ""
        return f"no file {where}{mask.before}{core}{mask.behind}.* in {folder}/"

    @property
    def words(self) -> str:
        """What speaks for it."""
        kinds = " and ".join(f"{kind}/" for kind in (self.image_kind, self.mask_kind) if kind)
        count = len(self.masks)
        pairs = f"{count} pairs of files" if count != 1 else "a pair of files"
        return f"{kinds} with {pairs}, {self.convention}" if count else kinds


@lru_cache(maxsize=4)  # several layouts ask it of the same tree
def find_masks(tree: Tree, *, images: str | None = None, masks: str | None = None):
    """The images and masks of a tree, in folders of their own.

    Args:
        tree: The data set.
        images, masks: Where they are declared: the name of a folder (`gt/`), a pattern of file
            names (`*_seg.png`), or both (`gt/*_seg.png`).

    Returns:
        A `MaskLayout`, or None.

    Raises:
        InputError: Two answers are equally good; a validation part has no masks.
    """
    kinds = folder_kinds(tree)
    role_of = {kind: read_folder_name(kind).role for kind in kinds}
    listed_images = declared_kinds(images) or [k for k in kinds if role_of[k] == "image"]
    listed_masks = declared_kinds(masks) or [k for k in kinds if role_of[k] == "mask"]
    others = [k for k in kinds if k not in listed_images and k not in listed_masks]
    others = others if len(others) <= MOST_KINDS else []
    looks = _Looks(tree, kinds)
    stages: list[tuple[Iterator[tuple[str, str]], bool]] = [
        (product(listed_images, listed_masks), False),
        (product([""], listed_masks), False),
        (product(others, listed_masks), True),
        (product(listed_images, others), True),
        (((a, b) for pair in combinations(others, 2) for a, b in (pair, pair[::-1])), True),
    ]
    for pairs_of_kinds, by_look in stages:
        found = []
        for image_kind, mask_kind in pairs_of_kinds:
            numbers = image_kind.isdigit() and mask_kind.isdigit()  # of classes
            if by_look and (numbers or not looks.tell_apart(image_kind, mask_kind)):
                continue
            attempt = take(tree, image_kind, mask_kind, images, masks)
            if attempt.pairs_up:
                found.append(attempt)
        unusual = len({a.image_kind for a in found} - set(listed_images)) > 1
        if unusual and not listed_masks:
            break  # folders of one kind, some of which hold simpler pictures: classes
        if found:
            attempt = _only(tree, found, images)
            if by_look and looks.of_drawings(attempt.mask_kind):
                raise InputError(_drawings_or_masks(tree, attempt))
            return _settled(tree, attempt)
    for image_kind, mask_kind in product(listed_images, listed_masks):  # nothing pairs up
        attempt = take(tree, image_kind, mask_kind, images, masks)
        missing = not (attempt.images and attempt.masks)
        usual = image_kind in _USUAL and mask_kind in _USUAL
        if missing or usual or looks.of(mask_kind):
            return _settled(tree, attempt)
    return None


class _Looks:
    """What the files below folders of a name look like, each asked once."""

    def __init__(self, tree: Tree, kinds: dict[str, set[tuple]]):
        self._tree, self._kinds = tree, kinds
        self._known: dict[str, str] = {}

    def of(self, kind: str) -> str:
        """As `mask_look` says it."""
        if kind not in self._known:
            self._known[kind] = mask_look(self._files(kind))
        return self._known[kind]

    def of_drawings(self, kind: str) -> bool:
        """Whether what looks like masks may as well be drawings: ink on paper, or named so where
        no class numbers prove masks."""
        files = self._files(kind)
        return on_paper(files) or (says_drawing(kind) and not class_numbers(files))

    def _files(self, kind: str) -> list[Path]:
        return [
            self._tree.root / folder / name
            for folder, names in self._tree.files.items()
            if any(read_folder_name(step).kind == kind for step in folder.split("/"))
            for name in names
            if is_image(name)
        ]

    def tell_apart(self, images: str, masks: str) -> bool:
        """Whether two kinds of folder lie side by side, and the masks alone look like masks."""
        places = (self._kinds.get(kind, set()) for kind in (images, masks))
        return bool(set.intersection(*places) and self.of(masks)) and not self.of(images)


def _only(tree: Tree, found: Sequence[Attempt], images: str | None) -> Attempt:
    """The one attempt, without another convention in it: of several, that whose masks look so.

    Raises:
        InputError: There is another.
    """
    found = _by_look(tree, found)
    first = found[0]
    for other in found[1:]:
        side = "images" if other.mask_kind == first.mask_kind else "masks"
        kinds = [getattr(attempt, f"{side[:-1]}_kind") for attempt in (first, other)]
        raise InputError(_which(tree, side, [f"{_spelled(tree, kind)}/" for kind in kinds]))
    if first.rival is None:
        return first
    affix, side = first.rival
    image, mask = first.affixes[""]
    own, places = (image, first.images) if side == "images" else (mask, first.masks)
    shown = [_pattern(own, places), _pattern(affix, places)]
    if side == "images" and affix.before == own.before:
        raise InputError(
            f"{tree.root} holds several images for each mask ({' and '.join(shown)}): channels? A "
            "sample is one image file. Join them to one file of several channels, or name the "
            f"one that is meant: --set 'data.source.images={shown[0]}'."
        )
    if side == "masks":
        kind = first.image_kind, first.mask_kind
        both = [take(tree, *kind, images, f"{first.mask_kind}/{pattern}") for pattern in shown]
        if len(told := _by_look(tree, both)) == 1:
            return told[0]
    raise InputError(_which(tree, side, shown))


def _by_look(tree: Tree, found: Sequence[Attempt]) -> Sequence[Attempt]:
    """Of several, the one whose masks alone look like masks; all where that does not tell."""
    if len(found) < 2:
        return found
    looks = [mask_look([tree.root / place.path for place in a.masks]) for a in found]
    told = [attempt for attempt, look in zip(found, looks, strict=True) if look]
    return told if len(told) == 1 else found


def _part_of(folder: str) -> str:
    """The part that one of a folder's names says."""
    return next((p for step in folder.split("/") if (p := read_folder_name(step).part)), "")


def _which(tree: Tree, side: str, shown: Sequence[str]) -> str:
    """The sentence on two answers to what holds the images or masks."""
    typed = " or ".join(f"--set 'data.source.{side}={text}'" for text in shown)
    return (
        f"{tree.root} holds {' and '.join(shown)}: which one is meant? Both pair up by names as "
        f"{side}. Say {typed}."
    )


def _drawings_or_masks(tree: Tree, attempt: Attempt) -> str:
    """The sentence on pictures of few values that are named like the images of another folder."""
    one, other = (f"{_spelled(tree, k)}/" for k in (attempt.image_kind, attempt.mask_kind))
    return (
        f"{tree.root} can be read in two ways: {one} and {other} hold {len(attempt.pairs)} files "
        f"of the same names, as images and masks do, and {other} may hold drawings as well (white "
        f"paper, or named so). {MEANT} If they are images and masks, say --set "
        f"data.source.name=folder --set data.source.images={one} --set data.source.masks={other}."
    )


def _spelled(tree: Tree, kind: str) -> str:
    """A folder's name as the data set writes it."""
    steps = (step for folder in tree.files for step in folder.split("/") if step)
    return next((step for step in steps if read_folder_name(step).kind == kind), kind)


def _pattern(affix: Affix, places: Sequence[Place]) -> str:
    """`*_seg.png`: what stands around names, with the commonest extension."""
    endings = Counter(
        posixpath.splitext(place.path)[1] for place in places if affix.core(stem_of(place))
    )
    return f"{affix}{endings.most_common(1)[0][0] if endings else ''}"


def _settled(tree: Tree, attempt: Attempt) -> MaskLayout:
    parts = {place.part for place in attempt.masks}
    if {"", "train"} <= parts:
        inside = next(p.path for p in attempt.masks if p.part == "train").rpartition("/")[0]
        raise InputError(
            f"{tree.root} holds images and masks, and some in {inside}/ too: which one is to be "
            "trained on? Give the path of one of them, or move the other away."
        )
    bare = next((p for p in attempt.images if p.part == "val" and p.part not in parts), None)
    if bare is not None and attempt.masks:
        raise InputError(_no_validation_masks(tree, bare, attempt))
    used = set(attempt.pairs.values())
    return MaskLayout(
        images=attempt.images,
        masks={attempt.images[i].path: attempt.masks[j].path for i, j in attempt.pairs.items()},
        spare=tuple(p.path for j, p in enumerate(attempt.masks) if j not in used),
        unlabelled=frozenset({"test"} - parts),
        image_kind=_spelled(tree, attempt.image_kind) if attempt.image_kind else "",
        mask_kind=_spelled(tree, attempt.mask_kind),
        convention=_convention(attempt),
        affixes=attempt.affixes,
        mask_names={p.path: f"{p.part}/{p.name}" for p in attempt.masks},
        folders=tuple(
            folder
            for folder in tree.files
            if folder
            and read_folder_name(folder.split("/")[-1]).kind
            in (attempt.image_kind, attempt.mask_kind)
            and not tree.images(folder)
        ),
    )


def _convention(attempt: Attempt) -> str:
    """How names pair, in words."""
    said = []
    for part, (image, mask) in attempt.affixes.items():
        sides = [
            (affix, [p for p in places if part in ("", p.part)])
            for affix, places in ((image, attempt.images), (mask, attempt.masks))
        ]
        if image == mask == Affix():
            said.append("same names")
        else:
            said.append("paired by names: " + " with ".join(_pattern(*side) for side in sides))
    return "; ".join(dict.fromkeys(said))


def _no_validation_masks(tree: Tree, image: Place, attempt: Attempt) -> str:
    steps = image.path.split("/")[:-1]
    last = max(i for i, step in enumerate(steps) if read_folder_name(step).part)
    where = tree.root / "/".join(steps[: last + 1])
    kinds = [_spelled(tree, kind) for kind in (attempt.image_kind, attempt.mask_kind) if kind]
    text = f"{kinds[0]}/ but no {kinds[-1]}/" if last + 1 < len(steps) else "images without masks"
    return f"{where} holds {text}. Validation needs a mask an image, of the same name."
