"""Grad-CAM against nets whose gradients are known by hand, and on every model of the tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from tests.models.test_classifiers import SMALL as CLASSIFIER_ARGUMENTS
from tests.models.test_models import SMALL as MODEL_ARGUMENTS
from tests.models.wiring import noise
from tfvision.engine.grad_cam import grad_cam, outside_share
from tfvision.errors import InputError
from tfvision.models import CLASSIFIERS, MODELS


def with_stride(model, stride=1):
    model.stride = stride
    return model


def scaled(cams):
    largest = cams.max((1, 2), keepdims=True)
    return cams / np.where(largest, largest, 1)


def flat(size=(4, 6)):
    """logit_c = sum over pixels and channels of w_ijkc A_ijk: alpha_kc is the mean of w_ijkc."""
    image = keras.Input((*size, 2))
    maps = layers.Conv2D(3, 1, activation="relu", name="maps")(image)
    logits = layers.Dense(5, name="logits")(layers.Flatten()(maps))
    return with_stride(keras.Model(image, logits))


@pytest.mark.parametrize("batch_size", [2, 16])
def test_the_hand_computed_case(batch_size):
    keras.utils.set_random_seed(1)
    model = flat()
    images, classes = noise(5, 4, 6, 2), np.array([0, 3, 1, 4, 2])
    kernel, bias = model.get_layer("maps").get_weights()
    maps = np.maximum(images @ kernel[0, 0] + bias, 0)
    weights = model.get_layer("logits").get_weights()[0].reshape(4, 6, 3, 5)
    alpha = weights.mean((0, 1)).T[classes]  # equation 1
    cams = np.maximum((maps * alpha[:, None, None]).sum(-1), 0)  # equation 2
    found = grad_cam(model, images, classes, batch_size=batch_size)
    assert found.dtype == "float32"
    assert found.shape == (5, 4, 6)
    assert (cams.max((1, 2)) > 0).sum() >= 2
    np.testing.assert_allclose(found, scaled(cams), atol=1e-5)


def test_the_class_is_by_default_the_predicted_one():
    model = flat()
    images = noise(4, 4, 6, 2)
    predicted = np.argmax(model(images), axis=-1)
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(model, images, predicted))


def test_behind_a_mean_it_is_the_class_activation_map_enlarged():
    """alpha_k is then the dense layer's weight, and maps of stride 2 come back bilinearly."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 2, strides=2, name="maps")(image)
    logits = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = with_stride(keras.Model(image, logits))
    maps = keras.Model(image, x)
    images = noise(3, 8, 8, 1)
    small = np.maximum(maps(images) @ model.get_layer("logits").get_weights()[0][:, :1], 0)
    expected = tf.image.resize(small, (8, 8), "bilinear").numpy()[..., 0]
    found = grad_cam(model, images, np.zeros(3, int))
    np.testing.assert_allclose(found, scaled(expected), atol=1e-5)


def test_of_segmentation_the_chosen_pixels_speak():
    """logits = w (A * A): alpha_k = 2 w_kc times the mean of A_k over the chosen pixels."""
    image = keras.Input((None, None, 2))
    maps = layers.Conv2D(3, 1, use_bias=False, name="maps")(image)
    logits = layers.Conv2D(4, 1, name="logits")(layers.Multiply(name="square")([maps, maps]))
    model = with_stride(keras.Model(image, logits))
    kernel = np.abs(noise(1, 1, 2, 3)) + 0.1
    model.get_layer("maps").set_weights([kernel])
    model.get_layer("logits").set_weights([noise(1, 1, 3, 4) - 0.3, np.zeros(4)])
    images, classes = noise(2, 5, 4, 2), np.array([1, 2])
    pixels = noise(2, 5, 4) > 0.6
    values = images @ kernel[0, 0]
    weights = model.get_layer("logits").get_weights()[0][0, 0].T[classes]
    alpha = 2 * weights * (values * pixels[..., None]).mean((1, 2))
    expected = np.maximum((values * alpha[:, None, None]).sum(-1), 0)
    found = grad_cam(model, images, classes, layer="maps", pixels=pixels)
    np.testing.assert_allclose(found, scaled(expected), atol=1e-5)
    other = grad_cam(model, images, classes, layer="maps", pixels=~pixels)
    assert np.abs(found - other).max() > 1e-3


SLOW = {*MODELS, "resnet50"} - {"unetpp"}  # the others' logits are one tensor, as unet's below


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in (*MODELS, *CLASSIFIERS)],
)
def test_every_model_can_be_looked_into(name):
    keras.utils.set_random_seed(0)
    if name in MODELS:
        model = MODELS[name]((None, None, 2), 3, **MODEL_ARGUMENTS[name])
    else:
        model = CLASSIFIERS[name]((13, 18, 2), 3, **CLASSIFIER_ARGUMENTS[name])
    images = noise(3, 13, 18, 2)
    cams = grad_cam(model, images, np.arange(3))
    assert cams.shape == (3, 13, 18)
    assert np.isfinite(cams).all()
    assert cams.min() >= 0
    assert cams.max() == 1


