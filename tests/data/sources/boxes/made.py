"""Small sets of boxes, written as one tool or another writes them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.make import image, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Source

SIZE = HEIGHT, WIDTH = 64, 128  # powers of two: shares of them are written exactly
LABELS = ("ant", "bee")
Box = tuple[float, float, float, float, str]
Scenes = dict[str, list[Box]]


def scenes(count: int = 8, *, seed: int = 0, empty: bool = True) -> Scenes:
    """Name of an image -> boxes in pixels, `x1 y1 x2 y2` and a label; the last has none."""
    rng = np.random.default_rng(seed)
    found: Scenes = {}
    for k in range(count):
        number = 0 if empty and k == count - 1 else 1 + k % 3
        boxes: list[Box] = []
        for n in range(number):
            w, h = (int(side) for side in rng.integers(8, 24, 2))
            x, y = 2 + 40 * n + int(rng.integers(0, 12)), int(rng.integers(1, HEIGHT - h - 1))
            boxes.append((x, y, x + w, y + h, LABELS[int(rng.integers(0, 2))]))
        found[f"s{k:02d}.png"] = boxes
    return found


def save_images(folder: Path, made: Scenes, height: int = HEIGHT, width: int = WIDTH) -> None:
    for seed, name in enumerate(made):
        save(folder / name, picture(seed, height, width))


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(H, W, 3) uint8: grey with a corner of noise, as no two are alike; soon written."""
    pixels = np.full((height, width, 3), 100, np.uint8)
    pixels[:8, :12] = image(seed)
    return pixels


def write(path: Path, text: str | Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else "\n".join(text) + "\n")
    return path


def write_json(path: Path, content: Any) -> Path:
    return write(path, json.dumps(content))


def csv_pixels(root: Path, made: Scenes) -> None:
    save_images(root / "images", made)
    rows = [f"{n},{b[4]},{b[0]},{b[1]},{b[2]},{b[3]}" for n, bs in made.items() for b in bs]
    write(root / "boxes.csv", ["filename,class,xmin,ymin,xmax,ymax", *rows])


def csv_shares(root: Path, made: Scenes) -> None:
    save_images(root / "images", made)
    shares = {n: [scaled(b, 1 / WIDTH, 1 / HEIGHT) for b in bs] for n, bs in made.items()}
    rows = [f"{n},{b[0]},{b[1]},{b[2]},{b[3]},{b[4]}" for n, bs in shares.items() for b in bs]
    write(root / "boxes.csv", ["image,x1,y1,x2,y2,label", *rows])


def scaled(box: Box, x: float, y: float) -> Box:
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y, box[4]


