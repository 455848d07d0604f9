"""Where a model looks: Grad-CAM, and how much of it falls beside the object.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017, Equations 1 and 2. https://arxiv.org/abs/1610.02391

    alpha_k = mean over the map of  d score / d A_k        cam = max(0, sum over k of alpha_k A_k)

For segmentation the score of a class is the sum of its logits over pixels: Vinogradova,
Dibrov, Myers, 2020, https://arxiv.org/abs/2002.11434.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tfvision.errors import InputError
from tfvision.registry import unknown


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    classes: np.ndarray | None = None,
    *,
    layer: str | None = None,
    pixels: np.ndarray | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """How much each place of an image speaks for a class, by the last gradients and maps.

    Each map is divided by its own largest value, so it says where, not how much: an image in
    which nothing speaks for the class has zeros. Of several pieces that a model stacks in the
    batch (`dual_stream` with shared weights) it is the map of the first, on the scale of both.

    Args:
        model: A classifier with logits (B, K), or one with logits (B, H, W, K) of which the last
            output counts.
        images: (B, H, W, C) float32 in [0, 1], of the model's size.
        classes: (B,) class numbers; None: of each image the one with the largest score.
        layer: Name of the layer whose map is looked at. None: the last of the smallest that is
            still a map, before means and dense layers; of `specialists` that of each net.
        pixels: (B, H, W) bool, of segmentation: those whose logits are summed; None: all.
        batch_size: Images at a time.

    Returns:
        (B, H, W) float32 in [0, 1].

    Raises:
        InputError: The layer is not there or gives no map, images, classes or pixels have the
            wrong shape, a class number is none of the model's.
    """
    images = np.asarray(images, "float32")
    if images.ndim != 4:
        raise InputError(f"images must be (B, H, W, C). Received: shape {images.shape}.")
    num_classes = model.outputs[-1].shape[-1]
    if classes is not None:
        classes = np.asarray(classes)
        inside = classes.shape == (len(images),) and ((classes >= 0) & (classes < num_classes))
        if not np.all(inside):
            raise InputError(
                f"classes must be one number from 0 to {num_classes - 1} an image, for "
                f"{len(images)} images. Received: {classes.tolist()}."
            )
    if pixels is not None and (
        len(model.outputs[-1].shape) != 4 or np.shape(pixels) != images.shape[:3]
    ):
        raise InputError(
            f"pixels choose among logits (B, H, W, K) of images {images.shape[:3]}. Received: "
            f"{np.shape(pixels)} for logits of shape {tuple(model.outputs[-1].shape)}."
        )
    names = [_checked(model, layer)] if layer else _deepest(model, images[:1])
    inner = keras.Model(
        model.input, [*(model.get_layer(n).output for n in names), model.outputs[-1]]
    )
    parts = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        of_part = [None if value is None else value[part] for value in (classes, pixels)]
        parts.append(_cams(inner, images[part], *of_part, stride=model.stride))
    return np.concatenate(parts) if parts else np.zeros(images.shape[:3], "float32")


def outside_share(
    cams: np.ndarray, *, regions: np.ndarray | None = None, boxes: np.ndarray | None = None
) -> np.ndarray:
    """The part of each map's sum that falls outside the object.

    Args:
        cams: (B, H, W), none negative, as `grad_cam` gives them.
        regions: (B, H, W), not 0 where the object is; or
        boxes: (B, 4) x1 y1 x2 y2 in pixels; a pixel that an edge cuts counts by its area.

    Returns:
        (B,) float64 in [0, 1]; NaN where a map is zero everywhere.

    Raises:
        InputError: Not exactly one of regions and boxes, or of another shape.
    """
    if (regions is None) == (boxes is None):
        raise InputError("outside_share needs regions or boxes, one of them.")
    count, height, width = cams.shape
    if regions is not None:
        if np.shape(regions) != cams.shape:
            raise InputError(
                f"regions must have the shape of the maps, {cams.shape}. Received: "
                f"{np.shape(regions)}."
            )
        inside = np.asarray(regions) != 0
    else:
        boxes = np.asarray(boxes, "float64")
        if boxes.shape != (count, 4):
            raise InputError(f"boxes must be ({count}, 4). Received: shape {boxes.shape}.")
        x1, y1, x2, y2 = boxes.T
        inside = _covered(y1, y2, height)[:, :, None] * _covered(x1, x2, width)[:, None, :]
    cams = cams.astype("float64")
    total, within = cams.sum((1, 2)), (cams * inside).sum((1, 2))
    return np.divide(total - within, total, out=np.full(count, np.nan), where=total > 0)


def _covered(start: np.ndarray, end: np.ndarray, size: int) -> np.ndarray:
    """(B, size): how much of each pixel lies between start and end."""
    pixel = np.arange(size)
    return np.clip(
        np.minimum(end[:, None], pixel + 1) - np.maximum(start[:, None], pixel), 0.0, 1.0
    )


def _checked(model: keras.Model, name: str) -> str:
    maps = _maps(model)
    if name not in maps:
        raise InputError(unknown("layer with a map", name, maps))
    return name


def _maps(model: keras.Model) -> list[str]:
    """Names of the layers that give one map (B, H, W, C), in the order of the model."""
    names = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        try:
            shape = layer.output.shape
        except (AttributeError, ValueError):  # several calls or tensors: not one map
            continue
        if len(shape) == 4:
            names.append(layer.name)
    return names


def _deepest(model: keras.Model, image: np.ndarray) -> list[str]:
    """The last of the smallest maps that are more than a pixel; of specialists one a net."""
    names = _maps(model)
    shapes = {name: model.get_layer(name).output.shape[1:3] for name in names}
    if any(None in shape for shape in shapes.values()):
        probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
        found = keras.tree.flatten(probe(_padded(image, model.stride), training=False))
        shapes = {name: y.shape[1:3] for name, y in zip(names, found, strict=True)}
    sizes = {name: math.prod(shape) for name, shape in shapes.items() if math.prod(shape) > 1}
    if not sizes:
        raise InputError("The model has no map (B, H, W, C) that Grad-CAM could look at.")
    smallest = [name for name, size in sizes.items() if size == min(sizes.values())]
    if getattr(model, "one_vs_rest", False):  # net by net: they share nothing but the image
        return list({name.partition("_")[0]: name for name in smallest}.values())
    return smallest[-1:]


def _padded(images: np.ndarray, stride: int) -> np.ndarray:
    """Zero-padded below and to the right to multiples of `stride`, as inference does it."""
    height, width = images.shape[1:3]
    return np.pad(images, [(0, 0), (0, -height % stride), (0, -width % stride), (0, 0)])


def _cams(
    inner: keras.Model,
    images: np.ndarray,
    classes: np.ndarray | None,
    pixels: np.ndarray | None,
    *,
    stride: int,
) -> np.ndarray:
    """(b, H, W), of a model from images to maps and logits."""
    count, height, width = images.shape[:3]
    # A model of fixed size pads by itself.
    opened = None in inner.inputs[0].shape[1:3]
    with tf.GradientTape() as tape:
        *maps, logits = inner(_padded(images, stride) if opened else images, training=False)
        logits = tf.cast(logits, tf.float32)
        if len(logits.shape) == 4:
            logits = logits[:, :height, :width]
            if pixels is not None:
                logits *= tf.cast(pixels, tf.float32)[..., None]
            logits = tf.reduce_sum(logits, (1, 2))
        if classes is None:
            classes = tf.argmax(logits, axis=-1)
        score = tf.reduce_sum(tf.gather(logits, classes, axis=1, batch_dims=1))
    gradients = tape.gradient(score, maps, unconnected_gradients="zero")
    total = 0.0
    for values, gradient in zip(maps, gradients, strict=True):
        values, gradient = tf.cast(values, tf.float32), tf.cast(gradient, tf.float32)
        alpha = tf.reduce_mean(gradient, (1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(alpha * values, -1, keepdims=True))
        # What was padded to the stride is looked at too, and cut off afterwards.
        whole = (height + -height % stride, width + -width % stride)
        total += tf.image.resize(cam, whole, "bilinear")[:, :height, :width, 0].numpy()
    pieces = total.reshape(count, -1, height, width)
    largest = pieces.max((1, 2, 3), keepdims=True)
    return np.divide(pieces, largest, out=np.zeros_like(pieces), where=largest > 0)[:, 0]
