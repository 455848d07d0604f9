"""Small sets of boxes drawn at random, as tools write them; half are spoilt in a way that shows.

Each knows the boxes that are to be read, and what must be said where it was spoilt.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from PIL import Image

Box = tuple[float, float, float, float, str]
TWO_WAYS = "can be read in two ways"
LABELS = ("ant", "bee", "red fox", "10", "9", "Äpfel", "x-1")
CSV = {  # header, whether it says what the numbers are, and the cells of a box in some unit
    "corners": ("filename,class,xmin,ymin,xmax,ymax", True),
    "tensorflow": ("filename,width,height,class,xmin,ymin,xmax,ymax", True),
    "by axis": ("ImageID,XMin,XMax,YMin,YMax,LabelName", True),
    "sizes": ("image,x,y,w,h,label", True),
    "centres": ("image,cx,cy,width,height,label", True),
    "list": ("image_id,bbox,label", False),
    "bare": ("", False),
}


@dataclass
class BoxSet:
    """What a set was made of.

    Attributes:
        kind: "coco", "voc", "yolo", or a name of `CSV`.
        size: (H, W) that boxes were drawn at.
        file_size: (H, W) of the files.
        boxes: Path of an image below the folder of images -> boxes as drawn.
        written: Likewise, as they are written where these are spoilt.
        shares: Whether a table has shares.
        corners: Whether COCO has corners in the place of sizes.
        absent: Images whose files are not written.
        fault: A pattern of which some message must hold one; "" for a sound set.
        refused: Whether it cannot be read, however.
        may_ask: Whether a sound set may be refused with both readings.
        change: What becomes of the text of a file of annotations.
    """

    kind: str
    size: tuple[int, int]
    file_size: tuple[int, int]
    labels: list[str]
    boxes: dict[str, list[Box]]
    shares: bool = False
    digits: bool = False
    corners: bool = False
    parts: bool = False
    say_size: bool = True
    prefix: str = ""
    written: dict[str, list[Box]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    fault: str = ""
    refused: bool = False
    may_ask: bool = False
    change: Callable[[str], str] = str
    spoilt: str = "sound"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        """How hypothesis shows it."""
        shown = {k: v for k, v in vars(self).items() if k not in ("change", "written")}
        printer.text(f"{shown}")

    def expected(self) -> dict[str, list[Box]]:
        """The boxes in pixels of the files, of each image that is there."""
        y, x = (a / b for a, b in zip(self.file_size, self.size, strict=True))
        return {
            name: sorted((b[0] * x, b[1] * y, b[2] * x, b[3] * y, b[4]) for b in boxes)
            for name, boxes in self.boxes.items()
            if name not in self.absent
        }

    def write(self, root: Path) -> None:
        """Writes images and annotations."""
        for seed, name in enumerate(self.boxes):
            if name not in self.absent:
                pixels = np.full((*self.file_size, 3), 90, np.uint8)
                pixels[:10, :10] = 20 * seed
                path = root / "images" / f"{self.prefix}{name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
        writer = {"coco": self._coco, "voc": self._voc, "yolo": self._yolo}
        writer.get(self.kind, self._csv)(root)

    def _parts(self) -> dict[str, list[str]]:
        """Part -> images; one part "" where there are no splits."""
        found: dict[str, list[str]] = {}
        for name in self.boxes:
            found.setdefault(name.split("/")[0] if self.parts else "", []).append(name)
        return found

    def _coco(self, root: Path) -> None:
        for part, names in self._parts().items():
            images, annotations = [], []
            for k, name in enumerate(names):
                size = {"height": self.size[0], "width": self.size[1]} if self.say_size else {}
                images.append({"id": 50 + k, "file_name": PurePosixPath(name).name, **size})
                for b in self._written(name):
                    box = [b[0], b[1], b[2] - b[0], b[3] - b[1]]
                    category = 3 * self.labels.index(b[4])
                    entry = {"id": len(annotations), "image_id": 50 + k, "category_id": category}
                    bbox = list(b[:4]) if self.corners else box
                    annotations.append({**entry, "bbox": bbox, "area": box[2] * box[3]})
            categories = [{"id": 3 * k, "name": n} for k, n in enumerate(self.labels)]
            content = {"images": images, "annotations": annotations, "categories": categories}
            where = root / "images" / part / "_annotations.coco.json" if part else root / "all.json"
            _save(where, self.change(json.dumps(content)))

    def _voc(self, root: Path) -> None:
        height, width = self.size if self.say_size else (0, 0)
        for name in self.boxes:
            text = f"<annotation><size><width>{width}</width><height>{height}</height></size>"
            for b in self._written(name):
                text += (
                    f"<object><name>{b[4]}</name><bndbox><ymin>{b[1]}</ymin><xmin>{b[0]}</xmin>"
                    f"<ymax>{b[3]}</ymax><xmax>{b[2]}</xmax></bndbox></object>"
                )
            place = root / "Annotations" / PurePosixPath(name).with_suffix(".xml")
            _save(place, self.change(f"{text}</annotation>"))

    def _yolo(self, root: Path) -> None:
        for name in self.boxes:
            lines = [
                " ".join([str(self.labels.index(b[4])), *self._numbers("centres", b, True)])
                for b in self._written(name)
            ]
            place = root / "labels" / PurePosixPath(name).with_suffix(".txt")
            _save(place, self.change("".join(f"{line}\n" for line in lines)))
        _save(root / "data.yaml", json.dumps({"names": self.labels}))

    def _csv(self, root: Path) -> None:
        header, _ = CSV[self.kind]
        for part, names in self._parts().items():
            rows = [header] if header else []
            rows += [self._row(name, b) for name in names for b in self._written(name)]
            _save(root / f"{part or 'boxes'}.csv", self.change("\n".join(rows) + "\n"))

    def _row(self, name: str, b: Box) -> str:
        file = PurePosixPath(name).name if self.parts else name
        order = {"sizes": "sizes", "centres": "centres", "list": "sizes"}.get(self.kind, "corners")
        n = self._numbers(order, b, self.shares)
        height, width = self.size
        return {
            "corners": f"{file},{b[4]},{','.join(n)}",
            "tensorflow": f"{file},{width},{height},{b[4]},{','.join(n)}",
            "by axis": f"{file},{n[0]},{n[2]},{n[1]},{n[3]},{b[4]}",
            "list": f'{file},"[{", ".join(n)}]",{b[4]}',
        }.get(self.kind, f"{file},{','.join(n)},{b[4]}")

    def _numbers(self, order: str, b: Box, shares: bool) -> list[str]:
        x, y, w, h = b[0], b[1], b[2] - b[0], b[3] - b[1]
        sides = {"sizes": (x, y, w, h), "centres": (x + w / 2, y + h / 2, w, h)}.get(order, b[:4])
        if not shares:
            return [repr(side) for side in sides]
        height, width = self.size
        parts = (side / of for side, of in zip(sides, [width, height] * 2, strict=True))
        return [f"{part:.6f}" if self.digits else repr(part) for part in parts]

    def _written(self, name: str) -> list[Box]:
        return self.written.get(name, self.boxes[name])


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@st.composite
def sound_sets(draw, kinds: Sequence[str] | None = None) -> BoxSet:
    """A set as it should be, of one of some kinds."""
    kind = draw(st.sampled_from(kinds or ["coco", "coco", "voc", "voc", "yolo", *CSV]))
    height, width = draw(st.integers(20, 45)) * 2, draw(st.integers(30, 70)) * 2
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True))
    parts = kind != "voc" and draw(st.booleans())
    ending = draw(st.sampled_from([".png", ".jpg", ".bmp"]))
    boxes: dict[str, list[Box]] = {}
    negatives = draw(st.integers(0, 2))
    for k in range(count := draw(st.integers(6, 9))):
        number = 0 if k >= count - negatives else draw(st.integers(1, 4))
        part = draw(st.sampled_from(["", "", "day1/"])) if k and number else ""
        part = ("train/" if k % 3 else "val/") if parts else part
        own = []
        for _ in range(number):
            x1, y1 = draw(st.integers(0, width - 8)), draw(st.integers(0, height - 8))
            x2, y2 = draw(st.integers(x1 + 6, width)), draw(st.integers(y1 + 6, height))
            quarter = draw(st.sampled_from([0, 0, 0.25]))
            own.append((x1 + quarter, y1, x2, y2 - quarter, draw(st.sampled_from(labels))))
        unlike = {b[:4]: b for b in own}
        boxes[f"{part}im{k}{ending}"] = list(unlike.values())
    made = BoxSet(kind, (height, width), (height, width), sorted(labels, key=_order), boxes)
    made.parts, made.shares, made.digits = parts, draw(st.booleans()), draw(st.booleans())
    made.may_ask = kind in CSV and not CSV[kind][1]
    return made


def _order(label: str) -> tuple:
    return (0, float(label), label) if label.isdigit() else (1, 0.0, label)


def _number(made: BoxSet) -> int:
    return sum(map(len, made.boxes.values()))


def _with_boxes(made: BoxSet, draw) -> str:
    return draw(st.sampled_from([name for name, boxes in made.boxes.items() if boxes]))


def _ids(made: BoxSet, draw) -> None:
    """An annotation of an image or a class that is not listed, an image listed twice."""
    made.refused = True
    if made.kind == "yolo":
        made.change = lambda text: text and f"{len(made.labels)}{text[1:]}"
        made.fault = f"has the class {len(made.labels)}; data.yaml names"
        return
    old, new, made.fault = draw(
        st.sampled_from(
            [
                ('"image_id": 50', '"image_id": 7', "of images that it does not list"),
                ('"category_id": ', '"category_id": 1', "has the category 1.*; listed are"),
                ('"id": 51', '"id": 50', "has the id '50', as entry 0 has"),
            ]
        )
    )
    made.change = lambda text: text.replace(old, new)


def _swapped(made: BoxSet, draw) -> None:
    """Some corners in the wrong order."""
    name = _with_boxes(made, draw)
    b = made.boxes[name][0]
    turned = draw(st.sampled_from([(2, 3, 0, 1), (2, 1, 0, 3), (0, 3, 2, 1)]))
    made.written[name] = [(*(b[k] for k in turned), b[4]), *made.boxes[name][1:]]
    made.fault = "swapped corners"


def _corners_for_sizes(made: BoxSet, draw) -> None:
    """COCO's boxes as corners; where the numbers show it."""
    height, width = made.size
    every = [b for boxes in made.boxes.values() for b in boxes]
    out = sum(b[0] + b[2] > 1.01 * width + 1 or b[1] + b[3] > 1.01 * height + 1 for b in every)
    assume(out >= 3)
    made.corners, made.fault, made.refused = True, f"{TWO_WAYS}.*as sizes.*as corners", True


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _absent(made: BoxSet, draw) -> None:
    """One image is not there; others of its folder are, with boxes."""
    made.absent = {_with_boxes(made, draw)}
    kept = [name for name, boxes in made.boxes.items() if boxes and name not in made.absent]
    assume({*map(_folder, kept)} >= {*map(_folder, made.boxes)})
    made.fault = "no such image|no image of its name|label file without an image"


