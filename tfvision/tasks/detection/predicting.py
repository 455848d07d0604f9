"""From images of any size to boxes in their own pixels; views, tiles and several models."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.data.audit.anchors import nearest
from tfvision.engine.inference import Predictor, resize_image, signatures
from tfvision.engine.tta import View
from tfvision.postprocess.boxes import by_score, join_tiles
from tfvision.recipe.letterbox import (
    PAD_VALUE,
    boxes_from_letterbox,
    letterbox_image,
    letterbox_scale,
)


class DetectionPredictor(tf.Module, Predictor):
    """Scaling, padding, detector and suppression as one module, for images of any size.

    Gives `boxes` (B, D, 4) float32 `x1 y1 x2 y2` in pixels of the image as it came, `scores`
    (B, D) float32 falling, `classes` (B, D) int32; D is what the detector gives at most, and
    rows without a box have the class -1 and the score 0.

    Args:
        model: A detector; its height and width are open.
        channels: C of the images.
        size: (height, width) that images were brought to for the training; None: images are
            taken at their own size, padded to multiples of the stride.
        stretch: Each side was scaled by itself; else the image as a whole.
        enlarge: Whether an image smaller than `size` was enlarged.
    """

    def __init__(
        self,
        model,
        *,
        channels: int,
        size: tuple[int, int] | None = None,
        stretch: bool = False,
        enlarge: bool = False,
    ):
        super().__init__(name="tfvision_detector")
        self.model, self.size = model, size
        self._stretch, self._enlarge = stretch, enlarge
        self.serving_default, self.serve_float = signatures(self._serve, channels)

    def rows(self, images: np.ndarray) -> list[dict[str, np.ndarray]]:
        """See `Predictor.rows`; without the rows that hold no box."""
        padded = super().rows(images)
        return [{k: v[one["classes"] >= 0] for k, v in one.items()} for one in padded]

    def proposals(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Boxes (B, R, 4) and scores (B, R) of the first of two stages, in pixels of the images
        (B, H, W, C) float32; None of a detector of one stage."""
        seen, _, back = self._seen(tf.constant(images))
        found = self.model.proposals_of(self.model(seen, training=False))
        return None if found is None else (back(found[0]).numpy(), found[1].numpy())

    def nearest_anchors(
        self, images: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Of each of some boxes (n, 4) in pixels of images (B, H, W, C) of one size the anchor of
        the highest IoU, (n, 4), and that IoU (n,), as training has it; None where the detector
        has no anchors to be shown."""
        if self.model.anchors is None:
            return None
        seen, size, back = self._seen(tf.constant(images))
        height, width = np.asarray(size, np.float64) / images.shape[1:3]
        scaled = boxes * np.array([width, height] * 2)
        found, ious, _ = nearest(scaled, self.model.anchors, tuple(seen.shape[1:3]))
        return np.asarray(back(tf.constant(found, tf.float32))), ious

    def _serve(self, image):
        seen, size, back = self._seen(image)
        found = self._found(seen, size)
        return {**found, "boxes": back(found["boxes"])}

    def _seen(self, image):
        """Images as the detector sees them, their (height, width) in it without padding, and
        what brings boxes back to pixels of the images as they came."""
        own = tf.shape(image)[1:3]
        if self.size is None:
            return self._padded(image), own, lambda boxes: boxes
        if self._stretch:
            sides = tf.cast(tf.tile(own[::-1], [2]), tf.float32)
            scale = sides / tf.constant([*self.size[::-1]] * 2, tf.float32)
            seen = resize_image(image, self.size)
            return seen, tf.constant(self.size), lambda boxes: boxes * scale
        seen = letterbox_image(image, self.size, enlarge=self._enlarge)
        factor = letterbox_scale(own, self.size, enlarge=self._enlarge)
        back = partial(boxes_from_letterbox, own_size=own, size=self.size, enlarge=self._enlarge)
        return seen, tf.cast(own, tf.float32) * factor, back

    def _padded(self, image):
        height, width = tf.shape(image)[1], tf.shape(image)[2]
        stride = self.model.stride
        pads = [[0, 0], [0, -height % stride], [0, -width % stride], [0, 0]]
        return tf.pad(image, pads, constant_values=PAD_VALUE)

    def _found(self, seen, size):
        outputs = self.model(seen, training=False)
        return self.model.detections(outputs, tf.cast(size, tf.float32))


def undo(view: View, prediction: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Boxes of a view as boxes of the image of (height, width) pixels, cut at its edges."""
    boxes = prediction["boxes"]
    corners = [view.place(boxes[:, at].astype(np.float64), size) for at in ([0, 1], [2, 3])]
    moved = np.concatenate([np.minimum(*corners), np.maximum(*corners)], axis=1)
    moved = np.clip(moved, 0, np.array([size[1], size[0]] * 2))
    seen = ((moved[:, 2:] - moved[:, :2]) > 0).all(axis=1)
    return by_score(moved[seen], prediction["scores"][seen], prediction["classes"][seen])


def joined(
    tile: tuple[int, int],
    tiles: Sequence[tuple[tuple[int, int], dict[str, Any]]],
    size: tuple[int, int],
) -> dict[str, Any]:
    """Predictions of tiles of (height, width) as one of the whole image; see `join_tiles`."""
    own = (min(tile[0], size[0]), min(tile[1], size[1]))
    return join_tiles([(corner, own, one) for corner, one in tiles], size)
