"""Specialists: nets that share the image and nothing else, and what becomes of their scores."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.wiring import noise
from tfvision.engine import platt_scaling
from tfvision.engine.inference import Inference
from tfvision.losses import BinaryCrossEntropy, BinaryDice
from tfvision.models import Specialists, UNet

SHAPE, CLASSES = (8, 16, 1), 3


def make(shape=SHAPE, classes=CLASSES, **arguments):
    keras.utils.set_random_seed(0)
    return Specialists(shape, classes, **{"width": 4, "depth": 1, **arguments})


def net_of(variable):
    return variable.path.split("_")[0]


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), BinaryDice()], ids=lambda y: y.name)
def test_the_loss_of_a_channel_reaches_the_net_of_its_class_and_no_other(loss):
    model, labels = make(), np.arange(8 * 16).reshape(1, 8, 16) % CLASSES
    for k in range(CLASSES):
        with tf.GradientTape() as tape:
            logits = model(noise(1, *SHAPE), training=True)
            others = tf.stop_gradient(logits)
            # The whole loss, of which only channel k is let through to the nets.
            mask = np.eye(CLASSES, dtype="float32")[k]
            value = tf.reduce_sum(loss.call(labels, mask * logits + (1 - mask) * others))
        weights = model.trainable_variables
        found = tape.gradient(value, [v.value for v in weights])
        size = {f"net{j}": 0.0 for j in range(CLASSES)}
        for variable, g in zip(weights, found, strict=True):
            size[net_of(variable)] += 0.0 if g is None else float(tf.reduce_max(abs(g)))
        assert size.pop(f"net{k}") > 0
        assert set(size.values()) == {0.0}


def test_each_channel_is_the_unet_of_its_prefix():
    model, images = make((13, 30, 3)), noise(2, 13, 30, 3)
    alone = UNet((13, 30, 3), 1, width=4, depth=1)
    starts = []
    for k in range(CLASSES):
        for layer in alone.layers:
            if layer.weights:
                layer.set_weights(model.get_layer(f"net{k}_{layer.name}").get_weights())
        np.testing.assert_allclose(model(images)[..., k], alone(images)[..., 0], rtol=1e-5)
        starts.append(model.get_layer(f"net{k}_encoder_0_1_conv").get_weights()[0])
    assert not np.array_equal(starts[0], starts[1])
    assert model.count_params() == CLASSES * alone.count_params() + 2 * CLASSES


@pytest.mark.parametrize("classes", [2, 4])
def test_background_as_the_complement_is_what_no_net_claims_and_teaches_none(classes):
    model, images = make(classes=classes, background="complement"), noise(1, *SHAPE)
    assert not any(y.name.startswith("net0_") for y in model.layers)
    platt_scaling.put_into(model, [2.0] * (classes - 1), [0.5] * (classes - 1))
    with tf.GradientTape() as tape:
        logits = model(images)
        background = tf.reduce_sum(logits[..., 0])
    np.testing.assert_array_equal(logits[..., 0], -np.max(logits[..., 1:], axis=-1))
    found = tape.gradient(background, [v.value for v in model.trainable_variables])
    assert all(g is None or not np.any(g) for g in found)


def test_probabilities_are_sigmoids_divided_by_their_sum():
    model = make((None, None, 1))
    platt_scaling.put_into(model, [3.0, 0.5, 2.0], [-1.0, 0.25, 0.0])
    images = noise(1, 6, 10, 1)
    logits = np.asarray(model(images), np.float64)
    sigmoids = 1 / (1 + np.exp(-logits))
    expected = sigmoids / sigmoids.sum(axis=-1, keepdims=True)
    found = Inference(model, channels=1).serve_float(tf.constant(images))
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
    np.testing.assert_array_equal(found["labels"], logits.argmax(axis=-1))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert np.abs(expected - softmax).max() > 0.01


def test_calibration_changes_nothing_before_it_is_fitted_and_is_never_trained():
    model, images = make(), noise(1, *SHAPE)
    scores = keras.Model(model.input, model.get_layer("scores").output)(images)
    np.testing.assert_array_equal(model(images), scores)
    assert not any("calibration" in v.path for v in model.trainable_variables)
    platt_scaling.put_into(model, [2.0, 1.0, 3.0], [0.5, 0.0, -1.0])
    expected = np.asarray(scores) * [2, 1, 3] + [0.5, 0, -1]
    np.testing.assert_allclose(model(images), expected, rtol=1e-5, atol=1e-6)
    assert platt_scaling.layer_of(UNet(SHAPE, 3, width=4, depth=1)) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"background": "complete"}, "Unknown background: 'complete'. Did you mean 'complement'"),
        ({"classes": 1}, "num_classes of specialists must be a whole number of at least 2"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
