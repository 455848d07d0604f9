"""Images of any size: what stands before and after the model changes no label."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.engine.inference import Inference, logits_of, resize_image, resize_labels
from tfvision.models import MODELS
from tfvision.postprocess.pixelwise import drop_class

CLASSES = 4
SIZES = [(16, 16), (13, 18), (7, 9), (1, 1)]


def images(height, width, *, count=2, channels=1, seed=0):
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def floats(pictures):
    return pictures.astype(np.float32) * np.float32(1 / 255)


def make(name="unet", shape=(None, None, 1), **options):
    keras.utils.set_random_seed(0)
    return MODELS[name](shape, CLASSES, width=4, depth=2, normalization="group", **options)


@pytest.fixture(scope="module")
def model():
    return make()


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_any_size_is_padded_below_and_to_the_right_and_cropped_back(model, size):
    image = floats(images(*size))
    pads = [(0, -side % model.stride) for side in size]
    padded = np.pad(image, [(0, 0), *pads, (0, 0)])
    want = np.asarray(model(padded, training=False))[:, : size[0], : size[1]]
    (found,) = logits_of(model, tf.constant(image))
    np.testing.assert_array_equal(found, want)


def test_a_model_with_open_size_is_the_model_of_a_fixed_size(model):
    image = floats(images(13, 18))
    fixed = make(shape=(13, 18, 1))
    for target, value in zip(fixed.variables, model.variables, strict=True):
        target.assign(value)
    np.testing.assert_allclose(
        logits_of(model, tf.constant(image))[0], logits_of(fixed, tf.constant(image))[0], atol=1e-6
    )


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_argmax_of_probabilities_that_are_the_softmax_of_the_logits(model, size):
    image = floats(images(*size))
    out = Inference(model, channels=1).serve_float(tf.constant(image))
    assert out["labels"].dtype == tf.uint8
    assert out["probabilities"].dtype == tf.float32
    assert out["labels"].shape == (2, *size)
    want = softmax(logits_of(model, tf.constant(image))[0].numpy().astype(np.float64))
    np.testing.assert_allclose(out["probabilities"], want, atol=1e-6)
    np.testing.assert_array_equal(out["labels"], np.argmax(out["probabilities"], -1))


@pytest.mark.parametrize("resized_to", [None, (8, 12)])
@pytest.mark.parametrize("count", [1, 3])
def test_bytes_and_floats_give_the_same(model, count, resized_to):
    inference = Inference(model, channels=1, size=resized_to)
    pictures = images(13, 18, count=count)
    one = inference.serving_default(tf.constant(pictures))
    other = inference.serve_float(tf.constant(floats(pictures)))
    np.testing.assert_array_equal(one["probabilities"], other["probabilities"])
    np.testing.assert_array_equal(one["labels"], other["labels"])


def test_an_image_alone_has_the_labels_it_has_in_a_batch(model):
    inference = Inference(model, channels=1)
    pictures = images(13, 18, count=3)
    whole = inference.serving_default(tf.constant(pictures))["probabilities"].numpy()
    for picture, want in zip(pictures, whole, strict=True):
        alone = inference.serving_default(tf.constant(picture[None]))["probabilities"][0]
        np.testing.assert_allclose(alone, want, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 12), (13, 18), (40, 30)])
def test_a_resized_model_sees_its_own_size_and_answers_at_the_images(model, size):
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(tuple(x.shape))
            return x

    spied = keras.Model(model.input, model(Spy()(model.input)))
    spied.stride = model.stride
    seen.clear()
    image = tf.constant(floats(images(*size)))
    out = Inference(spied, channels=1, size=(8, 12)).serve_float(image)
    assert {shape[1:3] for shape in seen} == {(8, 12)}
    small = tf.image.resize(image, (8, 12), antialias=True)
    probabilities = softmax(np.asarray(model(small, training=False)))
    want = tf.image.resize(probabilities, size)
    np.testing.assert_allclose(out["probabilities"], want, atol=1e-6)
    np.testing.assert_allclose(np.sum(out["probabilities"], -1), 1, atol=1e-5)
    np.testing.assert_array_equal(out["labels"], np.argmax(out["probabilities"], -1))


def test_rules_act_on_the_labels_and_leave_the_probabilities(model):
    pictures = tf.constant(images(13, 18))
    plain = Inference(model, channels=1).serving_default(pictures)
    commonest = int(np.bincount(plain["labels"].numpy().ravel()).argmax())
    rules = [drop_class(num_classes=CLASSES, index=commonest)]
    ruled = Inference(model, channels=1, rules=rules).serving_default(pictures)
    np.testing.assert_array_equal(ruled["probabilities"], plain["probabilities"])
    masked = plain["probabilities"].numpy()
    masked[..., commonest] = -1
    np.testing.assert_array_equal(ruled["labels"], np.argmax(masked, -1))


def test_of_several_outputs_the_last_counts():
    deep = make("unetpp", deep_supervision=True)
    image = tf.constant(floats(images(13, 18)))
    outputs = logits_of(deep, image)
    assert len(outputs) == 2
    found = Inference(deep, channels=1).serve_float(image)["probabilities"]
    np.testing.assert_allclose(found, softmax(outputs[1].numpy()), atol=1e-6)
    assert not np.allclose(found, softmax(outputs[0].numpy()), atol=1e-3)


def test_shrinking_an_image_averages_its_pixels():
    checkers = np.indices((16, 16)).sum(0) % 2
    small = resize_image(tf.constant(checkers[None, ..., None], tf.float32), (4, 4))
    np.testing.assert_allclose(small[0, 1:-1, 1:-1, 0], 0.5, atol=0.05)


def test_resized_labels_are_never_between_two_classes():
    labels = np.random.default_rng(0).choice([0, 2, 255], (3, 9, 7)).astype(np.int32)
    found = resize_labels(tf.constant(labels), (21, 16)).numpy()
    assert found.dtype == np.int32
    assert set(np.unique(found)) <= {0, 2, 255}
    np.testing.assert_array_equal(
        resize_labels(tf.constant(labels), (18, 14)).numpy()[:, ::2, ::2], labels
    )
