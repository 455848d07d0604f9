"""The small convolutional net of the sign report: three blocks, then two dense layers."""

from collections.abc import Sequence

import keras
from keras import layers

from tfvision.models import blocks, heads


def SmallCNN(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Sequence[int] = (16, 32, 64),
    units: int = 128,
    dropout: float = 0.3,
    normalization: str = "batch",
    activation: str = "relu",
    name: str = "small_cnn",
) -> keras.Model:
    """Builds convolution 3x3, normalisation, activation, 2x2 maximum for each of `filters`.

    Then two dense layers. It is the «SimpleClassifier» of the sign report: 6,447,496 trainable
    weights at 224x224x3 and 8 classes. Nearly all are in the first dense layer, which takes the
    whole map, so that their number grows with the image.

    Args:
        input_shape: (height, width, channels), each side at least `2**len(filters)` pixels.
        num_classes: Number of classes.
        filters: Of each block.
        units: Of the hidden dense layer.
        dropout: Before the last layer.
        normalization: `batch`, `sync_batch`, `group` or `none`.
        activation: Name of a Keras activation.
        name: Name of the model.

    Returns:
        A `keras.Model` from images (B, H, W, C) in [0, 1] to float32 logits (B, num_classes).

    Raises:
        InputError: An argument has an impossible value, or the images are too small.
    """
    filters = heads.check_filters(filters)
    blocks.check_counts(units=units)
    heads.check_classifier(input_shape, num_classes, dropout, halvings=len(filters), name=name)
    x = image = keras.Input(input_shape, name="image")
    for i, count in enumerate(filters, 1):
        # With a bias, which the normalisation makes needless: the report's number has it.
        x = layers.Conv2D(count, 3, padding="same", name=f"block{i}_conv")(x)
        x = blocks.normalize(x, normalization, name=f"block{i}_norm")
        x = layers.Activation(activation, name=f"block{i}_act")(x)
        x = layers.MaxPooling2D(name=f"block{i}_pool")(x)
    x = layers.Flatten(name="head_flatten")(x)
    logits = heads.logits_from(x, num_classes, units=units, dropout=dropout, activation=activation)
    return blocks.as_model(image, logits, stride=1, name=name)
