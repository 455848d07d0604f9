"""What one-vs-rest losses have of their own; the rest is in test_losses.py."""

import keras
import numpy as np
import pytest

from tests.losses.cases import K, gradient, random_case
from tfvision.losses import BinaryCrossEntropy, BinaryDice


def test_cross_entropy_equals_keras():
    labels, logits = random_case(0)
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(np.eye(K)[labels], logits)
    np.testing.assert_allclose(BinaryCrossEntropy()(labels, logits), expected, rtol=1e-6)


def test_a_channel_answers_for_its_own_class_alone():
    """Another channel's logits change neither the gradient of a channel nor its share."""
    labels, logits = random_case(1)
    other = logits.copy()
    other[..., 2] = 7.0
    for loss in (BinaryCrossEntropy(positive_weight=2.0), BinaryDice(class_weights=[1, 2, 3, 4])):
        one, two = gradient(loss, labels, logits)[1], gradient(loss, labels, other)[1]
        np.testing.assert_array_equal(one[..., [0, 1, 3]], two[..., [0, 1, 3]])
        assert np.abs(one[..., 2] - two[..., 2]).max() > 1e-4


@pytest.mark.parametrize("weight", [3.0, [1.0, 3.0, 0.5, 2.0]])
def test_positive_weight_multiplies_what_a_missed_class_costs(weight):
    labels, logits = random_case(2)
    plain = gradient(BinaryCrossEntropy(), labels, logits)[1]
    weighted = gradient(BinaryCrossEntropy(positive_weight=weight), labels, logits)[1]
    factor = np.where(np.eye(K)[labels] > 0, weight, 1.0)
    np.testing.assert_allclose(weighted, plain * factor, rtol=1e-5, atol=1e-9)


def test_an_absent_class_learns_not_to_be_claimed():
    labels, logits = np.zeros((1, 3, 3), np.int32), np.zeros((1, 3, 3, K), np.float32)
    assert (gradient(BinaryDice(), labels, logits)[1][..., 1:] > 1e-3).all()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (0.0, "positive_weight must be one number above 0 or one for each class; received 0.0"),
        ([1.0, -1.0], "received \\[1.0, -1.0\\]"),
        ("much", "received 'much'"),
    ],
)
def test_bad_positive_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropy(positive_weight=weight)


def test_positive_weights_of_another_number_of_classes():
    labels, logits = random_case(3)
    with pytest.raises(ValueError, match="positive_weight has 2 numbers for 4 classes"):
        BinaryCrossEntropy(positive_weight=[1.0, 2.0])(labels, logits)
