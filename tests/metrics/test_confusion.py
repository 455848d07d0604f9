"""Confusion matrices, eager and in a graph, against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from tfvision.errors import InputError
from tfvision.metrics import confusion_matrix
from tfvision.metrics.graph import confusion_matrices

K = 4


def random_maps(seed, *, num_images=5, size=(6, 7)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, (num_images, *size))
    labels[rng.random(labels.shape) < 0.15] = 255
    return labels, rng.integers(0, K, labels.shape)


def in_graph(labels, predictions, ignore_labels):
    signature = [tf.TensorSpec([None, None, None], maps.dtype) for maps in (labels, predictions)]
    step = tf.function(
        lambda a, b: confusion_matrices(a, b, K, ignore_labels), input_signature=signature
    )
    return step(labels, predictions)


@pytest.mark.parametrize("ignore", [(255,), (0, 255), (1, 3, 255)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed, ignore):
    labels, predictions = random_maps(seed)
    got = confusion_matrix(labels, predictions, K, ignore)
    assert got.dtype == np.int64
    for cm, truth, predicted in zip(got, labels, predictions, strict=True):
        counted = ~np.isin(truth, ignore)
        expected = sklearn.metrics.confusion_matrix(
            truth[counted], predicted[counted], labels=range(K)
        )
        np.testing.assert_array_equal(cm, expected)
    graph = in_graph(labels.astype(np.uint8), predictions.astype(np.int32), ignore)
    assert graph.dtype == tf.int32
    np.testing.assert_array_equal(graph, got)


def test_images_of_different_sizes():
    small, large = np.zeros((2, 3), np.uint8), np.ones((4, 5), np.uint8)
    got = confusion_matrix([small, large], [small, large * 2], 3)
    assert got[0, 0, 0] == 6
    assert got[1, 1, 2] == 20
    assert got.sum() == 26


def test_predictions_on_ignored_pixels_may_be_anything():
    labels, predictions = random_maps(9)
    predictions[labels == 255] = 99
    expected = confusion_matrix(labels, np.minimum(predictions, K - 1), K, 255)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, K, 255), expected)
    np.testing.assert_array_equal(in_graph(labels, predictions, (255,)), expected)


def test_stray_labels_are_counted_named_and_refused():
    labels, predictions = random_maps(1)
    labels[labels == 255] = 0
    labels[2, 0, :3] = 7
    labels[3, 0, 0] = -1
    with pytest.raises(
        InputError,
        match=r"0\.\.3; 4 pixels do not: 7 \(3 pixels\), -1 \(1 pixels\), first in image 2",
    ):
        confusion_matrix(labels, predictions, K)
    predictions[4, 0, 0] = K
    with pytest.raises(InputError, match=r"Predictions must lie in 0\.\.3; 1 pixels do not: 4"):
        confusion_matrix(np.clip(labels, 0, K - 1), predictions, K)


@pytest.mark.parametrize("stray", [K, -1, 254])
def test_graph_marks_the_image_with_a_stray(stray):
    labels, predictions = random_maps(2)
    clean = confusion_matrix(labels, predictions, K, 255)
    for target in (labels, predictions):
        spoilt = target.copy()
        spoilt[3][labels[3] != 255] = np.where(np.arange((labels[3] != 255).sum()) == 5, stray, 0)
        pair = (spoilt, predictions) if target is labels else (labels, spoilt)
        got = in_graph(*pair, (255,)).numpy()
        assert np.all(got[3] == -1)
        np.testing.assert_array_equal(np.delete(got, 3, 0), np.delete(clean, 3, 0))


def test_graph_refuses_labels_between_whole_numbers():
    labels, predictions = random_maps(3)
    labels = labels.astype(np.float32)
    labels[1, 2, 2] = 2.5
    got = in_graph(labels, predictions, (255,)).numpy()
    assert (got < 0).all(axis=(1, 2)).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (np.zeros((2, 3, 3), int), np.zeros((1, 3, 3), int), "2 label maps came with 1"),
        (np.zeros((1, 3, 3), int), np.zeros((1, 3, 4), int), "of the same size; image 0"),
        (np.zeros((3, 3), int), np.zeros((3, 3), int), r"label maps \(H, W\)"),
        (np.zeros((1, 3, 3), int), np.zeros((1, 3, 3)), "predictions of image 0 must be whole"),
    ],
)
def test_bad_maps(labels, predictions, message):
    with pytest.raises(InputError, match=message):
        confusion_matrix(labels, predictions, K)


def test_bad_ignore_labels():
    with pytest.raises(InputError, match="ignore_labels must be a whole number"):
        confusion_matrix([], [], K, "void")
