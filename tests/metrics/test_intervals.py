"""Intervals of one score: defining equations, known limits, and simulated truth."""

import numpy as np
import pytest

from tfvision.metrics import Contract
from tfvision.metrics.intervals import posterior, score_interval, wilson
from tfvision.metrics.ratios import score_ratios

PLAIN = Contract()


def counts_of(truth, guess, classes):
    counts = np.zeros((len(truth), classes, classes), int)
    counts[np.arange(len(truth)), truth, guess] = 1
    return counts


def drawn(rng, count, accuracy, prior):
    """Images whose mistakes are spread evenly over the other classes."""
    classes = len(prior)
    truth = rng.choice(classes, count, p=prior)
    right = rng.random(count) < np.asarray(accuracy)[truth]
    guess = np.where(right, truth, (truth + rng.integers(1, classes, count)) % classes)
    return counts_of(truth, guess, classes)


def test_wilson_solves_the_equation_that_defines_it():
    """Its ends p are where |p - share| = z sqrt(p (1 - p) / n)."""
    for right, total in ((8, 10), (3, 40), (399, 400)):
        for end in wilson(right, total):
            reach = 1.959964 * np.sqrt(end * (1 - end) / total)
            assert abs(end - right / total) == pytest.approx(reach, abs=1e-9)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert np.isnan(wilson(0, 0)).all()


def test_accuracy_of_images_is_wilsons_without_the_ignored():
    truth = np.array([0] * 30 + [1] * 10)
    counts = counts_of(truth, np.where(np.arange(40) < 6, 1, truth), 2)
    assert score_interval(counts, PLAIN, score="accuracy") == wilson(34, 40)
    assert score_interval(counts, Contract(ignore_labels=(1,)), score="accuracy") == wilson(24, 30)


def test_many_mistakes_have_the_normals_width():
    """F1 of two even classes with even mistakes varies as accuracy does: +- 1.96 x 0.02."""
    index = np.arange(400)
    truth = index % 2
    counts = counts_of(truth, np.where(index // 2 % 5 == 0, 1 - truth, truth), 2)
    low, high = score_interval(counts, PLAIN, score="macro_f1")
    assert (low + high) / 2 == pytest.approx(0.8, abs=1e-9)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.02, rel=0.1)


@pytest.mark.parametrize("score", ["macro_f1", "weighted_f1", "balanced_accuracy"])
def test_few_mistakes_have_an_interval_of_use(score):
    """All of 60 right: like Wilson's 0.94 for accuracy, it ends well above 0.8 and at 1."""
    truth = np.arange(60) % 3
    low, high = score_interval(counts_of(truth, truth, 3), PLAIN, score=score)
    assert high == 1
    assert 0.9 < low < 0.99
    guess = np.where(np.arange(60) < 2, 2, truth)
    counts = counts_of(truth, guess, 3)
    low, high = score_interval(counts, PLAIN, score=score)
    assert 0.85 < low < score_ratios(counts, score=score).value() < high < 1


def test_the_posterior_of_two_certain_classes_is_a_beta():
    """Balanced accuracy of one class with 19 of 20 right: Beta(19 + 1/2, 1 + 1/2) for its recall.

    The prior's image lies on the two cells of the only true class, a half on each.
    """
    draws = np.random.default_rng(1).beta(19.5, 1.5, 200_000)
    found = posterior(np.array([[19.0, 1.0], [0.0, 0.0]]), PLAIN, score="balanced_accuracy")
    assert found == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)


def test_images_of_one_group_are_one_unit():
    """Five copies of every image are no more evidence, with few mistakes and with many."""
    rng = np.random.default_rng(0)
    for accuracy in (0.97, 0.7):
        counts = drawn(rng, 60, [accuracy] * 3, [1 / 3] * 3)
        alone = score_interval(counts, PLAIN, score="macro_f1")
        copies = np.repeat(counts, 5, axis=0)
        groups = [f"patient {k:02d}" for k in np.repeat(np.arange(60), 5)]
        grouped = score_interval(copies, PLAIN, score="macro_f1", groups=groups)
        assert grouped == pytest.approx(alone, abs=1e-9)
        fooled = score_interval(copies, PLAIN, score="macro_f1")
        assert fooled[1] - fooled[0] < 0.7 * (alone[1] - alone[0])


def test_nothing_to_say():
    one = counts_of(np.array([0]), np.array([0]), 2)
    assert np.isnan(score_interval(one, PLAIN, score="macro_f1")).all()
    assert np.isnan(score_interval(one[:0], PLAIN, score="macro_f1")).all()
    same = ["a", "a"]
    both = np.repeat(one, 2, axis=0)
    assert np.isnan(score_interval(both, PLAIN, score="accuracy", groups=same)).all()


@pytest.mark.parametrize("accuracy", [0.98, 0.85])
def test_intervals_of_macro_f1_hold_the_truth(accuracy):
    """Of 60 that cover 95 %, 52 or more do in 99.8 of 100 such tests; the seeds are fixed."""
    prior, rng = [0.25] * 4, np.random.default_rng(3)
    held = 0
    for seed in range(60):
        counts = drawn(rng, 100, [accuracy] * 4, prior)
        low, high = score_interval(counts, PLAIN, score="macro_f1", resamples=300, seed=seed)
        held += low <= accuracy <= high  # with even classes and mistakes F1 is the accuracy
        assert high - low < 0.3
    assert held >= 52
