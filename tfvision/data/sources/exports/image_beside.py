"""The image that a file of annotations of its own belongs to."""

from itertools import takewhile
from pathlib import PurePosixPath

from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.image_finder import IMAGE_FOLDERS
from tfvision.data.sources.file_source import stem


class ImageBeside:
    """Finds the image of an annotation file: the one of its name, else the one that it names.

    Of several of that name the one counts that the annotations name with its extension, then the
    one whose folder has most in common with that of the annotations: `train/images/a.jpg` for
    `train/labels/a.xml`; of these one in a folder of images.
    """

    def __init__(self, tree: Tree):
        self._by_stem: dict[str, list[str]] = {}
        for path in tree.images(""):
            self._by_stem.setdefault(stem(PurePosixPath(path).name), []).append(path)

    def find(self, annotation: str, inner: str = "") -> list[str]:
        """The paths that may be meant: one, or none, or several that nothing tells apart.

        Args:
            annotation: Path of the file of annotations.
            inner: The name of the image that stands in it; "" for none.
        """
        own = PurePosixPath(annotation).stem
        found = self._by_stem.get(own) or self._by_stem.get(stem(own)) or []
        if inner:
            name = PurePosixPath(inner.replace("\\", "/")).name
            found = found or self._by_stem.get(stem(name), [])
            found = [path for path in found if PurePosixPath(path).name == name] or found
        if len(found) < 2:
            return list(found)
        common = {path: _common(path, annotation) for path in found}
        found = [path for path in found if common[path] == max(common.values())]
        named = [p for p in found if not IMAGE_FOLDERS.isdisjoint(p.lower().split("/")[:-1])]
        return named or found


def _common(path: str, other: str) -> int:
    """How many folders two paths begin with alike."""
    pairs = zip(path.split("/")[:-1], other.split("/")[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
