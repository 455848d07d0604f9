"""Predictions of any kind combined: over views, over tiles, over models.

A prediction is a dict of named arrays of one image. What they mean is the task's: it says how a
view is undone, how several predictions of one image become one, and how those of tiles are put
together. Tasks of label maps do the same inside a graph, see `tta`, `tiles` and `ensemble`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfvision.engine.ensemble_weights import normalise
from tfvision.engine.inference import Predictor, Wrapped
from tfvision.engine.tiles import default_overlap, spans
from tfvision.engine.tta import View

Prediction = dict[str, np.ndarray]
Size = tuple[int, int]
Combine = Callable[[Sequence[Prediction], Sequence[float]], Prediction]
Undo = Callable[[View, Prediction, Size], Prediction]
Merge = Callable[[Sequence[tuple[Size, Prediction]], Size], Prediction]


class OverViews(Wrapped):
    """What predicts, combined over an image and views of it, all of the same weight."""

    def __init__(
        self, predictor: Predictor, views: Sequence[View], *, undo: Undo, combine: Combine
    ):
        super().__init__(predictor)
        self._views, self._undo, self._combine = tuple(views), undo, combine

    def rows(self, images: np.ndarray) -> list[Prediction]:
        """See `Predictor.rows`."""
        size = images.shape[1:3]
        seen = [self._predictor.rows(images)]
        for view in self._views:
            rows = self._predictor.rows(view.apply(tf.constant(images)).numpy())
            seen.append([self._undo(view, row, size) for row in rows])
        shares = [1 / len(seen)] * len(seen)
        return [self._combine(of_image, shares) for of_image in zip(*seen, strict=True)]


class OverTiles(Wrapped):
    """What predicts, tile by tile; an image that is no larger than a tile is not cut.

    Args:
        predictor: What predicts a tile.
        tile: (height, width) of a tile.
        overlap: Pixels that neighbours share at least; None: a quarter of the shorter side.
        merge: ([((top, left), prediction)], size) -> the prediction of the image.
    """

    def __init__(self, predictor: Predictor, *, tile: Size, overlap: int | None, merge: Merge):
        super().__init__(predictor)
        self._tile, self._merge = tile, merge
        self._overlap = default_overlap(tile) if overlap is None else overlap

    def rows(self, images: np.ndarray) -> list[Prediction]:
        """See `Predictor.rows`."""
        size = images.shape[1:3]
        if size[0] <= self._tile[0] and size[1] <= self._tile[1]:
            return self._predictor.rows(images)
        places = [
            (slice(*down), slice(*across))
            for down in spans(size[0], self._tile[0], self._overlap, 1)
            for across in spans(size[1], self._tile[1], self._overlap, 1)
        ]
        tiles = [self._predictor.rows(images[:, down, across]) for down, across in places]
        corners = [(down.start, across.start) for down, across in places]
        return [
            self._merge(list(zip(corners, of_image, strict=True)), size)
            for of_image in zip(*tiles, strict=True)
        ]


class OverModels(Predictor):
    """Several models as one; `weights` are divided by their sum."""

    def __init__(
        self, predictors: Sequence[Predictor], weights: Sequence[float], *, combine: Combine
    ):
        self._predictors, self._combine = list(predictors), combine
        self._shares = normalise(list(weights))

    @property
    def members(self) -> list[Predictor]:
        return self._predictors

    @property
    def weights(self) -> list[float]:
        return self._shares

    def rows(self, images: np.ndarray) -> list[Prediction]:
        """See `Predictor.rows`."""
        seen = [predictor.rows(images) for predictor in self._predictors]
        return [self._combine(of_image, self._shares) for of_image in zip(*seen, strict=True)]
