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
from tfvision.tasks.detection.reading import reading_of, said_of_characters
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
    before, after = (
        read(folder / "run" / "summary.json")["metrics"]["val"] for folder in (trained, tmp_path)
    )
    assert {k: after[k] for k in NUMBERS} == {k: before[k] for k in NUMBERS}
    listed = read(tmp_path / "run" / "predictions" / "val.json")
    assert {entry["string"] for entry in listed} == {"-1"}
    assert after["string_accuracy"] == 0


def test_coco_json_has_the_ids_of_the_data_s_own_json(trained, tmp_path):
    argv = ["submit", trained / "run", "--format", "coco", "--split", "val"]
    assert use(*argv, "--out", tmp_path / "pred.json") == 0
    found = json.loads((tmp_path / "pred.json").read_text())
    listed = read(trained / "run" / "predictions" / "val.json")
    expected = [
        (FIRST_IMAGE + int(entry["id"].removeprefix("n")), int(label) + FIRST_CATEGORY)
        for entry in sorted(listed, key=lambda e: e["id"])
        for label in entry["labels"]
    ]
    assert [(e["image_id"], e["category_id"]) for e in found] == expected
    first = min((e for e in listed if e["boxes"]), key=lambda e: e["id"])["boxes"][0]
    x, y, w, h = found[0]["bbox"]
    np.testing.assert_allclose([x, y, x + w, y + h], first, atol=2e-3)
    assert set(found[0]) == {"image_id", "category_id", "bbox", "score"}


def test_a_row_for_every_image_by_its_number(trained, submitted, tmp_path):
    rows = table(submitted)
    assert rows[0] == ["image_id", "pred_label"]
    assert [row[0] for row in rows[1:]] == [str(i + 7) for i in range(TEST)]  # 9 before 10
    assert use("predict", trained / "run", "--out", tmp_path / "predicted") == 0
    listed = {e["id"]: e for e in read(tmp_path / "predicted" / "predictions.json")}
    threshold = read(trained / "run" / "summary.json")["reading"]["threshold"]
    assert dict(rows[1:]) == {k: e["string"] for k, e in listed.items()}
    assert all(e["string"] == by_hand(e, threshold) for e in listed.values())


