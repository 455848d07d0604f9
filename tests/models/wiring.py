"""Looks inside a functional model: what a layer is fed, what it gives, what depends on it."""

import keras
import numpy as np
import tensorflow as tf


def inputs_of(model, name):
    """Names of the layers whose outputs the layer `name` takes, in its order.

    Layers that change nothing are looked through.
    """
    tensors = keras.tree.flatten(model.get_layer(name).input)
    return [_source(tensor).name for tensor in tensors]


def _source(tensor):
    layer = tensor._keras_history.operation
    return _source(layer.input) if isinstance(layer, keras.layers.Identity) else layer


def outputs_of(model, names, images):
    """What the layers `names` give for `images`, as arrays, in inference."""
    inner = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [np.asarray(y) for y in keras.tree.flatten(inner(images))]


def part(model, start, end):
    """The model from the output of layer `start` to that of layer `end`."""
    return keras.Model(model.get_layer(start).output, model.get_layer(end).output)


def influence(model, names, images):
    """The largest gradient of the model's last output by the output of each layer."""
    wanted = [model.get_layer(name).output for name in names]
    inner = keras.Model(model.input, [*wanted, model.outputs[-1]])
    with tf.GradientTape() as tape:
        *found, logits = inner(images)
        loss = tf.reduce_sum(logits**2)
    gradients = tape.gradient(loss, found)
    return {n: float(tf.reduce_max(abs(g))) for n, g in zip(names, gradients, strict=True)}


def block_size(inputs, filters):
    """Weights of a block of two 3x3 convolutions with batch normalisation, by hand."""
    return unit_size(inputs, filters) + unit_size(filters, filters)


def unit_size(inputs, filters, kernel=3):
    """Weights of a convolution without bias and of its batch normalisation, by hand."""
    return kernel**2 * inputs * filters + 4 * filters


def noise(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")