def _other_images(made: BoxSet, draw) -> None:
    """The images are others."""
    made.prefix, made.refused = "other_", True
    if made.parts or any("/" in name for name in made.boxes):
        made.boxes = {name.replace("/", "_"): boxes for name, boxes in made.boxes.items()}
        made.parts = False
    made.fault = "none of them is below"


def _resized(made: BoxSet, draw) -> None:
    """The files have half the size; it is said, or boxes show it."""
    height, width = made.size
    made.file_size = height // 2, width // 2
    if made.kind in ("coco", "voc", "tensorflow") and draw(st.booleans()):
        if not (made.kind == "tensorflow" and made.shares):
            made.fault = "annotated at another size than the file has"
        return
    made.say_size = False
    if made.kind == "yolo" or (made.kind in CSV and made.shares):
        return  # shares are of any size
    if made.kind == "tensorflow":
        made.kind = "corners"
    every = [b for boxes in made.boxes.values() for b in boxes]
    away = sum(b[0] >= width // 2 or b[1] >= height // 2 for b in every)
    assume(away > max(2, 0.1 * len(every)))
    made.fault, made.refused = f"boxes leave their images|{TWO_WAYS}", True


def _added(made: BoxSet, draw, box: Box) -> None:
    name = _with_boxes(made, draw)
    made.written[name] = [*made.boxes[name], box]


def _no_area(made: BoxSet, draw) -> None:
    x, y = draw(st.integers(0, made.size[1] - 9)), draw(st.integers(0, made.size[0] - 9))
    w, h = draw(st.sampled_from([(0, 7), (7, 0), (0, 0)]))
    _added(made, draw, (x, y, x + w, y + h, made.labels[0]))
    made.fault = "left out: no area"


def _outside(made: BoxSet, draw) -> None:
    height, width = made.size
    x, y = draw(st.sampled_from([(width + 2, 5), (4, height + 3), (-14, 5)]))
    _added(made, draw, (x, y, x + 12, y + 6, made.labels[0]))
    made.fault = "left out: outside the image"


def _beyond(made: BoxSet, draw) -> None:
    width = made.size[1]
    name = _with_boxes(made, draw)
    b = made.boxes[name][0]
    rest = made.boxes[name][1:]
    made.boxes[name] = [(b[0], b[1], width, b[3], b[4]), *rest]
    made.written[name] = [(b[0], b[1], width + 3, b[3], b[4]), *rest]
    assume(len({one[:4] for one in made.boxes[name]}) == len(made.boxes[name]))
    made.fault = "clipped"


def _repeated(made: BoxSet, draw) -> None:
    name = _with_boxes(made, draw)
    made.written[name] = [*made.boxes[name], made.boxes[name][0]]
    made.fault = "left out: repeats another box"


def _conflict(made: BoxSet, draw) -> None:
    assume(len(made.labels) > 1)
    name = _with_boxes(made, draw)
    b = made.boxes[name][0]
    other = next(label for label in made.labels if label != b[4])
    made.written[name] = [*made.boxes[name], (*b[:4], other)]
    made.fault = "another label of a box"


SPOIL = {  # way -> kinds of sets that it is for, or None for all
    _ids: ("coco", "yolo"),
    _swapped: ("corners", "tensorflow", "by axis", "voc"),
    _corners_for_sizes: ("coco",),
    **dict.fromkeys((_absent, _other_images, _resized, _no_area, _outside), None),
    **dict.fromkeys((_beyond, _repeated, _conflict), None),
}


@st.composite
def box_sets(draw) -> BoxSet:
    """A set as it should be, or one that is spoilt in one way."""
    spoil = draw(st.sampled_from([None] * len(SPOIL) + [*SPOIL]))
    if spoil is None:
        return draw(sound_sets())
    made = draw(sound_sets(SPOIL[spoil]))
    spoil(made, draw)
    made.spoilt = spoil.__name__
    return made
