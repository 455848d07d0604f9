"""Lovasz-softmax against its definition in other words, and against the Jaccard index."""

from itertools import pairwise

import numpy as np
import pytest

from tests.losses.cases import K, gradient, perfect_logits, random_case
from tfvision.losses import LovaszSoftmax


def jaccard_loss(wrong, truth):
    """|M| / |truth or M| of a set M of wrong pixels, and 0 of the empty set."""
    return wrong.sum() / max(1, (truth | wrong).sum())


def as_integral(truth, probabilities, classes):
    """The Lovasz extension as the mean over t in [0, 1] of the loss of the errors above t.

    No sorted order, no ties and no differences: another form of the same function.
    """
    values = []
    for c in classes:
        errors = np.abs((truth == c) - probabilities[:, c])
        levels = np.unique(np.append(errors, 0.0))
        parts = [
            (high - low) * jaccard_loss(errors >= high, truth == c)
            for low, high in pairwise(levels)
        ]
        values.append(sum(parts))
    return np.mean(values)


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_is_the_mean_of_the_jaccard_loss_over_thresholds(classes):
    labels, logits = random_case(0, batch=8)
    logits[:4] = np.round(logits[:4])  # equal errors
    labels[:, 1:3, 2] = 255
    found = LovaszSoftmax(classes=classes).call(labels, logits).numpy()
    for image, values, loss in zip(labels, logits, found, strict=True):
        truth, p = image[image != 255], softmax(values[image != 255])
        among = np.unique(truth) if classes == "present" else range(K)
        np.testing.assert_allclose(loss, as_integral(truth, p, among), rtol=1e-5)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_at_hard_predictions_it_is_one_minus_mean_iou(classes):
    labels, _ = random_case(1, batch=6)
    predicted = random_case(2, batch=6)[0]
    labels[:, 0, :2] = 255
    found = LovaszSoftmax(classes=classes).call(labels, perfect_logits(predicted)).numpy()
    for image, prediction, loss in zip(labels, predicted, found, strict=True):
        truth, prediction = image[image != 255], prediction[image != 255]
        ious = []
        for c in range(K):
            union = ((truth == c) | (prediction == c)).sum()
            if (truth == c).any() or classes == "all":
                # A class that is neither there nor predicted has nothing wrong.
                ious.append(((truth == c) & (prediction == c)).sum() / union if union else 1.0)
        np.testing.assert_allclose(loss, 1 - np.mean(ious), atol=1e-6)


def test_an_absent_class_costs_only_where_all_classes_count():
    labels = np.zeros((1, 3, 4), np.int32)
    logits = np.zeros((1, 3, 4, 2), np.float32)
    logits[0, 1, 2, 1] = np.log(3.0)  # p = 3/4 of the absent class, 1/2 elsewhere
    of_zero = (0.75 + 11 * 0.5) / 12  # twelve misses, each a twelfth of the loss
    np.testing.assert_allclose(LovaszSoftmax().call(labels, logits), [of_zero], rtol=1e-6)
    both = LovaszSoftmax(classes="all").call(labels, logits)
    np.testing.assert_allclose(both, [(of_zero + 0.75) / 2], rtol=1e-6)
    weighted = LovaszSoftmax(classes="all", class_weights=[1, 3]).call(labels, logits)
    np.testing.assert_allclose(weighted, [(of_zero + 3 * 0.75) / 4], rtol=1e-6)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_gradient_is_that_of_finite_differences(classes):
    labels, logits = random_case(3, batch=1, size=(3, 4), scale=1.0)
    labels[0, 0, 0] = 255
    loss = LovaszSoftmax(classes=classes, class_weights=[1, 2, 0.5, 1])
    _, grad = gradient(loss, labels, logits)
    assert np.all(grad[labels == 255] == 0)
    assert np.abs(grad).max() > 1e-3
    step = 2e-3
    for place in np.ndindex(logits.shape):
        values = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[place] += sign * step
            values.append(float(loss.call(labels, moved)[0]))
        np.testing.assert_allclose(grad[place], (values[0] - values[1]) / (2 * step), atol=3e-4)


def test_image_without_counted_pixel_is_zero_also_over_all_classes():
    labels, logits = random_case(4)
    labels[1] = 255
    loss = LovaszSoftmax(classes="all")
    value, grad = gradient(loss, labels, logits)
    assert np.isfinite(value)
    assert loss.call(labels, logits)[1] == 0
    assert np.all(grad[1] == 0)
    assert np.abs(grad[0]).max() > 1e-4


def test_the_step_of_a_pixel_of_a_large_image_keeps_its_digits():
    """One class fills the image and nothing is decided: each pixel is worth 1 / P exactly."""
    labels = np.zeros((1, 400, 400), np.int32)
    logits = np.zeros((1, 400, 400, 2), np.float32)
    _, grad = gradient(LovaszSoftmax(), labels, logits)
    # d(1 - p) = -p (1 - p) of the true class's logit.
    np.testing.assert_allclose(grad[..., 0], -0.25 / 160_000, rtol=1e-5)
