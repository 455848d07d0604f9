"""Errors, calibration, confusion and operating points of detections, on sets made by hand."""

import numpy as np
import pytest

from tests.support.detections import answer, random_case, truth
from tfvision.metrics.coco import ERRORS, CocoEvaluation
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.thresholds import best_thresholds, threshold_curve

BOX, OTHER, FAR = (0, 0, 100, 100), (200, 200, 300, 300), (400, 400, 450, 450)
NEAR = (0, 0, 100, 40)  # IoU 0.4 with BOX


@pytest.mark.parametrize(
    ("found", "real", "counts", "gains"),
    [
        ([(0, 0.9, BOX)], [(0, BOX)], {}, {}),
        # The right class makes it right; a truth of class 1 stays missed.
        (
            [(1, 0.9, BOX)],
            [(0, BOX), (1, OTHER)],
            {"class": 1, "missed": 1},
            {"class": 0.5},
        ),
        ([(0, 0.9, NEAR)], [(0, BOX)], {"localisation": 1}, {"localisation": 1}),
        ([(1, 0.9, NEAR)], [(0, BOX), (1, OTHER)], {"both": 1, "missed": 2}, {}),
        ([(0, 0.9, BOX), (0, 0.8, BOX)], [(0, BOX)], {"duplicate": 1}, {}),
        # Precision 1/1, then 2/3 without mending: 51 points at 1, 50 at 2/3.
        (
            [(0, 0.9, BOX), (0, 0.8, BOX), (0, 0.7, OTHER)],
            [(0, BOX), (0, OTHER)],
            {"duplicate": 1},
            {"duplicate": 50 / 3 / 101},
        ),
        ([(0, 0.95, FAR), (0, 0.9, BOX)], [(0, BOX)], {"background": 1}, {"background": 0.5}),
        ([(0, 0.9, BOX)], [(0, BOX), (0, OTHER)], {"missed": 1}, {"missed": 50 / 101}),
    ],
)
def test_an_error_is_counted_by_its_kind_and_by_what_mending_it_brings(found, real, counts, gains):
    errors = CocoEvaluation([answer(*found)], [truth(*real)], 2).errors()
    assert errors["counts"] == dict.fromkeys(ERRORS, 0) | counts
    assert errors["gains"] == pytest.approx(dict.fromkeys(ERRORS, 0.0) | gains, abs=1e-9)


def test_what_lies_in_a_crowd_is_no_error():
    found, real = [(0, 0.9, (10, 10, 20, 20)), (0, 0.8, OTHER)], [(0, BOX), (0, OTHER)]
    errors = CocoEvaluation([answer(*found)], [truth(*real, crowd=[True, False])], 1).errors()
    assert errors["counts"] == dict.fromkeys(ERRORS, 0)
    assert errors["ap50"] == pytest.approx(1)


def test_errors_are_of_the_score_that_is_reported():
    for seed in range(20):
        evaluation = CocoEvaluation(*random_case(seed, ties=False), 3)
        ap50 = evaluation.numbers()["ap50"]
        assert evaluation.errors()["ap50"] == pytest.approx(ap50 or 0, abs=1e-9)


def test_calibration_is_the_share_of_right_ones_by_score():
    rows = [(0, 0.95, BOX), (0, 0.91, FAR), (1, 0.35, OTHER), (1, 0.31, FAR), (1, 0.32, BOX)]
    found = CocoEvaluation([answer(*rows)], [truth((0, BOX), (1, OTHER))], 3).calibration()
    assert found["count"].tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 2]
    assert found["right"][[3, 9]] == pytest.approx([1 / 3, 1 / 2])
    assert found["score"][[3, 9]] == pytest.approx([0.98 / 3, 0.93])
    assert np.isnan(found["right"][0])
    gaps = abs(1 / 3 - 0.98 / 3), 0.43
    assert found["ece"] == pytest.approx((3 * gaps[0] + 2 * gaps[1]) / 5)
    assert found["mce"] == pytest.approx(0.43)
    assert found["per_class_ece"] == [pytest.approx(gaps[1]), pytest.approx(gaps[0]), None]


def test_confusion_has_the_background_last():
    rows = [(1, 0.9, BOX), (0, 0.8, FAR), (1, 0.7, OTHER), (0, 0.2, OTHER)]
    real = truth((0, BOX), (1, OTHER), (1, (0, 200, 50, 250)))
    evaluation = CocoEvaluation([answer(*rows)], [real], 2)
    assert evaluation.confusion().tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert evaluation.confusion(0.85).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]


def test_a_set_without_boxes_has_no_numbers():
    evaluation = CocoEvaluation([answer()], [truth()], 2)
    assert set(map(str, evaluation.numbers().values())) == {"None", "[None, None]"}
    assert set(evaluation.errors()["counts"].values()) == {0}
    assert evaluation.confusion().sum() == 0


def test_the_best_threshold_has_the_largest_f1():
    rows = [(0, 0.9, BOX), (0, 0.8, FAR), (0, 0.7, OTHER), (0, 0.6, FAR), (1, 0.5, FAR)]
    real = truth((0, BOX), (0, OTHER), (1, (0, 200, 50, 250)))
    found = DetectionEvidence.of(["a"], [answer(*rows)], [real], 3)
    curve = threshold_curve(found, [0])
    assert curve.thresholds == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])
    assert curve.recall == pytest.approx([1 / 2, 1 / 2, 1, 1])
    assert curve.f1 == pytest.approx([2 / 3, 1 / 2, 4 / 5, 2 / 3])
    together, each = best_thresholds(found)
    assert together == pytest.approx(0.7)
    assert each == pytest.approx([0.7, 0.7, 0.7]), "classes without a right one: that of all"


def test_equal_scores_pass_a_threshold_together():
    rows = [(0, 0.5, BOX), (0, 0.5, FAR), (0, 0.4, OTHER)]
    found = DetectionEvidence.of(["a"], [answer(*rows)], [truth((0, BOX), (0, OTHER))], 1)
    curve = threshold_curve(found)
    assert curve.thresholds.tolist() == pytest.approx([0.5, 0.4])
    assert curve.precision == pytest.approx([1 / 2, 2 / 3])


def test_the_curve_is_what_the_evidence_scores_at_each_threshold():
    for seed in range(5):
        answers, truths = random_case(seed, images=8)
        found = DetectionEvidence.of([str(i) for i in range(len(truths))], answers, truths, 3)
        for classes, index in ((None, None), ([1], 1)):
            curve = threshold_curve(found, classes)
            for i in (0, len(curve.thresholds) // 2, -1):
                at = found.at(curve.thresholds[i])
                for score in ("precision", "recall", "f1"):
                    value = at.measure(score, None, class_index=index).value()
                    assert getattr(curve, score)[i] == pytest.approx(value, nan_ok=True)
        best, each = best_thresholds(found)
        assert found.at(best).measure("f1", None).value() == pytest.approx(
            np.nanmax(threshold_curve(found).f1)
        )
        assert len(each) == 3


def test_nothing_right_has_no_best_threshold():
    found = DetectionEvidence.of(["a"], [answer((0, 0.9, FAR))], [truth()], 2)
    assert np.isnan(threshold_curve(found).best)
    assert best_thresholds(found) == (0.5, [0.5, 0.5])
