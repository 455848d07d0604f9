"""Which classes are rare, and how often an image must come so that they are seen. NumPy only."""

from collections.abc import Iterable

import numpy as np


def repeat_factors(class_pixels: np.ndarray, ignore_labels: Iterable[int] = ()) -> np.ndarray:
    """How often each image is drawn, relative to one that holds only ubiquitous classes.

    Repeat factor sampling (Gupta et al., 2019, arXiv:1908.03195, section 3.3): with f_c the
    share of the images that hold class c, the factor of image i is

        r_i = max over the classes c in i of max(1, sqrt(t / f_c)), and here t = 1:

    the paper's 0.001 is for a thousand classes; with t = 1 every class that some images
    lack counts. A class in a quarter of the images gives its images a factor of 2.

    Args:
        class_pixels: (N, K), pixels of each class in each image.
        ignore_labels: Classes that do not count; labels outside 0..K-1 are allowed.

    Returns:
        (N,) float64, from 1 up. An image without any class has 1.
    """
    present = _counted(class_pixels, ignore_labels) > 0
    share = present.mean(axis=0)
    factors = 1 / np.sqrt(np.where(share > 0, share, 1.0))
    return np.where(present, factors, 1.0).max(axis=1, initial=1.0)


def rare_classes(class_pixels: np.ndarray, ignore_labels: Iterable[int] = ()) -> list[int]:
    """The classes that are rare beside the others.

    A class that occurs is rare where it has fewer than half the pixels of the median class,
    or is in fewer than half as many images as the median class is. Medians are over the
    classes that occur. Where all are about as frequent, none is rare.

    Args:
        class_pixels: (N, K), pixels of each class in each image.
        ignore_labels: Classes that do not count; labels outside 0..K-1 are allowed.

    Returns:
        Labels, in order.
    """
    counted = _counted(class_pixels, ignore_labels)
    pixels, images = counted.sum(axis=0), (counted > 0).sum(axis=0)
    occurs = pixels > 0
    if not occurs.any():
        return []
    few = (pixels < np.median(pixels[occurs]) / 2) | (images < np.median(images[occurs]) / 2)
    return [int(label) for label in np.flatnonzero(occurs & few)]


def _counted(class_pixels: np.ndarray, ignore_labels: Iterable[int]) -> np.ndarray:
    counted = np.array(class_pixels, np.float64)
    counted[:, [label for label in ignore_labels if 0 <= label < counted.shape[1]]] = 0
    return counted
