"""The numbers of the report's tables."""

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from tests.report.example import NAMES, make_report, scores_of
from tfvision.report import tables


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (tables.score, 0.7125, "0.713"),
        (tables.score, None, "–"),
        (tables.percent, 0.123, "12.3 %"),
        (tables.percent, 0.0, "0.0 %"),
        (tables.percent, 0.0004, "< 0.1 %"),
        (tables.percent, math.nan, "–"),
        (tables.count, 312345, "312\u202f345"),
        (tables.count, None, "–"),
        (tables.size, 512, "512 bytes"),
        (tables.size, 3_512_334, "3.51 MB"),
        (tables.size, 2.5e9, "2.5 GB"),
        (tables.size, None, "–"),
        (tables.duration, 0.25, "0.25 s"),
        (tables.duration, 4.2, "4.2 s"),
        (tables.duration, 59.99, "1 min 0 s"),
        (tables.duration, 210.4, "3 min 30 s"),
        (tables.duration, 7500, "2 h 5 min"),
        (tables.duration, None, "–"),
    ],
)
def test_formats(function, value, text):
    assert function(value) == text


def test_flatten_names_what_is_nested():
    tree = {"python": "3.11", "versions": {"keras": "3.15"}, "devices": ["a", "b"], "gpu": None}
    assert tables.flatten({**tree, "ignored": []}) == [
        ("python", "3.11"),
        ("versions.keras", "3.15"),
        ("devices", "a, b"),
        ("gpu", "none"),
        ("ignored", "none"),
    ]


def test_class_rows_put_each_number_under_its_class():
    report = make_report()
    classes = [{"index": k, "name": name, "colour": "#000"} for k, name in enumerate(NAMES)]
    rows = tables.class_rows(classes, report.scores, report.data["class_pixels"])
    val = report.scores["val"].scores
    assert [row["splits"][0]["iou"] for row in rows] == val["per_class_iou"]
    assert [row["splits"][0]["dice"] for row in rows] == val["per_class_dice"]
    assert [row["splits"][0]["precision"] for row in rows] == val["precision"]
    assert [row["splits"][0]["recall"] for row in rows] == val["recall"]
    assert [row["shares"] for row in rows] == [[0.1, 0.2], [0.6, 0.5], [0.3, 0.3]]


def test_shares_of_an_empty_split_are_undefined():
    assert all(math.isnan(share) for share in tables.pixel_shares({"val": [0, 0]})["val"])


def test_confusion_rows_are_normalised_by_truth():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 500)
    guess = np.where(rng.random(500) < 0.4, rng.integers(0, 3, 500), truth)
    table = tables.confusion_table(confusion_matrix(truth, guess), NAMES)
    shares = [[cell["share"] for cell in row] for row in table["rows"]]
    np.testing.assert_allclose(
        shares, confusion_matrix(truth, guess, normalize="true"), atol=0.0005
    )


def test_confusion_cells_tell_counts_and_direction():
    confusion = np.array([[9000, 1000, 0], [0, 5, 0], [0, 0, 0]])
    table = tables.confusion_table(confusion, NAMES)
    cell = table["rows"][0][1]
    assert cell["text"] == "10"
    assert cell["title"] == "background → soil: 1\u202f000 pixels, 10.0 % of true background"
    assert [cell["text"] for cell in table["rows"][2]] == ["", "", ""]


def test_confusion_remarks():
    confusion = np.array([[60, 40, 0, 0], [0, 99, 1, 0], [0, 7, 0, 0], [0, 0, 0, 0]])
    remarks = tables.confusion_table(confusion, ["a", "b", "c", "d"])["remarks"]
    assert remarks == [
        "Not in these labels: d.",
        "100 % of c is taken for b.",
        "40 % of a is taken for b.",
        "1 % of b is taken for c.",
    ]
    collapsed = tables.confusion_table(np.array([[0, 3], [0, 9]]), ["a", "b"])["remarks"]
    assert collapsed == ["Present, yet never predicted: a.", "100 % of a is taken for b."]
    assert tables.confusion_table(np.eye(2) * 5, ["a", "b"])["remarks"] == []


def test_conventions_meet_by_name():
    scores = {"test": scores_of(np.eye(3) * 4), "val": scores_of(np.eye(3) * 4)}
    scores["val"].conventions = scores["val"].conventions[1:]
    rows = tables.conventions(scores)
    assert [row["name"] for row in rows] == ["all classes", "drop true class 0"]
    assert [plain for plain, _ in rows[1]["splits"]] == pytest.approx([0.8, 0.8])
    assert rows[0]["splits"][0][0] == 1.0
    assert math.isnan(rows[0]["splits"][1][0])
