"""Anchors: boxes of given heights and widths at every place of feature maps.

| name | shape | dtype | what it is |
|---|---|---|---|
| shapes | (k, 2) a level | float | height, width in pixels of the k anchors at a place |
| maps | 2 a level | int or tensor | rows and columns of a feature map |
| anchors | (rows * columns * k, 4) a level | float32 | `x1 y1 x2 y2`, by row, column, k |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.errors import InputError

Shapes = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AnchorGrid:
    """Where anchors stand and how large they are. Needs TensorFlow only for maps of open size.

    Attributes:
        strides: Pixels from a place of each level to the next.
        shapes: For each level the (height, width) of the anchors at a place.
        offset: Where in its cell the centre lies: 0.5, its middle; torchvision's Faster R-CNN
            and RetinaNet have 0, the upper left corner.
        whole: Steps from place to place as torchvision has them: the image's side over the map's,
            rounded down, which is less than the stride where a coarse map has a place that
            reaches beyond the image.

    Example:
        `AnchorGrid((8,), (((16, 16),),)).of([(2, 3)])` is one array (6, 4), whose first row is
        `[-4, -4, 12, 12]`.
    """

    strides: tuple[int, ...]
    shapes: tuple[Shapes, ...]
    offset: float = 0.5
    whole: bool = False

    def of(self, maps: Sequence[tuple]) -> list:
        """Anchors (rows * columns * k, 4) of each level, float32 pixels of the image.

        Args:
            maps: Rows and columns of each level; NumPy comes of numbers, a tensor of tensors.
        """
        steps = [(stride, stride) for stride in self.strides]
        if self.whole:
            height, width = (side * self.strides[0] for side in maps[0])
            steps = [(height // rows, width // columns) for rows, columns in maps]
        return [
            _anchors(step, shapes, self.offset, *shape)
            for step, shapes, shape in zip(steps, self.shapes, maps, strict=True)
        ]

    def at_a_place(self) -> int:
        """How many anchors a place has, where that is one number for all levels.

        Raises:
            InputError: It is not, so that no head can serve all levels.
        """
        counts = [len(shapes) for shapes in self.shapes]
        if len(set(counts)) != 1:
            raise InputError(
                "Every level must have as many anchors at a place, since one head serves all. "
                f"Received: {', '.join(map(str, counts))}."
            )
        return counts[0]


def anchor_shapes(sizes: Sequence[float], ratios_hw: Sequence[float], *, whole=False) -> Shapes:
    """(height, width) of anchors of every size and ratio, ratio by ratio, as torchvision's order.

    Args:
        sizes: Square roots of areas, in pixels.
        ratios_hw: Height over width.
        whole: Rounds half sides to whole pixels, as torchvision does.

    Raises:
        InputError: A size or ratio that is not above 0, or none.

    Example:
        `anchor_shapes([16], [0.5, 2])` is ((11.3, 22.6), (22.6, 11.3)): the second is tall.
    """
    for word, values in (("anchor_sizes", sizes), ("ratios_hw", ratios_hw)):
        if not values or not all(isinstance(v, int | float) and 0 < v < math.inf for v in values):
            raise InputError(f"{word} must be numbers above 0, for each level. Received: {values}.")
    shapes = [(s * math.sqrt(r), s / math.sqrt(r)) for r in ratios_hw for s in sizes]
    return tuple((2.0 * round(h / 2), 2.0 * round(w / 2)) if whole else (h, w) for h, w in shapes)


def _anchors(step: tuple, shapes: Shapes, offset: float, rows, columns):
    half = np.array([[-w, -h, w, h] for h, w in shapes], np.float32) / 2
    if isinstance(rows, int) and isinstance(columns, int):
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        centres = (np.stack([x, y, x, y], -1).astype(np.float32) + offset) * (step[::-1] * 2)
        return (centres[:, :, None] + half).reshape(-1, 4).astype(np.float32)
    import tensorflow as tf

    y, x = tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij")
    step = tf.cast(tf.stack(step[::-1] * 2), tf.float32)
    centres = (tf.cast(tf.stack([x, y, x, y], -1), tf.float32) + offset) * step
    return tf.reshape(centres[:, :, None] + half, [-1, 4])
