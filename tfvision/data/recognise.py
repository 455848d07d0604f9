"""Which source a path is: told by what stands there, and stated."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data import SOURCES
from tfvision.data.image_io import EXTENSIONS
from tfvision.data.source import Source
from tfvision.errors import InputError
from tfvision.registry import Spec

KNOWN = (
    "Known: a folder with images/ and masks/; a folder with train/, val/ and test/; a folder "
    "of img_1.png, mask_1.png, ...; a folder of images, or one image, without masks; an npz "
    "file with images and masks, x and y, or training_set and test_set; a CSV file with the "
    "columns image, mask, split, group"
)


def open_source(
    path: str | Path,
    *,
    mask_values: Sequence[int] | None = None,
    mask_palette: Mapping | Sequence | None = None,
    white: float | None = None,
    exif: str | None = None,
    max_pixels: int | None = None,
    allow_outside_root: bool | None = None,
    encoding: str | None = None,
    max_expansion: float | None = None,
) -> Source:
    """The source that reads `path`.

    Args:
        path: A folder, an npz file, a CSV file, or an image.
        mask_values, mask_palette, white, exif, max_pixels, allow_outside_root, encoding,
            max_expansion: Arguments of `folder`, `npz` or `manifest`; None: left to it.

    Raises:
        InputError: Nothing there, or nothing known; says what was found and what is known.
            Also an argument that the source in question does not take, and a folder that
            may not be read.
    """
    path = Path(path)
    options = {
        "mask_values": mask_values,
        "mask_palette": mask_palette,
        "white": white,
        "exif": exif,
        "max_pixels": max_pixels,
        "allow_outside_root": allow_outside_root,
        "encoding": encoding,
        "max_expansion": max_expansion,
    }
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return SOURCES.build(Spec(name=recognise(path), path=path, **given))
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}). Make it readable "
            "(chmod u+rx for folders, u+r for files), or check the disk."
        ) from error


def recognise(path: Path) -> str:
    """The name of the source that reads `path`."""
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise InputError(f"{path} does not exist.{_near(path)} {KNOWN}.")
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device. {KNOWN}.")
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return "folder"
    if suffix in (".csv", ".tsv"):
        return "manifest"
    with path.open("rb") as file:
        start = file.read(16)
    if suffix == ".npz" or start.startswith(b"PK\x03\x04"):
        return "npz"
    text = start.decode("latin-1").encode("unicode_escape").decode("ascii")
    raise InputError(f"{path} is no data set that is known: it starts with '{text}'. {KNOWN}.")


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Its folder {path.parent} does not exist either."
    names = [sibling.name for sibling in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
