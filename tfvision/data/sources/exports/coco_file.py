"""A COCO JSON file: its images, categories and annotations, checked once."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.sources.exports.samples import listed
from tfvision.errors import InputError
from tfvision.text import counted

OUTLINE = "segmentation"  # the key of an annotation's polygons or run lengths
HEAD = 4096  # bytes of either end of a file that recognition looks at
_KEYS = {
    "images": r'"images"\s*:\s*\[|"file_name"\s*:',
    "annotations": r'"annotations"\s*:\s*\[|"image_id"\s*:',
    "categories": r'"categories"\s*:\s*\[|"category_id"\s*:|"supercategory"\s*:',
}


@dataclass(frozen=True)
class CocoImage:
    """An entry of `images`; `size` is (H, W), None where it is not said."""

    id: str
    file_name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class CocoFile:
    """Attributes:
    name: Of the file, for messages.
    images: In the order of the file.
    categories: Id -> name, by id.
    parents: Names of categories that others give as their supercategory.
    tops: Names of categories whose supercategory is "none" where others have another.
    annotations: Id of the image -> its entries of `annotations`, in the order of the file.
    """

    name: str
    images: list[CocoImage]
    categories: dict[str, str]
    parents: set[str]
    tops: set[str]
    annotations: dict[str, list[dict[str, Any]]] = field(repr=False)


def ends_of(path: Path) -> str:
    """The first and the last kilobytes of a file, as text; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
            size = file.seek(0, 2)
            file.seek(max(len(start), size - HEAD))
            return (start + b"\n" + file.read()).decode("utf-8", "replace")
    except OSError:
        return ""


def looks_like_coco(path: Path) -> bool:
    """Whether the ends of a JSON file show at least two of COCO's three lists."""
    text = ends_of(path)
    return sum(re.search(pattern, text) is not None for pattern in _KEYS.values()) >= 2


def shows_outlines(path: Path) -> bool:
    """Whether the ends of a COCO file do not show annotations of boxes alone."""
    text = ends_of(path)
    outlined = re.search(rf'"{OUTLINE}"\s*:\s*(\[\s*\[|\{{)', text)
    return outlined is not None or '"bbox"' not in text


def read_json_file(path: Path, name: str) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: It cannot be read, or is no JSON; names the line.
    """
    try:
        data = read_bytes(path, place=name)
        return json.loads(data.decode("utf-8-sig"))
    except BadSample as error:
        raise InputError(str(error)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name} is no whole JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "It may have been cut off: export it again."
        ) from error
    except RecursionError as error:
        raise InputError(f"{name} nests too deep to be annotations. Export it again.") from error


def read_coco(path: Path, name: str) -> CocoFile:
    """Reads a file once.

    Raises:
        InputError: Names the entry and the key that is missing or wrong.
    """
    content = read_json_file(path, name)
    if not isinstance(content, Mapping):
        raise InputError(f"{name} holds a {type(content).__name__}, COCO is a JSON object.")
    lists = {}
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise InputError(
                f"{name}: COCO needs the list {key!r}; found the keys "
                f"{', '.join(map(str, content)) or 'none'}. Export the annotations again."
            )
        lists[key] = content[key]
    if any("segments_info" in entry for entry in lists["annotations"][:1]):
        raise InputError(
            f"{name} holds COCO panoptic annotations, which are not read. Export instance "
            "annotations (polygons or run lengths)."
        )
    images = _images(lists["images"], name)
    categories = _categories(lists["categories"], name)
    known = {image.id for image in images}
    annotations: dict[str, list[dict[str, Any]]] = {}
    lost: list[str] = []
    for index, entry in enumerate(lists["annotations"]):
        what = f"{name}: annotation {_id_of(entry, index)}"
        image, category = (str(_get(entry, key, what)) for key in ("image_id", "category_id"))
        if category not in categories:
            raise InputError(
                f"{what} has the category {category}; listed are {', '.join(categories)}. "
                "Correct it, or add the category."
            )
        if image not in known:
            lost.append(f"{_id_of(entry, index)} of image {image}")
        annotations.setdefault(image, []).append(entry)
    if lost:
        raise InputError(
            f"{name}: {counted(len(lost), 'annotation')} of images that it does not list: "
            f"{listed(lost, limit=3)}. Add the images to 'images', or delete the annotations."
        )
    parents = {
        str(entry["supercategory"])
        for entry in lists["categories"]
        if entry.get("supercategory") not in (None, entry["name"])
    }
    above = {str(entry["name"]): entry.get("supercategory") for entry in lists["categories"]}
    tops = {label for label, parent in above.items() if parent == "none"}
    tops = tops if len(tops) < len(above) else set()
    return CocoFile(name, images, categories, parents, tops, annotations)


def _images(entries: list, name: str) -> list[CocoImage]:
    images: list[CocoImage] = []
    seen: dict[str, str] = {}
    for index, entry in enumerate(entries):
        what = f"{name}: entry {index} of 'images'"
        identity, file_name = str(_get(entry, "id", what)), _get(entry, "file_name", what)
        if not isinstance(file_name, str) or not file_name:
            raise InputError(f"{what} has the file_name {file_name!r}; it must be a file's name.")
        for key, value in (("id", identity), ("file_name", file_name)):
            if f"{key}={value}" in seen:
                raise InputError(
                    f"{what} has the {key} {value!r}, as {seen[f'{key}={value}']} has. Keep one of "
                    "them, with the annotations of both."
                )
            seen[f"{key}={value}"] = f"entry {index}"
        size = tuple(entry.get(key) for key in ("height", "width"))
        if size == (None, None):
            images.append(CocoImage(identity, file_name, None))
            continue
        if not all(isinstance(v, int | float) and v == int(v) and v > 0 for v in size):
            raise InputError(
                f"{what} ({file_name}) has the height {size[0]!r} and the width {size[1]!r}; both "
                "must be whole numbers above 0."
            )
        images.append(CocoImage(identity, file_name, (int(size[0]), int(size[1]))))
    return images


def _categories(entries: list, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    ids: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        what = f"{name}: entry {index} of 'categories'"
        identity, label = _get(entry, "id", what), str(_get(entry, "name", what))
        for key, value, values in (
            ("id", str(identity), found),
            ("name", label, found.values()),
        ):
            if value in values:
                raise InputError(f"{what} has the {key} {value!r} of another one. Rename one.")
        found[str(identity)], ids[str(identity)] = label, identity
    numbers = all(isinstance(v, int) for v in ids.values())
    order = sorted(found, key=lambda key: ids[key]) if numbers else list(found)
    return {key: found[key] for key in order}


def _get(entry: Any, key: str, what: str) -> Any:
    if not isinstance(entry, Mapping) or entry.get(key) is None:
        found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else repr(entry)[:60]
        raise InputError(f"{what} has no {key!r}; found {found or 'nothing'}. Export it again.")
    return entry[key]


def _id_of(entry: Any, index: int) -> str:
    known = isinstance(entry, Mapping) and entry.get("id") is not None
    return str(entry["id"]) if known else f"number {index + 1}"
