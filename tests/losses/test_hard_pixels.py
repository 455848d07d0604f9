"""Which pixels are the hardest, and how many."""

import numpy as np
import pytest

from tests.losses.cases import build, gradient, random_case
from tfvision.losses import HardPixels


def ranked_case():
    """Pixel i of 4 x 5 has a probability of its class that rises with i, all different."""
    labels = np.arange(20).reshape(1, 4, 5) % 2
    margin = np.linspace(-2, 2, 20).reshape(1, 4, 5)
    logits = np.where(labels[..., None] == np.arange(2), margin[..., None], 0.0)
    return labels, logits.astype(np.float32), np.log1p(np.exp(-margin))[0].ravel()


def kept_pixels(loss, labels, logits):
    _, grad = gradient(loss, labels, logits)
    return np.flatnonzero(np.abs(grad).max(-1).ravel())


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"keep": 0.25}, 5),
        ({"keep": 0.26}, 6),  # rounded up
        ({"keep": 0.0}, 1),
        ({"keep": 0.25, "minimum": 9}, 9),
        ({"keep": 0.5, "minimum": 9}, 10),
        ({"keep": 0.25, "minimum": 1000}, 20),
        ({"keep": 1.0}, 20),
    ],
)
def test_the_hardest_are_kept_and_the_others_have_no_gradient(options, number):
    labels, logits, of_pixels = ranked_case()
    loss = HardPixels(**options)
    np.testing.assert_array_equal(kept_pixels(loss, labels, logits), np.arange(number))
    np.testing.assert_allclose(loss(labels, logits), of_pixels[:number].mean(), rtol=1e-5)


def test_the_share_is_of_the_counted_pixels_of_each_image():
    labels, logits, of_pixels = ranked_case()
    labels, logits = np.repeat(labels, 2, 0), np.repeat(logits, 2, 0)
    labels[1].flat[2:14] = 255  # 8 count, and a quarter of them are pixels 0 and 1
    found = HardPixels(keep=0.25).call(labels, logits)
    np.testing.assert_allclose(found, [of_pixels[:5].mean(), of_pixels[:2].mean()], rtol=1e-5)
    _, grad = gradient(HardPixels(keep=0.25), labels, logits)
    np.testing.assert_array_equal(np.flatnonzero(np.abs(grad[1]).max(-1).ravel()), [0, 1])


def test_a_class_of_weight_zero_is_neither_ranked_nor_counted():
    labels, logits, of_pixels = ranked_case()
    loss = HardPixels(keep=0.3, class_weights=[1, 0])  # 3 of the 10 pixels with even numbers
    np.testing.assert_array_equal(kept_pixels(loss, labels, logits), [0, 2, 4])
    np.testing.assert_allclose(loss(labels, logits), of_pixels[[0, 2, 4]].mean(), rtol=1e-5)


def test_weights_weigh_the_kept_and_do_not_rank():
    labels, logits, of_pixels = ranked_case()
    loss = HardPixels(keep=0.2, class_weights=[1, 100])
    np.testing.assert_array_equal(kept_pixels(loss, labels, logits), np.arange(4))
    expected = np.average(of_pixels[:4], weights=[1, 100, 1, 100])
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("threshold", "minimum", "number"), [(0.6, 1, 12), (0.6, 15, 15), (0.05, 4, 4), (0.99, 1, 20)]
)
def test_a_threshold_keeps_what_is_not_yet_sure(threshold, minimum, number):
    labels, logits, of_pixels = ranked_case()
    below = int((np.exp(-of_pixels) < threshold).sum())
    assert max(below, minimum) == number
    loss = HardPixels(keep=0, minimum=minimum, threshold=threshold)
    np.testing.assert_array_equal(kept_pixels(loss, labels, logits), np.arange(number))


def test_equal_pixels_at_the_border_are_all_kept():
    labels, logits, _ = ranked_case()
    logits[0, 1:] = logits[0, 1, 0]  # rows 1 to 3 alike but for their class, at 0 the mirrored
    logits[0, 1:][labels[0, 1:] == 0] = logits[0, 1, 0, ::-1]
    kept = kept_pixels(HardPixels(keep=0.35), labels, logits)  # 7: five, and two of fifteen
    np.testing.assert_array_equal(kept, np.arange(20))
    undecided = np.zeros_like(logits)
    np.testing.assert_array_equal(kept_pixels(HardPixels(), labels, undecided), np.arange(20))


def test_all_pixels_are_cross_entropy():
    labels, logits = random_case(5)
    labels[0, 0] = 255
    weights = {"class_weights": [1, 0, 2, 0.5]}
    expected = build("cross_entropy", **weights).call(labels, logits)
    np.testing.assert_allclose(HardPixels(keep=1, **weights).call(labels, logits), expected, 1e-6)
    assert np.all(HardPixels(keep=0.25, **weights).call(labels, logits) >= expected)
