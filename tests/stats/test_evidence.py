"""Evidence of other kinds than counts goes through all statistics: an error, a ranking."""

import math

import numpy as np
import pytest

from tests.support.evidence import Errors, Hits, errors, hits
from tfvision.metrics.classification import average_precision
from tfvision.metrics.contract import Contract
from tfvision.stats import bootstrap
from tfvision.stats.measure import Average
from tfvision.stats.race import FoldEvidence, race, score_interval
from tfvision.stats.seeds import compare_seeds
from tfvision.studies.compare.compare import verdict
from tfvision.studies.folds.scores import fold_metrics

PLAIN = Contract()
ERROR = {"score": "mean_error", "contract": PLAIN}
RANKED = {"score": "average_precision", "contract": PLAIN}
FOUR = [f"group {i // 4}" for i in range(40)]


def compare(first, second, scoring, *, groups=None, resamples=400):
    pair = tuple(one.measure(**scoring, groups=groups) for one in (first, second))
    return bootstrap.compare([pair], resamples=resamples)[0]


def of_folds(evidence, scoring, groups=None):
    folds = np.arange(len(evidence)) % 3
    return evidence.over_folds(**scoring, folds=folds, groups=groups)


def test_average_precision_is_that_of_the_classification():
    found = hits()
    expected = average_precision(found.hit, found.score)
    assert found.measure(**RANKED).value() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("groups", [None, FOUR], ids=["images", "groups"])
@pytest.mark.parametrize(
    "measured",
    [
        lambda groups: errors(40).measure(**ERROR, groups=groups),
        lambda groups: hits(40).measure(**RANKED, groups=groups),
        lambda groups: of_folds(hits(40), RANKED, groups),
    ],
    ids=["errors", "hits", "hits of folds"],
)
def test_an_influence_is_a_derivative(measured, groups):
    measure = measured(groups)
    weights = np.random.default_rng(1).integers(0, 3, (2, measure.num_units)).astype(float)
    values, influences = measure.under(weights)
    np.testing.assert_allclose(values, measure.values(weights), rtol=1e-12)
    assert influences.shape == weights.shape
    for unit in np.flatnonzero((weights > 0).all(axis=0))[:6]:
        step = 1e-5 * (np.arange(measure.num_units) == unit)
        slopes = (measure.values(weights + step) - measure.values(weights - step)) / 2e-5
        np.testing.assert_allclose(influences[:, unit], slopes, atol=1e-6)


def test_weights_of_images_are_weights_of_their_detections():
    """An image that is drawn twice counts as two images with the same detections."""
    found = hits()
    rows = np.random.default_rng(0).integers(0, 30, 30)
    weights = np.bincount(rows, minlength=30).astype(float)[None]
    again = found.take(rows).measure(**RANKED).value()
    # Equal scores of copies are ranked one after the other: the precisions differ a little.
    assert found.measure(**RANKED).values(weights)[0] == pytest.approx(again, abs=0.01)


def test_lower_is_better_and_the_interval_has_no_end():
    found = compare(errors(off=4.0), errors(off=9.0, own=1), ERROR)
    assert found.low > 1  # no score of 0..1 could differ so much
    assert found.gain < 0
    assert verdict(found, 0.001) == "worse"
    back = compare(errors(off=9.0, own=1), errors(off=4.0), ERROR)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert back.better
    assert back.better_side == "below"
    assert verdict(back, 0.001) == "better"
    assert (back.span, back.unbounded) == (math.inf, False)


def test_where_few_images_differ_nothing_is_known():
    first, second = errors(), errors()
    second.predicted[3] += 2
    found = compare(first, second, ERROR)
    assert found.num_differing == 1
    assert (found.low, found.high, found.unbounded) == (-math.inf, math.inf, True)
    sharper, same = hits(own=1, sharp=2.0), hits()
    found = compare(same, sharper, RANKED)
    assert found.better
    assert (found.span, compare(same, same, RANKED).num_differing) == (1.0, 0)


