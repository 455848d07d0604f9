"""The names of all files below a folder, listed once: what a layout is recognised by."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tfvision.data.files.images import EXTENSIONS

SYSTEM_NAMES = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found"),
    "$recycle.bin",
}


@dataclass(frozen=True, eq=False)
class Tree:
    """The files below a folder; hidden and system files are left out. Equal to itself alone.

    Attributes:
        root: The folder.
        files: Folder relative to the root ("" is the root, "/" between names) -> names of the
            files in it, sorted; a folder without files is there too.
        closed: Folders that cannot be read, which are there without files.
        of_file: Whether this is one file that was given by its path, alone in the tree.

    Example:
        >>> tree = list_tree(Path("scenes"))
        >>> tree.files
        {'': ('classes.txt',), 'images': ('1.png', '2.png'), 'masks': ('1.png', '2.png')}
        >>> tree.children("")
        ('images', 'masks')
    """

    root: Path
    files: dict[str, tuple[str, ...]]
    closed: tuple[str, ...] = ()
    of_file: bool = False

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        children: dict[str, list[str]] = {folder: [] for folder in self.files}
        for folder in self.files:
            if folder:
                parent, _, name = folder.rpartition("/")
                children[parent].append(name)
        return {folder: tuple(names) for folder, names in children.items()}

    def children(self, folder: str) -> tuple[str, ...]:
        """The names of the folders in a folder, sorted; none of one that was entered by a link
        elsewhere."""
        return self._children.get(folder, ())

    def below(self, folder: str) -> Iterator[str]:
        """The paths of all files below a folder, relative to it."""
        start = f"{folder}/" if folder else ""
        for place, names in self.files.items():
            if place == folder or place.startswith(start):
                inside = place[len(start) :]
                yield from (f"{inside}/{name}" if inside else name for name in names)

    def images(self, folder: str) -> list[str]:
        """Those of `below` that are image files by their extension."""
        return [path for path in self.below(folder) if is_image(path)]


def list_tree(root: Path) -> Tree:
    """The files below a folder. Links are followed; a folder is entered once.

    Raises:
        OSError: The folder itself cannot be read.
    """
    files: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    closed: list[str] = []

    def enter(place: str, path: str) -> None:
        real = os.path.realpath(path)
        if real in seen:
            return
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                visible = sorted((e for e in entries if is_visible(e.name)), key=lambda e: e.name)
        except OSError:
            if not place:
                raise
            closed.append(place)
            visible = []
        files[place] = tuple(entry.name for entry in visible if not entry.is_dir())
        for entry in visible:
            if entry.is_dir():
                enter(f"{place}/{entry.name}" if place else entry.name, entry.path)

    enter("", str(root))
    return Tree(root, files, tuple(closed))


def is_visible(name: str) -> bool:
    """Whether a file or folder is neither hidden nor left by an operating system."""
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES


def is_image(name: str) -> bool:
    """Whether a file is an image by its extension."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS
