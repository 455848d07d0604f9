"""A planted distortion of scores is found again; what cannot be fitted is left alone."""

import numpy as np
import pytest

from tfvision.engine import platt_scaling


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_planted_scale_and_bias_are_found_again():
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 2, 100_000)  # logits of true probabilities
    positive = rng.random(true.size) < sigmoid(true)
    found = platt_scaling.fit((true[:, None] - 3) / 5, positive[:, None])
    np.testing.assert_allclose([found.scale[0], found.bias[0]], [5, 3], rtol=0.03)
    assert found.left == {}


def test_the_fit_is_where_platts_likelihood_is_flat():
    rng = np.random.default_rng(1)
    s = rng.normal(4, 30, 500)
    positive = rng.random(500) < sigmoid(s / 40)
    a, b = platt_scaling.platt(s, positive)
    many, few = positive.sum(), (~positive).sum()
    off = sigmoid(a * s + b) - np.where(positive, (many + 1) / (many + 2), 1 / (few + 2))
    assert abs(off.mean()) < 1e-8
    assert abs((off * s).mean()) < 1e-6


def test_scores_that_separate_the_sides_keep_a_finite_scale():
    s = np.concatenate([np.linspace(-3, -1, 50), np.linspace(1, 3, 50)])
    a, b = platt_scaling.platt(s, s > 0)
    assert 1 < a < 50
    assert b == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_fitted_is_left_as_it_is_and_named():
    rng = np.random.default_rng(2)
    s = rng.normal(size=(400, 5))
    positive = rng.random((400, 5)) < sigmoid(2 * s)
    positive[:, 1], positive[:, 2], s[:, 3] = False, True, 1.0
    positive[:, 4] = ~positive[:, 4]
    found = platt_scaling.fit(s, positive)
    assert found.scale[1:] == [1.0] * 4
    assert found.bias[1:] == [0.0] * 4
    assert found.left == {
        1: "the validation split holds no pixels of it",
        2: "the validation split holds only pixels of it",
        3: "its scores are all equal, or not finite",
        4: "its net scores pixels of the class lower than others",
    }
