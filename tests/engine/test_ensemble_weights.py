"""Weights fitted to predictions: planted mixtures and pairs are found."""

import numpy as np
import pytest

from tfvision.engine.ensemble_weights import (
    Pixels,
    blend,
    draw,
    fit_log_loss,
    join,
    select_greedily,
)
from tfvision.metrics.contract import Contract


def sample(probabilities, truth, images=None):
    """(J, P, K) and (P,) as `Pixels`, each standing for one pixel."""
    count = len(truth)
    return Pixels(
        np.stack(list(probabilities), axis=1).astype(np.float32),
        np.asarray(truth, np.int64),
        np.ones(count),
        np.zeros(count, np.int64) if images is None else np.asarray(images, np.int64),
    )


def labels_of(probabilities):
    return probabilities.argmax(-1)


def mixture(weights, count=20_000, classes=4, seed=0):
    """Models of random probabilities, and a truth drawn from their mixture."""
    rng = np.random.default_rng(seed)
    models = rng.dirichlet(np.full(classes, 0.5), (len(weights), count))
    whole = np.einsum("j,jpk->pk", weights, models)
    truth = (whole.cumsum(-1) < rng.random((count, 1))).sum(-1)
    return sample(models, np.minimum(truth, classes - 1))


def log_loss(pixels, weights):
    blended = np.einsum("j,pjk->pk", weights, pixels.probabilities.astype(np.float64))
    return -np.log(np.maximum(blended[np.arange(len(pixels.truth)), pixels.truth], 1e-6)).mean()


def test_fitted_weights_recover_a_planted_mixture():
    planted = np.array([0.6, 0.1, 0.3, 0.0])
    found = fit_log_loss(mixture(planted))
    np.testing.assert_allclose(found, planted, atol=0.03)
    assert found.sum() == pytest.approx(1)


def test_no_weights_on_a_fine_grid_have_less_log_loss():
    pixels = mixture([0.35, 0.65], count=3_000, seed=1)
    found = fit_log_loss(pixels)
    best = min(log_loss(pixels, [w, 1 - w]) for w in np.linspace(0, 1, 401))
    assert log_loss(pixels, found) <= best + 1e-6


def test_pixels_count_as_many_as_they_stand_for():
    pixels = mixture([0.5, 0.5], count=2_000, seed=2)
    doubled = Pixels(
        np.concatenate([pixels.probabilities, pixels.probabilities[:500]]),
        np.concatenate([pixels.truth, pixels.truth[:500]]),
        np.ones(2_500),
        np.zeros(2_500, np.int64),
    )
    stand_for = np.where(np.arange(2_000) < 500, 2.0, 1.0)
    weighed = Pixels(pixels.probabilities, pixels.truth, stand_for, pixels.images)
    np.testing.assert_allclose(fit_log_loss(weighed), fit_log_loss(doubled), atol=1e-9)


def test_a_model_sure_of_the_wrong_class_gets_no_weight():
    truth = np.tile([0, 1], 500)
    right = np.eye(2)[truth] * 0.6 + 0.2
    found = fit_log_loss(sample([right, 1 - np.eye(2)[truth]], truth))  # zeros at the truth
    np.testing.assert_array_equal(found, [1, 0])


