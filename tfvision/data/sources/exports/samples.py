"""What the readers of whole exports share: their names listed once, samples gathered one by one."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.paths import inside, read_bytes
from tfvision.data.files.tree import Tree, is_image, list_tree
from tfvision.data.sources.file_source import FileSource, stem
from tfvision.data.sources.source import Record
from tfvision.data.sources.unread import unread_issues, unread_notes
from tfvision.errors import InputError
from tfvision.text import counted

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
FILLERS = {
    *("image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotation"),
    *("annotations", "instances", "coco", "json", "set", "data", "dataset", "stage", "split"),
}
"""Words that say nothing more beside the name of a split."""
NO_BOXES = (
    "These are boxes, not masks. For a segmentation export polygons or masks from the annotation "
    "tool."
)


def split_of(path: str) -> str | None:
    """The split that a path's words name: `annotations/instances_train2017.json` is "train"."""
    found = {SPLIT_WORDS[w] for w in re.findall(r"[a-z]+", path.lower()) if w in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def part_of(folder: str) -> str:
    """The part that a folder is of, by one of the names in its path that says nothing else: of
    `images/train2017` and `stage1_test`, not of `road test`; "" where none or two do."""
    found = set()
    for name in folder.split("/"):
        words = {word for word in re.findall(r"[a-z]+", name.lower()) if word not in FILLERS}
        if len(words) == 1 and words <= SPLIT_WORDS.keys():
            found.add(SPLIT_WORDS[words.pop()])
    return found.pop() if len(found) == 1 else ""


def settle_split(part: str, given: set[str]) -> str | None:
    """A train part without a val part beside it is still to be split."""
    if part in ("val", "test"):
        return part
    return "train" if part == "train" and "val" in given else None


@dataclass
class Samples:
    """Samples of an export, gathered for a `FileSource`.

    Attributes:
        tree: The names below the folder.
        allow_outside_root: Whether links may lead out of it.
        spoken_of: Files that are read, or that notes and problems tell of already.
    """

    tree: Tree
    allow_outside_root: bool = False
    records: list[Record] = field(default_factory=list)
    files: list[tuple[Path, Any]] = field(default_factory=list)
    mask_places: list[str] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spoken_of: set[str] = field(default_factory=set)
    _ids: dict[tuple[str, str], str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """The file of a path relative to the folder.

        Raises:
            BadSample: A link leads out of the folder.
        """
        return inside(self.tree.root, name, place=name, allow_outside_root=self.allow_outside_root)

    def add(
        self,
        identity: str,
        image: str,
        mask: Any,
        *,
        part: str = "",
        split: str | None = None,
        group: str | None = None,
        mask_place: str = "",
    ) -> None:
        """Adds a sample, or the problem that it has.

        Args:
            identity: Its id; with the image's extension where another has it already.
            image: Path below the folder.
            mask: Likewise, or what draws it, or what `source` builds a truth of; None: it has none.
            part, split, group: See `Record`.
            mask_place: What messages call the mask; by default its path.
        """
        place = mask_place or (mask if isinstance(mask, str) else "")
        self.spoken_of |= {image, place}
        other = self._ids.setdefault((part, identity), image)
        if other != image:
            identity += PurePosixPath(image).suffix
            if self._ids.setdefault((part, identity), image) != image:
                problem = f"has the same name as {other} (both are {identity!r})"
                self.problem(identity, image, problem, "Rename one of them.")
                return
        try:
            file = self.path(image)
            truth = self.path(mask) if isinstance(mask, str) else mask
        except BadSample as error:
            self.problem(identity, error.place, error.problem, error.advice)
            return
        self.records.append(Record(identity, part, split, mask is not None, group, place=image))
        self.files.append((file, truth))
        self.mask_places.append(place)

    def leave(self, folder: str) -> int:
        """Speaks of all files below a folder that is not read; returns how many these are."""
        files = {join(folder, path) for path in self.tree.below(folder)}
        self.spoken_of |= files
        return len(files)

    def problem(
        self, identity: str, place: str, problem: str, advice: str, severity: str = "error"
    ) -> None:
        self.spoken_of.add(place)
        self.problems.append(Issue(severity, identity, place, problem, advice=advice))

    def mask_without_image(self, place: str) -> None:
        """Warns of a mask file that belongs to no image."""
        problem, advice = (
            "a mask without an image of its name",
            "Add the image, or delete the mask.",
        )
        self.problem("", place, problem, advice, severity="warning")

    def note_unlisted(self) -> None:
        """Warns of images beside those of the samples that no sample has."""
        used = {record.place for record in self.records}
        folders = {place.rpartition("/")[0] for place in used}
        there = (
            join(folder, name)
            for folder in sorted(folders)
            for name in self.tree.files.get(folder, ())
            if is_image(name)
        )
        left = [place for place in there if place not in self.spoken_of]
        self.spoken_of.update(left)
        if left:
            verb = "is" if len(left) == 1 else "are"
            problem = (
                f"{counted(len(left), 'image')} beside the annotated ones {verb} not annotated"
            )
            advice = "Only annotated images are used; annotate these where they are meant."
            place = f"{left[0]}{', ...' * (len(left) > 1)}"
            self.problem("", place, problem, advice, severity="warning")

    def source(
        self,
        *,
        name: str,
        path: Path,
        layout: str,
        reads_also: Sequence[str],
        build: Callable[..., FileSource] = FileSource,
        **how,
    ) -> FileSource:
        """The source of what was gathered.

        Args:
            build: Makes it.
            name, path: See `Source`.
            layout: What was recognised, without the name of the folder.
            reads_also: Paths below the folder; see `FileSource`.
            **how: What else `FileSource` takes.
        """
        known = {*self.spoken_of, *reads_also}
        unread = [replace(i, severity="warning") for i in unread_issues(self.tree, known)]
        return build(
            self.records,
            self.files,
            self.mask_places,
            name=name,
            path=path,
            layout=f"{path.name or path}: {layout}",
            notes=[*self.notes, *unread_notes(self.tree, known)],
            problems=[*self.problems, *unread],
            reads_also=[self.tree.root / file for file in reads_also],
            **how,
        )

    def counts(self, truth: str = "masks") -> str:
        """`12 images`, or `20 images (14 train, 3 val, 3 test)`, and how many have no truth."""
        parts = Counter(record.part or "to be split" for record in self.records)
        text = counted(len(self.records), "image")
        if set(parts) - {"to be split"}:
            text += f" ({', '.join(f'{number} {part}' for part, number in parts.items())})"
        without = sum(not record.labelled for record in self.records)
        return text + (f", {without} of them without {truth}" if without else "")


def lines_of(path: Path, name: str) -> list[str]:
    """The lines of a text file that are not empty, without spaces around them; see `read_text`."""
    return [line.strip() for line in read_text(path, name).splitlines() if line.strip()]


def read_text(path: Path, name: str) -> str:
    """A text file, "" of an empty one.

    Raises:
        InputError: It cannot be read, or is not UTF-8 text.
    """
    try:
        return read_bytes(path, place=name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except BadSample as error:
        if path.is_file() and path.stat().st_size == 0:
            return ""
        raise InputError(str(error)) from error


def open_tree(path: str | Path) -> tuple[Path, Tree]:
    """The folder, and the names below it.

    Raises:
        InputError: It is no folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path} is no folder. Give the folder that holds the whole export.")
    return path, list_tree(path)


def short_ids(
    parts: Mapping[str, str], folders: Collection[str] = ("images", "image", "imgs")
) -> dict[str, str]:
    """The id of each image: its path without extension and without the folders that say split
    or kind alone (`images/train/a.png` is "a"), or with them where two would be the same.

    Args:
        parts: Path of each image -> its part.
        folders: Names of folders that say no more than that images lie there.
    """
    spare = {*SPLIT_WORDS, *folders}
    short = {
        path: "/".join(part for part in stem(path).split("/")[:-1] if part.lower() not in spare)
        for path in parts
    }
    ids = {path: join(folder, stem(path).rpartition("/")[2]) for path, folder in short.items()}
    counts = Counter((parts[path], name) for path, name in ids.items())
    return {p: name if counts[parts[p], name] == 1 else stem(p) for p, name in ids.items()}


def by_stem(tree: Tree, folder: str) -> dict[str, list[str]]:
    """Path of an image file below a folder, without extension -> its paths below the root."""
    found: dict[str, list[str]] = {}
    for path in tree.images(folder):
        found.setdefault(stem(path), []).append(f"{folder}/{path}" if folder else path)
    return found


def the_one(candidates: Sequence[str], what: str, root: Path) -> str:
    """The only candidate.

    Raises:
        InputError: There are several; names two.
    """
    if len(candidates) > 1:
        first, second = (root / place for place in sorted(candidates)[:2])
        raise InputError(f"{root} holds {what} twice: {first} and {second}. Give one of them.")
    return candidates[0]


def join(*parts: str) -> str:
    """A path below the root; "" is the root itself."""
    return "/".join(part for part in parts if part)


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Names in one line, the first ones where there are many."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"


def numbered(names: Sequence[str], start: int = 0) -> str:
    """`0 background, 1 leaf`: the classes as a layout states them."""
    return listed([f"{number} {name}" for number, name in enumerate(names, start)], limit=8)
