"""The source `nnunet`: nnU-Net's raw data, of one channel and two dimensions.

`dataset.json`, `imagesTr/leaf_001_0000.png` with `labelsTr/leaf_001.png`, and `imagesTs/` as the
test set, without masks unless there is `labelsTs/`. The classes and their numbers are those of
`labels` in dataset.json; the label `ignore` means no label.
https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.issue import BadSample
from tfvision.data.files.reading import OF_MASKS, Reading, takes_reading
from tfvision.data.files.tree import Tree, is_image, list_tree
from tfvision.data.sources.exports.coco_file import read_json_file
from tfvision.data.sources.exports.drawn_mask import NO_LABEL
from tfvision.data.sources.exports.mask_files import MappedMask
from tfvision.data.sources.exports.samples import (
    Samples,
    by_stem,
    counted,
    join,
    listed,
    numbered,
    open_tree,
    the_one,
)
from tfvision.data.sources.file_source import FileSource, stem
from tfvision.errors import InputError

_CHANNEL = re.compile(r"(.+)_(\d{4})$")


def sees(tree: Tree) -> str | None:
    """What speaks for this layout; None: nothing does."""
    if tree.of_file and tree.files[""] == ("dataset.json",):
        tree = list_tree(tree.root)
    homes = _homes(tree)
    return f"nnU-Net's {join(homes[0], 'dataset.json')} and imagesTr/" if homes else None


def _homes(tree: Tree) -> list[str]:
    return [
        folder
        for folder, names in tree.files.items()
        if "dataset.json" in names and {"imagesTr", "labelsTr"} <= {*tree.children(folder)}
    ]


@takes_reading(without=OF_MASKS)
def nnunet(
    path: str | Path,
    *,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Samples of nnU-Net's raw data; see this module's head.

    Args:
        path: The folder that holds dataset.json, one above it, or dataset.json.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No dataset.json, labels that are regions, files of another kind than images,
            or several channels.
    """
    path = Path(path)
    _, tree = open_tree(path.parent if path.is_file() else path)
    homes = _homes(tree)
    if not homes:
        raise InputError(f"{path} holds no dataset.json beside imagesTr/ and labelsTr/.")
    home = the_one(homes, "nnU-Net's raw data", path)
    table = join(home, "dataset.json")
    content = read_json_file(tree.root / table, table)
    labels = _labels(content, table)
    names = [name for name in labels if name != "ignore"]
    values = {labels[name]: number for number, name in enumerate(names)}
    if "ignore" in labels:
        values[labels["ignore"]] = NO_LABEL
    _check_files(tree, home, content, table)
    samples = Samples(tree, allow_outside_root)
    _add(samples, home, "Tr", values)
    _add(samples, home, "Ts", values)
    channel = _channel_names(content)[:1]
    ignored = ", ignore: no label" if "ignore" in labels else ""
    return samples.source(
        name="nnunet",
        path=path,
        layout=f"nnU-Net {table}: {samples.counts()}; one channel"
        f"{f' ({channel[0]})' if channel else ''}; {counted(len(names), 'class')} "
        f"({numbered(names)}{ignored})",
        class_names=names,
        white=white,
        reading=Reading(**reading),
        reads_also=[table],
    )


def _labels(content: Any, table: str) -> dict[str, int]:
    """Name -> value in the masks, by value. Older files have it the other way round.

    Raises:
        InputError: No labels, or regions of several values.
    """
    labels = content.get("labels") if isinstance(content, Mapping) else None
    if not isinstance(labels, Mapping) or not labels:
        raise InputError(f'{table} needs \'labels\', such as {{"background": 0, "leaf": 1}}.')
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions:
        raise InputError(
            f"{table}: {listed(regions)} are regions of several labels, which overlap. Write one "
            "label a class."
        )
    try:
        if all(str(name).isdigit() for name in labels):
            found = {str(name): int(value) for value, name in labels.items()}
        else:
            found = {str(name): int(value) for name, value in labels.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{table}: 'labels' must give whole numbers; got {labels}.") from error
    if len({*found.values()}) < max(2, len(labels)):
        raise InputError(f"{table}: 'labels' must be two names or more of different numbers.")
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _channel_names(content: Mapping) -> list[str]:
    channels = content.get("channel_names") or content.get("modality") or {}
    return [
        str(name) for name in (channels.values() if isinstance(channels, Mapping) else channels)
    ]


def _check_files(tree: Tree, home: str, content: Mapping, table: str) -> None:
    """Refuses files that are no images, and several channels an image."""
    inside = [*tree.below(join(home, "imagesTr"))]
    if inside and not any(is_image(name) for name in inside):
        ends = sorted({"".join(PurePosixPath(name).suffixes[-2:]) for name in inside})
        raise InputError(
            f"{tree.root / join(home, 'imagesTr')} holds {counted(len(inside), 'file')} of the "
            f"kind {', '.join(ends)}, which is not read. Save each slice as PNG, images as "
            "X_0000.png and labels as X.png."
        )
    channels = sorted({match[2] for name in inside if (match := _CHANNEL.match(stem(name)))})
    if len(channels) > 1:
        named = _channel_names(content)
        raise InputError(
            f"{tree.root / join(home, 'imagesTr')} holds {len(channels)} channels an image, in "
            f"files _{', _'.join(channels)} ({table}: {listed(named)}). One file an image is "
            f"read: keep those of one channel (_{channels[0]}), or join three as the colours of "
            "one PNG."
        )


def _add(samples: Samples, home: str, part: str, values: Mapping[int, int]) -> None:
    """Adds imagesTr, or imagesTs, and what lies beside it."""
    tree, folder, of_labels = samples.tree, join(home, f"images{part}"), join(home, f"labels{part}")
    images, masks = by_stem(tree, folder), by_stem(tree, of_labels)
    labelled = bool(masks) or part == "Tr"
    for name, files in images.items():
        match = _CHANNEL.match(name)
        identity = match[1] if match else name
        mask = masks.pop(identity, None) or masks.pop(name, None)
        if len(files) > 1 or len(mask or ()) > 1:
            first, second = (files if len(files) > 1 else mask)[:2]
            problem = f"has the same name as {second}, extension aside"
            samples.problem(identity, first, problem, "Delete one of them.")
            continue
        if labelled and mask is None:
            problem = f"has no mask: no file {identity}.* in {of_labels}/"
            samples.problem(identity, files[0], problem, "Add it, or take the image out.")
            continue
        reader = None
        if mask is not None:
            try:
                reader = MappedMask(samples.path(mask[0]), values)
            except BadSample as error:
                samples.problem(identity, error.place, error.problem, error.advice)
                continue
        split = "test" if part == "Ts" else None
        samples.add(
            identity,
            files[0],
            reader,
            part="test" if part == "Ts" else "",
            split=split,
            mask_place=mask[0] if mask else "",
        )
    for files in masks.values():
        samples.mask_without_image(files[0])
