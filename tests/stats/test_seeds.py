"""Intervals over images and seeds: simple cases, and simulated truth."""

import numpy as np
import pytest
from scipy import stats

from experiments.ladder_coverage import Case, run
from tests.support.detections import random_case
from tfvision.errors import InputError
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.ratios import score_ratios
from tfvision.stats import bootstrap
from tfvision.stats.measure import Ratios
from tfvision.stats.seeds import compare_seeds, moderate

UNITS = 40


def parts(values) -> Ratios:
    """A score that is the mean of the units' values."""
    values = np.asarray(values, np.float64)[:, None]
    return Ratios(values, np.ones_like(values))


def pairs(gains, *, seed: int = 0, noise: float = 0.01, both: float = 0.1):
    """One pair a gain: the second model is better by it, and `noise` apart on each unit."""
    rng = np.random.default_rng(seed)
    base = 0.5 + both * rng.normal(size=UNITS)
    return [(parts(base), parts(base + gain + noise * rng.normal(size=UNITS))) for gain in gains]


def test_one_seed_is_the_bootstrap_of_the_units():
    pair = pairs([0.004])
    (found,) = compare_seeds([pair], resamples=500, seed=3)
    (expected,) = bootstrap.compare(pair, resamples=500, seed=3)
    assert (found.low, found.high, found.p_value) == (
        expected.low,
        expected.high,
        expected.p_value,
    )
    assert np.isnan([found.seeds_error, found.freedom]).all()


def test_a_score_that_is_no_ratio_of_sums_is_compared_too():
    """Average precision, over units of its own number beside another comparison."""
    answers, truths = random_case(3, images=12)
    better = [{**a, "scores": np.where(a["classes"] == 0, a["scores"], 0.1)} for a in answers]
    ids = [str(i) for i in range(12)]
    pair = [
        DetectionEvidence.of(ids, found, truths, num_classes=3).measure("ap50", None)
        for found in (answers, better)
    ]
    found, other = compare_seeds([[tuple(pair)], pairs([0.004])], resamples=200, seed=3)
    (expected,) = bootstrap.compare([tuple(pair)], resamples=200, seed=3)
    assert (found.low, found.high, found.num_units) == (expected.low, expected.high, 12)
    assert other.num_units == UNITS


def test_equal_trainings_add_no_luck():
    """Three copies of one training: the interval is that of the units alone."""
    (pair,) = pairs([0.004])
    (found,) = compare_seeds([[pair] * 3], resamples=500)
    (alone,) = bootstrap.compare([pair], resamples=500)
    assert found.seeds_error == 0
    assert found.standard_error == pytest.approx(alone.standard_error)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_the_luck_of_training_is_in_the_interval():
    """Differences of 0.06, -0.05 and 0.05 between seeds say that nothing is known, however
    sure the units of each training are."""
    lucky = pairs([0.06, -0.05, 0.05], noise=0.001)
    (found,) = compare_seeds([lucky], resamples=500)
    (alone,) = bootstrap.compare_means([lucky], resamples=500)
    expected = np.std([0.06, -0.05, 0.05], ddof=1) / np.sqrt(3)
    assert found.seeds_error == pytest.approx(expected, rel=0.05)
    assert alone.decided
    assert not found.decided
    assert found.p_value == pytest.approx(
        stats.ttest_1samp([0.06, -0.05, 0.05], 0).pvalue, rel=0.05
    )


def test_what_the_units_treat_differently_counts_once():
    """Without any luck the spread of the seeds is that of the units; it is not added again."""
    ratios = []
    for seed in range(60):
        same = pairs([0.0] * 3, seed=seed, noise=0.05)
        (found,) = compare_seeds([same], resamples=50)
        ratios.append(found.standard_error / found.units_error)
    assert np.median(ratios) < 1.1  # added twice it would be about 1.41


def test_seeds_are_averaged():
    found = compare_seeds([pairs([0.01, 0.02, 0.06], noise=0.0)], resamples=50)[0]
    assert found.difference == pytest.approx(0.03)
    assert np.subtract(found.second, found.first) == pytest.approx([0.01, 0.02, 0.06])