def size_of(box: Box) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def coco_content(
    made: Scenes, *, ids: Sequence[Any] = (1, 2), first: int = 1, size: Sequence[int] = SIZE
) -> dict[str, Any]:
    height, width = size
    images, annotations = [], []
    for k, (name, boxes) in enumerate(made.items()):
        images.append({"id": k + 1, "file_name": name, "height": height, "width": width})
        for box in boxes:
            entry = {"id": first + len(annotations), "image_id": k + 1, "bbox": size_of(box)}
            annotations.append({**entry, "category_id": ids[LABELS.index(box[4])], "iscrowd": 0})
    categories = [{"id": i, "name": n} for i, n in zip(ids, LABELS, strict=True)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(root: Path, made: Scenes, **how: Any) -> None:
    save_images(root / "images", made)
    write_json(root / "annotations.json", coco_content(made, **how))


def voc_text(
    boxes: Sequence[Box], *, name: str = "", size: tuple[int, int] = (HEIGHT, WIDTH), body: str = ""
) -> str:
    objects = "".join(
        f"<object><name>{b[4]}</name><difficult>0</difficult>{body}<bndbox><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><xmin>{b[0]}</xmin><ymax>{b[3]}</ymax></bndbox></object>"
        for b in boxes
    )
    return (
        f"<annotation><filename>{name}</filename><size><width>{size[1]}</width><height>{size[0]}"
        f"</height><depth>3</depth></size>{objects}</annotation>"
    )


def voc(root: Path, made: Scenes, **how: Any) -> None:
    save_images(root / "JPEGImages", made)
    for name, boxes in made.items():
        write(root / "Annotations" / f"{Path(name).stem}.xml", voc_text(boxes, name=name, **how))


def yolo_lines(boxes: Sequence[Box], numbers: Mapping[str, int], digits: str = "") -> list[str]:
    lines = []
    for box in boxes:
        x1, y1, x2, y2, label = scaled(box, 1 / WIDTH, 1 / HEIGHT)
        sides = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        lines.append(" ".join([str(numbers[label]), *(format(side, digits) for side in sides)]))
    return lines


def yolo(root: Path, made: Scenes, *, names: str = "[ant, bee]", digits: str = "") -> None:
    save_images(root / "images", made)
    for name, boxes in made.items():
        lines = yolo_lines(boxes, {"ant": 0, "bee": 1}, digits)
        write(root / "labels" / f"{Path(name).stem}.txt", "".join(f"{one}\n" for one in lines))
    write(root / "data.yaml", f"train: images\nnames: {names}\n")


def labelme(root: Path, made: Scenes) -> None:
    save_images(root, made)
    for name, boxes in made.items():
        shapes = [
            {"label": b[4], "points": [[b[2], b[1]], [b[0], b[3]]], "shape_type": "rectangle"}
            for b in boxes
        ]
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        content = {"version": "5", "shapes": shapes, "imagePath": name, **size}
        write_json(root / f"{Path(name).stem}.json", content)


def createml(root: Path, made: Scenes) -> None:
    save_images(root, made)

    def entry(b: Box) -> dict[str, Any]:
        x, y, width, height = size_of(b)
        at = {"x": x + width / 2, "y": y + height / 2, "width": width, "height": height}
        return {"label": b[4], "coordinates": at}

    content = [{"image": n, "annotations": [entry(b) for b in bs]} for n, bs in made.items()]
    write_json(root / "_annotations.createml.json", content)


def label_studio(root: Path, made: Scenes) -> None:
    save_images(root / "images", made)

    def result(b: Box) -> dict[str, Any]:
        x, y, width, height = (
            100 * side / of for side, of in zip(size_of(b), [WIDTH, HEIGHT] * 2, strict=True)
        )
        value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
        size = {"original_width": WIDTH, "original_height": HEIGHT, "type": "rectanglelabels"}
        return {**size, "value": {**value, "rectanglelabels": [b[4]]}}

    content = [
        {
            "data": {"image": f"/data/upload/1/0a1b2c3d-{n}"},
            "annotations": [{"result": [result(b) for b in bs], "was_cancelled": False}],
        }
        for n, bs in made.items()
    ]
    write_json(root / "project-1.json", content)


def via(root: Path, made: Scenes) -> None:
    save_images(root, made)

    def region(b: Box) -> dict[str, Any]:
        x, y, width, height = size_of(b)
        shape = {"name": "rect", "x": x, "y": y, "width": width, "height": height}
        return {"shape_attributes": shape, "region_attributes": {"class": b[4]}}

    content = {
        f"{n}123": {"filename": n, "size": 123, "regions": [region(b) for b in bs]}
        for n, bs in made.items()
    }
    write_json(root / "via_project.json", {"_via_img_metadata": content})


def via_csv(root: Path, made: Scenes) -> None:
    save_images(root, made)
    rows = ["filename,region_count,region_id,region_shape_attributes,region_attributes"]
    for name, boxes in made.items():
        for k, b in enumerate(boxes):
            keys = ("x", "y", "width", "height")
            shape = {"name": "rect", **dict(zip(keys, size_of(b), strict=True))}
            cells = [json.dumps(shape), json.dumps({"type": b[4]})]
            quoted = [cell.replace('"', '""') for cell in cells]
            rows.append(f'{name},{len(boxes)},{k},"{quoted[0]}","{quoted[1]}"')
        if not boxes:
            rows.append(f'{name},0,0,"{{}}","{{}}"')
    write(root / "via.csv", rows)


def vott(root: Path, made: Scenes) -> None:
    save_images(root, made)

    def region(b: Box) -> dict[str, Any]:
        keys = ("left", "top", "width", "height")
        return {"tags": [b[4]], "boundingBox": dict(zip(keys, size_of(b), strict=True))}

    assets = {
        str(k): {
            "asset": {"name": n, "size": {"width": WIDTH, "height": HEIGHT}},
            "regions": [region(b) for b in bs],
        }
        for k, (n, bs) in enumerate(made.items())
    }
    write_json(root / "export.json", {"name": "set", "assets": assets})


def bdd(root: Path, made: Scenes) -> None:
    save_images(root / "images", made)

    def label(b: Box) -> dict[str, Any]:
        at = dict(zip(("x1", "y1", "x2", "y2"), b[:4], strict=True))
        return {"category": b[4], "box2d": at}

    content = [{"name": n, "labels": [label(b) for b in bs]} for n, bs in made.items()]
    write_json(root / "det.json", content)


def supervisely(root: Path, made: Scenes) -> None:
    save_images(root / "ds" / "img", made)
    for name, boxes in made.items():
        objects = [
            {
                "classTitle": b[4],
                "geometryType": "rectangle",
                "points": {"exterior": [[b[0], b[1]], [b[2], b[3]]], "interior": []},
            }
            for b in boxes
        ]
        size = {"height": HEIGHT, "width": WIDTH}
        content = {"size": size, "objects": objects, "tags": [{"classTitle": ""}]}
        write_json(root / "ds" / "ann" / f"{name}.json", content)


def cvat(root: Path, made: Scenes) -> None:
    save_images(root / "images", made)
    text = "<annotations><version>1.1</version>"
    for k, (name, boxes) in enumerate(made.items()):
        text += f'<image id="{k}" name="{name}" width="{WIDTH}" height="{HEIGHT}">'
        for b in boxes:
            text += f'<box label="{b[4]}" xtl="{b[0]}" ytl="{b[1]}" xbr="{b[2]}" ybr="{b[3]}"/>'
        text += "</image>"
    write(root / "annotations.xml", text + "</annotations>")


def kitti(root: Path, made: Scenes) -> None:
    save_images(root / "image_2", made)
    for name, boxes in made.items():
        lines = [
            f"{b[4]} 0.00 0 -1.57 {b[0]:.2f} {b[1]:.2f} {b[2]:.2f} {b[3]:.2f} 1 1 1 1 1 1 0.1\n"
            for b in boxes
        ]
        write(root / "label_2" / f"{Path(name).stem}.txt", "".join(lines))


TOOLS: dict[str, Callable[[Path, Scenes], None]] = {
    "csv_pixels": csv_pixels,
    "csv_shares": csv_shares,
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "labelme": labelme,
    "createml": createml,
    "label_studio": label_studio,
    "via": via,
    "via_csv": via_csv,
    "vott": vott,
    "bdd": bdd,
    "supervisely": supervisely,
    "cvat": cvat,
    "kitti": kitti,
}


def boxes_of(source: Source) -> Scenes:
    """Name of each image with a truth -> its boxes, as they are read."""
    found = {}
    for index, record in enumerate(source.records):
        if record.labelled:
            sample = source.read(index)
            names = [
                f"crowd of {source.class_names[-2 - k]}" if k < -1 else source.class_names[k]
                for k in sample.classes.tolist()
            ]
            rows = zip(sample.boxes.tolist(), names, strict=True)
            found[Path(record.place).name] = [(*sides, label) for sides, label in rows]
    return found


def same(source: Source, made: Mapping[str, Sequence[Box]]) -> bool:
    """Whether boxes are those that were made, to the bit, in any order."""
    read = boxes_of(source)
    return {k: sorted(v) for k, v in read.items()} == {
        k: sorted((*map(float, b[:4]), b[4]) for b in v) for k, v in made.items()
    }


def said(source: Source) -> str:
    """All that is said of a source and by its scan."""
    found = scan(source, cache=False)
    return "\n".join([source.layout, *found.notes, *map(str, found.issues)])


def errors(source: Source) -> list[str]:
    return [str(issue) for issue in scan(source, cache=False).errors]
