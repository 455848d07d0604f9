"""Which source a path is: recognised by what is there, and stated."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data import SOURCES
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.sources.class_folder import holds_class_folders
from tfvision.data.sources.class_table_columns import has_labels, has_masks
from tfvision.data.sources.class_table_images import csv_files, find_label_table
from tfvision.data.sources.mask_folder import MASKS
from tfvision.data.sources.npz import holds_labels
from tfvision.data.sources.run_length_columns import holds_runs
from tfvision.data.sources.source import Source
from tfvision.data.truth import truth_kind
from tfvision.errors import InputError
from tfvision.registry import Spec

KNOWN = {
    "masks": (
        "Known: a folder with images/ and masks/; a folder with train/, val/ and test/; a folder "
        "of img_1.png, mask_1.png, ...; a folder of images, or one image, without masks; an npz "
        "file with images and masks, x and y, or training_set and test_set; a CSV file with the "
        "columns image, mask, split, group"
    ),
    "label": (
        "Known: a folder of images for each class; train/, val/ and test/ with these; a CSV file "
        "of file names and labels, or the folder that holds it; an npz file with images and "
        "labels, x and y; a folder of images, or one image, without labels"
    ),
    "boxes": (
        "Known: a folder of images, or one image, without boxes; an npz file with images, x. Boxes "
        "come from a source of their own, such as embedded_boxes"
    ),
}


class OtherTruth(InputError):
    """A data set brings another kind of truth than the one that is read.

    Attributes:
        beginning: The message without its full stop: who knows the tasks can say more.
        truth: The kind it brings.
    """

    def __init__(self, beginning: str, truth: str):
        super().__init__(f"{beginning}.")
        self.beginning, self.truth = beginning, truth


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
    columns: Mapping | None = None,
    order: str | None = None,
    base: int | None = None,
    label_pattern: str | None = None,
    truth: str | None = "masks",
) -> Source:
    """The source that reads `path`.

    Args:
        path: A folder, an npz file, a CSV file, or an image.
        mask_values, mask_palette, white, exif, max_pixels, allow_outside_root, encoding,
            max_expansion, columns, order, base, label_pattern: Arguments of the source in
            question; None: left to it. With a `label_pattern` that is `labelled_names`.
        truth: The kind of truth that is read, see `tfvision.data.truth`; None: `truth_in` tells.

    Raises:
        OtherTruth: The data set brings another kind of truth.
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
        "columns": columns,
        "order": order,
        "base": base,
        "label_pattern": label_pattern,
    }
    given = {key: value for key, value in options.items() if value is not None}
    try:
        truth = truth or truth_in(path)
        try:
            name = recognise(path, truth=truth) if label_pattern is None else "labelled_names"
            source = SOURCES.build(Spec(name=name, path=path, **given))
        except InputError as error:
            other = _spoken_for(path) if path.exists() else None
            if other in (None, truth):
                raise
            raise OtherTruth(f"{error} {_looks_like(path, other)}", other) from error
        if not any(record.labelled for record in source.records):
            source.truth = truth  # images alone are read for any
        if source.truth != truth:
            raise OtherTruth(_looks_like(path, source.truth), source.truth)
        return source
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}). Make it readable "
            "(chmod u+rx for folders, u+r for files), or check the disk."
        ) from error


def recognise(path: Path, *, truth: str = "masks") -> str:
    """The name of the source that reads a kind of truth from `path`."""
    known, labels = KNOWN[truth], truth_kind(truth).names_image
    if path.is_dir():
        if not labels:
            holds_masks = _holds_masks(path)
            return "run_length_table" if not holds_masks and _run_tables(path) else "folder"
        return "label_table" if _holds_label_table(path) else "class_folder"
    if not path.exists():
        raise InputError(f"{path} does not exist.{_near(path)} {known}.")
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device. {known}.")
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return "class_folder" if labels else "folder"
    if suffix in (".csv", ".tsv"):
        if labels:
            return "label_table"
        return "run_length_table" if holds_runs(path) else "manifest"
    with path.open("rb") as file:
        start = file.read(16)
    if suffix == ".npz" or start.startswith(b"PK\x03\x04"):
        return "npz"
    text = start.decode("latin-1").encode("unicode_escape").decode("ascii")
    raise InputError(f"{path} is no data set that is known: it starts with '{text}'. {known}.")


def truth_in(path: str | Path) -> str:
    """The kind of truth that a data set's layout speaks for; "masks" where it does for none.

    Raises:
        InputError: The path does not exist.
    """
    return _spoken_for(Path(path)) or "masks"


def _spoken_for(path: Path) -> str | None:
    """The kind of truth that a data set's layout speaks for; None: none."""
    if path.is_dir():
        if _holds_masks(path) or _run_tables(path):
            return "masks"
        labels = _holds_label_table(path) or holds_class_folders(path)
    else:
        name = recognise(path)
        if name == "run_length_table" or (name == "manifest" and has_masks(path)):
            return "masks"
        labels = has_labels(path) if name == "manifest" else name == "npz" and holds_labels(path)
    return "label" if labels else None


def _holds_label_table(path: Path) -> bool:
    """Whether a folder's images are labelled by a CSV file in it, as `label_table` finds it."""
    if find_label_table(path) is not None:
        return True
    files = csv_files(path)  # one alone counts whatever its name, where folders say no classes
    return len(files) == 1 and has_labels(files[0]) and not holds_class_folders(path)


def _run_tables(path: Path) -> bool:
    """Whether a folder holds a table of masks as run lengths."""
    return any(holds_runs(table) for table in csv_files(path))


def _holds_masks(path: Path) -> bool:
    """Whether a folder holds masks as truth: in `masks/`, and no table of labels."""
    masks = [path / name for name in MASKS] + [path / "train" / name for name in MASKS]
    return any(folder.is_dir() for folder in masks) and not _holds_label_table(path)


def _looks_like(path: Path, truth: str) -> str:
    return f"{path} looks like data with {truth_kind(truth).of_data}"


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Its folder {path.parent} does not exist either."
    names = [sibling.name for sibling in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
