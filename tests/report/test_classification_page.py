"""The page of a classification: what it holds, what it survives, what it never does."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.report.classification_example import (
    NAMES,
    make_mistake,
    make_report,
    make_result,
    predicted,
)
from tests.report.example import EMPTY
from tests.report.test_segmentation_page import Page
from tfvision.metrics import Contract
from tfvision.metrics.intervals import wilson
from tfvision.report.classification_page import (
    ClassificationReport,
    render,
)
from tfvision.report.classification_scores import SplitResult, split_result
from tfvision.report.shared import write_page

SECTIONS = [
    "headline",
    "warnings",
    "curves",
    "classes",
    "confusion",
    "ranking",
    "calibration",
    "mistakes",
    "conventions",
    "data",
    "shares",
    "exports",
    "time",
    "config",
    "environment",
    "issues",
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
    names = [evil, evil + "2", evil + "3"]
    row = {"severity": evil, "id": evil, "place": evil, "problem": evil, "advice": evil}
    hostile = make_report(
        task=evil,
        arch=evil,
        run=evil,
        config=evil,
        command=evil,
        env={evil: evil},
        contract={evil: evil},
        warnings=[evil],
        issues=[row],
        timing={evil: 1.0},
        baselines=[{"name": evil, "explanation": evil, "val": 0.1, "test": 0.1}],
        exports=[{"file": evil, "loaded_with": evil, "bytes": 1}],
        mistakes=[replace(make_mistake(evil), split=evil, truth=evil, prediction=evil)],
        scores={evil: make_result(names=names, fitted_on=evil)},
    )
    hostile.data |= {"class_names": names, "source": evil, "layout": evil, "how": evil}
    hostile.data |= {"splits": {evil: 1}, "class_images": {evil: [1, 1, 1]}, "input": evil}
    page = Page(render(hostile))
    assert not any(tag == "script" for tag, _ in page.elements)
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert page.open == []
    for section in SECTIONS:
        assert "alert(1)" in page.texts[section], section


def test_headline_has_score_interval_and_verdict(report, page):
    text = page.text("headline")
    test, val = report.scores["test"], report.scores["val"]
    assert text.index(f"{test.value:.3f}") < text.index(f"{val.value:.3f}")  # test first
    low, high = test.interval
    assert 0 < low < test.value < high < 1
    assert f"95 % interval {low:.3f} to {high:.3f}, from 40 images" in text
    assert f"{test.value - 0.18:+.3f} over majority class" in text
    assert "The whole interval lies above majority class." in text
    assert "macro-F1 is its mean over the classes" in text


def test_headline_owns_up_to_a_useless_and_to_an_undecided_model(report):
    bad = [{"name": "majority class", "val": 0.99, "test": 0.99}]
    assert "Not better than majority class" in Page(render(replace(report, baselines=bad))).text(
        "headline"
    )
    test = report.scores["test"]
    near = [{"name": "nearest image", "test": (test.interval[0] + test.value) / 2}]
    text = Page(render(replace(report, baselines=near, scores={"test": test}))).text("headline")
    assert "reaches down to nearest image: these images cannot tell the two apart" in text


def test_classes_have_their_numbers_and_undefined_ones_a_dash():
    labels, probabilities, counts = predicted()
    options = {"contract": Contract(), "class_names": [*NAMES, "unseen"], "metric": "macro_f1"}
    wide = np.zeros((len(counts), 4, 4), int)
    wide[:, :3, :3] = counts
    padded = np.concatenate([probabilities, np.zeros((len(labels), 1))], axis=1)
    result = split_result(wide, padded, labels, **options)
    report = make_report(scores={"test": result})
    report.data["class_names"] = [*NAMES, "unseen"]
    page = Page(render(report))
    text = page.text("classes")
    for name, row in result.scores["per_class"].items():
        if row["support"]:
            numbers = [f"{row[k]:.3f}" for k in ("f1", "precision", "recall", "roc_auc")]
            assert " ".join([name, *numbers, str(row["support"])]) in text
    assert "unseen – – – – 0" in text
    assert f"accuracy {result.scores['accuracy']:.3f}" in text
    assert "nan" not in " ".join(page.texts.values()).lower()


def test_confusion_counts_images(page):
    titles = [attrs.get("title") or "" for tag, attrs in page.elements if tag == "td"]
    assert any(re.fullmatch(r"stop → stop: \d+ images, .* of true stop", t) for t in titles)


def test_curves_are_drawn_for_every_class_of_every_split(page):
    labels = [attrs["aria-label"] for tag, attrs in page.elements if tag == "svg"]
    for split in ("test", "val"):
        assert (
            f"{split}: ROC, each class against the rest by false positive rate: "
            "stop, yield, speed 30" in labels
        )
        assert f"{split}: precision and recall by recall: stop, yield, speed 30" in labels
        assert f"{split}: reliability by confidence: as trained, with temperature" in labels
    assert "guessing" in page.text("ranking")


def test_of_many_classes_the_weakest_curves_are_drawn():
    names = [f"kind{k:02}" for k in range(14)]
    result = make_result(names=names)
    for k, row in enumerate(result.scores["per_class"].values()):
        row["roc_auc"] = 1 - k / 20
    report = make_report(scores={"test": result}, history=[])
    report.data |= {"class_names": names, "num_classes": 14, "class_images": {}}
    text = Page(render(report)).text("ranking")
    assert "kind02" in text
    assert "kind01" not in text
    assert "The 12 weakest classes." in text


def test_calibration_stands_before_and_after(report, page):
    text = page.text("calibration")
    test = report.scores["test"]
    before, after = test.scores["ece"], test.calibrated["ece"]
    assert f"calibration error {before:.3f} {after:.3f}" in text
    assert re.search(r"Temperature [\d.]+, fitted on val\.", text)
    plain = make_result(calibrated=None)
    alone = Page(render(make_report(scores={"test": plain}))).text("calibration")
    assert "Temperature" not in alone.replace("A temperature", "")
    assert f"calibration error {plain.scores['ece']:.3f}" in alone


def test_mistakes_come_in_the_given_order_with_their_attention():
    first = make_mistake("sign_7", attention=np.zeros((8, 12, 3), np.uint8))
    page = Page(render(make_report(mistakes=[first, make_mistake("sign_9", confidence=0.6)])))
    text = page.text("mistakes")
    assert "stop taken for speed 30 , 98 % test · sign_7" in text
    assert text.index("sign_7") < text.index("sign_9")
    alts = [attrs["alt"] for tag, attrs in page.elements if tag == "img"]
    assert alts == ["image sign_7", "what the model looked at in sign_7", "image sign_9"]
    many = Page(render(make_report(mistakes=[make_mistake(f"m{k}") for k in range(30)])))
    assert "The first 24 of 30." in many.text("mistakes")


def test_history_is_drawn_with_baseline_and_best_epoch(page):
    text = page.text("curves")
    for title in ("Loss", "Scores on validation", "F1 of each class", "Learning rate"):
        assert title in text
    for part in ("macro-F1", "accuracy of pieces", "majority class 0.17", "best: epoch 3, 0.500"):
        assert part in text


def test_images_and_pieces_of_each_class_are_counted(page):
    text = page.text("shares")
    assert "train , 120 images" in text
    assert "train , 300 pieces" in text
    assert "stop 60 20 15 180" in text
    assert "crop, margin 0.1" in page.text("data")


def test_pieces_and_post_processing_have_columns_of_their_own(page):
    assert "post-processed" not in page.text("classes")
    pieces = {**make_result().scores, "accuracy": 0.432, "num_images": 99}
    _, _, counts = predicted(seed=5)
    result = make_result(pieces=pieces, processed=counts)
    with_both = Page(render(make_report(scores={"test": result})))
    assert "of the 99 pieces before they are joined 43.2 %" in with_both.text("headline")
    assert f"after post-processing {result.post_value:.3f}" in with_both.text("headline")
    assert "F1 post-processed F1 of pieces" in with_both.text("classes")


MISSING = {
    "no labels": {"scores": {}, "mistakes": [], "baselines": []},
    "no epochs": {"history": [], "summary": {"epochs": 0, "best_epoch": None}},
    "one epoch": {"history": [{"epoch": 1, "loss": 2.0, "val_accuracy": 0.4}]},
    "all NaN": {"history": [{"epoch": 1, "loss": math.nan, "val_macro_f1": None}]},
    "no data": {"data": {}},
    "bare scores": {"scores": {"test": SplitResult(np.eye(3, dtype=int), {})}},
    "no lists": {"issues": [], "exports": [], "timing": {}, "contract": {}, "env": {}},
    "no mistakes": {"mistakes": []},
    "no baselines": {"baselines": []},
}


@pytest.mark.parametrize("changes", MISSING.values(), ids=MISSING.keys())
def test_missing_parts_are_said_so(report, changes):
    page = Page(render(replace(report, **changes)))
    assert list(page.texts) == SECTIONS
    assert page.open == []
    assert all(text.strip() for text in page.texts.values())
    visible = " ".join(page.texts.values())
    assert not re.search(r"\b(nan|inf|undefined)\b", visible, re.IGNORECASE)
    assert "nan" not in " ".join(attrs.get("style") or "" for _, attrs in page.elements)


def test_a_report_of_nothing_at_all():
    empty = ClassificationReport(**EMPTY, mistakes=[])
    page = Page(render(empty))
    assert list(page.texts) == [section for section in SECTIONS if section != "warnings"]
    assert "no score" in page.text("headline")
    assert "no probabilities" in page.text("ranking")


def test_accuracy_of_independent_images_has_the_interval_of_wilson():
    _, _, counts = predicted()
    right = int(np.trace(counts.sum(axis=0)))
    result = make_result(metric="accuracy")
    assert result.interval == wilson(right, 40)
    groups = [f"patient {k // 4}" for k in range(40)]
    grouped = make_result(metric="accuracy", groups=groups)
    assert grouped.interval != result.interval
    assert grouped.value == result.value == right / 40
    text = Page(render(make_report(scores={"test": result}))).text("headline")
    assert "Accuracy is the share of the images that are right" in text


def test_ignored_labels_are_in_no_curve():
    labels, probabilities, _ = predicted(count=40)
    void = np.where(np.arange(40) < 10, -1, labels)
    counts = np.zeros((40, 3, 3), int)
    counts[np.arange(40), labels, probabilities.argmax(axis=1)] = void >= 0
    given = {"class_names": NAMES, "metric": "accuracy", "contract": Contract(ignore_labels=(-1,))}
    result = split_result(counts, probabilities, void, **given)
    cut = split_result(counts[10:], probabilities[10:], labels[10:], **given)
    assert sum(row["num_images"] for row in result.reliability) == 30
    assert result.scores == cut.scores
    assert result.interval == cut.interval
    for one, other in zip(result.roc, cut.roc, strict=True):
        assert np.array_equal(one, other)


def test_write_report_replaces_the_file_and_takes_ids_that_are_no_text(tmp_path, report):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_page(path, render(replace(report, mistakes=[make_mistake("a\udcff")])))
    text = path.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert "a\\udcff" in text
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
