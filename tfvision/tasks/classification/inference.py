"""Classifiers in the engine: a label is a map of one pixel, probabilities are (B, 1, 1, K).

So losses, rules, confusion matrices, ensembles and shards of segmentation serve as they are. At
the border, in `Served`, which is exported, labels are (B,) and probabilities (B, K).
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfvision.engine.inference import (
    Predictor,
    Wrapped,
    logits_of,
    probabilities_of,
    resize_image,
    signatures,
)
from tfvision.engine.tta import View
from tfvision.postprocess.pixelwise import Rule, decode


class ClassInference(tf.Module, Predictor):
    """Preprocessing, a classifier and decoding as one module, for pieces of any size.

    Args:
        model: From (B, *size, C) in [0, 1] to logits (B, K).
        channels: C of the pieces.
        size: (height, width) the model takes.
        fit: How a piece is brought to it: `stretch` or `pad`.
        rules: Post-processing, in order; it acts on the probabilities of what is served, so
            on those of a piece.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        channels: int,
        size: tuple[int, int],
        fit: str = "stretch",
        rules: Sequence[Rule] = (),
    ):
        super().__init__(name="tfvision_classifier")
        self.model, self.size, self.fit = model, tuple(size), fit
        self._decode = decode(rules)
        shape = (None, None, None, channels)
        self.serve_float = tf.function(
            self._serve_float,
            input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
            autograph=False,
        )

    def _serve_float(self, image):
        """(B, H, W, C) in [0, 1] -> labels (B, 1, 1) uint8, probabilities (B, 1, 1, K)."""
        x = fit_pieces(image, self.size, self.fit)
        probabilities = probabilities_of(self.model, logits_of(self.model, x)[-1])
        return {"labels": self._decode(probabilities), "probabilities": probabilities}

    def fitted(self, image: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C) -> (B, *size, C): what the model sees of pieces."""
        return fit_pieces(image, self.size, self.fit)


class Served(tf.Module):
    """What predicts, as others are to use it: labels (B,) and probabilities (B, K).

    Args:
        predictor: Has `serve_float`: a `ClassInference`, or an `Ensemble` of such.
        channels: C of the images.
    """

    def __init__(self, predictor, *, channels: int):
        super().__init__(name="tfvision_served")
        self.predictor = predictor
        self.serving_default, self.serve_float = signatures(self._serve_float, channels)

    def _serve_float(self, image):
        served = self.predictor.serve_float(image)
        return {key: served[key][:, 0, 0] for key in ("labels", "probabilities")}


class Views(Wrapped):
    """What predicts, averaged over pieces and views of them; it stands in for a predictor.

    A view of a whole image needs no un-doing: the probabilities of all views have the same
    weight. Views are made at the size the model sees; what one makes larger is cut to its
    middle, what one makes smaller is framed by its mirror image.

    Args:
        predictor: Has `serve_float`; its `fitted`, where there is one, comes first.
        views: From `tta.make_views`.
    """

    def __init__(self, predictor, views: Sequence[View]):
        super().__init__(predictor)
        self._views = tuple(views)

    def fitted(self, image: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C) -> what the predictor's model sees of pieces; of an ensemble, they."""
        of_model = getattr(self._predictor, "fitted", None)
        return image if of_model is None else of_model(image)

    def serve_float(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, C) float32 in [0, 1] -> probabilities (B, 1, 1, K) float32."""
        x = self.fitted(image)
        size = tuple(x.shape[1:3])
        seen = [x, *(centred(view.apply(x), size) for view in self._views)]
        found = [self._predictor.serve_float(each)["probabilities"] for each in seen]
        return {"probabilities": tf.add_n(found) / len(found)}


def fit_pieces(image: tf.Tensor, size: tuple[int, int], how: str) -> tf.Tensor:
    """(B, H, W, C) float32 -> (B, *size, C), bilinear, antialiased where it shrinks.

    `stretch`: both sides to the size; `pad`: the aspect ratio is kept, the piece in the middle,
    black around it. Training, prediction and the export all have it from here.
    """
    if how == "stretch":
        return resize_image(image, size)
    sides = tf.cast(tf.shape(image)[1:3], tf.float64)
    shrink = tf.reduce_min(tf.constant(size, tf.float64) / sides)
    # A thin piece keeps a pixel, as in `data.windows.fit_image`, whose places these are.
    inner = tf.clip_by_value(tf.cast(tf.round(sides * shrink), tf.int32), 1, size)
    before = (size - inner) // 2
    pads = tf.stack([before, size - inner - before], axis=1)
    fitted = tf.pad(resize_image(image, inner), tf.pad(pads, [[1, 1], [0, 0]]))
    return tf.ensure_shape(fitted, (None, *size, image.shape[-1]))


def centred(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """(B, H, W, C) of static size -> (B, *size, C): the middle, framed by the mirror image."""
    while any(have < want for have, want in zip(image.shape[1:3], size, strict=True)):
        pads = [[0, 0], [0, 0], [0, 0], [0, 0]]
        for axis, want in ((1, size[0]), (2, size[1])):
            have = image.shape[axis]
            missing = max(0, want - have)
            # A mirror shows an image once; a narrow one is mirrored again.
            pads[axis] = [min(missing // 2, have), min(missing - missing // 2, have)]
        image = tf.pad(image, pads, "SYMMETRIC")
    top, left = ((have - want) // 2 for have, want in zip(image.shape[1:3], size, strict=True))
    return image[:, top : top + size[0], left : left + size[1]]
