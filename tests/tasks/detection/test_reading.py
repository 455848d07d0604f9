"""Strings by the command line: drawn numbers trained on, scored, read, submitted."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from tests.support.digit_strings import FIRST_CATEGORY, FIRST_IMAGE, draw_number, write_numbers
from tests.tasks.detection.test_training import SMALL, read, train, use
from tfvision.cli import commands
from tfvision.errors import InputError
from tfvision.metrics.coco import NUMBERS
from tfvision.metrics.detections import DetectionEvidence
from tfvision.postprocess.fit import assign_parts
from tfvision.studies.fitted.verdict import judge
from tfvision.tasks.detection.reading import reading_of
from tfvision.tasks.detection.schema import DetectionConfig
from tfvision.tasks.detection.task import Detection

TRAIN, TEST = 30, 12


def config_of(data, **sections):
    return {
        "task": "detection",
        "seed": 2,
        "data": {"source": {"name": "auto", "path": str(data)}, "batch_size": 8},
        "model": {**SMALL, "levels": [3], "anchor_sizes": [[14, 18]], "ratios_hw": [1.0]},
        "metrics": ["string_accuracy", *NUMBERS],
        "train": {
            "epochs": 2,
            "optimizer": {"name": "sgd", "learning_rate": 0.02},
            "export": False,
        },
        **sections,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    data = write_numbers(folder / "data", train=TRAIN, test=TEST)
    (folder / "c.yaml").write_text(yaml.safe_dump(config_of(data)))
    assert train("--config", folder / "c.yaml", "--out", folder / "run") == 0
    return folder


@pytest.fixture(scope="module")
def submitted(trained):
    """The strings of the test images."""
    out = trained / "p.csv"
    assert use("submit", trained / "run", "--format", "strings", "--out", out) == 0
    return out


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def by_hand(entry, threshold: float) -> str:
    """Boxes of `predictions.json` of at least a score, the better of two in one place."""
    taken = []
    for box, score, label in zip(entry["boxes"], entry["scores"], entry["labels"], strict=True):
        x1, y1, x2, y2 = box
        for (a1, b1, a2, b2), _ in taken:
            common = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            if common > 0.5 * min((x2 - x1) * (y2 - y1), (a2 - a1) * (b2 - b1)):
                break
        else:
            taken.append((box, (score, label)))
    found = sorted((b[0] + b[2], label) for b, (score, label) in taken if score >= threshold)
    return "".join(label for _, label in found) or "-1"


def test_every_epoch_has_the_twelve_numbers_and_the_accuracy_of_strings(trained):
    rows = table(trained / "run" / "metrics.csv")
    assert {f"val_{name}" for name in (*NUMBERS, "string_accuracy")} <= set(rows[0])
    assert len(rows) == 3
    assert len(NUMBERS) == 12


def test_the_summary_has_a_threshold_of_validation_and_what_it_gives(trained):
    summary = read(trained / "run" / "summary.json")
    known = summary["reading"]
    assert known["chosen_on"] == "val"
    listed = read(trained / "run" / "predictions" / "val.json")
    truths = [draw_number(int(entry["id"].removeprefix("n")))[1] for entry in listed]
    right = [
        entry["string"] == "".join(map(str, digits))
        for entry, digits in zip(listed, truths, strict=True)
    ]
    assert summary["metrics"]["val"]["string_accuracy"] == pytest.approx(np.mean(right))
    assert [e["string"] for e in listed] == [by_hand(e, known["threshold"]) for e in listed]
    strings = table(trained / "run" / "predictions" / "val_strings.csv")
    assert strings == [["image", "string"], *([e["id"], e["string"]] for e in listed)]
    page = (trained / "run" / "report.html").read_text()
    assert '<section id="strings">' in page
    assert "Read wrongly" in page or all(right)


def test_ap_is_of_all_boxes_whatever_the_reading(trained, tmp_path):
    """With a threshold that lets nothing through AP stays, and every string is empty."""
    shutil.copytree(trained / "run", tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config["reading"]["threshold"] = 1.0
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    assert use("evaluate", tmp_path / "run") == 0
    both = [made.evidence(rules) for rules in ([], [rule])]
    before, after = (one.measure("string_accuracy", None).value() for one in both)
    assert after > before + 0.3
    # It is a rule of the reading alone: boxes, and so AP, are as they were.
    ap = [one.measure("ap", None).value() for one in both]
    assert ap[0] == ap[1]


def test_a_prior_of_lengths_is_refused_where_lengths_say_nothing():
    judgement, _ = judged(1, lengths=(1, 2, 3, 4, 5, 6))
    assert judgement.rules == []
    assert judgement.tried[0].verdict == "refused"


def test_nothing_of_strings_is_fitted_where_boxes_are_scored():
    answers, truths = scored_alike(2, number=8)
    recipe = recipe_of("0123456789", score="ap")
    made = Detection().fitting(recipe, Stored(answers), truths, with_rules=True)
    assert "likely_string" not in made.candidates


def test_a_reading_as_yaml_has_it():
    config = DetectionConfig(
        model={"name": "faster_rcnn"}, reading={"characters": [0, 1, "a"], "empty": -1}
    )
    assert config.reading.characters == ("0", "1", "a")
    assert config.reading.empty == "-1"
    assert DetectionConfig(model={"name": "ssd"}).reading is None
    named = DetectionConfig(model={"name": "ssd"}, metrics=["ap", "string_accuracy"])
    assert named.reading is not None