def test_greedy_selection_finds_the_planted_pair():
    """Each of two knows its half and is unsure elsewhere; the others are noise."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 4_000)
    sure = np.eye(3)[truth] * 0.7 + 0.1
    unsure = rng.dirichlet(np.full(3, 30.0), 4_000)
    left = np.arange(4_000) < 2_000
    models = [
        rng.dirichlet(np.ones(3), 4_000),
        np.where(left[:, None], sure, unsure),
        rng.dirichlet(np.ones(3), 4_000),
        np.where(left[:, None], unsure, sure),
    ]
    found = select_greedily(sample(models, truth), labels_of=labels_of, contract=Contract())
    np.testing.assert_array_equal(found, [0, 0.5, 0, 0.5])


def test_greedy_selection_takes_a_model_more_than_once():
    """The second mends what the first gets wrong, but spoils the rest from a weight of 0.4 on."""
    truth = np.array([0] * 600 + [1] * 400)
    first = np.where(np.arange(1_000)[:, None] < 500, [0.8, 0.2], [0.45, 0.55])
    second = np.where(np.arange(1_000)[:, None] < 500, [0.05, 0.95], [0.9, 0.1])
    second[600:] = [0.05, 0.95]
    found = select_greedily(
        sample([first, second], truth), labels_of=labels_of, contract=Contract()
    )

    def score(weights):
        labels = np.einsum("j,jpk->pk", weights, np.stack([first, second])).argmax(-1)
        ious = [
            ((truth == k) & (labels == k)).sum() / ((truth == k) | (labels == k)).sum()
            for k in range(2)
        ]
        return np.mean(ious)

    np.testing.assert_allclose(found, [2 / 3, 1 / 3])
    assert score(found) == 1 > max(score([0.5, 0.5]), score([1, 0]), score([0, 1]))


def test_greedy_selection_follows_the_contract():
    truth = np.tile([0, 1, 2], 300)
    knows_zero, knows_rest = np.full((900, 3), 1 / 3), np.full((900, 3), 1 / 3)
    knows_zero[truth == 0] = [0.9, 0.05, 0.05]
    knows_zero[truth != 0] = [0.1, 0.45, 0.45]  # ties: 1
    knows_rest[:] = np.eye(3)[np.where(truth == 0, 1, truth)] * 0.7 + 0.1
    pixels = sample([knows_zero, knows_rest], truth)
    ignoring = Contract(ignore_labels=(0,), exclude_classes=(0,))
    found = select_greedily(pixels, labels_of=labels_of, contract=ignoring, rounds=1)
    np.testing.assert_array_equal(found, [0, 1])
    found = select_greedily(
        sample([knows_zero, knows_rest * [1.0, 0, 0]], truth),
        labels_of=labels_of,
        contract=Contract(),
        metric="pixel_accuracy",
        rounds=1,
    )
    np.testing.assert_array_equal(found, [1, 0])


def test_greedy_selection_can_score_image_by_image():
    """One model is right on the many pixels of one image, the other on three small images."""
    images = np.repeat([0, 1, 2, 3], [900, 10, 10, 10])
    truth = np.tile([0, 1], 465)
    right, wrong = np.eye(2)[truth], np.eye(2)[1 - truth]
    large = (images == 0)[:, None]
    pixels = sample([np.where(large, right, wrong), np.where(large, wrong, right)], truth, images)
    for average, want in (("dataset", [1, 0]), ("image", [0, 1])):
        contract = Contract(average=average)
        found = select_greedily(pixels, labels_of=labels_of, contract=contract, rounds=1)
        np.testing.assert_array_equal(found, want)


def test_a_draw_is_of_counted_pixels_and_stands_for_all_of_them():
    rng = np.random.default_rng(4)
    mask = rng.integers(0, 3, (12, 9))
    mask[0] = 255
    probabilities = [rng.dirichlet(np.ones(3), (12, 9)) for _ in range(2)]
    options = {"image": 7, "ignored": [0, 255]}
    counted = ((mask == 1) | (mask == 2)).sum()
    whole = draw(probabilities, mask, most=200, **options)
    assert len(whole.truth) == counted
    few = draw(probabilities, mask, most=20, **options)
    again = draw(probabilities, mask, most=20, **options)
    assert len(few.truth) == 20
    assert few.stand_for.sum() == pytest.approx(counted)
    assert set(few.truth) <= {1, 2}
    assert set(few.images) == {7}
    np.testing.assert_array_equal(few.probabilities, again.probabilities)
    places = {tuple(row) for row in np.stack(probabilities, 2).reshape(108, 6).astype(np.float32)}
    assert {tuple(row.ravel()) for row in few.probabilities} <= places
    joined = join([whole, few]).of(np.array([7]))
    assert len(joined.truth) == counted + 20


def test_a_blend_is_the_weighted_sum():
    rng = np.random.default_rng(5)
    arrays = [rng.random((3, 4, 2)).astype(np.float32) for _ in range(3)]
    found = blend(arrays, [0.5, 0, 0.5])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (arrays[0] + arrays[2]) / 2, atol=1e-7)
