"""Files of boxes as other annotation tools write them: one function a format, a page at most.

| format | a file | the four numbers |
|---|---|---|
| CreateML | JSON of all images | centre x, centre y, width, height in pixels |
| Label Studio | JSON of all images, JSON-MIN too | x y width height in percent |
| VIA | JSON of all images | x y width height in pixels |
| VoTT | JSON of all images | x y width height in pixels |
| BDD100K | JSON of all images | corners in pixels |
| Supervisely | JSON an image | corners in pixels |
| CVAT | XML of all images | corners in pixels |
| KITTI | text an image | corners in pixels |

Of polygons and circles the hull is the box, where a format has them.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tfvision.data.files.csv_table import to_number
from tfvision.data.sources.boxes.written import UPRIGHT
from tfvision.errors import InputError


@dataclass(frozen=True)
class ToolBox:
    """A box before it is checked: what messages call it, its label, and its sides or None."""

    what: str
    label: str
    sides: Sequence[Any] | None
    left_out: str = ""
    crowd: bool = False


@dataclass
class ToolImage:
    """An image of a file: its name as written ("" where the file is of one image), and boxes."""

    name: str
    boxes: list[ToolBox] = field(default_factory=list)
    size: tuple[int, int] | None = None
    part: str = ""


@dataclass(frozen=True)
class Format:
    """How a tool writes boxes.

    Attributes:
        looks: A pattern that its files hold at one of their ends, each.
        endings: Of its files.
        read: The content of a file (of JSON, an XML element, or lines of words) -> its images.
        coordinates: What the four numbers of a box are.
        an_image: Whether a file is of one image, that of its name.
    """

    looks: Sequence[str]
    endings: Sequence[str]
    read: Callable[[Any], Iterator[ToolImage]]
    coordinates: str
    an_image: bool = False


def createml(content: Any) -> Iterator[ToolImage]:
    for entry in content:
        boxes = []
        for number, one in enumerate(entry.get("annotations") or [], 1):
            at = one.get("coordinates") or {}
            sides = [at.get(key) for key in ("x", "y", "width", "height")]
            boxes.append(ToolBox(f"annotation {number}", str(one.get("label", "")), sides))
        yield ToolImage(str(entry.get("image") or entry.get("imagefilename") or ""), boxes)


def label_studio(content: Any) -> Iterator[ToolImage]:
    for task in content:
        data = task.get("data") or task
        name = next((v for k, v in data.items() if k in ("image", "img", "photo")), "")
        done = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
        if "annotations" in task and not done:
            continue  # skipped, or still to be annotated
        results = done[0].get("result", []) if done else task.get("label") or []
        image = ToolImage(re.sub(r"^.*[?&]d=", "", str(name)))
        for number, one in enumerate(results, 1):
            value = one.get("value") or one
            labels = value.get("rectanglelabels")
            if not labels:
                continue  # other kinds of results, such as choices
            sides = [value.get(key) for key in ("x", "y", "width", "height")]
            sides = None if value.get("rotation") else _shares(sides)
            image.boxes.append(ToolBox(f"result {number}", str(labels[0]), sides))
            size = (one.get("original_height"), one.get("original_width"))
            image.size = size if all(isinstance(n, int) for n in size) else image.size
        yield image


def _shares(sides: Sequence[Any]) -> list[float] | None:
    numbers = [to_number(str(side)) for side in sides]
    return None if None in numbers else [(number or 0) / 100 for number in numbers]


def via(content: Any) -> Iterator[ToolImage]:
    for entry in (content.get("_via_img_metadata") or content).values():
        if not isinstance(entry, Mapping) or "filename" not in entry:
            continue
        regions = entry.get("regions") or []
        image = ToolImage(str(entry["filename"]))
        every = regions.values() if isinstance(regions, Mapping) else regions
        for number, region in enumerate(every, 1):
            shape, said = region.get("shape_attributes", {}), region.get("region_attributes", {})
            sides = [shape.get(key) for key in ("x", "y", "width", "height")]
            if shape.get("all_points_x"):
                sides = _size_of_hull(shape["all_points_x"], shape["all_points_y"])
            elif "cx" in shape:
                rx, ry = (shape.get(key, shape.get("r")) for key in ("rx", "ry"))
                sides = [shape["cx"] - rx, shape["cy"] - ry, 2 * rx, 2 * ry]
            image.boxes.append(ToolBox(f"region {number}", attribute_label(said), sides))
        yield image


def attribute_label(said: Mapping[str, Any]) -> str:
    """The label among attributes: the one that is called so, else the only one; "" for none."""
    named = [k for k in ("class", "label", "name", "type", "category") if k in said]
    alone = [*said] if len(said) == 1 else []
    value = next((said[key] for key in (*named, *alone)), "")
    if isinstance(value, Mapping):  # ticked boxes: {"cat": true}
        value = next((key for key, ticked in value.items() if ticked), "")
    return str(value)


def _size_of_hull(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def vott(content: Any) -> Iterator[ToolImage]:
    for entry in content["assets"].values():
        asset, boxes = entry.get("asset", {}), []
        for number, region in enumerate(entry.get("regions") or [], 1):
            at = region.get("boundingBox") or {}
            sides = [at.get(key) for key in ("left", "top", "width", "height")]
            tags = region.get("tags") or [""]
            boxes.append(ToolBox(f"region {number}", str(tags[0]), sides))
        size = (asset.get("size", {}).get("height"), asset.get("size", {}).get("width"))
        whole = all(isinstance(n, int) for n in size)
        yield ToolImage(str(asset.get("name", "")), boxes, size if whole else None)


def bdd(content: Any) -> Iterator[ToolImage]:
    for entry in content if isinstance(content, list) else content.get("frames", []):
        image = ToolImage(str(entry.get("name", "")))
        for number, one in enumerate(entry.get("labels") or [], 1):
            if "box2d" in one:
                sides = [one["box2d"].get(key) for key in ("x1", "y1", "x2", "y2")]
                crowd = bool((one.get("attributes") or {}).get("crowd"))
                label = str(one.get("category", ""))
                image.boxes.append(ToolBox(f"label {number}", label, sides, crowd=crowd))
        yield image


def supervisely(content: Any) -> Iterator[ToolImage]:
    size, boxes = content.get("size") or {}, []
    for number, one in enumerate(content.get("objects") or [], 1):
        points = (one.get("points") or {}).get("exterior") or []
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        sides = [min(xs), min(ys), max(xs), max(ys)] if len(points) > 1 else None
        boxes.append(ToolBox(f"object {number}", str(one.get("classTitle", "")), sides))
    said = (size.get("height"), size.get("width"))
    yield ToolImage("", boxes, said if all(isinstance(n, int) for n in said) else None)


def cvat(root: ElementTree.Element) -> Iterator[ToolImage]:
    for entry in root.iter("image"):
        size = tuple(to_number(entry.get(key, "")) for key in ("height", "width"))
        image = ToolImage(entry.get("name", ""), part=entry.get("subset", ""))
        if None not in size:
            image.size = (round(size[0] or 0), round(size[1] or 0))
        for number, one in enumerate(entry, 1):
            sides: list[Any] | None = None
            if one.tag == "box":
                sides = [one.get(key) for key in ("xtl", "ytl", "xbr", "ybr")]
                sides = None if to_number(one.get("rotation", "0")) else sides
            elif one.tag in ("polygon", "polyline"):
                points = [tuple(map(float, p.split(","))) for p in one.get("points", "").split(";")]
                x, y, width, height = _size_of_hull(*zip(*points, strict=True))
                sides = [x, y, x + width, y + height]
            elif one.tag not in ("ellipse", "mask", "cuboid", "skeleton"):
                continue  # points, and tags of the whole image
            image.boxes.append(ToolBox(f"{one.tag} {number}", one.get("label", ""), sides))
        yield image


def kitti(lines: Sequence[Sequence[str]]) -> Iterator[ToolImage]:
    boxes = []
    for number, words in enumerate(lines, 1):
        aside = "DontCare" if words[0] == "DontCare" else ""
        boxes.append(ToolBox(f"line {number}", words[0], words[4:8], aside))
    yield ToolImage("", boxes)


def dota(lines: Sequence[Sequence[str]]) -> Iterator[ToolImage]:
    raise InputError(
        f"DOTA's files hold turned boxes, four corners each ({' '.join(lines[-1])}). {UPRIGHT}."
    )


DOTA_LINE = r"^( *-?[\d.]+){8} +[A-Za-z][\w-]*( +[012])?\s*$"
KITTI_LINE = r"^\S+ -?[\d.]+ -?\d+ -?[\d.]+( -?[\d.]+){11,12}\s*$"
FORMATS = {
    "CreateML": Format(('"coordinates"', '"annotations"'), (".json",), createml, "centres"),
    "Label Studio": Format(('"rectanglelabels"',), (".json",), label_studio, "sizes"),
    "VIA": Format(('"shape_attributes"|"_via_img_metadata"',), (".json",), via, "sizes"),
    "VoTT": Format(('"assets"', '"boundingBox"|"regions"'), (".json",), vott, "sizes"),
    "BDD100K": Format(('"box2d"', '"category"'), (".json",), bdd, "corners"),
    "Supervisely": Format(('"objects"', '"classTitle"'), (".json",), supervisely, "corners", True),
    "CVAT": Format((r"<annotations[\s>]", r"<image\s"), (".xml",), cvat, "corners"),
    "KITTI": Format((f"(?m){KITTI_LINE}",), (".txt",), kitti, "corners", True),
    "DOTA": Format((f"(?m){DOTA_LINE}",), (".txt",), dota, "corners", True),
}


def image_name(name: str) -> str:
    """The name of an image without what tools put before it: a URL's host, a hash."""
    path = re.sub(r"^[a-z]+://[^/]*/", "", name)
    return str(PurePosixPath(path.replace("\\", "/")))
