"""A small encoder with what real ones have: torch-style padding, a gate of means, a classifier."""

import keras
import numpy as np
from keras import layers

SIZE = 32  # its input is fixed, as that of most files
TAPS = {2: "stem_act", 4: "gated", 8: "deep_act"}


def build(filters: int = 8) -> keras.Model:
    """Three halvings, weights and statistics away from their initial values."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(2.0, -1.0)(image)
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.97, name="stem_bn")(x)
    x = layers.ReLU(6.0, name="stem_act")(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="down")(x)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, 6))(gate)
    gate = layers.Conv2D(6, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.MaxPooling2D()(x)
    y = layers.Conv2D(filters, 1, name="deep")(x)
    x = y + layers.Conv2D(filters, 3, padding="same")(x)  # an operation, not a layer
    x = layers.ReLU(name="deep_act")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, name="classes")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.8, w.shape) for w in model.get_weights()])
    return model


def maps_at(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """From images (B, *size, 3) to the maps of `TAPS`, the way Keras itself changes a size."""
    image = keras.Input((*size, 3))
    other = keras.models.clone_model(model, input_tensors=image)
    other.set_weights(model.get_weights())
    return keras.Model(other.input, [other.get_layer(name).output for name in TAPS.values()])