def test_variances_that_are_alike_are_pooled():
    rng = np.random.default_rng(0)
    freedoms = []
    for _ in range(40):
        variances = rng.chisquare(2, 12) / 2
        drawn, freedom = moderate(variances, 2)
        assert (drawn >= variances).all()
        assert (drawn[variances < 0.1] > variances[variances < 0.1]).all()
        freedoms.append(freedom)
    assert np.median(freedoms) > 8
    assert max(freedoms) == pytest.approx(2 / 3 * 12 * 2)


def test_variances_that_are_not_alike_are_left():
    rng = np.random.default_rng(0)
    variances = np.exp(rng.normal(0, 4, 40)) * rng.chisquare(2, 40) / 2
    drawn, freedom = moderate(variances, 2)
    assert freedom < 3
    large = variances > np.median(variances)
    assert drawn[large] == pytest.approx(variances[large], rel=0.5)


def test_a_shaky_method_keeps_its_own_variance():
    drawn, _ = moderate(np.array([1.0, 1.1, 0.9, 1.2, 0.8, 30.0]), 2)
    assert drawn[-1] == 30.0


@pytest.mark.parametrize("variances", [[0.1, 4.0], [0.0, 0.0, 0.0], [1.0]])
def test_too_few_variances_are_left_as_they_are(variances):
    drawn, freedom = moderate(np.array(variances), 2)
    assert drawn.tolist() == variances
    assert freedom == 2


def test_a_family_lends_its_knowledge():
    """Six other comparisons with small spreads make three seeds of one worth more."""
    one = pairs([0.021, 0.02, 0.03], noise=0.001)
    others = [pairs(0.005 * np.random.default_rng(s).normal(size=3), seed=s) for s in range(1, 7)]
    (alone,), (family, *_) = compare_seeds([one]), compare_seeds([one, *others])
    assert family.freedom > alone.freedom
    assert family.p_value < alone.p_value


def test_nothing_counted_is_nothing_known():
    empty = Ratios(np.zeros((UNITS, 1)), np.zeros((UNITS, 1)))
    found, other = compare_seeds([[(empty, empty)] * 3, pairs([0.1] * 3)], resamples=50)
    assert np.isnan([found.difference, found.low, found.high]).all()
    assert not found.decided
    assert other.decided


def test_seeds_of_different_number_are_refused():
    with pytest.raises(InputError, match=r"same number of seeds, at least 1; received \[1, 2\]"):
        compare_seeds([pairs([0.1]), pairs([0.1, 0.2])])


def test_comparisons_of_other_units_are_each_what_they_are_alone():
    """Two seeds are too few to draw variances together, save in a family of three."""
    rng = np.random.default_rng(0)

    def pairs(count):
        return [
            tuple(score_ratios(rng.integers(1, 50, (count, 3, 3))) for _ in range(2))
            for _ in range(2)
        ]

    family = [pairs(12), pairs(20)]
    found = compare_seeds([family[0], family[1]], resamples=200)
    assert [one.num_units for one in found] == [12, 20]
    assert found == [compare_seeds([one], resamples=200)[0] for one in family]


def test_no_comparison_is_no_difference():
    assert compare_seeds([]) == []


def test_ratios_are_those_of_the_bootstrap():
    """A mean of ratios, not of units: the influence of every unit is a derivative."""
    rng = np.random.default_rng(0)
    first, second = (score_ratios(rng.integers(1, 50, (12, 3, 3))) for _ in range(2))
    found = bootstrap.influences(first, second)
    ones = np.ones(12)
    for unit in range(12):
        step = 1e-5 * (np.arange(12) == unit)
        up, down = (
            Ratios(second.above * w[:, None], second.below * w[:, None]).value()
            - Ratios(first.above * w[:, None], first.below * w[:, None]).value()
            for w in (ones + step, ones - step)
        )
        assert found[unit] == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_coverage_of_a_simulated_ladder():
    """Of equal rungs with some luck: the interval holds the truth; that of units does not."""
    found = run(Case(units=20, luck=0.15), simulations=12, seed=1, resamples=100)
    assert found.covered >= 0.88
    assert found.covered_by_units <= 0.7
    assert found.any_verdict <= 0.2
