"""Folders of two names, taken for images and masks: what pairs up below them by names."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from tfvision.data.files.tree import Tree, is_image
from tfvision.data.sources.file_source import name_key, stem
from tfvision.data.sources.folders.folder_names import read_folder_name
from tfvision.data.sources.folders.name_pairs import Affix, Matched, Name, match_names
from tfvision.data.sources.unread import convertible

Frames = list[tuple[str, ...]]


@dataclass(frozen=True)
class Place:
    """An image file, and what the folders say in which it lies.

    Attributes:
        path: Below the root.
        part: "train", "val", "test", or "".
        frame: The folders that say neither part nor role.
    """

    path: str
    part: str
    frame: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path without part and role."""
        return "/".join((*self.frame, posixpath.basename(self.path)))


@dataclass(frozen=True)
class Attempt:
    """What comes of taking the folders of one name for images and of another for masks.

    Attributes:
        image_kind, mask_kind: The names; "" where images lie in no folder of a role.
        images, masks: The files.
        pairs: Place among the images -> place among the masks.
        affixes: Part -> what was stripped of the names of its images and of its masks.
        rival: As `name_pairs.Matched` has it.
    """

    image_kind: str
    mask_kind: str
    images: tuple[Place, ...]
    masks: tuple[Place, ...]
    pairs: dict[int, int]
    affixes: dict[str, tuple[Affix, Affix]]
    rival: tuple[Affix, str] | None

    @property
    def pairs_up(self) -> bool:
        """Whether half of the fewer have a partner."""
        count = len(self.pairs)
        return count > 0 and 2 * count >= min(len(self.images), len(self.masks))


def declared_kinds(pattern: str | None) -> list[str]:
    """The kind of folder that a declared pattern names; none where it names files alone."""
    folder = "" if pattern is None else split_pattern(pattern)[0]
    return [read_folder_name(folder).kind or folder.lower()] if folder else []


def split_pattern(pattern: str) -> tuple[str, str]:
    """`gt/*_seg.png` -> ("gt", "*_seg.png"); a name without a sign of a pattern is a folder."""
    folder, _, name = pattern.rpartition("/")
    if not folder and not any(sign in name for sign in "*?[."):
        folder, name = name, ""
    return posixpath.basename(folder), name or "*"


def folder_kinds(tree: Tree) -> dict[str, set[tuple]]:
    """Name of a folder of images, without part -> the places where such a folder lies."""
    kinds: dict[str, set[tuple]] = {}
    for folder, names in tree.files.items():
        steps = folder.split("/") if folder else []
        if any(map(is_image, names)):
            wanted = range(len(steps))
        else:  # of files in a format that is not read, or empty where it is to hold some
            missed = any(map(convertible, names)) or not any(tree.below(folder))
            wanted = [i for i in range(len(steps)) if missed and read_folder_name(steps[i]).role]
        for i in wanted:
            if kind := read_folder_name(steps[i]).kind:
                kinds.setdefault(kind, set()).add(_place(steps, i))
    return kinds


def place_of(path: str, role: int | None) -> Place:
    """What the folders of a path say; `role` is the place of the one that says what lies there."""
    return Place(path, *_place(path.split("/")[:-1], role))


def _place(steps: Sequence[str], role: int | None) -> tuple[str, tuple[str, ...]]:
    """Part and frame of a folder whose name at `role` says what lies in it."""
    part, frame = "", []
    for i, step in enumerate(steps):
        found = read_folder_name(step)
        part = part or found.part
        if i != role and (found.kind or found.part != part):
            frame.append(name_key(step))
    return part, tuple(frame)


def _says_part(step: str) -> bool:
    found = read_folder_name(step)
    return bool(found.part and not found.kind)


def take(tree: Tree, image_kind: str, mask_kind: str, images, masks) -> Attempt:
    """Takes files below folders of these names for images and masks, and pairs them."""
    own, other, plain = [], [], []
    nested: set[Place] = set()  # below folders that say nothing: images of another set
    for folder, names in tree.files.items():
        files = [name for name in names if is_image(name)]
        if not files:
            continue
        steps = folder.split("/") if folder else []
        kinds = [read_folder_name(step).kind for step in steps]
        into, kind, pattern = plain, None, images
        if mask_kind in kinds:
            into, kind, pattern = other, kinds.index(mask_kind), masks
        elif image_kind and image_kind in kinds:
            into, kind = own, kinds.index(image_kind)
        part, frame = _place(steps, kind)
        start = f"{folder}/" if folder else ""
        wanted = "*" if pattern is None else split_pattern(pattern)[1]
        kept = files if wanted == "*" else [name for name in files if fnmatch(name, wanted)]
        places = [Place(start + name, part, frame) for name in kept]
        into += places
        if kind is not None and any(not _says_part(step) for step in steps[:kind]):
            nested.update(places)
    if all(any(place not in nested for place in side) for side in (own, other)):
        own, other = ([p for p in side if p not in nested] for side in (own, other))
    if not image_kind:
        frames = {(place.part, place.frame) for place in other}
        own = [place for place in plain if (place.part, place.frame) in frames]
        tests = []
    else:
        tests = [place for place in plain if _in_test(place.path)]
    if not any(place.part == "test" for place in own):
        own += tests
    matched = _match(own, other)
    parts = {place.part for place in own} & {place.part for place in other}
    affixes = dict.fromkeys(parts | {""}, (matched.image, matched.mask))
    pairs = dict(matched.pairs)
    for part in parts - {own[i].part for i in pairs}:  # named in another way than the others
        places = [[i for i, p in enumerate(side) if p.part == part] for side in (own, other)]
        matched_part = _match(
            *([side[i] for i in at] for side, at in zip((own, other), places, strict=True))
        )
        pairs |= {places[0][i]: places[1][j] for i, j in matched_part.pairs.items()}
        affixes[part] = matched_part.image, matched_part.mask
    return Attempt(image_kind, mask_kind, tuple(own), tuple(other), pairs, affixes, matched.rival)


def _in_test(path: str) -> bool:
    found = read_folder_name(path.split("/")[0])
    return "/" in path and (found.part, found.kind) == ("test", "")


def _match(images: Sequence[Place], masks: Sequence[Place]) -> Matched:
    """Pairs by folder and name; where folders differ throughout, by names alone."""
    best = match_names(*(_names(side, _whole) for side in (images, masks)))
    for folders in (_without_shared, _none):
        if 2 * len(best.pairs) >= min(len(images), len(masks)):
            break
        names = [_names(side, folders) for side in (images, masks)]
        if folders is _none and any(len(set(side)) < len(side) for side in names):
            break
        matched = match_names(*names)
        best = matched if len(matched.pairs) > len(best.pairs) else best
    return best


def _names(places: Sequence[Place], folders: Callable[[Frames], Frames]) -> list[Name]:
    """(part and folder, stem) of each."""
    frames = folders([place.frame for place in places])
    return [
        ("/".join((place.part, *frame)), stem_of(place))
        for place, frame in zip(places, frames, strict=True)
    ]


def _whole(frames: Frames) -> Frames:
    return frames


def _without_shared(frames: Frames) -> Frames:
    """Without the folders that all have in common: `annotations/trimaps/` is one of masks."""
    shared = 0
    while frames and all(len(f) > shared and f[shared] == frames[0][shared] for f in frames):
        shared += 1
    return [frame[shared:] for frame in frames]


def _none(frames: Frames) -> Frames:
    return [()] * len(frames)


def stem_of(place: Place) -> str:
    return stem(name_key(posixpath.basename(place.path)))
