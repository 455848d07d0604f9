"""What features tell of classes: against scikit-learn, against chance, against planted signals."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from tfvision.data.audit import permutation_test


def noise(seed, number=60, features=10):
    return np.random.default_rng(seed).normal(size=(number, features))


def test_scores_are_those_of_a_ridge_that_has_not_seen_the_fold():
    x, units = noise(0, 40), np.arange(40)
    y = np.arange(40) % 3
    scores = permutation_test.cross_validated(x, y, 3, units, seed=4)
    rng = np.random.default_rng(4)
    rng.random((permutation_test.PERMUTATIONS, 40))
    fold = rng.permutation(40) % permutation_test.FOLDS
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for number in range(permutation_test.FOLDS):
        known = fold != number
        for k in range(3):
            share = (y == k).mean()
            target = ((y == k) - share) / np.sqrt(share * (1 - share))
            model = Ridge(alpha=permutation_test.RIDGE * known.sum(), fit_intercept=False)
            expected = model.fit(z[known], target[known]).predict(z[~known])
            assert scores.own[~known, k] == pytest.approx(expected, abs=1e-5)


def test_values_are_those_of_scikit_learn():
    x, units = noise(1, 80), np.arange(80)
    y = (x[:, 0] + noise(2, 80)[:, 0] > 0).astype(int) + (x[:, 1] > 1)
    scores = permutation_test.cross_validated(x, y, 3, units)
    guess = scores.own.argmax(axis=1)
    assert permutation_test.balanced_accuracy(scores, units).value == pytest.approx(
        balanced_accuracy_score(y, guess)
    )
    assert (permutation_test.confusion(scores) == confusion_matrix(y, guess)).all()
    scores = permutation_test.cross_validated(x, np.minimum(y, 1), 2, units)
    area = permutation_test.area_under_curve(scores, units)
    assert area.value == pytest.approx(roc_auc_score(np.minimum(y, 1), scores.own[:, 1]))
    assert area.low < area.value < area.high


def test_equal_scores_are_ties_and_their_order_tells_nothing():
    """Classes one after the other, as training and test images come."""
    x, units = np.zeros((80, 10)), np.arange(80)
    y = (units >= 50).astype(int)
    area = permutation_test.area_under_curve(
        permutation_test.cross_validated(x, y, 2, units), units
    )
    assert (area.value, area.low, area.high, area.p) == (0.5, 0.5, 0.5, 1)
    x[45:65, 0] = 1  # a sign that some of both have
    scores = permutation_test.cross_validated(x, y, 2, units)
    assert len(np.unique(scores.own[:, 1])) < 20
    area = permutation_test.area_under_curve(scores, units)
    assert area.value == pytest.approx(roc_auc_score(y, scores.own[:, 1]))


@pytest.mark.parametrize(
    "stat", [permutation_test.balanced_accuracy, permutation_test.area_under_curve]
)
def test_chance_passes_as_often_as_the_level_says(stat, monkeypatch):
    """100 sets without a sign: p is uniform, so p <= 0.2 in 20 of them, standard error 4."""
    monkeypatch.setattr(permutation_test, "PERMUTATIONS", 99)
    monkeypatch.setattr(permutation_test, "DRAWS", 2)
    values = []
    for seed in range(100):
        y = np.random.default_rng(1000 + seed).permutation(np.arange(40) % 5 == 0).astype(int)
        scores = permutation_test.cross_validated(
            noise(seed, 40, 5), y, 2, np.arange(40), seed=seed
        )
        values.append(stat(scores, np.arange(40)).p)
    assert 8 <= (np.array(values) <= 0.2).sum() <= 32
    assert 30 <= (np.array(values) <= 0.5).sum() <= 70


def test_units_do_not_help_each_other():
    """Ten units of six equal samples, each of one class that nothing tells."""
    units = np.repeat(np.arange(10), 6)
    x = noise(3, 10)[units]
    y = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1])[units]
    together = permutation_test.balanced_accuracy(
        permutation_test.cross_validated(x, y, 2, units), units
    )
    alone = permutation_test.balanced_accuracy(
        permutation_test.cross_validated(x, y, 2, np.arange(60)), np.arange(60)
    )
    assert alone.p == pytest.approx(1 / (permutation_test.PERMUTATIONS + 1))
    assert together.p > 0.05
    assert together.high - together.low > 0.3


def test_a_planted_signal_is_told_whatever_its_scale():
    y = np.arange(50) % 2
    x = noise(5, 50, 6)
    x[:, 2] = 1e-3 * (y + 0.3 * noise(6, 50, 1)[:, 0])
    units = np.arange(50)
    scores = permutation_test.cross_validated(np.column_stack([x, np.ones(50)]), y, 2, units)
    for stat in (permutation_test.balanced_accuracy, permutation_test.area_under_curve):
        result = stat(scores, units)
        assert result.value > 0.85
        assert result.p == pytest.approx(1 / (permutation_test.PERMUTATIONS + 1))
        assert result.skill[0] == pytest.approx(2 * result.value - 1)
