"""Temperature scaling against a fine grid, calibration error against worked cases."""

import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.metrics.calibration import (
    cross_fitted,
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)
from tfvision.metrics.classification import log_loss


def softmax(logits):
    values = np.exp(logits - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def drawn(sharpness, *, count=3000, num_classes=5, seed=0):
    """Labels drawn from probabilities, and these made sharper than the truth by a factor."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((count, num_classes))
    honest = softmax(logits)
    labels = (rng.random((count, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    return softmax(sharpness * logits), np.minimum(labels, num_classes - 1)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_best_of_a_fine_grid_and_the_planted_one(sharpness):
    probabilities, labels = drawn(sharpness)
    found = fit_temperature(probabilities, labels)
    grid = np.exp(np.arange(np.log(0.2), np.log(6), 0.005))
    losses = [log_loss(with_temperature(probabilities, t), labels) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.005)
    assert log_loss(with_temperature(probabilities, found), labels) <= min(losses) + 1e-12
    assert found == pytest.approx(sharpness, rel=0.06)


def test_scaling_is_the_softmax_of_the_logits_over_t():
    logits = np.random.default_rng(0).standard_normal((7, 4))
    assert with_temperature(softmax(logits), 2.5) == pytest.approx(softmax(logits / 2.5))
    assert with_temperature(softmax(logits), 1.0) == pytest.approx(softmax(logits))
    short = with_temperature(softmax(logits).astype(np.float32), 2.0)
    assert short.dtype == np.float32
    tall = with_temperature(softmax(logits)[:, None, None], 2.0)  # as the engine has them
    assert tall.shape == (7, 1, 1, 4)
    assert tall[:, 0, 0] == pytest.approx(softmax(logits / 2), abs=1e-6)


def test_scaling_keeps_the_order_and_moves_the_confidence():
    probabilities, _ = drawn(1.0, count=50)
    cooler, softer = with_temperature(probabilities, 0.5), with_temperature(probabilities, 3.0)
    for other in (cooler, softer):
        assert np.array_equal(other.argsort(axis=1), probabilities.argsort(axis=1))
        assert other.sum(axis=1) == pytest.approx(1)
    assert (softer.max(axis=1) < probabilities.max(axis=1)).all()
    assert (cooler.max(axis=1) > probabilities.max(axis=1)).all()


def test_the_most_probable_class_stays_where_rounding_makes_two_equal():
    close = np.array([[0.5 - 2**-25, 0.5, 0.0], [0.25, 0.375, 0.375]], np.float32)
    assert close[0, 0] < close[0, 1]
    for temperature in (20.0, 1.0, 0.05):
        scaled = with_temperature(close, temperature)
        assert scaled.argmax(axis=1).tolist() == [1, 1]
        assert scaled.sum(axis=1) == pytest.approx(1)
    assert with_temperature(close[0], 20.0).argmax() == 1


def test_ends_of_the_range():
    right = np.array([[0.7, 0.3], [0.2, 0.8]])
    assert fit_temperature(right, np.array([0, 1])) == 0.05
    assert fit_temperature(right, np.array([1, 0])) == 20.0
    assert fit_temperature(right[:1], np.array([0])) == 0.05
    impossible = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert np.isfinite(fit_temperature(impossible, np.array([0, 0])))


def test_cross_fitting_leaves_the_own_part_out():
    probabilities, labels = drawn(3.0, count=90)
    parts = np.repeat(["a", "b", "c"], 30)
    scaled, temperatures = cross_fitted(probabilities, labels, parts)
    for name, temperature in zip("abc", temperatures, strict=True):
        own = parts == name
        assert temperature == fit_temperature(probabilities[~own], labels[~own])
        assert scaled[own] == pytest.approx(with_temperature(probabilities[own], temperature))
    assert log_loss(scaled, labels) < log_loss(probabilities, labels)
    # What a part is like does not reach its own probabilities.
    swapped = labels.copy()
    swapped[parts == "b"] = (labels[parts == "b"] + 1) % 5
    assert np.array_equal(
        cross_fitted(probabilities, swapped, parts)[0][parts == "b"], scaled[parts == "b"]
    )


def test_calibration_error_against_a_case_by_hand():
    """One of two right at 0.7, one of one at 0.95: (2 x 0.2 + 1 x 0.05) / 3."""
    confident = np.array([0.7, 0.7, 0.95])
    probabilities = np.stack([confident, 1 - confident], axis=1)
    labels = np.array([0, 1, 0])
    rows = reliability(probabilities, labels)
    filled = {k: row for k, row in enumerate(rows) if row["num_images"]}
    assert list(filled) == [10, 14]  # 0.7 lies in (10/15, 11/15], 0.95 in (14/15, 1]
    assert (filled[10]["accuracy"], filled[10]["num_images"]) == (0.5, 2)
    assert filled[10]["confidence"] == pytest.approx(0.7)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.45 / 3)
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(
        abs(2 / 3 - (0.7 + 0.7 + 0.95) / 3)
    )


def test_bins_tile_and_ends_belong_to_the_lower_bin():
    rows = reliability(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 1]), bins=2)
    assert [(row["low"], row["high"], row["num_images"]) for row in rows] == [
        (0.0, 0.5, 1),
        (0.5, 1.0, 1),
    ]
    empty = reliability(np.zeros((0, 3)), np.zeros(0, int))
    assert len(empty) == 15
    assert {row["accuracy"] for row in empty} == {None}
    assert np.isnan(expected_calibration_error(np.zeros((0, 3)), np.zeros(0, int)))


def test_honest_probabilities_have_a_small_error_and_scaling_repairs_others():
    honest, labels = drawn(1.0)
    sharp, _ = drawn(3.0)
    before = expected_calibration_error(sharp, labels)
    after = expected_calibration_error(
        with_temperature(sharp, fit_temperature(sharp, labels)), labels
    )
    assert expected_calibration_error(honest, labels) < 0.03 < 0.1 < before
    assert after < 0.03


def test_wrong_input_is_named():
    good = np.array([[0.7, 0.3]])
    with pytest.raises(InputError, match="at least one labelled image"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(InputError, match=r"row 0 is \[0\.7 0\.9\] with sum 1\.6"):
        fit_temperature(np.array([[0.7, 0.9]]), np.array([0]))
    with pytest.raises(InputError, match=r"row 0 is .*nan"):
        fit_temperature(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(InputError, match=r"in 0\.\.1; row 0 has"):
        fit_temperature(good, np.array([-1]))
    with pytest.raises(InputError, match=r"whole numbers in 0\.\.1"):
        fit_temperature(good, np.array([0.5]))
    with pytest.raises(InputError, match=r"probabilities \(N, K\) and labels \(N,\)"):
        reliability(good, np.array([0, 1]))
    with pytest.raises(InputError, match="temperature must be a number above 0; received 0"):
        with_temperature(good, 0)
    with pytest.raises(InputError, match="at least 1 bin; received 0"):
        reliability(good, np.array([0]), bins=0)
    with pytest.raises(InputError, match="at least 2 different ones; received 1 with 1"):
        cross_fitted(good, np.array([0]), ["a"])
