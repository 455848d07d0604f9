"""Every architecture of the table, in every style it can be built in."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.checks import check_segmentation_model
from tfvision.models import MODELS

# All of stride 4. PAN's pyramid halves once more than its encoder.
SMALL = {name: {"width": 4, "depth": 2} for name in MODELS}
SMALL["pan"] = {"width": 4, "depth": 1, "levels": 1}
SMALL["deeplab_v3plus"] = {"width": 4, "depth": 2, "rates": (1, 2), "skip": 1, "features": 8}
SMALL["segformer"] = {"width": 4, "depth": 2, "first_stride": 2, "decoder_width": 8}
SHAPE, CLASSES = (16, 24, 1), 3  # specialists grow with the classes


@pytest.mark.parametrize("name", MODELS)
def test_is_a_segmentation_model(name, tmp_path):
    model = MODELS[name](SHAPE, CLASSES, **SMALL[name])
    check_segmentation_model(model, tmp_path, num_classes=CLASSES, image_shape=SHAPE)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(1, 1), (5, 127)])  # 13x30 and multiples of 4 are below, above
def test_takes_any_given_size(name, size):
    model = MODELS[name]((*size, 3), 4, **SMALL[name])
    assert model(keras.ops.zeros((2, *size, 3))).shape == (2, *size, 4)


@pytest.mark.parametrize("name", MODELS)
def test_open_size_has_the_weights_of_the_fixed_size(name):
    fixed, opened = (
        MODELS[name]((*size, 1), CLASSES, **SMALL[name]) for size in [(13, 30), (None, None)]
    )
    assert fixed.stride == opened.stride == 4
    opened.set_weights(fixed.get_weights())
    # In a graph whose sizes are not known, as `predict` and the SavedModel have it.
    opened = tf.function(opened, input_signature=[tf.TensorSpec((None, None, None, 1))])
    images = np.random.default_rng(0).random((1, 16, 32, 1), dtype="float32")
    images[:, 13:] = 0
    images[:, :, 30:] = 0
    np.testing.assert_allclose(
        opened(images)[:, :13, :30], fixed(images[:, :13, :30]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("normalization", "layer"),
    [
        ("sync_batch", keras.layers.BatchNormalization),
        ("group", keras.layers.GroupNormalization),
        ("none", None),
    ],
)
def test_normalization(name, normalization, layer):
    model = MODELS[name](SHAPE, CLASSES, **SMALL[name], normalization=normalization)
    found = normalizations_of(model)
    assert bool(found) == (layer is not None)
    assert all(type(y) is layer for y in found)
    if layer is keras.layers.BatchNormalization:
        assert all(y.synchronized for y in found)


def normalizations_of(model):
    """A transformer normalises tokens by LayerNormalization, whatever follows convolutions."""
    layers = [y for y in model.layers if "Normalization" in type(y).__name__]
    return [y for y in layers if not isinstance(y, keras.layers.LayerNormalization)]


@pytest.mark.parametrize("name", MODELS)
def test_dropout_and_activation_reach_every_block(name):
    model = MODELS[name](SHAPE, CLASSES, **SMALL[name], dropout=0.3, activation="gelu")
    drops = [y for y in model.layers if isinstance(y, keras.layers.SpatialDropout2D)]
    blocks = [y for y in model.layers if y.name.endswith("_2_conv") and y.kernel_size == (3, 3)]
    others = {"segformer": 1, "deeplab_v3plus": 1}  # before the logits, behind the pyramid
    assert len(drops) == len(blocks) + others.get(name, 0), (
        "a dropout for each 3x3 convolution named *_2_conv; count those elsewhere in `others`"
    )
    assert {y.rate for y in drops} == {0.3}
    acts = [y for y in model.layers if isinstance(y, keras.layers.Activation)]
    assert {y.get_config()["activation"] for y in acts} == {"gelu"}
    by_default = normalizations_of(model)
    assert {type(y) for y in by_default} == {keras.layers.BatchNormalization}
    assert not any(y.synchronized for y in by_default)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [SHAPE, (13, 30, 1)])
def test_logits_are_float32_under_mixed_precision(name, shape):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = MODELS[name](shape, CLASSES, **SMALL[name])
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(np.zeros((1, *shape), "float32")).dtype == "float32"
    assert {y.compute_dtype for y in model.layers[1:6]} == {"bfloat16"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be a whole number of at least 1. Received: 0"),
        ({"depth": 0}, "depth must be"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1. Received: 1.0"),
        ({"normalization": "bach"}, "Unknown normalization: 'bach'. Did you mean 'batch'"),
    ],
)
def test_bad_arguments(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        MODELS[name](SHAPE, CLASSES, **{**SMALL[name], **arguments})


QUICK = ("unet", "unetpp", "pan", "segformer")  # the others take half a minute together


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_trains_in_plain_keras(name):
    model = MODELS[name](SHAPE, CLASSES, **SMALL[name])
    # SGD, since tracing Adam inside `fit` takes most of this test's time
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).random((8, *SHAPE), dtype="float32")
    masks = (images[..., 0] > 0.5).astype("int32")
    history = model.fit(images, masks, epochs=3, batch_size=4, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
