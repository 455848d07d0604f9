"""Preprocessing, model and decoding as one module: what predict, evaluate and export share."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfvision.postprocess.pixelwise import Rule, decode


class Predictor:
    """What predicts images of any size: `serve_float(image) -> {name: (B, ...)}`.

    `image` is (B, H, W, C) float32 in [0, 1]. What averages predictors is one itself.
    """

    def rows(self, images: np.ndarray) -> list[dict[str, np.ndarray]]:
        """The predictions of images (B, H, W, C) float32 in [0, 1], one an image."""
        arrays = self.serve_float(tf.constant(images))
        columns = {name: value.numpy() for name, value in arrays.items()}
        return [{name: value[i] for name, value in columns.items()} for i in range(len(images))]

    @property
    def members(self) -> "list[Predictor]":
        """Those that have a `model` of their own, of the ones that are asked."""
        return [self]

    @property
    def weights(self) -> list[float]:
        """The share of each member."""
        return [1.0]


class Wrapped(Predictor):
    """A predictor that asks another one; it has that one's members."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    @property
    def members(self) -> list[Predictor]:
        return self._predictor.members

    @property
    def weights(self) -> list[float]:
        return self._predictor.weights


def signatures(serve: Callable[[tf.Tensor], dict[str, tf.Tensor]], channels: int) -> tuple:
    """`serving_default` and `serve_float` of an exported module: `serve` of images (B, H, W, C)
    uint8 in 0..255, and of float32 in [0, 1]; any batch and size."""
    pairs = (
        (tf.uint8, lambda image: serve(tf.cast(image, tf.float32) * (1 / 255))),
        (tf.float32, serve),
    )
    shape = (None, None, None, channels)
    return tuple(
        tf.function(function, [tf.TensorSpec(shape, dtype, name="image")], autograph=False)
        for dtype, function in pairs
    )


class ModelPredictor(tf.Module, Predictor):
    """A model between preprocessing and a decoding that gives named arrays.

    Args:
        model: From (B, H, W, C) float32 in [0, 1] to one output or several.
        decode: `outputs -> {name: (B, ...)}`, in the graph.
        channels: C of the images.
        size: (height, width) that images are brought to; None: they are taken as they are,
            padded below and to the right to multiples of `stride`.
        stride: Of the model.
    """

    def __init__(
        self,
        model: keras.Model,
        decode: Callable[[list[tf.Tensor], tuple], dict[str, tf.Tensor]],
        *,
        channels: int,
        size: tuple[int, int] | None = None,
        stride: int = 1,
    ):
        super().__init__(name="tfvision_predictor")
        self.model, self.size, self._decode, self._stride = model, size, decode, stride
        self.serving_default, self.serve_float = signatures(self._serve, channels)

    def _serve(self, image):
        height, width = tf.shape(image)[1], tf.shape(image)[2]
        if self.size is None:
            pads = [[0, 0], [0, -height % self._stride], [0, -width % self._stride], [0, 0]]
            seen = tf.pad(image, pads)
        else:
            seen = resize_image(image, self.size)
        outputs = keras.tree.flatten(self.model(seen, training=False))
        return self._decode(outputs, (height, width))


class Inference(tf.Module, Predictor):
    """Preprocessing, a segmentation model and decoding as one module, for images of any size.

    Images are brought to `size` where there is one; probabilities come back at the image's
    own size; the rules act on them.

    Args:
        model: From (B, H, W, C) in [0, 1] to logits, or to several: the last counts. Its
            height and width are open.
        channels: C of the images.
        size: (height, width) the model was trained at where images were resized for it,
            or None where they are taken as they are.
        rules: Post-processing of single pixels, in order.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        channels: int,
        size: tuple[int, int] | None = None,
        rules: Sequence[Rule] = (),
    ):
        super().__init__(name="tfvision_inference")
        self.model, self.size = model, size
        self._decode = decode(rules)
        self.serving_default, self.serve_float = signatures(self._serve_float, channels)

    def _serve_float(self, image):
        probabilities = self.probabilities(image)
        return {"labels": self._decode(probabilities), "probabilities": probabilities}

    def probabilities(self, image: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C) in [0, 1] -> (B, H, W, K) float32, each pixel's sum 1."""
        height, width = tf.shape(image)[1], tf.shape(image)[2]
        x = image if self.size is None else resize_image(image, self.size)
        probabilities = probabilities_of(self.model, logits_of(self.model, x)[-1])
        if self.size is not None:
            probabilities = tf.image.resize(probabilities, (height, width), "bilinear")
        return probabilities


def logits_of(model: keras.Model, image: tf.Tensor) -> list[tf.Tensor]:
    """All outputs (B, H, W, K) of a model for images of any size; of a classifier (B, 1, 1, K).

    A model whose height and width are open gets the images zero-padded below and to the
    right to multiples of its stride, as one of a fixed size does by itself.
    """
    if None not in model.input_shape[1:3]:
        return [as_map(y) for y in keras.tree.flatten(model(image, training=False))]
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    pads = [[0, 0], [0, -height % model.stride], [0, -width % model.stride], [0, 0]]
    outputs = keras.tree.flatten(model(tf.pad(image, pads), training=False))
    return [y[:, :height, :width] for y in outputs]


def as_map(logits: tf.Tensor) -> tf.Tensor:
    """Logits (B, H, W, K) as they are; those of a classifier, (B, K), as (B, 1, 1, K)."""
    return logits[:, None, None] if logits.shape.rank == 2 else logits


def probabilities_of(model: keras.Model, logits: tf.Tensor) -> tf.Tensor:
    """Logits of a model (B, H, W, K) -> float32 probabilities, each pixel's sum 1.

    A softmax; of a model whose logits are one-vs-rest (`model.one_vs_rest`) the sigmoids,
    divided by their sum.
    """
    logits = tf.cast(logits, tf.float32)
    if getattr(model, "one_vs_rest", False):
        logits = tf.math.log_sigmoid(logits)  # exact where all sigmoids are 0 in float32
    return tf.nn.softmax(logits)


def resize_image(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """(B, H, W, C) float32 -> (B, *size, C): bilinear, antialiased where it shrinks."""
    return tf.image.resize(image, size, "bilinear", antialias=True)


def resize_labels(labels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """(B, H, W) integers -> (B, *size) of the same labels: the nearest pixel's."""
    return tf.image.resize(labels[..., None], size, "nearest")[..., 0]
