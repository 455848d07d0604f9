"""The source `manifest`: a CSV file that lists images, masks, splits and groups.

    image,mask,split,group
    images/a.png,masks/a.png,train,patient 1
    images/b.png,masks/b.png,val,patient 2

`image` is required. Paths are relative to the CSV's folder. An empty `mask` is a sample
without labels, an empty `split` one that is to be split, an empty `group` one on its own.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfvision.data.files.csv_table import Row, not_used, read_table
from tfvision.data.files.images import MAX_PIXELS
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.paths import inside
from tfvision.data.sources.file_source import FileSource, Listing, list_images, show, unique_ids
from tfvision.data.sources.npz import PARTS
from tfvision.data.sources.source import SPLITS, Record


def manifest(
    path: str | Path,
    *,
    mask_values: Sequence[int] | None = None,
    mask_palette: Mapping | Sequence | None = None,
    white: float | None = None,
    exif: str = "apply",
    max_pixels: int = MAX_PIXELS,
    allow_outside_root: bool = False,
    encoding: str = "utf-8",
) -> FileSource:
    """Samples that a CSV file lists; see this module's head.

    Args:
        path: The CSV file.
        mask_values, mask_palette, white, exif, max_pixels: As `folder` has them.
        allow_outside_root: Whether paths may be absolute or leave the CSV's folder.
        encoding: Of the CSV file.

    Raises:
        InputError: The table cannot be read. What is wrong with single rows is reported,
            all at once, by the scan.
    """
    path = Path(path)
    root = path.parent
    rows, extra = read_table(
        path, required=["image"], optional=["mask", "split", "group"], encoding=encoding
    )
    problems: list[Issue] = []
    kept: list[tuple[Row, Path, Path | None]] = []
    lines_of: dict[Path, int] = {}
    for row in rows:
        try:
            image, mask = _paths(root, row, path.name, allow_outside_root)
            check_split(row, path.name)
            if image in lines_of:
                raise BadSample(
                    _place(row, path.name),
                    f"lists {row.values['image']!r} again, it stands on line {lines_of[image]}",
                    "Delete one of the lines.",
                )
        except BadSample as error:
            problems.append(Issue("error", "", error.place, error.problem, advice=error.advice))
            continue
        lines_of[image] = row.line
        kept.append((row, image, mask))
    if not rows:
        problems.append(Issue("error", "", path.name, "lists no image", advice="Add rows."))
    problems += _unlisted(root, kept, allow_outside_root)
    splits, notes = settle_splits([row for row, _, _ in kept])
    notes += not_used(extra)
    ids = unique_ids([show(image, root) for _, image, _ in kept])
    records = [
        Record(
            identity,
            "",
            split,
            mask is not None,
            group=row.values["group"] or None,
            place=f"{_place(row, path.name)} ({row.values['image']})",
        )
        for identity, split, (row, _, mask) in zip(ids, splits, kept, strict=True)
    ]
    labelled = sum(record.labelled for record in records)
    return FileSource(
        records,
        [(image, mask) for _, image, mask in kept],
        [f"{_place(row, path.name)} ({row.values['mask']})" for row, _, _ in kept],
        name="manifest",
        path=path,
        layout=f"{path.name}: {len(records)} images, {labelled} of them with masks",
        mask_values=mask_values,
        mask_palette=mask_palette,
        white=white,
        exif=exif,
        max_pixels=max_pixels,
        notes=notes,
        problems=problems,
    )


def _place(row: Row, name: str) -> str:
    return f"line {row.line} of {name}"


def _paths(root: Path, row: Row, name: str, allow: bool) -> tuple[Path, Path | None]:
    place = _place(row, name)
    if not row.values["image"]:
        raise BadSample(place, "the column image is empty", "Write the path of an image.")
    image = inside(root, row.values["image"], place=place, allow_outside_root=allow)
    if not row.values["mask"]:
        return image, None
    return image, inside(root, row.values["mask"], place=place, allow_outside_root=allow)


def check_split(row: Row, name: str) -> None:
    """Raises a `BadSample` where the column split says what is none."""
    split = row.values["split"].lower()
    if split and split not in PARTS:
        raise BadSample(
            _place(row, name),
            f"unknown split {row.values['split']!r}",
            f"Write {', '.join(SPLITS)}, or nothing where it is to be split.",
        )


def settle_splits(rows: list[Row]) -> tuple[list[str | None], list[str]]:
    """The split of each row; "train" counts only beside a "val"."""
    splits = [PARTS.get(row.values["split"].lower()) for row in rows]
    if "train" in splits and "val" not in splits:
        note = "no row says val: the rows that say train are split into train and val"
        return [None if split == "train" else split for split in splits], [note]
    return splits, []


def _unlisted(root: Path, kept, allow_outside_root: bool) -> list[Issue]:
    """A warning where images lie beside the listed ones that no row names."""
    listed = {path.resolve() for _, image, mask in kept for path in (image, mask) if path}
    folders = {image.parent for _, image, _ in kept if os.path.isdir(image.parent)}
    found = Listing()
    for folder in sorted(folders):
        list_images(folder, root=root, allow_outside_root=allow_outside_root, into=found)
    missing = sorted({path for path in found.files if path.resolve() not in listed})
    if not missing:
        return []
    names = ", ".join(show(path, root) for path in missing[:3])
    problem = f"{len(missing)} images beside the listed ones are not listed ({names}, ...)"
    return [
        Issue("warning", "", show(root, root), problem, advice="Add rows where they are meant.")
    ]
