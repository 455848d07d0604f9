"""Classifiers in the engine: sizes, views, the border where maps of one pixel become labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.data.crops.windows import fit_image
from tfvision.engine.step import batch_loss, term_value
from tfvision.engine.tta import make_views
from tfvision.losses import CrossEntropy
from tfvision.postprocess.pixelwise import drop_class
from tfvision.registry import Spec
from tfvision.tasks.classification.inference import (
    ClassInference,
    Served,
    Views,
    centred,
    fit_pieces,
)
from tfvision.tasks.classification.scoring import ClassValidation

SIZE = (6, 8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, 1))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(4, *SIZE, 1)).astype(np.float32)


def softmax(model, images):
    return tf.nn.softmax(model(images)).numpy()


def test_inside_labels_are_maps_of_one_pixel_at_the_border_they_are_labels(model, images):
    inference = ClassInference(model, channels=1, size=SIZE)
    inside = inference.serve_float(images)
    assert inside["probabilities"].shape == (4, 1, 1, 3)
    served = Served(inference, channels=1).serve_float(images)
    assert served["labels"].shape == (4,)
    np.testing.assert_allclose(served["probabilities"], softmax(model, images), atol=1e-6)
    np.testing.assert_array_equal(served["labels"], softmax(model, images).argmax(-1))


def test_rules_act_on_what_is_served(model, images):
    rules = [drop_class(num_classes=3, index=1)]
    inference = ClassInference(model, channels=1, size=SIZE, rules=rules)
    labels = Served(inference, channels=1).serve_float(images)["labels"].numpy()
    without = softmax(model, images)
    without[:, 1] = -1
    np.testing.assert_array_equal(labels, without.argmax(-1))


def test_the_saved_model_takes_any_size_and_bytes(model, tmp_path):
    served = Served(ClassInference(model, channels=1, size=SIZE, fit="pad"), channels=1)
    signatures = {"serving_default": served.serving_default, "serve_float": served.serve_float}
    tf.saved_model.save(served, str(tmp_path), signatures=signatures)
    loaded = tf.saved_model.load(str(tmp_path))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 13, 5, 1), np.uint8)
    floats = pixels.astype(np.float32) / 255
    given = loaded.signatures["serving_default"](image=tf.constant(pixels))
    assert {key: value.shape for key, value in given.items()} == {
        "labels": (2,),
        "probabilities": (2, 3),
    }
    narrow = tf.image.resize(floats, (6, 2), antialias=True)  # 13x5 in 6x8
    want = softmax(model, tf.pad(narrow, [[0, 0], [0, 0], [3, 3], [0, 0]]))
    np.testing.assert_allclose(given["probabilities"], want, atol=1e-5)


def test_a_padded_piece_keeps_its_shape_and_a_stretched_one_fills_the_size():
    square = tf.ones((1, 12, 12, 1))
    padded = fit_pieces(square, (6, 8), "pad").numpy()[0, :, :, 0]
    np.testing.assert_allclose(padded, np.tile([0, 1, 1, 1, 1, 1, 1, 0], (6, 1)), atol=1e-6)
    np.testing.assert_allclose(fit_pieces(square, (6, 8), "stretch"), np.ones((1, 6, 8, 1)), 1e-6)


def test_a_thin_piece_keeps_a_pixel():
    found = fit_pieces(tf.ones((1, 1, 11, 1)), (10, 10), "pad").numpy()
    assert found.sum() == pytest.approx(10)


def test_a_padded_piece_lies_where_its_region_lies():
    """Pieces are fitted here, their regions by the reader of data."""
    sizes = np.random.default_rng(0).integers(1, 60, (200, 4)).tolist()
    for height, width, *size in [[1, 11, 10, 10], [79, 4, 48, 48], *sizes]:
        piece = np.ones((height, width), np.float32)
        found = fit_pieces(tf.constant(piece[None, :, :, None]), tuple(size), "pad")[0, :, :, 0]
        region = fit_image(piece.astype(np.uint8), tuple(size), "pad", nearest=True)
        np.testing.assert_array_equal(found.numpy() > 0.5, region == 1)


def test_a_piece_of_the_right_size_is_not_touched(images):
    np.testing.assert_array_equal(fit_pieces(tf.constant(images), SIZE, "stretch"), images)
    np.testing.assert_array_equal(fit_pieces(tf.constant(images), SIZE, "pad"), images)


def test_views_are_averaged_without_undoing(model, images):
    inference = ClassInference(model, channels=1, size=SIZE)
    views = make_views([[Spec(name="flip_lr")], [Spec(name="flip_ud"), Spec(name="flip_lr")]])
    found = Views(inference, views).serve_float(tf.constant(images))["probabilities"][:, 0, 0]
    each = [images, images[:, :, ::-1], images[:, ::-1, ::-1]]
    np.testing.assert_allclose(found, np.mean([softmax(model, x) for x in each], 0), atol=1e-6)


def test_a_scale_zooms_in_and_out_at_the_size_of_the_model(model, images):
    seen = []

    class Predictor(ClassInference):
        def serve_float(self, image):
            seen.append(np.array(image))
            return {"probabilities": tf.zeros((len(image), 1, 1, 3))}

    views = make_views([[Spec(name="scale", factor=2.0)], [Spec(name="scale", factor=0.5)]])
    predictor = Predictor.__new__(Predictor)
    predictor.size, predictor.fit = SIZE, "stretch"
    Views(predictor, views).serve_float(tf.constant(images))
    plain, larger, smaller = seen
    zoomed = tf.image.resize(images, (12, 16), antialias=True)
    assert larger.shape == smaller.shape == plain.shape == (4, *SIZE, 1)
    np.testing.assert_array_equal(larger, zoomed[:, 3:9, 4:12])
    small = tf.image.resize(images, (3, 4), antialias=True)
    np.testing.assert_array_equal(smaller[:, 1:4, 2:6], small)
    np.testing.assert_array_equal(smaller[:, 0, 2:6], small[:, 0])  # its mirror image


def test_what_is_too_small_is_framed_by_its_mirror_however_small():
    row = tf.constant(np.arange(2, dtype=np.float32)[None, None, :, None])
    found = centred(row, (1, 8)).numpy().ravel()
    np.testing.assert_array_equal(found, [1, 1, 0, 0, 1, 1, 0, 0])


def test_losses_take_logits_of_images(model, images):
    labels = tf.constant([0, 2, 1, 1])
    batch = {"image": tf.constant(images), "mask": labels[:, None, None]}
    logits = model(images)
    want = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    np.testing.assert_allclose(term_value(CrossEntropy(), batch, logits), want, rtol=1e-5)


def test_validation_gives_each_piece_its_probabilities_and_the_mean_loss(model, images):
    labels = np.array([0, 2, 1, 1], np.int32)
    valid = np.array([True, True, True, False])
    batches = tf.data.Dataset.from_tensors(
        {"image": images, "mask": labels[:, None, None], "valid": valid}
    )
    loss = batch_loss([(CrossEntropy(), 1.0)])
    found, loss = ClassValidation(
        model, batches, loss=loss, strategy=tf.distribute.get_strategy()
    )()
    assert found.shape == (3, 1, 1, 3)
    want = softmax(model, images)[:3]
    np.testing.assert_allclose(found[:, 0, 0], want, atol=1e-6)
    assert loss == pytest.approx(-np.log(want[np.arange(3), labels[:3]]).mean(), rel=1e-5)
