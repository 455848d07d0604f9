"""Test-time augmentation: the mean of what a model says of an image and of views of it.

A view changes an image and knows how to put its probabilities back. The average is the
arithmetic mean, pixel by pixel (a linear opinion pool): by Jensen's inequality its log-loss is
never above the mean log-loss of its members, which holds for no average of labels, and no single
view that is sure of itself can veto the others, as it can in a geometric mean.

Simonyan, Zisserman, "Very Deep Convolutional Networks", 2015, section 3.2 (flips);
Krizhevsky et al., "ImageNet Classification with Deep CNNs", 2012, section 4.1 (shifts).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import tensorflow as tf

from tfvision.engine import VIEWS
from tfvision.engine.inference import Wrapped, resize_image
from tfvision.errors import InputError
from tfvision.registry import Spec


@dataclass(frozen=True)
class View:
    """One way to look at images.

    Attributes:
        apply: images (B, H, W, C) -> (B, H', W', C).
        undo: (values (B, H', W', D), (H, W)) -> (B, H, W, D), 0 where the view saw nothing.
        place: (points (n, 2) `x y` in pixels of the view, (H, W)) -> the same points in pixels
            of the image.
    """

    apply: Callable[[tf.Tensor], tf.Tensor]
    undo: Callable[[tf.Tensor, tuple[int, int]], tf.Tensor]
    place: Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def flip_lr() -> list[View]:
    """One view: left and right exchanged."""
    return [
        View(
            lambda x: tf.reverse(x, [2]),
            lambda values, size: tf.reverse(values, [2]),
            lambda points, size: np.array([size[1], 0.0]) + points * [-1, 1],
        )
    ]


def flip_ud() -> list[View]:
    """One view: top and bottom exchanged."""
    return [
        View(
            lambda x: tf.reverse(x, [1]),
            lambda values, size: tf.reverse(values, [1]),
            lambda points, size: np.array([0.0, size[0]]) + points * [1, -1],
        )
    ]


def shift(*, pixels: int) -> list[View]:
    """Four views: the image moved left, right, up and down.

    The image keeps its size. The strip that becomes free is filled with the mirrored edge; the
    strip that leaves the frame has no view, so it does not count in the average there.

    Args:
        pixels: How far, at least 1. More than the stride of the model adds little: nets of
            pooling and convolution repeat themselves with that period.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
        raise InputError(
            f"shift(pixels=...) must be a whole number of at least 1. Received: {pixels!r}."
        )
    return [_shifted(dy * pixels, dx * pixels) for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0))]


def scale(*, factor: float) -> list[View]:
    """One view: the image `factor` times as high and wide, at least one pixel.

    Bilinear both ways, antialiased where it shrinks.

    Args:
        factor: 0.25 to 4, not 1.
    """
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not number or not 0.25 <= factor <= 4 or factor == 1:
        raise InputError(
            f"scale(factor=...) must be a number from 0.25 to 4, other than 1. Received: "
            f"{factor!r}."
        )

    def scaled(size):
        return tuple(max(1, round(side * factor)) for side in size)

    def place(points, size):
        return points * (np.array(size[::-1]) / scaled(size)[::-1])

    return [View(lambda x: resize_image(x, scaled(x.shape[1:3])), resize_image, place)]


def make_views(chains: Sequence[Sequence[Spec]]) -> list[View]:
    """The views of chains of names in `VIEWS`; a chain acts from left to right.

    A name can stand for several views (`shift` for four); a chain then has every combination.

    Raises:
        InputError: An unknown name, a wrong argument.
    """
    links = [[VIEWS.build(spec) for spec in chain] for chain in chains]
    return [_chained(views) for chain in links for views in product(*chain)]


class TestTimeAugmentation(Wrapped):
    """What predicts, averaged over an image and its views; it stands in for `Inference`.

    Every view, and the image as it is, has the same weight. Where a view says nothing of a
    pixel, the others alone count there.

    Args:
        predictor: Has `serve_float`, for images of any size.
        views: From `make_views`.
    """

    __test__ = False  # pytest: this is no test class

    def __init__(self, predictor, views: Sequence[View]):
        super().__init__(predictor)
        self._views = tuple(views)

    def serve_float(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, C) float32 in [0, 1] -> probabilities (B, H, W, K) float32."""
        size = tuple(image.shape[1:3])
        total = self._weighted(image)
        for view in self._views:
            total += view.undo(self._weighted(view.apply(image)), size)
        return {"probabilities": total[..., :-1] / total[..., -1:]}

    def _weighted(self, image):
        """(B, H, W, K + 1): probabilities, and a 1 that shows where there are some."""
        found = self._predictor.serve_float(image)["probabilities"]
        return tf.concat([found, tf.ones_like(found[..., :1])], -1)


class Resized(Wrapped):
    """What predicts at one size, for images of any size, as `Inference` has it with a `size`.

    Views of a run whose images were resized are made at the size its model saw: a scale made
    before the resizing would be undone by it.

    Args:
        predictor: Has `serve_float`.
        size: (height, width).
    """

    def __init__(self, predictor, size: tuple[int, int]):
        super().__init__(predictor)
        self._size = size

    def serve_float(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, C) float32 in [0, 1] -> probabilities (B, H, W, K) float32."""
        found = self._predictor.serve_float(resize_image(image, self._size))["probabilities"]
        return {"probabilities": tf.image.resize(found, image.shape[1:3], "bilinear")}


def _shifted(dy: int, dx: int) -> View:
    def apply(x):
        height, width = x.shape[1:3]
        if abs(dy) >= height or abs(dx) >= width:
            raise InputError(
                f"shift(pixels={max(abs(dy), abs(dx))}) moves an image of {height}x{width} out of "
                "sight. Choose fewer pixels, or leave shift out of --tta."
            )
        return _moved(x, dy, dx, "SYMMETRIC")

    return View(
        apply,
        lambda values, size: _moved(values, -dy, -dx, "CONSTANT"),
        lambda points, size: points - np.array([dx, dy]),
    )


def _moved(x: tf.Tensor, dy: int, dx: int, fill: str) -> tf.Tensor:
    """`x` moved `dy` down and `dx` right, at the same size."""
    height, width = x.shape[1:3]
    pads = [[0, 0], [max(dy, 0), max(-dy, 0)], [max(dx, 0), max(-dx, 0)], [0, 0]]
    top, left = max(-dy, 0), max(-dx, 0)
    return tf.pad(x, pads, fill)[:, top : top + height, left : left + width]


def _chained(views: Sequence[View]) -> View:
    """Views one after the other; un-done in the opposite order, at the sizes on the way."""

    def apply(x):
        for view in views:
            x = view.apply(x)
        return x

    def sizes_before(size):
        sizes = [size]
        for view in views[:-1]:
            probe = view.apply(tf.zeros((1, *sizes[-1], 1)))
            sizes.append(tuple(probe.shape[1:3]))
        return sizes

    def undo(values, size):
        for view, before in zip(reversed(views), reversed(sizes_before(size)), strict=True):
            values = view.undo(values, before)
        return values

    def place(points, size):
        for view, before in zip(reversed(views), reversed(sizes_before(size)), strict=True):
            points = view.place(points, before)
        return points

    return View(apply, undo, place)
