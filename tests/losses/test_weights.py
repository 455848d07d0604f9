"""Class weights by rule, against the formulas of the papers."""

import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.losses import class_weights
from tfvision.registry import Spec

PIXELS = np.array([[90, 10, 0, 0], [50, 0, 50, 0], [100, 0, 0, 0]])
N = PIXELS.sum(axis=0)
PRESENT = [0, 1, 2]


def normalised(raw):
    weights = np.zeros(4)
    weights[PRESENT] = np.asarray(raw) / np.mean(raw)
    return weights


def test_inverse_and_its_root():
    np.testing.assert_allclose(class_weights("inverse", PIXELS), normalised(1 / N[:3]))
    np.testing.assert_allclose(class_weights("sqrt_inverse", PIXELS), normalised(N[:3] ** -0.5))
    np.testing.assert_allclose(class_weights("power", PIXELS), normalised(N[:3] ** -0.25))
    third = class_weights("power(exponent=0.3)", PIXELS)
    np.testing.assert_allclose(third, normalised(N[:3] ** -0.3))


def test_median_frequency_counts_only_images_that_hold_the_class():
    frequency = np.array([240 / 300, 10 / 100, 50 / 100])
    expected = normalised(0.5 / frequency)
    np.testing.assert_allclose(class_weights("median_frequency", PIXELS), expected)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999999])
def test_effective_number(beta):
    expected = normalised([1 / sum(beta**i for i in range(n)) for n in N[:3]])
    got = class_weights(f"effective_number(beta={beta})", PIXELS)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    as_mapping = class_weights({"name": "effective_number", "beta": beta}, PIXELS)
    assert as_mapping == class_weights(Spec(name="effective_number", beta=beta), PIXELS) == got


def test_default_beta_still_tells_millions_of_pixels_apart():
    weights = class_weights("effective_number", np.array([[5_000_000, 200_000]]))
    assert weights[1] > 3 * weights[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "rule", ["inverse", "sqrt_inverse", "power", "median_frequency", "effective_number"]
)
def test_mean_one_over_present_and_zero_for_absent(rule, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 5000, (6, 5)) * (rng.random((6, 5)) > 0.4)
    pixels[:, seed % 5] = 0
    weights = np.array(class_weights(rule, pixels))
    present = pixels.sum(axis=0) > 0
    assert np.all(weights[~present] == 0)
    assert np.all(weights[present] > 0)
    np.testing.assert_allclose(weights[present].mean(), 1)


def test_ignored_classes_are_left_out_of_every_count():
    got = class_weights("median_frequency", PIXELS, ignore_labels=[0, 255])
    frequency = np.array([10 / 10, 50 / 50])
    np.testing.assert_allclose(got, [0, *(frequency / frequency), 0])
    assert class_weights("inverse", PIXELS, ignore_labels=0)[0] == 0


def test_none_and_given_numbers():
    assert class_weights("none", PIXELS) is None
    assert class_weights(None, PIXELS) is None
    assert class_weights([0, 1, 1, 5], PIXELS) == [0.0, 1.0, 1.0, 5.0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("inverze", "Unknown rule for class weights: 'inverze'. Did you mean 'inverse'"),
        ("inverse(beta=0.9)", "Unknown argument of the rule inverse: 'beta'"),
        ("effective_number(beta=1)", r"beta of effective_number must lie in \[0, 1\)"),
        ("power(exponent=0)", r"exponent of power must lie in \(0, 1\]; received 0"),
        ({"name": "power", "exponent": True}, "exponent of power must lie in"),
        ("power(beta=0.5)", "Unknown argument of the rule power: 'beta'"),
        ([1, 2], "2 weights came for 4 classes"),
        ([1, 1, 1, -1], "not negative"),
    ],
)
def test_bad_rules(rule, message):
    with pytest.raises(InputError, match=message):
        class_weights(rule, PIXELS)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((3, 4)), "at least one counted pixel"),
        (np.array([1, 2, 3]), r"must be an \(N, K\) array"),
        (np.array([[1, -2]]), "not negative"),
    ],
)
def test_bad_counts(pixels, message):
    with pytest.raises(InputError, match=message):
        class_weights("inverse", pixels)
