"""What the losses are given: targets, masks, normalisers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import random_boxes
from tfvision.detection.boxes import decode, encode
from tfvision.detection.matched import matched_of
from tfvision.detection.matching import BACKGROUND, IGNORED

MATCH = np.int32([[1, BACKGROUND, IGNORED, 0]])
BATCH = {
    "boxes": np.float32([[[0, 0, 10, 20], [5, 5, 25, 15], [0, 0, 0, 0]]]),
    "classes": np.int32([[2, 0, -1]]),
}
REFERENCES = np.float32([[4, 4, 20, 20], [50, 50, 60, 60], [0, 0, 0, 0], [1, 1, 12, 18]])


def made(kind="softmax", deltas=None, **options):
    classes = {"softmax": 4, "sigmoid": 3}[kind]
    deltas = np.zeros((1, 4, 4), "f4") if deltas is None else deltas
    options = {"match": MATCH, "batch": BATCH, **options}
    return matched_of(np.zeros((1, 4, classes), "f4"), deltas, REFERENCES, kind=kind, **options)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_labels_weights_and_targets(kind):
    matched = made(kind, coder=(10.0, 10.0, 5.0, 5.0))
    assert matched.background == 3
    np.testing.assert_array_equal(matched.labels, [[0, 3, -1, 2]])
    np.testing.assert_array_equal(matched.weights, [[1, 1, 0, 1]])
    np.testing.assert_array_equal(matched.positive, [[1, 0, 0, 1]])
    np.testing.assert_array_equal(matched.normaliser, [2])
    for row, box in ((0, 1), (3, 0)):
        truth = BATCH["boxes"][0, box]
        np.testing.assert_array_equal(matched.truths[0, row], truth)
        wanted = encode(truth, REFERENCES[row], (10.0, 10.0, 5.0, 5.0))
        np.testing.assert_allclose(matched.target_deltas[0, row], wanted, rtol=1e-5)
        np.testing.assert_allclose(matched.boxes[0, row], REFERENCES[row])
    np.testing.assert_array_equal(matched.target_deltas[0, 1:3], np.zeros((2, 4)))


def test_what_is_not_sampled_is_neither_positive_nor_counted():
    matched = made(weights=np.array([[True, True, True, False]]), normalise_by="sampled")
    np.testing.assert_array_equal(matched.weights, [[1, 1, 0, 0]])
    np.testing.assert_array_equal(matched.positive, [[1, 0, 0, 0]])
    np.testing.assert_array_equal(matched.normaliser, [2])


def test_deltas_are_those_of_the_matched_class():
    deltas = np.arange(48, dtype="f4").reshape(1, 4, 3, 4) / 100
    matched = made(deltas=deltas)
    np.testing.assert_array_equal(matched.deltas[0, 0], deltas[0, 0, 0])
    np.testing.assert_array_equal(matched.deltas[0, 3], deltas[0, 3, 2])
    expected = decode(deltas[0, 3, 2], REFERENCES[3])
    np.testing.assert_allclose(matched.boxes[0, 3], expected, rtol=1e-6)
    agnostic = made(deltas=deltas[:, :, :1])
    np.testing.assert_array_equal(agnostic.deltas, deltas[:, :, 0])


def test_one_class_tells_objects_from_background():
    logits = np.zeros((1, 4, 1), "f4")
    matched = matched_of(
        logits, np.zeros((1, 4, 4), "f4"), REFERENCES, MATCH, BATCH, kind="sigmoid", one_class=True
    )
    assert matched.background == 1
    np.testing.assert_array_equal(matched.labels, [[0, 1, -1, 0]])


@pytest.mark.parametrize("room", [0, 3])
def test_an_image_without_boxes(room):
    batch = {"boxes": np.zeros((1, room, 4), "f4"), "classes": np.full((1, room), -1, "i4")}
    matched = made(batch=batch, match=np.full((1, 4), BACKGROUND, "i4"))
    np.testing.assert_array_equal(matched.labels, [[3] * 4])
    assert not matched.positive.numpy().any()
    assert matched.normaliser.numpy() == [1]


def test_no_nan_reaches_the_gradient_from_degenerate_proposals():
    """Trap: log(x / 0) behind `tf.where`, whose gradient is NaN * 0."""
    references = tf.Variable(np.float32([[0, 0, 0, 0], [5, 5, 5, 9], [9, 9, 2, 2], [1, 1, 12, 18]]))
    deltas = tf.Variable(np.full((1, 4, 4), 100, "f4"))
    with tf.GradientTape() as tape:
        matched = matched_of(
            np.zeros((1, 4, 4), "f4"), deltas, references, MATCH, BATCH, kind="softmax"
        )
        away = tf.abs(matched.deltas - matched.target_deltas) * matched.positive[..., None]
        value = tf.reduce_sum(away) + tf.reduce_sum(matched.boxes * matched.positive[..., None])
    for g in tape.gradient(value, [deltas, references]):
        assert np.isfinite(tf.convert_to_tensor(g)).all()


def test_half_precision_becomes_float32():
    rng = np.random.default_rng(0)
    logits, deltas = (tf.cast(rng.normal(size=(1, 4, 4)), tf.bfloat16) for _ in range(2))
    references = random_boxes(rng, (4,))
    matched = matched_of(logits, deltas, references, MATCH, BATCH, kind="softmax")
    for name in ("logits", "weights", "deltas", "target_deltas", "boxes", "normaliser"):
        assert getattr(matched, name).dtype == tf.float32
