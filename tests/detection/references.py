"""Plain NumPy forms of what `tfvision.detection` does, one box at a time."""

import math

import numpy as np


def random_boxes(rng, shape, size=100.0, least=4.0, most=40.0) -> np.ndarray:
    """Boxes (*shape, 4) float32, whose corners lie in a square of `size` and beyond."""
    corner = rng.uniform(0, size, (*shape, 2))
    return np.concatenate([corner, corner + rng.uniform(least, most, (*shape, 2))], -1).astype("f4")


def overlap(a, b) -> float:
    """IoU of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)


def greedy(boxes, scores, classes, iou, score, most) -> list[int]:
    """Rows that non-maximum suppression by class keeps, by falling score."""
    kept = []
    for row in np.argsort(-scores, kind="stable"):
        if scores[row] <= score or len(kept) == most:
            break
        rivals = [k for k in kept if classes[k] == classes[row]]
        if all(overlap(boxes[k], boxes[row]) <= iou for k in rivals):
            kept.append(row)
    return kept


def bilinear(image, y, x) -> np.ndarray:
    """Value of an image (H, W, C) at a point, as torchvision's RoIAlign reads it."""
    height, width = image.shape[:2]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(image.shape[2])
    y, x = max(y, 0.0), max(x, 0.0)
    low_y, low_x = min(int(y), height - 1), min(int(x), width - 1)
    y, x = min(y, low_y) if low_y == height - 1 else y, min(x, low_x) if low_x == width - 1 else x
    high_y, high_x = min(low_y + 1, height - 1), min(low_x + 1, width - 1)
    dy, dx = y - low_y, x - low_x
    upper = (1 - dx) * image[low_y, low_x] + dx * image[low_y, high_x]
    lower = (1 - dx) * image[high_y, low_x] + dx * image[high_y, high_x]
    return (1 - dy) * upper + dy * lower


def pooled(image, box, stride, side, aligned=True) -> np.ndarray:
    """RoIAlign of one box, two by two points a bin: (side, side, C)."""
    x1, y1, x2, y2 = (v / stride - 0.5 * aligned for v in box)
    if not aligned:
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    high, wide = (y2 - y1) / side, (x2 - x1) / side
    bins = np.zeros((side, side, image.shape[2]))
    for i in range(side):
        for j in range(side):
            for a in (0.25, 0.75):
                for b in (0.25, 0.75):
                    bins[i, j] += bilinear(image, y1 + (i + a) * high, x1 + (j + b) * wide) / 4
    return bins


def ciou(a, b) -> float:
    """1 - CIoU of two boxes, step by step as the paper has it."""
    iou = overlap(a, b)
    hull = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    apart = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    distance = (apart[0] ** 2 + apart[1] ** 2) / (hull[0] ** 2 + hull[1] ** 2)
    ratios = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    aspect = 4 / math.pi**2 * (ratios[0] - ratios[1]) ** 2
    share = aspect / (1 - iou + aspect) if aspect else 0.0
    return 1 - iou + distance + share * aspect