@pytest.mark.parametrize(
    ("make", "scoring", "change"),
    [
        (errors, ERROR, [{"off": 3.0}, {"off": 3.3, "own": 1}]),
        (hits, RANKED, [{"sharp": 1.0}, {"sharp": 1.4, "own": 1}]),
    ],
    ids=["errors", "hits"],
)
def test_the_interval_holds_the_truth(make, scoring, change):
    huge = [make(3000, seed=1, **its).measure(**scoring).value() for its in change]
    truth, held = huge[1] - huge[0], 0
    for seed in range(60):
        sides = [make(40, seed=100 + seed, **its) for its in change]
        found = compare(*sides, scoring, resamples=200)
        held += found.low <= truth <= found.high
    assert held / 60 >= 0.85  # 95 % of 60, and three standard errors less


def test_seeds_know_direction_and_range():
    pairs = [
        tuple(errors(off=off, own=own + s).measure(**ERROR) for own, off in ((0, 9.0), (9, 4.0)))
        for s in range(3)
    ]
    (found,) = compare_seeds([pairs], resamples=200)
    assert found.high < -1
    assert found.better
    assert found.span == math.inf


def test_the_winner_of_a_race_has_the_lowest_error():
    folds = {
        name: [
            FoldEvidence(
                errors(24, seed=f, own=own, off=off), [f"{f}-{i}" for i in range(24)], **ERROR
            )
            for f in range(3)
        ]
        for own, (name, off) in enumerate((("far", 9.0), ("near", 4.0), ("close", 4.6)))
    }
    done = race(list(folds), 3, lambda name, f: folds[name][f], resamples=400)
    assert done.winner == "near"
    assert "far" not in done.survivors
    score, low, high = score_interval(folds["near"])
    assert low < score < high
    assert low > 1


def test_a_ranking_is_averaged_over_folds_and_an_error_is_pooled():
    found = hits(40)
    measure = of_folds(found, RANKED)
    each = [found.take(np.arange(f, 40, 3)).measure(**RANKED).value() for f in range(3)]
    assert isinstance(measure, Average)
    assert measure.value() == pytest.approx(np.mean(each))
    assert of_folds(errors(), ERROR).value() == errors().measure(**ERROR).value()
    pairs = [(of_folds(found, RANKED, FOUR), of_folds(hits(40, own=1, sharp=2.0), RANKED, FOUR))]
    (difference,) = bootstrap.compare(pairs, resamples=200)
    assert (difference.num_units, difference.better) == (10, True)


def test_folds_of_a_ranking_have_a_mean_and_an_interval():
    parts = [hits(20, seed=f) for f in range(3)]
    units = [f"{f}-{i}" for f in range(3) for i in range(20)]
    metrics = fold_metrics(parts, parts[:2], PLAIN, score="average_precision", units=units)
    each = [part.measure(**RANKED).value() for part in parts]
    assert [row["average_precision"] for row in metrics["folds"]] == each
    pooled = metrics["pooled"]
    assert pooled["average_precision"] == metrics["mean"]["average_precision"] == np.mean(each)
    assert pooled["num_images"] == 60
    assert pooled["interval"]["low"] < np.mean(each) < pooled["interval"]["high"]
    assert metrics["test"]["mean"]["average_precision"] == pytest.approx(np.mean(each[:2]))
    two = [errors(), errors(seed=1)]
    metrics = fold_metrics(two, None, PLAIN, score="mean_error", units=FOUR * 2)
    assert metrics["pooled"]["interval"]["units"] == 10
    assert "num_folds" not in metrics["mean"]


@pytest.mark.parametrize("made", [errors(), hits()], ids=["errors", "hits"])
def test_parts_and_the_whole_are_the_same_evidence(made):
    rows = np.random.default_rng(0).permutation(len(made))
    parts = [made.take(rows[:10]), made.take(rows[10:])]
    back = type(made).join(parts).take(np.argsort(rows))
    for evidence in (back, type(made).from_arrays(made.arrays()), made.renamed(made.ids)):
        assert evidence.ids == made.ids
        np.testing.assert_array_equal(evidence.digest(), made.digest())
        for key, array in evidence.arrays().items():
            np.testing.assert_array_equal(array, made.arrays()[key])
    assert not made.processed
    assert made.classes(made.scores[0], PLAIN) == []
    assert len(made.take([])) == 0


def test_the_digest_tells_another_truth():
    first, second = errors(), errors()
    second.truth[3] += 1
    assert np.flatnonzero((first.digest() != second.digest()).any(axis=1)).tolist() == [3]
    assert isinstance(first, Errors)
    assert (hits().digest() != hits(seed=1).digest()).any()
    assert isinstance(hits(), Hits)
