"""AP under weights: that of repeated images, its influences, and bootstrap intervals on it."""

import numpy as np
import pytest

from tests.support.detections import random_case
from tfvision.metrics.average_precision import AveragePrecision
from tfvision.metrics.detections import DetectionEvidence
from tfvision.stats.bootstrap import compare, interval

IMAGES = 12
SCORES = ("ap", "ap50", "ap_small", "ap_medium", "ar10", "ar_small", "f1", "precision", "recall")


def evidence(seed: int, *, images: int = IMAGES) -> DetectionEvidence:
    """Scores all differ: of equal ones, a repeated image stands before the next image."""
    answers, truths = random_case(seed, images=images, ties=False)
    return DetectionEvidence.of([f"image {i}" for i in range(images)], answers, truths, 3)


@pytest.mark.parametrize("score", SCORES)
def test_a_weight_is_how_often_an_image_counts(score):
    for seed in range(6):
        rng, found = np.random.default_rng(seed), evidence(seed)
        weights = rng.integers(0, 4, (4, IMAGES))
        values = found.measure(score, None).values(weights.astype(float))
        for row, value in zip(weights, values, strict=True):
            repeated = found.take(np.repeat(np.arange(IMAGES), row)).measure(score, None).value()
            assert value == pytest.approx(repeated, abs=1e-12, nan_ok=True), (seed, row)


@pytest.mark.parametrize("score", SCORES)
def test_groups_are_the_sums_of_their_images(score):
    found, groups = evidence(1), [f"group {i % 5}" for i in range(IMAGES)]
    weights = np.random.default_rng(0).integers(0, 3, (4, 5)).astype(float)
    of_images = weights[:, np.arange(IMAGES) % 5]
    by_group, influences = found.measure(score, None, groups=groups).under(weights)
    by_image, its = found.measure(score, None).under(of_images)
    assert by_group == pytest.approx(by_image, abs=1e-12, nan_ok=True)
    summed = np.stack([its[:, g::5].sum(axis=1) for g in range(5)], axis=1)
    assert influences == pytest.approx(summed, abs=1e-12)


@pytest.mark.parametrize("score", ["ap", "ap_medium"])
def test_many_resamples_at_once_are_each_of_them_alone(score):
    measure = evidence(2).measure(score, None)
    weights = np.random.default_rng(0).integers(0, 3, (200, IMAGES)).astype(float)
    values, influences = measure.under(weights)
    for start in range(0, 200, 40):
        alone, its = measure.under(weights[start : start + 40])
        assert values[start : start + 40] == pytest.approx(alone, abs=1e-12, nan_ok=True)
        assert influences[start : start + 40] == pytest.approx(its, abs=1e-12)
    assert measure.values(np.ones((1, IMAGES)))[0] == pytest.approx(measure.value(), abs=1e-12)


def area(measure: AveragePrecision, weights: np.ndarray) -> float:
    """The area under the falling precision, detection by detection."""
    found = []
    for one in measure._ranked:
        positives = one.truths @ weights
        for right, counted in zip(one.right.T, one.counted.T, strict=True):
            w = weights[one.unit] * counted
            precision = np.cumsum(w * right) / np.maximum(np.cumsum(w), 1e-300)
            falling = np.maximum.accumulate(precision[::-1])[::-1]
            found.append((falling * w * right).sum() / positives if positives else np.nan)
    return float(np.nanmean(found))


def test_influences_are_the_derivative_of_the_area_under_the_curve():
    step = 1e-6
    for seed in range(6):
        measure = evidence(seed).measure("ap", None)
        weights = np.random.default_rng(seed).uniform(0.5, 2, IMAGES)
        moves = step * np.eye(IMAGES)
        slopes = [(area(measure, weights + m) - area(measure, weights - m)) / 2 for m in moves]
        influences = measure.under(weights[None])[1][0]
        assert influences == pytest.approx(np.array(slopes) / step, abs=1e-7), seed


def test_influences_foretell_what_an_image_more_changes():
    """Of the score at 101 points itself, in its scatter over images and on average."""
    found = evidence(0, images=150)
    measure = found.measure("ap", None)
    influences = measure.under(np.ones((1, 150)))[1][0]
    moved = measure.values(np.ones((150, 150)) + np.eye(150)) - measure.value()
    assert np.corrcoef(influences, moved)[0, 1] > 0.98
    assert moved.std() == pytest.approx(influences.std(), rel=0.05)


def test_a_model_without_false_detections_owes_its_spread_to_recall():
    """Its precision is 1 under all weights: only the area knows that recall moves."""
    rng = np.random.default_rng(0)
    box = np.array([[0, 0, 50, 50]], np.float32)
    answers, truths = [], []
    for taken in (rng.random(100) < 0.6).astype(int):
        one = {"boxes": box[:taken], "classes": np.zeros(taken), "scores": rng.random(taken)}
        answers.append(one)
        truths.append({"boxes": box, "classes": np.zeros(1)})
    found = DetectionEvidence.of([str(i) for i in range(100)], answers, truths, 1)
    measure = found.measure("ap", None)
    low, high = interval(measure, resamples=500)
    share = float(np.mean(found.number))
    assert low < share < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 100), rel=0.15)


def test_two_models_are_compared_on_the_same_resamples():
    rng = np.random.default_rng(0)
    answers, truths = random_case(0, images=60, ties=False)
    worse = [
        {**one, "scores": np.where(rng.random(len(one["scores"])) < 0.7, 0.01, 1) * one["scores"]}
        for one in answers
    ]
    ids, groups = [str(i) for i in range(60)], [f"{i // 2}" for i in range(60)]
    first, second = (DetectionEvidence.of(ids, one, truths, 3) for one in (worse, answers))
    for of_groups in (None, groups):
        pair = [one.measure("ap", None, groups=of_groups) for one in (first, second)]
        (found,) = compare([tuple(pair)], resamples=300)
        assert found.difference == pytest.approx(pair[1].value() - pair[0].value(), abs=1e-12)
        assert found.low < found.difference < found.high
        assert found.num_units == (60 if of_groups is None else 30)
        (same,) = compare([(pair[0], pair[0])], resamples=300)
        assert (same.low, same.high, same.num_differing) == (0, 0, 0)


def test_units_differ_where_their_detections_do():
    answers, truths = random_case(4, images=IMAGES, ties=False)
    there = next(i for i, one in enumerate(answers) if len(one["scores"]) > 1)
    other = [dict(one) for one in answers]
    other[there]["scores"] = other[there]["scores"] * 0.5
    ids = [str(i) for i in range(IMAGES)]
    first, second = (
        DetectionEvidence.of(ids, one, truths, 3).measure("ap", None) for one in (answers, other)
    )
    assert np.flatnonzero(first.differs(second)).tolist() == [there]
    fewer = [{k: v[:-1] for k, v in one.items()} if i == there else one
             for i, one in enumerate(answers)]  # fmt: skip
    second = DetectionEvidence.of(ids, fewer, truths, 3).measure("ap", None)
    assert np.flatnonzero(first.differs(second)).tolist() == [there]
