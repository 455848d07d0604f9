"""Crowds: annotated regions that hold more objects of a class than have boxes of their own.

They stand among the boxes of an image, a crowd of class k with the number -2 - k (-1 fills up a
batch). So they move with the boxes, and whoever takes the classes 0..K-1 leaves them out. What
lies in a crowd is neither right nor wrong: training takes it for no background, and COCO's
scoring ignores detections on it. The functions take NumPy's arrays, TensorFlow's, and integers.
"""

import numpy as np

INSIDE = 0.7  # of the area of an anchor or proposal: from there on it lies in a crowd


def is_crowd(classes):
    """Which class numbers are of crowds: bool of the same shape."""
    return classes < -1


def as_crowd(classes):
    """k -> -2 - k, the number of a crowd of class k; and back, being its own inverse."""
    return -2 - classes


def renumbered(classes, numbers):
    """Classes (n,) under other numbers, crowds too: `numbers[k]` is the new one of k, -1 of none.

    NumPy only.
    """
    crowd = is_crowd(classes)
    new = numbers[np.where(crowd, as_crowd(classes), classes)]
    return np.where(crowd, as_crowd(new), new)
