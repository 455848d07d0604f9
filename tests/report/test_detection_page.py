"""The page of a detection: what it holds, what it survives, what it never does."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.report.detection_example import (
    CAT,
    NAMES,
    evidence_of,
    make_boxed,
    make_report,
    make_split,
    planted,
)
from tests.report.example import EMPTY
from tests.report.test_segmentation_page import Page
from tests.support.detections import answer, truth
from tfvision.metrics import Contract
from tfvision.metrics.coco import CocoEvaluation
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.intervals import wilson
from tfvision.report.boxes import box_colours, draw_boxes
from tfvision.report.detection_page import BoxLayer, DetectionReport, render
from tfvision.report.detection_scores import SplitDetections, split_detections
from tfvision.stats.bootstrap import interval

SECTIONS = [
    *("headline", "warnings", "curves", "classes", "ranking", "threshold", "errors", "confusion"),
    *("images", "stages", "conventions", "data", "shares", "exports", "time", "config"),
    *("environment", "issues"),
]


@pytest.fixture(scope="module")
def report():
    """Made once; tests replace its parts in a copy."""
    return make_report()


@pytest.fixture(scope="module")
def page(report):
    return Page(render(report))


def test_sections_come_in_order_and_tags_close(page):
    assert list(page.texts) == SECTIONS
    assert page.open == []


def test_page_needs_nothing_from_outside(report, page):
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attrs.get("href", "#").startswith("#")
    text = render(report)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_every_text_is_escaped():
    evil = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'
    row = {"severity": evil, "id": evil, "place": evil, "problem": evil, "advice": evil}
    boxed = replace(make_boxed(evil), split=evil, text=evil)
    hostile = make_report(
        **dict.fromkeys(("task", "arch", "run", "config", "command", "title"), evil),
        env={evil: evil},
        contract={evil: evil},
        warnings=[evil],
        issues=[row],
        timing={evil: 1.0},
        baselines=[{"name": evil, "explanation": evil, "val": 0.1, "test": 0.1}],
        exports=[{"file": evil, "loaded_with": evil, "bytes": 1}],
        galleries={"worst": [boxed]},
        stages=[boxed],
        scores={evil: make_split("test")},
    )
    hostile.data |= {"class_names": [evil, evil + "2"], "source": evil, "how": evil}
    hostile.data |= {"splits": {evil: 1}, "class_pixels": {evil: [1, 1]}}
    hostile.summary["operating_point"]["splits"] = {evil: {"f1": 0.5}}
    page = Page(render(hostile))
    assert not any(tag == "script" for tag, _ in page.elements)
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert page.open == []
    for section in SECTIONS:
        if section != "conventions":
            assert "alert(1)" in page.texts[section], section


def test_headline_has_the_score_with_the_bootstrap_interval(report, page):
    text = page.text("headline")
    measure = evidence_of("test").measure("ap", Contract())
    low, high = interval(measure, resamples=1000)
    assert 0 <= low < measure.value() < high <= 1
    assert report.scores["test"].intervals["ap"] == (low, high)
    assert f"95 % interval {low:.3f} to {high:.3f}, from 6 images with 12 boxes" in text
    assert text.index("test · AP") < text.index("val · AP")
    assert "AP50 1.000" in text  # of val, where all is found before what is wrong


def test_classes_and_sizes_have_intervals_and_undefined_ones_a_dash(report, page):
    text = page.text("classes")
    test, val = report.scores["test"], report.scores["val"]
    for k, name in enumerate(NAMES):
        row = []
        for split in (test, val):
            low, high = split.class_intervals[k]
            ap = split.metrics["per_class_ap"][k]
            row += [f"{ap:.3f}", f"{low:.3f} – {high:.3f}", f"{ap:.3f}", "6"]
        assert " ".join([name, *row, f"{[0.8, 0.75][k]:.3f}"]) in text
    assert "AP, large, from 96² pixels on – – – –" in text
    assert "test images, 1000 resamples" in text
    assert "chosen on validation" in text


def test_precision_over_recall_is_that_of_the_score(report, page):
    labels = [attrs["aria-label"] for tag, attrs in page.elements if tag == "svg"]
    for split in ("test", "val"):
        for iou in ("0.5", "0.75"):
            assert f"{split}: precision and recall at IoU {iou} by recall: cat, dog" in labels
    table = report.scores["test"].precision[0.5]
    each = [one.value() for one in evidence_of("test").classes("ap50", None)]
    assert np.allclose(table.mean(axis=0), each)
    # 5 of 6 dogs are found with nothing wrong before them; then recall ends.
    dog = "M0 0" + "".join(f"L{r} 0" for r in range(84))
    paths = [attrs["d"] for tag, attrs in page.elements if tag == "path"]
    assert dog in paths


def test_threshold_is_said_to_be_chosen_on_validation_and_marked(report, page):
    text = page.text("threshold")
    assert "The operating point is a score of 0.800 , chosen on validation" in text
    assert "val one threshold 1.000 1.000 1.000" in text
    assert "test one threshold 0.125 0.250 –" in text
    assert text.count("chosen on validation: 0.80") == 2
    marks = [a["style"] for _, a in page.elements if a.get("class") == "chosen"]
    assert marks.count("left:80.0%") == 2
    point = {**report.summary["operating_point"], "chosen_on": None, "threshold": 0.5}
    alone = Page(render(replace(report, summary={"operating_point": point}))).text("threshold")
    assert "a score of 0.500 , since validation chose none." in alone
    assert "Test had no say" not in alone


def test_calibration_says_how_far_scores_are_off(report, page):
    gap = report.scores["val"].calibration["ece"]
    assert f"Mean distance from the diagonal: {gap:.3f}" in page.text("threshold")
    assert gap == pytest.approx((12 * 0.2 + 6 * 0.3) / 18, abs=1e-6)


def test_errors_have_their_count_and_what_mending_gains(report, page):
    text = page.text("errors")
    found = report.scores["test"].errors
    assert found["counts"]["class"] == 1
    assert found["counts"]["background"] == 5
    for kind in found["counts"]:
        gain, count = found["gains"][kind], found["counts"][kind]
        assert f"{kind} {gain:+.3f}, {count} times" in text
    assert found["gains"]["class"] > 0
    widths = [a["style"] for t, a in page.elements if t == "i" and a.get("class") == "own"]
    assert "width:100.0%" in widths


def test_confusion_has_background(page):
    titles = [attrs.get("title") or "" for tag, attrs in page.elements if tag == "td"]
    assert "dog → cat: 1 boxes, 16.7 % of true dog" in titles  # above 0.8 only the wrong one
    assert "dog → background: 5 boxes, 83.3 % of true dog" in titles
    text = page.text("confusion")
    assert "83 % of dog: not found." in text
    assert "17 % of dog: taken for cat." in text
    assert "0 boxes lie on no object." in text


def test_boxes_lie_where_they_are_and_can_be_switched(page):
    elements = page.elements
    boxes = [a for t, a in elements if t == "i" and (a.get("title") or "").startswith("truth: cat")]
    cat, dog = box_colours(2)
    x1, y1, x2, y2 = CAT  # of 60 x 40 pixels
    shares = (100 * x1 / 60, 100 * y1 / 40, 100 * (x2 - x1) / 60, 100 * (y2 - y1) / 40)
    names = ("left", "top", "width", "height")
    place = [f"{n}:{round(v, 2)}%" for n, v in zip(names, shares, strict=True)]
    assert [box["style"] for box in boxes] == [";".join([*place, f"--c:{cat}"])] * 2
    predicted = [a for t, a in elements if a.get("title") == "prediction: cat 0.88"]
    assert [box["style"] for box in predicted] == [box["style"] for box in boxes]
    assert page.text("images").count("cat 0.88") == 2
    shown = [a["id"] for t, a in elements if t == "input"]
    assert shown == ["show-both", "show-truth", "show-prediction", "show-none"]
    assert [a["id"] for t, a in elements if t == "input" and "checked" in a] == ["show-both"]
    assert any(a.get("style", "").endswith(f"--c:{dog}") for _, a in elements)
    assert any(a.get("title") == "anchors: 0.81" for _, a in elements)


def test_a_crowd_is_named_and_drawn_otherwise():
    layer = BoxLayer("truth", np.array([CAT, CAT]), np.array([0, -3]))
    page = Page(render(make_report(galleries={"worst": [make_boxed("a", layers=[layer])]})))
    (crowd,) = [a for _, a in page.elements if a.get("title") == "truth: crowd of dog"]
    (box,) = [a for _, a in page.elements if a.get("title") == "truth: cat"]
    assert crowd["class"] == "crowd"
    assert "class" not in box
    picture = np.zeros((40, 60), np.uint8)
    solid, dashed = (
        draw_boxes(picture, np.array([CAT]), np.array([k]), ["", "x"]) for k in (0, -2)
    )
    assert 0 < (dashed != 0).sum() != (solid != 0).sum()


def test_of_many_boxes_names_are_said_when_pointed_at():
    layer = BoxLayer("prediction", np.array([CAT] * 40), np.zeros(40, int), np.full(40, 0.9))
    page = Page(render(make_report(galleries={"worst": [make_boxed("a", layers=[layer])]})))
    assert "cat 0.90" not in page.text("images")
    assert sum(a.get("title") == "prediction: cat 0.90" for _, a in page.elements) == 40


def test_history_is_drawn_by_head_and_term(page):
    text = page.text("curves")
    for part in ("rpn: cross_entropy", "head: smooth_l1", "AP50", "best: epoch 2, 0.400"):
        assert part in text


def test_boxes_of_each_class_are_counted(page):
    assert "cat 20 12 6 6" in page.text("shares")


def test_intervals_of_too_many_boxes_are_left_out(report):
    bare = replace(report.scores["test"], intervals={}, class_intervals=[], resamples=0)
    page = Page(render(replace(report, scores={"test": bare})))
    assert "No interval: 6 images with 12 boxes" in page.text("headline")
    assert "none here, for too few images, or so many boxes" in page.text("classes")


MISSING = {
    "no truth": {"scores": {}, "galleries": {}, "stages": []},
    "no epochs": {"history": [], "summary": {"epochs": 0, "best_epoch": None}},
    "all NaN": {"history": [{"epoch": 1, "loss": math.nan, "val_ap": None}]},
    "no data": {"data": {}, "scores": {}, "galleries": {}, "stages": []},
    "bare scores": {"scores": {"test": SplitDetections({})}},
    "no lists": {"issues": [], "exports": [], "timing": {}, "contract": {}, "env": {}},
}


@pytest.mark.parametrize("changes", MISSING.values(), ids=MISSING.keys())
def test_missing_parts_are_said_so(report, changes):
    page = Page(render(replace(report, **changes)))
    assert set(SECTIONS) - set(page.texts) <= {"stages"}
    assert page.open == []
    assert all(text.strip() for text in page.texts.values())
    visible = " ".join(page.texts.values())
    assert not re.search(r"\b(nan|inf|undefined)\b", visible, re.IGNORECASE)
    assert "nan" not in " ".join(attrs.get("style") or "" for _, attrs in page.elements)


def test_a_report_of_nothing_at_all():
    page = Page(render(DetectionReport(**EMPTY)))
    assert [s for s in SECTIONS if s not in ("warnings", "stages")] == list(page.texts)
    assert "no score" in page.text("headline")
    assert "no operating point" in page.text("threshold")


@pytest.mark.parametrize("right", [0, 1, 40])
def test_the_interval_of_strings_is_that_of_a_share_of_images(right):
    """Also where none or all are read right."""
    evidence = evidence_of("val", images=40)
    spans = np.where(np.arange(40)[:, None] < right, [0.0, 1.0], 0.0)
    evidence = replace(evidence, spans=spans, read_from=np.full(40, 0.5))
    given = {"metrics": {}, "errors": None, "threshold": 0.5, "contract": Contract()}
    evaluation = CocoEvaluation(*planted("val", 40), 2)
    found = split_detections(evidence, evaluation, **given).intervals["string_accuracy"]
    assert found == pytest.approx(wilson(right, 40))
    assert found[1] - found[0] > 0.08
    pairs = [f"{i // 2}" for i in range(40)]
    grouped = split_detections(evidence, evaluation, **given, groups=pairs)
    assert grouped.intervals["string_accuracy"] != pytest.approx(found)


def test_no_detection_at_all_is_a_page_too():
    answers, truths = [answer()] * 3, [truth((0, CAT))] * 3
    evidence = DetectionEvidence.of(["a", "b", "c"], answers, truths, 2)
    evaluation = CocoEvaluation(answers, truths, 2)
    split = split_detections(
        evidence,
        evaluation,
        metrics={"ap": 0.0, "num_images": 3, "num_boxes": 3},
        errors=evaluation.errors(),
        threshold=0.5,
        contract=Contract(),
    )
    page = Page(render(make_report(scores={"test": split})))
    assert "100 % of cat: not found." in page.text("confusion")
    assert re.search(r"missed \S+, 3 times", page.text("errors"))
