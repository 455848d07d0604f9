"""What classifiers share: checks of their arguments, and the way from features to logits."""

from typing import Any

import keras
from keras import layers

from tfvision.errors import InputError
from tfvision.models.blocks import as_model, check_counts

EMBEDDING = "embedding"  # the output beside the logits, and the layer that gives it
EMBEDDED = 128  # numbers of an embedding, as in the paper


def check_classifier(
    input_shape: tuple[int, int, int], num_classes: int, dropout: float, *, halvings: int, name: str
) -> None:
    """Raises an `InputError` for what no classifier can be built with.

    Args:
        input_shape: (height, width, channels), all given: the layers behind the map are made
            for one size.
        num_classes: Number of classes.
        dropout: In [0, 1).
        halvings: How often the model halves height and width.
        name: Of the model, for messages.
    """
    check_counts(num_classes=num_classes)
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be at least 0 and below 1. Received: {dropout!r}.")
    height, width = input_shape[:2]
    if height is None or width is None:
        raise InputError(
            f"{name} is built for one size: give data.image_size. Received: {height}x{width}."
        )
    if min(height, width) < 2**halvings:
        raise InputError(
            f"{name} halves images {halvings} times, so they need at least {2**halvings}x"
            f"{2**halvings} pixels. Received: {height}x{width}. Raise data.image_size."
        )


def check_filters(filters: Any) -> list[int]:
    """`filters` of a chain of blocks as a list.

    Raises:
        InputError: Not a list of whole numbers of at least 1.
    """
    if not isinstance(filters, list | tuple) or not filters:
        raise InputError(f"filters must be a list of whole numbers. Received: {filters!r}.")
    for i, count in enumerate(filters):
        check_counts(**{f"filters[{i}]": count})
    return list(filters)


def pool(x):
    """The mean over a map. (B, H, W, C) -> (B, C) float32, since a half may overflow in a sum."""
    return layers.GlobalAveragePooling2D(dtype="float32", name="head_pool")(x)


def logits_from(x, num_classes: int, *, units: int = 0, dropout: float, activation: str = "relu"):
    """Dropout and a dense layer, another one before where `units` says so.

    Logits are float32 under any policy: softmax of float16 is unsafe.

    Args:
        x: (B, F).
        num_classes: Number of logits.
        units: Of the hidden dense layer; 0 for none.
        dropout: Before the last layer.
        activation: Of the hidden layer.
    """
    if units:
        x = layers.Dense(units, name="head_dense")(x)
        x = layers.Activation(activation, name="head_act")(x)
    if dropout:
        x = layers.Dropout(dropout, name="head_drop")(x)
    return layers.Dense(num_classes, dtype="float32", name="logits")(x)


def with_embedding(model: keras.Model) -> keras.Model:
    """A classifier with a second output while it trains, for losses on embeddings.

    A projection head, Dense - ReLU - Dense, on the features that the layer `logits` sees, before
    its dropout, then a division by the norm (Khosla et al. 2020, arXiv 2004.11362, section 3.1;
    their hidden layer, too, is as wide as the features). The layers are named `project_...`.

    Args:
        model: Of `CLASSIFIERS`. It shares its layers, and stays what it is: the one to serve.

    Returns:
        A `keras.Model` with two outputs, `embedding` (B, 128), unit vectors, and `logits`
        (B, K), both float32.
    """
    before = {layer.name for layer in model.layers} & {"head_drop"} or {"logits"}
    features = model.get_layer(*before).input
    x = layers.Dense(features.shape[-1], activation="relu", name="project_dense")(features)
    x = layers.Dense(EMBEDDED, dtype="float32", name="project_out")(x)
    x = layers.UnitNormalization(dtype="float32", name=EMBEDDING)(x)
    return as_model(model.input, [x, *model.outputs], stride=model.stride, name=model.name)