def test_a_table_of_strings_is_what_unlabelled_images_are_scored_on(trained, submitted, capsys):
    given = trained / "numbers.csv"
    pairs = zip(table(submitted)[1:], table(given)[1:], strict=True)
    right = np.mean([ours == theirs for ours, theirs in pairs])
    capsys.readouterr()
    assert use("evaluate", trained / "run", "--labels", given) == 0
    metrics = read(trained / "run" / "evaluation.json")[-1]["metrics"]["labels"]
    assert metrics == {"string_accuracy": right, "num_images": TEST}
    assert f"{TEST} images: string accuracy {right:.4f}" in capsys.readouterr().out
    # What the run read, as truth: all of it is right.
    assert use("evaluate", trained / "run", "--labels", submitted) == 0
    last = read(trained / "run" / "evaluation.json")[-1]
    assert last["metrics"]["labels"]["string_accuracy"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["7", "12.0"]], r"line 2: '12.0' is no string of 0123456789"),
        ([["7", ""]], r"line 2: '' is no string of"),
        ([["7", "12"], ["7.png", "13"]], r"line 3 says '13', line 2 '12'"),
        ([["n00", "12"]], r"none of its 1 row names one of the 12 images"),
    ],
)
def test_a_table_of_strings_that_cannot_be_meant(trained, tmp_path, capsys, rows, message):
    lines = [["file_name", "label"], *rows]
    (tmp_path / "s.csv").write_text("\n".join(",".join(line) for line in lines))
    argv = ["evaluate", str(trained / "run"), "--labels", str(tmp_path / "s.csv")]
    assert commands.main([*argv, "--device", "cpu"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_evidence_keeps_the_spans_of_its_strings(trained):
    with np.load(trained / "run" / "predictions" / "val_detections.npz") as held:
        arrays = dict(held)
    evidence = DetectionEvidence.from_arrays(arrays)
    value = evidence.measure("string_accuracy", None).value()
    assert value == read(trained / "run" / "summary.json")["metrics"]["val"]["string_accuracy"]
    half = evidence.take(range(len(evidence) // 2))
    assert 0 <= half.measure("string_accuracy", None).value() <= 1
    for key in ("spans", "read_from"):
        del arrays[key]  # as older runs have them
    old = DetectionEvidence.from_arrays(arrays)
    assert np.isnan(old.measure("string_accuracy", None).value())
    assert np.isnan(old.over_folds("string_accuracy", None, folds=np.arange(len(old)) % 2).value())
    assert old.measure("ap", None).value() == evidence.measure("ap", None).value()


def recipe_of(names, *, score="string_accuracy", **reading):
    config = DetectionConfig(
        model={"name": "faster_rcnn"}, metrics=[score], reading={"empty": "-", **reading}
    )
    recipe = Detection().recipe(
        config, num_classes=len(names), channels=1, size=(32, 96), resized=False
    )
    return replace(recipe, class_names=tuple(names))


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["red", "one"], {}, r"'red' is none.*reading.characters=\[...\]' for red, one"),
        (["9", "10", "11"], {}, r"the class '10' is none"),
        (["0", "1", "10"], {}, r"the class '10' is none"),
        (["zero", "one"], {"characters": [0, 1, 2]}, r"each of the 2 classes .* there are 3"),
    ],
)
def test_classes_that_are_no_characters_are_refused_with_what_to_type(names, given, message):
    with pytest.raises(InputError, match=message):
        reading_of(recipe_of(names, **given))
    declared = ("0", "b", "c")[: len(names)]
    assert reading_of(recipe_of(names, characters=declared)).characters == declared


@pytest.mark.parametrize(
    ("names", "read", "said"),
    [
        ([*map(str, range(1, 11))], "1234567890", "strings: classes are read 10 as 0"),
        (["1", "10", "7"], "107", "strings: classes are read 10 as 0"),
        (["Two", "zero", "x"], "20x", "strings: classes are read Two as 2, zero as 0"),
        (["0", "1", "A"], "01A", None),
    ],
)
def test_number_words_and_the_ten_of_svhn_are_digits_and_it_is_said(names, read, said):
    recipe = recipe_of(names)
    assert "".join(reading_of(recipe).characters) == read
    assert said_of_characters(recipe) == ([said] if said else [])
    assert not said_of_characters(recipe_of(names, characters=[*read]))


class Stored:
    """Predictions of the folds, as a store gives them."""

    def __init__(self, answers):
        self.ids, self._answers = [f"{i:03d}" for i in range(len(answers))], answers

    def __len__(self):
        return len(self.ids)

    def prediction(self, name):
        return self._answers[int(name)]


def scored_alike(seed: int, *, number=90, lengths=(3,)):
    """Numbers whose digits and whose false boxes have scores of one range, an image of a level of
    its own, so that no threshold parts them: only the number of digits does."""
    rng = np.random.default_rng(seed)
    answers, truths = [], []
    for _ in range(number):
        length, level = int(rng.choice(lengths)), rng.uniform(0.2, 0.8)
        false = int(rng.integers(0, 3))
        lefts = rng.permutation(8)[: length + false] * 12.0
        scores = level + np.where(np.arange(length + false) < length, 0.1, -0.1)
        boxes = np.stack([lefts, 0 * lefts, lefts + 10, 0 * lefts + 20], 1)
        classes = rng.integers(0, 10, length + false)
        order = np.argsort(-scores, kind="stable")
        answer = {"boxes": boxes[order], "scores": scores[order], "classes": classes[order]}
        answers.append({k: v.astype("f4" if k != "classes" else "i4") for k, v in answer.items()})
        truths.append({"boxes": boxes[:length], "classes": classes[:length]})
    return answers, truths


def judged(seed: int, **given):
    answers, truths = scored_alike(seed, **given)
    recipe, folds = recipe_of("0123456789"), [i % 5 for i in range(len(answers))]
    made = Detection().fitting(recipe, Stored(answers), truths, with_rules=True)
    assert list(made.candidates) == ["score_threshold", "suppress", "likely_string"]
    units = [str(i) for i in range(len(answers))]
    scoring = {"contract": recipe.contract, "score": "string_accuracy", "folds": folds}
    parts = assign_parts(units, folds)
    found = judge(["likely_string"], made, parts=parts, units=units, **scoring, resamples=200)
    return found, made


def test_a_prior_of_lengths_is_taken_where_it_surely_gains():
    judgement, made = judged(0)
    assert [rule["name"] for rule in judgement.rules] == ["likely_string"]
    rule = judgement.rules[0]
    assert rule["weight"] > 0
    assert np.argmax(rule["shares"]) == 3
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