def test_an_open_size_looks_as_the_fixed_one():
    size = (13, 21)  # both pad it to 16x24
    fixed, opened = (MODELS["unet"]((*s, 1), 3, width=4, depth=2) for s in (size, (None, None)))
    opened.set_weights(fixed.get_weights())
    images, classes = noise(2, *size, 1), np.array([0, 2])
    found = grad_cam(opened, images, classes)
    assert found.shape == (2, *size)
    np.testing.assert_allclose(found, grad_cam(fixed, images, classes), atol=1e-4)
    named = grad_cam(opened, images, classes, layer="bottom_2_act")
    np.testing.assert_array_equal(found, named)


def test_of_specialists_each_class_has_the_map_of_its_net():
    model = MODELS["specialists"]((16, 16, 1), 2, width=4, depth=1)
    images = noise(2, 16, 16, 1)
    found = grad_cam(model, images, np.array([0, 1]))
    for k in range(2):
        named = grad_cam(model, images, np.array([0, 1]), layer=f"net{k}_bottom_2_act")
        np.testing.assert_allclose(found[k], named[k], atol=1e-6)
        assert not named[1 - k].any()


def test_of_two_pieces_it_is_the_first_on_the_scale_of_both():
    image = keras.Input((4, 4, 2))
    x = ops.reshape(ops.transpose(image, (0, 3, 1, 2)), (-1, 4, 4, 1))
    ones = {"kernel_initializer": "ones"}
    x = layers.Conv2D(1, 1, name="maps", **ones)(x)
    x = ops.reshape(layers.GlobalAveragePooling2D()(x), (-1, 2))
    model = with_stride(keras.Model(image, layers.Dense(2, name="logits", **ones)(x)))
    images = noise(3, 4, 4, 2)
    found = grad_cam(model, images, np.zeros(3, int))
    np.testing.assert_allclose(found, images[..., 0] / images.max((1, 2, 3))[:, None, None], 1e-5)


def test_nothing_that_speaks_for_a_class_is_zero():
    model = flat()
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-np.abs(kernel), bias])
    assert not grad_cam(model, noise(2, 4, 6, 2), np.zeros(2, int)).any()


def test_share_outside_a_region_or_a_box():
    cams = np.zeros((3, 4, 4), "float32")
    cams[0, 1, 1], cams[0, 3, 3] = 1.0, 0.25  # a fifth is outside
    cams[1] = 1.0
    regions = np.zeros((3, 4, 4), "uint8")
    regions[:, :2, :2] = 1
    np.testing.assert_allclose(outside_share(cams, regions=regions), [0.2, 0.75, np.nan])
    boxes = np.array([[0, 0, 2, 2]] * 3)
    np.testing.assert_allclose(outside_share(cams, boxes=boxes), [0.2, 0.75, np.nan])
    # Half a pixel counts half: the box has 1.5 x 2 of 16 pixels; what is outside counts nothing.
    boxes = np.array([[0.5, 0, 2, 2], [-3, 0, 1.5, 2], [0, 0, 1, 1]])
    np.testing.assert_allclose(outside_share(cams, boxes=boxes)[:2], [0.2, 1 - 3 / 16])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "mapps"}, "Unknown layer with a map: 'mapps'. Did you mean 'maps'"),
        ({"layer": "logits"}, "Unknown layer with a map"),
        ({"classes": [0, 5]}, r"from 0 to 4 an image, for 2 images. Received: \[0, 5\]"),
        ({"classes": [0]}, "one number from 0 to 4 an image"),
        ({"pixels": np.ones((2, 4, 6), bool)}, "pixels choose among logits"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        grad_cam(flat(), noise(2, 4, 6, 2), **arguments)


def test_bad_regions_and_boxes():
    cams = np.ones((2, 4, 4), "float32")
    with pytest.raises(InputError, match="regions or boxes, one of them"):
        outside_share(cams)
    with pytest.raises(InputError, match=r"shape of the maps, \(2, 4, 4\). Received: \(2, 4, 5\)"):
        outside_share(cams, regions=np.ones((2, 4, 5)))
    with pytest.raises(InputError, match=r"boxes must be \(2, 4\). Received: shape \(1, 4\)"):
        outside_share(cams, boxes=np.ones((1, 4)))
    with pytest.raises(InputError, match=r"images must be \(B, H, W, C\)"):
        grad_cam(flat(), noise(4, 6, 2))
