"""The size that images of several sizes are brought to, and by which factors; NumPy alone."""

import math

import numpy as np


def letterbox_size(
    sizes: np.ndarray, *, multiple: int = 32, largest_area: int = 512 * 512
) -> tuple[int, int]:
    """(height, width) for images of these sizes: nine of ten go in without being shrunk.

    Args:
        sizes: (N, 2) heights and widths.
        multiple: Both sides are multiples of it, as a stride asks for.
        largest_area: Pixels that it has at most, whatever the images have.
    """
    sides = np.percentile(sizes, 90, axis=0, method="inverted_cdf")
    height, width = (multiple * math.ceil(side / multiple) for side in sides)
    if height * width > largest_area:
        shrink = min(1.0, math.sqrt(largest_area / math.prod(sides)))
        # 1e-9: 720 of a shrunk 720 x 1280 are 384 pixels, and not a bit less.
        height, width = (multiple * max(1, int(s * shrink / multiple + 1e-9)) for s in sides)
        most = largest_area // min(height, width) // multiple * multiple  # of a thin one
        height, width = min(height, most), min(width, most)
    return height, width


def scale_factors(
    sizes: np.ndarray, size: tuple[int, int], *, fit: str, enlarge: bool = False
) -> np.ndarray:
    """(N, 2) float64, by what height and width of each image are multiplied.

    Args:
        sizes: (N, 2) heights and widths.
        size: What they are brought to.
        fit: "pad": both sides by one factor, as `letterbox_scale` says; "stretch": each by its
            own.
        enlarge: Whether a letterbox enlarges small images.
    """
    own = np.array(size) / np.asarray(sizes, np.float64)
    if fit == "stretch":
        return own
    factor = own.min(axis=-1, keepdims=True)
    return np.repeat(factor if enlarge else np.minimum(factor, 1.0), 2, axis=-1)
