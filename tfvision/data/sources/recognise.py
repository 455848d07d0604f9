"""Which source a path is: told by what stands there, and stated."""

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
from tfvision.data.sources.source import Source
from tfvision.errors import InputError
from tfvision.registry import Spec

KNOWN = {
    "segmentation": (
        "Known: a folder with images/ and masks/; a folder with train/, val/ and test/; a folder "
        "of img_1.png, mask_1.png, ...; a folder of images, or one image, without masks; an npz "
        "file with images and masks, x and y, or training_set and test_set; a CSV file with the "
        "columns image, mask, split, group"
    ),
    "classification": (
        "Known: a folder of images for each class; train/, val/ and test/ with these; a CSV file "
        "of file names and labels, or the folder that holds it; an npz file with images and "
        "labels, x and y; a folder of images, or one image, without labels"
    ),
}
SCRIPTS = {"segmentation": "train_seg.py", "classification": "train_cls.py"}


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
    task: str | None = "segmentation",
) -> Source:
    """The source that reads `path`.

    Args:
        path: A folder, an npz file, a CSV file, or an image.
        mask_values, mask_palette, white, exif, max_pixels, allow_outside_root, encoding,
            max_expansion, columns: Arguments of the source in question; None: left to it.
        task: "segmentation": masks are read; "classification": labels; None: `task_of` tells.

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
        "columns": columns,
    }
    given = {key: value for key, value in options.items() if value is not None}
    try:
        task = task or task_of(path)
        try:
            source = SOURCES.build(Spec(name=recognise(path, task=task), path=path, **given))
        except InputError as error:
            other = _spoken_for(path) if path.exists() else None
            if other in (None, task):
                raise
            raise InputError(f"{error} {_other_task(path, other)}") from error
        if not any(record.labelled for record in source.records):
            source.task = task  # images alone are read for either
        if source.task != task:
            raise InputError(_other_task(path, source.task))
        return source
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}). Make it readable "
            "(chmod u+rx for folders, u+r for files), or check the disk."
        ) from error


def recognise(path: Path, *, task: str = "segmentation") -> str:
    """The name of the source that reads `path` for a task."""
    known, labels = KNOWN[task], task == "classification"
    if path.is_dir():
        if not labels:
            return "folder"
        return "label_table" if _holds_label_table(path) else "class_folder"
    if not path.exists():
        raise InputError(f"{path} does not exist.{_near(path)} {known}.")
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device. {known}.")
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return "class_folder" if labels else "folder"
    if suffix in (".csv", ".tsv"):
        return "label_table" if labels else "manifest"
    with path.open("rb") as file:
        start = file.read(16)
    if suffix == ".npz" or start.startswith(b"PK\x03\x04"):
        return "npz"
    text = start.decode("latin-1").encode("unicode_escape").decode("ascii")
    raise InputError(f"{path} is no data set that is known: it starts with '{text}'. {known}.")


def task_of(path: str | Path) -> str:
    """What a data set's layout speaks for; "segmentation" where it speaks for neither.

    Raises:
        InputError: The path does not exist.
    """
    return _spoken_for(Path(path)) or "segmentation"


def _spoken_for(path: Path) -> str | None:
    """The task that a data set's layout speaks for; None: neither."""
    if path.is_dir():
        if _holds_masks(path):
            return "segmentation"
        labels = _holds_label_table(path) or holds_class_folders(path)
    else:
        name = recognise(path)
        if name == "manifest" and has_masks(path):
            return "segmentation"
        labels = has_labels(path) if name == "manifest" else name == "npz" and holds_labels(path)
    return "classification" if labels else None


def _holds_label_table(path: Path) -> bool:
    """Whether a folder's images are labelled by a CSV file in it, as `label_table` finds it."""
    if find_label_table(path) is not None:
        return True
    files = csv_files(path)  # one alone counts whatever its name, where folders say no classes
    return len(files) == 1 and has_labels(files[0]) and not holds_class_folders(path)


def _holds_masks(path: Path) -> bool:
    """Whether a folder holds masks as truth: in `masks/`, and no table of labels."""
    masks = [path / name for name in MASKS] + [path / "train" / name for name in MASKS]
    return any(folder.is_dir() for folder in masks) and not _holds_label_table(path)


def _other_task(path: Path, task: str) -> str:
    truth = "masks" if task == "segmentation" else "a label for each image"
    return f"{path} looks like data with {truth}, for {task}: {SCRIPTS[task]} trains on that."


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Its folder {path.parent} does not exist either."
    names = [sibling.name for sibling in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
