"""Boxes on the page of an audit: samples with their boxes, and the section on sizes and anchors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.report import tables
from tfvision.report.boxes import box_colours, draw_boxes
from tfvision.report.overlay import png_uri

EXAMPLE_SIDE = 512  # longer side of the pictures of anchors
LEAST_MARGIN = 48  # pixels of the image around boxes that a finding is about


@dataclass(frozen=True)
class BoxPicture:
    """A sample with boxes.

    Attributes:
        image: (H, W, 1 or 3) uint8.
        boxes: (n, 4) `x1 y1 x2 y2` in its pixels.
        classes: (n,) numbers.
        class_names: K names.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    class_names: Sequence[str]

    def of(self, rows: Sequence[int]) -> "BoxPicture":
        """Some of the boxes, and of the image what lies around them."""
        boxes = self.boxes[list(rows)]
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        margin = max(float((high - low).max()), LEAST_MARGIN)
        edge = self.image.shape[1::-1]
        x1, y1 = np.clip(np.floor(low - margin), 0, None).astype(int)
        x2, y2 = np.minimum(np.ceil(high + margin), edge).astype(int)
        moved = boxes - [x1, y1, x1, y1]
        return BoxPicture(
            self.image[y1:y2, x1:x2], moved, self.classes[list(rows)], self.class_names
        )

    def drawn(self, side: int) -> np.ndarray:
        """(h, w, 3) uint8 with the boxes, its longer side at most `side`."""
        image, scale = resized(self.image, side)
        return draw_boxes(image, self.boxes * scale, self.classes, self.class_names, smallest=1)


@dataclass(frozen=True)
class AnchorExample:
    """An image with the anchors that lie nearest to its boxes.

    Attributes:
        picture: It, with its boxes.
        anchors: (n, 4), the nearest of each box, in pixels of the image.
        ious: (n,)
        shapes: (m, 4), one anchor of each shape, in the middle of the image.
        levels: (m,) number of the level of each.
        strides: Of the levels.
    """

    picture: BoxPicture
    anchors: np.ndarray
    ious: np.ndarray
    shapes: np.ndarray
    levels: Sequence[int]
    strides: Sequence[float]

    def drawn(self) -> list[tuple[np.ndarray, str]]:
        """Pictures, each with what it shows."""
        image, scale = resized(self.picture.image, EXAMPLE_SIDE)
        number = len(self.picture.class_names)
        names = [""] * (number + 1)  # what has no class is drawn in the next colour
        boxes = draw_boxes(
            image, self.picture.boxes * scale, self.picture.classes, names, smallest=1
        )
        both = draw_boxes(
            boxes,
            self.anchors * scale,
            np.full(len(self.anchors), number),
            names,
            dashed=True,
            smallest=1,
        )
        grid = draw_boxes(
            image, self.shapes * scale, self.levels, [""] * len(self.strides), smallest=1
        )
        return [
            (
                both,
                f"Boxes, and dashed the anchor that lies nearest to each: IoU "
                f"{self.ious.min():.2f} to {self.ious.max():.2f}, median "
                f"{np.median(self.ious):.2f}",
            ),
            (
                grid,
                "One anchor of each shape, in the middle of the image, in a colour for each level: "
                f"strides {', '.join(f'{stride:g}' for stride in self.strides)}",
            ),
        ]


def resized(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The image with a longer side of at most `side`, small ones enlarged up to four times; and
    what coordinates `x1 y1 x2 y2` are multiplied by."""
    from PIL import Image

    height, width = image.shape[:2]
    factor = side / max(height, width)
    factor = max(1, min(4, int(factor))) if factor >= 1 else factor
    new = tuple(max(1, round(length * factor)) for length in (width, height))
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    image = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
    made = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(new, how))
    return made, np.array([new[0] / width, new[1] / height] * 2)


def render_boxes(
    record: dict[str, Any], lines: Sequence[str], example: AnchorExample | None
) -> str:
    """The section of the page, as HTML.

    Args:
        record: What `audit.json` holds of boxes.
        lines: The same in words.
        example: An image with anchors, or None.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (tables.percent, tables.count, tables.score):
        environment.filters[formatter.__name__] = formatter
    anchors, better = record.get("anchors"), record.get("proposal")
    pictures, classes = [] if example is None else example.drawn(), record["classes"]
    return environment.get_template("audit_boxes.html").render(
        lines=[line.strip() for line in lines if "--set" not in line],
        classes=[
            {
                **of,
                "colour": colour,
                "recall": anchors["by_class"][of["name"]] if anchors else None,
                "proposed": better["by_class"][of["name"]] if better else None,
            }
            for of, colour in zip(classes, box_colours(len(classes)), strict=True)
        ],
        command=" ".join(better["set"]) if better else "",
        pictures=[
            {"uri": png_uri(image), "height": image.shape[0], "width": image.shape[1], "text": text}
            for image, text in pictures
        ],
    )
