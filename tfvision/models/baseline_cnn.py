"""The baseline of the tissue report: four convolutions and a dense layer."""

from collections.abc import Sequence

import keras
from keras import layers

from tfvision.models import blocks, heads


def BaselineCNN(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Sequence[int] = (32, 64, 128, 128),
    dropout: float = 0.5,
    normalization: str = "none",
    activation: str = "relu",
    name: str = "baseline_cnn",
) -> keras.Model:
    """Builds convolution 3x3, activation, 2x2 maximum for each of `filters`; no maximum last.

    The report gives neither filters nor the share of dropout: those here are ours.

    Args:
        input_shape: (height, width, channels), each side at least `2**(len(filters) - 1)` pixels.
        num_classes: Number of classes.
        filters: Of each block.
        dropout: Before the dense layer.
        normalization: `none`, or behind each convolution `batch`, `sync_batch` or `group`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An argument has an impossible value, or the images are too small.
    """
    filters = heads.check_filters(filters)
    halvings = len(filters) - 1
    heads.check_classifier(input_shape, num_classes, dropout, halvings=halvings, name=name)
    style = {"normalization": normalization, "activation": activation}
    x = image = keras.Input(input_shape, name="image")
    for i, count in enumerate(filters, 1):
        x = blocks.conv_unit(x, count, **style, name=f"block{i}")
        if i < len(filters):
            x = layers.MaxPooling2D(name=f"block{i}_pool")(x)
    x = layers.Flatten(name="head_flatten")(x)
    logits = heads.logits_from(x, num_classes, dropout=dropout)
    return blocks.as_model(image, logits, stride=1, name=name)
