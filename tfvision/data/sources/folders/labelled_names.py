"""The source `labelled_names`: images whose names hold their labels.

    cat.12.jpg, dog.3.jpg            label_pattern '^([^.]+)\\.'
    Abyssinian_3.jpg, pug_101.jpg    label_pattern '^(.+)_\\d+$'

`label_pattern` is searched in the name without its extension; what stands in its brackets is the
label. `train/`, `val/` and `test/` are parts, of which `test/` may hold names without label.
Folders inside are read too.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tfvision.data.files.issue import Issue
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.sources.class_files import LabelledFiles, settle_labels
from tfvision.data.sources.file_source import (
    Listing,
    list_images,
    name_key,
    show,
    stem,
    unique_ids,
)
from tfvision.data.sources.folders.mask_folder import PART_FOLDERS, child_folder, read_class_names
from tfvision.data.sources.source import Record
from tfvision.errors import InputError

PATTERNS = {
    r"^([^.]+)\.": re.compile(r"^([^.]+)\.[\w-]*\d[\w-]*$"),
    r"^(.+?)[_ -]*\d+$": re.compile(r"^(.*[^\W\d_].*?)[_ -]*\d+$"),
    r"^\d+[_ -]+(.+)$": re.compile(r"^\d+[_ -]+(.*[^\W\d_].*)$"),
}
FEW = 3  # images that each label must have at least, for a pattern to be proposed


@takes_reading(without=OF_MASKS)
def labelled_names(
    path: str | Path,
    *,
    label_pattern: str,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> LabelledFiles:
    """Samples whose names hold their labels; see this module's head.

    Args:
        path: The folder, or one image file.
        label_pattern: A regular expression with one group, searched in each name without its
            extension; or with a group named `label` among others.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: The pattern is none, has no group, or fits no name.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    pattern = _compiled(label_pattern)
    listing = Listing()
    if path.is_dir():
        list_images(path, root=root, allow_outside_root=allow_outside_root, into=listing)
    else:
        listing.files.append(path)
    problems, files, labels, splits = list(listing.problems), [], [], []
    parts = _part_folders(root)
    for file in listing.files:
        split = next((part for part, folder in parts.items() if folder in file.parents), None)
        label = _label_of(name_key(stem(file.name)), pattern)
        if label is None and split != "test":
            problem = f"label_pattern {label_pattern!r} finds no label in the name"
            advice = "Correct the pattern, rename the file, or put it into test/."
            problems.append(Issue("error", "", show(file, root), problem, advice=advice))
            continue
        files.append(file)
        labels.append(label)
        splits.append(split)
    if not any(labels):
        names = ", ".join(file.name for file in listing.files[:3]) or "no image"
        raise InputError(
            f"{path}: label_pattern {label_pattern!r} finds a label in none of "
            f"{len(listing.files)} names ({names}, ...). It is searched in the name without "
            "extension; what stands in its brackets is the label."
        )
    splits = splits if "val" in splits else [None if s == "train" else s for s in splits]
    known = [label for label in labels if label]
    settled = settle_labels(known, read_class_names(root), place=show(path, path.parent))
    ids = unique_ids([name_key(show(file, root)) for file in files])
    records = [
        Record(i, "", split, label is not None, group=None, place=show(file, root), label=label)
        for i, split, label, file in zip(ids, splits, labels, files, strict=True)
    ]
    return LabelledFiles(
        records,
        [(file, None) for file in files],
        [""] * len(files),
        name="labelled_names",
        path=path,
        layout=f"{path.name}: labels from the names of {len(known)} images: {counted(known)}",
        class_names=settled.names,
        class_labels=settled.labels,
        white=white,
        reading=Reading(**reading),
        notes=listing.notes(),
        problems=[*problems, *settled.problems],
    )


def propose_pattern(names: Sequence[str]) -> tuple[str, list[str]] | None:
    """A pattern for names that hold labels, and the label of each; None where they may not.

    All names must be a word and a number; there must be two words or more, and each occur often:
    `IMG_0001` holds no label, nor do names that are all different.

    Args:
        names: Of image files, without extension.
    """
    names = [PurePosixPath(name).name for name in names]
    for pattern, strict in PATTERNS.items():
        labels = [_label_of(name, strict) for name in names]
        counts = Counter(labels)
        if not labels or None in counts or len(counts) < 2 or min(counts.values()) < FEW:
            continue
        if len(counts) ** 2 <= len(names) and labels == [
            _label_of(name, re.compile(pattern)) for name in names
        ]:
            return pattern, [label for label in labels if label]
    return None


def counted(labels: Sequence[str], most: int = 8) -> str:
    """`cat (12), dog (9)`: the labels and how often each occurs."""
    counts = sorted(Counter(labels).items())
    text = ", ".join(f"{label} ({count})" for label, count in counts[:most])
    return text + (f" and {len(counts) - most} more" if len(counts) > most else "")


def _compiled(text: str) -> re.Pattern:
    try:
        pattern = re.compile(text)
    except (re.error, TypeError) as error:
        raise InputError(f"label_pattern {text!r} is no regular expression: {error}.") from error
    if pattern.groups != 1 and "label" not in pattern.groupindex:
        raise InputError(
            f"label_pattern {text!r} must have one pair of brackets, around the label, e.g. "
            r"'^([^.]+)\.' for cat.12.jpg; or name it: (?P<label>...)."
        )
    return pattern


def _label_of(name: str, pattern: re.Pattern) -> str | None:
    match = pattern.search(name)
    return (match["label" if "label" in pattern.groupindex else 1] or None) if match else None


def _part_folders(root: Path) -> dict[str, Path]:
    found = {part: child_folder(root, options) for part, options in PART_FOLDERS.items()}
    return {part: folder for part, folder in found.items() if folder is not None}
