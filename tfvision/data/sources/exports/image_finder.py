"""The images that annotations name, found among the files of a folder."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.samples import join, split_of
from tfvision.data.sources.file_source import stem

IMAGE_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "photos", "frames", "data"}


class ImageFinder:
    """Finds the file that a name in a file of annotations stands for.

    The name counts whole, or without an extension where it has none, or in other capitals; where
    no name of that file is found whole, all of them are taken without their first folders, as few
    as will do. Of several files with one name that in the annotations' own folder counts, then one
    of its split, then one in a folder of images.

    Args:
        tree: The names below the data set's folder.
        names: All names that the annotations give, `/` or `\\` between folders.
        folder: That names are relative to, below the data set's; None: any.
        annotations: Path of the file of annotations.
        split: That it is of, or "".

    Attributes:
        dropped: How many first folders are left out of the names.
    """

    def __init__(
        self, tree: Tree, names: Sequence[str], folder: str | None, *, annotations: str, split: str
    ):
        self._home, self._split = annotations.rpartition("/")[0], split
        self._folder = None if folder is None else folder.strip("/")
        self._files: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in tree.images(""):
            self._files.setdefault(PurePosixPath(path).name, []).append(path)
        self._folded: dict[str, list[str]] = {}
        for name, paths in self._files.items():
            if stem(name) != name:
                self._stems.setdefault(stem(name), []).extend(paths)
            self._folded.setdefault(name.casefold(), []).extend(paths)
        parts = [_parts(name) for name in names]
        deepest = max(map(len, parts), default=1) if self._folder is None else 1
        counts = range(deepest)
        self.dropped = next((n for n in counts if any(self._matches(p[n:]) for p in parts)), 0)

    def find(self, name: str) -> list[str]:
        """The paths that may be meant: one, or none, or several that nothing tells apart."""
        found = self._matches(_parts(name)[self.dropped :])
        for fits in (
            lambda path: path == join(self._home, name),
            lambda path: bool(self._home) and path.startswith(f"{self._home}/"),
            lambda path: bool(self._split) and split_of(path.rpartition("/")[0]) == self._split,
            lambda path: not IMAGE_FOLDERS.isdisjoint(path.lower().split("/")[:-1]),
        ):
            found = [path for path in found if fits(path)] or found
        return found

    def short(self, name: str) -> str:
        """The name as it is searched for."""
        return "/".join(_parts(name)[self.dropped :])

    def _matches(self, parts: Sequence[str]) -> list[str]:
        if not parts:
            return []
        tail = "/".join(parts)
        wanted = tail if self._folder is None else join(self._folder, tail)
        same = {path: path for path in self._files.get(parts[-1], ())}
        same = same or {path: stem(path) for path in self._stems.get(parts[-1], ())}
        if not same:  # a.jpg for a.JPG
            wanted = wanted.casefold()
            same = {path: path.casefold() for path in self._folded.get(parts[-1].casefold(), ())}
        if self._folder is not None:
            return [path for path, name in same.items() if name == wanted]
        return [p for p, name in same.items() if name == wanted or name.endswith(f"/{wanted}")]


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
