"""Detections as evidence: COCO's corner cases, pycocotools to the last bit, and its parts."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.detections import answer, pycoco, random_case, truth
from tfvision.engine.evidence_file import read_evidence_file, write_evidence
from tfvision.errors import InputError
from tfvision.metrics import DETECTION_METRICS
from tfvision.metrics.coco import NUMBERS, CocoEvaluation, coco_numbers
from tfvision.metrics.coco_matching import RANGES
from tfvision.metrics.contract import Contract
from tfvision.metrics.detection_metric import DetectionMetric
from tfvision.metrics.detections import DetectionEvidence
from tfvision.registry import Spec

BOX, OTHER = (0, 0, 100, 100), (200, 200, 300, 300)


def evidence(answers, truths, classes: int = 3, **more) -> DetectionEvidence:
    return DetectionEvidence.of(
        [f"image {i}" for i in range(len(truths))], answers, truths, classes, **more
    )


def score(name: str, answers, truths, classes: int = 1) -> float:
    """By the evidence; by hotcoco and pycocotools the same, to the last bit."""
    found = evidence(answers, truths, classes).measure(name, None).value()
    number = pycoco(answers, truths, classes).stats[NUMBERS.index(name)]
    other = coco_numbers(answers, truths, classes)[name]
    assert (number, None if np.isnan(found) else found) == (-1 if np.isnan(found) else found, other)
    return found


def check_case(seed: int) -> None:
    answers, truths = random_case(seed)
    expected = pycoco(answers, truths, 3)
    found = evidence(answers, truths)
    numbers = coco_numbers(answers, truths, 3)
    for name, value in zip(NUMBERS, expected.stats, strict=True):
        assert numbers[name] == (None if value < 0 else value), (seed, name)
        own = found.measure(name, None).value()
        assert (-1 if np.isnan(own) else own) == value, (seed, name)
    for place, name in enumerate(RANGES):
        measure = found.measure("ap" if name == "all" else f"ap_{name}", None)
        precision = expected.eval["precision"][..., place, 2]
        assert np.array_equal(np.nan_to_num(measure.precision(), nan=-1), precision), (seed, name)


def test_random_sets_are_scored_as_by_pycocotools_to_the_last_bit():
    for seed in range(200):
        check_case(seed)


@pytest.mark.slow
def test_a_thousand_random_sets_are_scored_as_by_pycocotools_to_the_last_bit():
    for seed in range(200, 1200):
        check_case(seed)


def test_crowds_among_the_classes_are_scored_as_by_pycocotools_from_a_file_too(tmp_path):
    crowds = 0
    for seed in range(300, 360):
        answers, truths = random_case(seed)
        coded = [dict(one) for one in truths]
        for one in coded:
            crowd = one.pop("crowd")
            one["classes"] = np.where(crowd, -2 - one["classes"], one["classes"])
            crowds += crowd.sum()
        path = tmp_path / f"{seed}_detections.npz"
        write_evidence(path, evidence(answers, coded))
        found = read_evidence_file(path, DetectionEvidence, remedy="Anew.")
        for key, value in evidence(answers, truths).arrays().items():
            np.testing.assert_array_equal(found.arrays()[key], value)
        for name, value in zip(NUMBERS, pycoco(answers, truths, 3).stats, strict=True):
            own = found.measure(name, None).value()
            assert (-1 if np.isnan(own) else own) == value, (seed, name)
        assert coco_numbers(answers, coded, 3) == coco_numbers(answers, truths, 3)
    assert crowds > 50


def bits(found: DetectionEvidence, area: str = "all") -> list[tuple[bool, bool]]:
    """Whether each detection is matched, and ignored, at IoU 0.5."""
    place = list(RANGES).index(area)
    columns = (found.matched[:, place] & 1, found.ignored[:, place] & 1)
    return [(bool(a), bool(b)) for a, b in zip(*columns, strict=True)]


RIGHT, WRONG, LEFT_OUT, UNCOUNTED = (True, False), (False, False), (True, True), (False, True)


def test_an_iou_that_is_the_threshold_is_enough():
    half = (0, 0, 100, 50)
    assert score("ap50", [answer((0, 0.9, half))], [truth((0, BOX))]) == pytest.approx(1)
    assert score("ap", [answer((0, 0.9, half))], [truth((0, BOX))]) == pytest.approx(0.1)


def test_of_equal_ious_the_later_truth_is_taken():
    upper, lower = (0, 0, 100, 60), (0, 40, 100, 100)  # IoU 0.6 with BOX, 0.2 with each other
    answers, truths = [answer((0, 0.9, BOX), (0, 0.8, upper))], [truth((0, upper), (0, lower))]
    assert bits(evidence(answers, truths)) == [RIGHT, RIGHT]
    assert bits(evidence(answers, [truth((0, lower), (0, upper))])) == [RIGHT, WRONG]
    assert score("ar100", answers, truths) == pytest.approx((3 * 1 + 7 * 0.5) / 10)


@pytest.mark.parametrize("order", [1, -1])
def test_a_truth_that_counts_goes_before_an_ignored_one_of_a_larger_iou(order):
    rows, crowd = [(0, BOX), (0, (0, 0, 100, 60))][::order], [True, False][::order]
    answers, truths = [answer((0, 0.9, BOX))], [truth(*rows, crowd=crowd)]
    assert bits(evidence(answers, truths)) == [RIGHT]
    assert score("ap50", answers, truths) == pytest.approx(1)


def test_a_crowd_takes_many_detections_that_lie_in_it():
    small = [(x, 0, x + 10, 10) for x in (0, 20, 40)]
    answers = [answer(*((0, 0.9, box) for box in small), (0, 0.5, OTHER))]
    truths = [truth((0, BOX), (0, OTHER), crowd=[True, False])]
    assert bits(evidence(answers, truths)) == [LEFT_OUT] * 3 + [RIGHT]
    assert score("ap", answers, truths) == pytest.approx(1)


def test_a_truth_ignored_for_its_area_is_taken_once():
    answers, truths = [answer((0, 0.9, BOX), (0, 0.8, BOX))], [truth((0, BOX))]
    assert bits(evidence(answers, truths), "small") == [LEFT_OUT, UNCOUNTED]
    assert bits(evidence(answers, truths), "large") == [RIGHT, WRONG]


def test_bounds_of_areas_belong_to_both_ranges():
    answers, truths = [answer((0, 0.9, (0, 0, 32, 32)))], [truth((0, (0, 0, 32, 32)))]
    assert evidence(answers, truths, 1).truths.tolist() == [[[1, 1, 1, 0]]]
    assert score("ap_small", answers, truths) == score("ap_medium", answers, truths) > 0.99
    assert np.isnan(score("ap_large", answers, truths))


def test_the_area_of_a_truth_is_the_annotated_one():
    answers, truths = [answer((0, 0.9, BOX))], [truth((0, BOX), area=[500.0])]
    assert score("ap_small", answers, truths) > 0.99
    assert np.isnan(score("ap_large", answers, truths))


def test_a_detection_outside_the_range_that_takes_nothing_is_ignored():
    small = (0, 0, 20, 20)
    answers, truths = [answer((0, 0.9, OTHER), (0, 0.8, small))], [truth((0, small))]
    assert bits(evidence(answers, truths), "small") == [UNCOUNTED, RIGHT]
    assert score("ap_small", answers, truths) == pytest.approx(1)
    assert score("ap", answers, truths) == pytest.approx(0.5)


def test_equal_scores_stand_in_the_order_of_images():
    right, wrong = answer((0, 0.5, BOX)), answer((0, 0.5, OTHER))
    real, none = truth((0, BOX)), truth()
    assert score("ap", [right, wrong], [real, none]) == pytest.approx(1)
    assert score("ap", [wrong, right], [none, real]) == pytest.approx(0.5)


def test_the_most_detections_are_of_an_image_and_class():
    false = [(0, 0.9, OTHER)] * 100
    assert score("ap", [answer(*false, (0, 0.1, BOX))], [truth((0, BOX))]) == 0
    assert score("ap", [answer(*false[:-1], (0, 0.1, BOX))], [truth((0, BOX))]) > 0
    assert score("ap", [answer(*false, (1, 0.1, BOX))], [truth((1, BOX))], 2) > 0.99


def test_recall_counts_the_best_detections_of_each_image_and_class():
    rows = [(0, (100 * i, 0, 100 * i + 50, 50)) for i in range(20)]
    answers = [answer(*((k, 0.9 - i / 100, box) for i, (k, box) in enumerate(rows)))]
    for name, expected in (("ar1", 0.05), ("ar10", 0.5), ("ar100", 1)):
        assert score(name, answers, [truth(*rows)]) == pytest.approx(expected)


def test_a_class_without_a_truth_is_left_out_of_the_mean():
    answers, truths = [answer((0, 0.9, BOX), (1, 0.9, OTHER))], [truth((0, BOX))]
    assert score("ap", answers, truths, 3) == score("ap", answers, truths[:1], 2) > 0.99
    assert np.isnan(evidence(answers, truths).measure("ap", None, class_index=1).value())
    assert np.isnan(score("ap", [answer()], [truth()])), "no truth at all"
    assert score("ap", [answer()], [truth((0, BOX))]) == 0, "no detection at all"


def test_precision_has_the_spacing_of_one_below_it():
    answers, truths = [answer((0, 0.9, BOX))], [truth((0, BOX))]
    precision = evidence(answers, truths, 1).measure("ap50", None).precision()
    assert set(precision.ravel()) == {1 / (1 + 2**-52)} == {0.9999999999999998}
    assert score("ap50", answers, truths) < 1


def test_the_first_annotation_counts():
    # pycocotools reads a match with an annotation of id 0 as none: 0.5 in place of 1.
    answers, truths = [answer((0, 0.9, BOX), (0, 0.8, OTHER))], [truth((0, BOX), (0, OTHER))]
    assert score("ar100", answers, truths) == 1


def test_what_a_file_says_to_ignore_is_its_crowds_alone():
    answers, truths = [answer((0, 0.9, BOX))], [truth((0, BOX), ignore=[True])]
    assert score("ap", answers, truths) > 0.99


def test_a_box_without_area_takes_nothing():
    flat = (10, 10, 10, 50)
    assert bits(evidence([answer((0, 0.9, flat))], [truth((0, flat))])) == [WRONG]
    assert score("ap", [answer((0, 0.9, flat))], [truth((0, flat), (0, BOX))]) == 0


def test_padding_is_no_box():
    answers, truths = [answer((0, 0.9, BOX), (-1, 0, (0, 0, 0, 0)))], [truth((0, BOX), (-1, BOX))]
    found = evidence(answers, truths)
    assert (found.number.tolist(), found.truths[:, :, 0].sum()) == ([1], 1)
    assert coco_numbers(answers, truths, 3)["ap"] > 0.99


def planted() -> DetectionEvidence:
    """Two images, class 0: right 0.9, wrong 0.7, right 0.5, one missed; class 1: wrong 0.6."""
    first = answer((0, 0.9, BOX), (0, 0.7, (150, 0, 180, 30)), (1, 0.6, OTHER))
    truths = [truth((0, BOX), (0, OTHER)), truth((0, BOX))]
    return evidence([first, answer((0, 0.5, BOX))], truths, 2)


@pytest.mark.parametrize(
    ("threshold", "precision", "recall", "f1"),
    [(0.5, 2 / 4, 2 / 3, 4 / 7), (0.65, 1 / 2, 1 / 3, 2 / 5), ((0.8, 0.1), 1 / 2, 1 / 3, 2 / 5)],
)
def test_precision_recall_and_f1_are_of_all_boxes_at_the_operating_point(
    threshold, precision, recall, f1
):
    found = planted().at(threshold)
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert found.measure(name, None).value() == pytest.approx(expected), name


def test_classes_are_scored_alone_and_left_out():
    found = planted()
    assert found.measure("precision", None, class_index=0).value() == pytest.approx(2 / 3)
    assert found.measure("precision", None, class_index=1).value() == 0
    assert found.measure("precision", Contract(exclude_classes=(1,))).value() == pytest.approx(
        2 / 3
    )
    alone = found.measure("ap", None, class_index=0).value()
    assert alone == found.measure("ap", Contract(exclude_classes=(1,))).value()
    assert found.summary(None)["per_class_ap"] == [alone, None]
    answers, truths = random_case(8)
    each = evidence(answers, truths).summary(None)["per_class_ap"]
    assert each == coco_numbers(answers, truths, 3)["per_class_ap"]
    with pytest.raises(InputError, match=r"Unknown score: 'map'.*ap50"):
        found.measure("map", None)


def test_ap_at_each_iou_and_their_mean():
    found = evidence(*random_case(3))
    each = [found.measure(f"ap{iou}", None).value() for iou in range(50, 100, 5)]
    assert np.mean(each) == pytest.approx(found.measure("ap", None).value(), abs=1e-15)
    assert each == sorted(each, reverse=True)


def test_every_score_can_be_named_in_a_config():
    assert tuple(DETECTION_METRICS) == DetectionEvidence.scores
    for name in ("ap", "ap50", "ap75", "ap_small", "ar100", "f1"):
        metric = DETECTION_METRICS.build(Spec(name=name, exclude_classes=[1]), num_classes=3)
        assert isinstance(metric, DetectionMetric)
        assert metric.contract == Contract(exclude_classes=(1,))
    with pytest.raises(InputError, match=r"exclude_classes must lie in 0\.\.2"):
        DETECTION_METRICS.build(Spec(name="ap", exclude_classes=[3]), num_classes=3)


def test_images_are_taken_joined_and_scored_alone():
    answers, truths = random_case(5, images=6)
    found = evidence(answers, truths, thresholds=[0.1, 0.2, 0.3])
    rows = [4, 0, 4, 2]
    taken = found.take(rows)
    anew = evidence([answers[i] for i in rows], [truths[i] for i in rows])
    assert taken.ids == [f"image {i}" for i in rows]
    assert np.array_equal(taken.thresholds, np.tile([0.1, 0.2, 0.3], (4, 1)))
    for key in ("truths", "checksum", "number", "label", "score", "matched", "ignored"):
        assert np.array_equal(getattr(taken, key), getattr(anew, key)), key
    joined = DetectionEvidence.join([found.take([0, 1]), found.take([2, 3, 4, 5])])
    assert joined.summary(None) == found.summary(None)
    alone = [found.take([i]).measure("ap", None).value() for i in range(6)]
    assert np.array_equal(found.image_scores("ap", None), alone, equal_nan=True)


def test_no_images_have_no_score():
    found = evidence(*random_case(5)).take([])
    assert (len(found), found.num_classes) == (0, 3)
    assert {key for key, value in found.summary(None).items() if value is not None} == {
        "num_images",
        "per_class_ap",
    }


@pytest.mark.parametrize("ruled", [False, True])
def test_a_file_gives_back_what_was_written(tmp_path, ruled):
    found = evidence(*random_case(7))
    if ruled:
        answers, truths = random_case(7)
        kept = [{key: value[:2] for key, value in one.items()} for one in answers]
        found = evidence(kept, truths).after(found)
    write_evidence(tmp_path / "val_detections.npz", found)
    again = read_evidence_file(tmp_path / "val_detections.npz", DetectionEvidence, remedy="Anew.")
    for array in found.arrays():
        assert np.array_equal(found.arrays()[array], again.arrays()[array]), array
    assert again.processed is ruled
    if ruled:
        taken = again.take([2, 1]).before
        assert taken.summary(None) == found.before.take([2, 1]).summary(None)


def test_a_file_whose_arrays_do_not_fit_is_refused(tmp_path):
    for key, cut in (("score", slice(1, None)), ("truths", np.s_[:, :, :3])):
        arrays = evidence(*random_case(7)).arrays()
        arrays[key] = arrays[key][cut]
        np.savez(tmp_path / "cut.npz", **arrays)
        with pytest.raises(InputError, match=rf"cut.npz cannot be read \({key} must be .* Anew"):
            read_evidence_file(tmp_path / "cut.npz", DetectionEvidence, remedy="Anew.")


def test_a_digest_tells_truths_apart_and_not_the_order_of_boxes():
    rows = [(0, BOX), (1, OTHER)]
    truths = [truth(*rows), truth(*rows[::-1]), truth((0, BOX), (1, (200, 200, 300, 301)))]
    truths += [truth((1, BOX), (0, OTHER)), truth(*rows, crowd=[True, False]), truth()]
    digest = evidence([answer()] * len(truths), truths).digest()
    same = (digest == digest[0]).all(axis=1)
    assert same.tolist() == [True, True, False, False, False, False]
    assert evidence([answer()] * 2, truths[:2]).presence().tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize(
    ("found", "real", "message"),
    [
        (answer((3, 0.9, BOX)), truth(), r"Classes of detections .* 0\.\.2; received 3 in image 1"),
        (answer(), truth((7, BOX)), r"Classes of truths .* received 7 in image 1"),
        (answer((0, np.nan, BOX)), truth(), r"detections must be finite .* image 1 .* score nan"),
        (answer(), truth((0, (0, 0, np.inf, 1))), r"truths must be finite .* image 1"),
        (
            {**answer((0, 0.9, BOX)), "scores": np.zeros(2)},
            truth(),
            r"detections of image 1 .* \(1,\)",
        ),
        (answer(), truth((0, BOX), area=[1.0, 2.0]), r"truths of image 1 must have area of shape"),
    ],
)
def test_what_cannot_be_scored_is_refused(found, real, message):
    answers, truths = [answer((0, 0.9, BOX)), found], [truth((0, BOX)), real]
    for take in (evidence, lambda *both: CocoEvaluation(*both, 3)):
        with pytest.raises(InputError, match=message):
            take(answers, truths)


def test_answers_of_other_images_are_refused():
    with pytest.raises(InputError, match="1 ids came with detections of 2 images and truths of 1"):
        DetectionEvidence.of(["a"], [answer(), answer()], [truth()], 1)
    with pytest.raises(InputError, match="of the same images; received 2 and 1"):
        CocoEvaluation([answer(), answer()], [truth()], 1)


def test_strings_of_a_fold_are_read_at_the_threshold_of_the_others():
    """Each fold has a threshold of its own at which all its strings are right."""
    found = evidence(*random_case(3, images=6))
    folds = [0, 0, 0, 1, 1, 1]
    spans = np.array([[0.0, 0.2]] * 3 + [[0.7, 1.0]] * 3)
    own = replace(found, spans=spans, read_from=np.array([0.1] * 3 + [0.9] * 3))
    assert own.measure("string_accuracy", None).value() == 1
    assert own.over_folds("string_accuracy", None, folds=folds).value() == 0
    assert own.out_of_fold(folds).measure("string_accuracy", None).value() == 0
    joined = DetectionEvidence.join([own.take([0, 1]), own.take([2, 3, 4, 5])])
    np.testing.assert_array_equal(joined.spans, spans)
    grouped = own.measure("string_accuracy", None, groups=list("aabbcc"))
    assert (grouped.num_units, grouped.value()) == (3, 1)


def test_strings_that_are_not_read_have_no_accuracy_in_folds_either():
    found = evidence(*random_case(3, images=4))
    for one in (found, found.out_of_fold([0, 0, 1, 1])):
        assert np.isnan(one.measure("string_accuracy", None).value())
    assert np.isnan(found.over_folds("string_accuracy", None, folds=[0, 0, 1, 1]).value())
    assert found.summary(None)["string_accuracy"] is None
