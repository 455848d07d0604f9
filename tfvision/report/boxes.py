"""Pictures with boxes, for people: what `predict` writes and reports show."""

from collections.abc import Sequence

import numpy as np

from tfvision.detection.crowds import as_crowd, is_crowd
from tfvision.report.overlay import hex_colours, palette

SMALL, LARGE = 320, 1600  # sides below are enlarged by a whole factor, above reduced


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray,
    class_names: Sequence[str],
    *,
    scores: np.ndarray | None = None,
    dashed: bool = False,
    smallest: int = SMALL,
) -> np.ndarray:
    """An image with boxes in the colours of their classes, each with a name.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8.
        boxes: (n, 4) `x1 y1 x2 y2` in its pixels.
        classes: (n,) numbers; of a crowd as `detection.crowds` has them, drawn dashed.
        class_names: K names.
        scores: (n,) in [0, 1], written behind the names; None: no number.
        dashed: Broken lines, as for truth beside predictions.
        smallest: A longer side below it is enlarged.

    Returns:
        (H', W', 3) uint8; small images are enlarged, so that names can be read.

    Example:
        `draw_boxes(image, answer["boxes"], answer["classes"], names, scores=answer["scores"])`
    """
    from PIL import Image, ImageDraw

    image = np.asarray(image, np.uint8)
    image = image[..., None] if image.ndim == 2 else image
    rgb = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    factor = max(1, smallest // max(rgb.shape[:2]))
    factor = factor if factor > 1 else min(1.0, LARGE / max(rgb.shape[:2]))
    size = tuple(max(1, round(side * factor)) for side in rgb.shape[1::-1])
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    picture = Image.fromarray(rgb)
    picture = picture if factor == 1 else picture.resize(size, how)
    pen, width = ImageDraw.Draw(picture), max(1, round(max(size) / 400))
    colours = palette(max(len(class_names), 1) + 1)[1:]  # the first is the colour of background
    for row in range(len(boxes))[::-1]:  # the highest score is drawn last, on top
        crowd = is_crowd(classes[row])
        k = as_crowd(classes[row]) if crowd else classes[row]
        colour = tuple(int(v) for v in colours[k])
        x1, y1, x2, y2 = (float(side) * factor for side in boxes[row])
        _rectangle(pen, (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), colour, width, dashed or crowd)
        text = f"crowd of {class_names[k]}" if crowd and class_names[k] else class_names[k]
        text += "" if scores is None else f" {scores[row]:.2f}"
        if not text:
            continue
        left, top, right, bottom = pen.textbbox((x1, y1), text)
        up = bottom - top + 2 if y1 >= bottom - top + 2 else 0
        pen.rectangle((left - 1, top - up - 1, right + 1, bottom - up + 1), fill=colour)
        dark = np.dot(colour, [0.299, 0.587, 0.114]) < 140
        pen.text((x1, y1 - up), text, fill=(255, 255, 255) if dark else (0, 0, 0))
    return np.asarray(picture)


def box_colours(num_classes: int) -> list[str]:
    """CSS colours of classes, as `draw_boxes` has them."""
    return hex_colours(num_classes + 1)[1:]


def _rectangle(pen, corners, colour, width: int, dashed: bool) -> None:
    if not dashed:
        pen.rectangle(corners, outline=colour, width=width)
        return
    x1, y1, x2, y2 = corners
    step = 4 * width
    for x in np.arange(x1, x2, 2 * step):
        for y in (y1, y2):
            pen.line((x, y, min(x + step, x2), y), fill=colour, width=width)
    for y in np.arange(y1, y2, 2 * step):
        for x in (x1, x2):
            pen.line((x, y, x, min(y + step, y2)), fill=colour, width=width)
