"""Signed distances of pixels to the borders of classes, by OpenCV; NumPy only."""

from collections.abc import Sequence

import cv2
import numpy as np


def distance_maps(
    labels: np.ndarray, *, num_classes: int, ignore_labels: Sequence[int] = (255,)
) -> np.ndarray:
    """How far each pixel is from the border of each class, negative inside the class.

    Outside a class the value is the distance to the nearest pixel of the class, inside it
    minus the distance to the nearest pixel of another class; both from centre to centre, in
    pixels, less half a pixel, as the border runs between the two. So no counted pixel has 0
    where a class has a border.

    Pixels that do not count (ignored labels, labels of no class) are neither inside nor
    outside of anything: they have 0, and no border runs along them. A class that is absent,
    or alone, has no border: its map is 0.

    Args:
        labels: (B, H, W) of whole numbers.
        num_classes: K.
        ignore_labels: Labels that do not count, inside 0..K-1 or not.

    Returns:
        (B, H, W, K) float32. Exact Euclidean distances, rounded to float32, and the same in
        every call, up to 1,500 pixels; beyond, the last bit may differ.
    """
    counted = (labels >= 0) & (labels < num_classes) & ~np.isin(labels, list(ignore_labels))
    maps = np.zeros((*labels.shape, num_classes), np.float32)
    for image in range(len(labels)):
        for k in np.unique(labels[image][counted[image]]):
            inside = counted[image] & (labels[image] == k)
            outside = counted[image] & ~inside
            if outside.any():
                to_class, to_others = _distance_to(inside), _distance_to(outside)
                maps[image, :, :, k] = np.where(outside, to_class - 0.5, 0.0)
                maps[image, :, :, k][inside] = 0.5 - to_others[inside]
    return maps


def _distance_to(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance of each pixel to the nearest of `pixels`, (H, W) bool."""
    far = (~pixels).astype(np.uint8)
    found = cv2.distanceTransform(far, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's root differs in its last bit from call to call (where the array lies in memory),
    # which would end exact resume. The square is a whole number, and its root is exact here.
    return np.sqrt(np.rint(np.square(found, dtype=np.float64))).astype(np.float32)
