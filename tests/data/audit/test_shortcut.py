"""Whether the background tells the class: planted grounds raise the alarm, fair ones do not."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.audit.labelled import NAMES, SIDE, audited, balanced, of_kind, pictures, source
from tfvision.data.audit import background_features
from tfvision.data.audit.audit import audit
from tfvision.data.audit.background_features import measure_all
from tfvision.data.files.issue import BadSample
from tfvision.data.scan.scan import scan
from tfvision.data.scan.subset import Subset
from tfvision.data.sources.embedded_classes import embedded_classes
from tfvision.data.sources.recognise import open_source
from tfvision.recipe import audit_findings

NUMBER = 80
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def shortcut_line(found) -> str:
    (line,) = [note for note in found.notes if note.startswith("shortcut test")]
    return line


def test_a_ground_for_each_class_raises_the_alarm():
    labels = balanced(NUMBER)
    images, boxes = pictures(labels, labels)
    found = audited(source(images, labels, boxes=boxes))
    (alarm,) = of_kind(found, "shortcut")
    assert alarm.severity == "warning"
    assert alarm.members == tuple(range(NUMBER))
    assert not alarm.suspects
    assert alarm.reading.startswith("what lies outside the boxes or regions predicts the class of")
    assert "chance 25.0%" in alarm.reading
    assert alarm.evidence["value"] > 0.9
    assert alarm.evidence["interval"][0] > 0.8
    assert alarm.evidence["p"] <= 0.01
    assert alarm.evidence["majority"] == 0.25
    examples = alarm.evidence["examples"]
    assert all(NAMES[labels[i]] == name for i, name in examples.items())
    assert sorted(examples.values()) == sorted(NAMES * 3)
    assert "alarm" in shortcut_line(found)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("known", ["box", "region", "nothing"])
def test_fair_grounds_are_silent(seed, known):
    """Forms tell the class, grounds vary as much as above but at random."""
    labels, kinds = balanced(NUMBER, seed), balanced(NUMBER, 50 + seed)
    images, boxes = pictures(labels, kinds, seed)
    regions = np.zeros((NUMBER, SIDE, SIDE), np.uint8)
    regions[:, 8:16, 8:16] = 1
    where = {"box": {"boxes": boxes}, "region": {"regions": regions}, "nothing": {}}[known]
    found = audited(source(images, labels, **where))
    assert not of_kind(found, "shortcut", "background_shift")
    what = "the border of the image" if known == "nothing" else "what lies outside the boxes"
    assert f"sign: {what}" in shortcut_line(found)


@pytest.mark.parametrize(
    ("name", "alarms"),
    [("shifted_signs", {"shortcut", "background_shift"}), ("masked_cells", set())],
)
def test_real_sets(name, alarms):
    """Every eighth image of the first, whose training grounds are the classes' own."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"the real data set {name} is not here")
    whole = open_source(SHARED / name, truth="label")
    found = audited(Subset(whole, range(0, len(whole), 8 if alarms else 1)))
    assert {f.kind for f in of_kind(found, "shortcut", "background_shift")} == alarms
    assert {f.severity for f in of_kind(found, "shortcut", "background_shift")} <= {"warning"}
    if alarms:
        assert "what lies outside the boxes" in of_kind(found, "shortcut")[0].reading


def test_embedded_images_raise_no_alarm():
    """Its test images are cut from other parts of the photographs: that is noted at most."""
    made = embedded_classes()
    found = audit(made, scan(made))
    assert "shortcut test: no sign: what lies outside" in shortcut_line(found)
    assert all(finding.severity == "note" for finding in found.findings)


def test_two_classes_on_grounds_of_their_own_are_named():
    labels = np.arange(160) % 4
    kinds = np.where(labels < 2, labels, 2 + np.arange(160) // 4 % 2)
    images, _ = pictures(labels, kinds)
    (alarm,) = of_kind(audited(source(images, labels)), "shortcut")
    told = alarm.evidence["told_right_of"]
    assert min(told["bar"], told["disc"]) > 0.9 > 0.8 > max(told["cross"], told["ring"])
    worst = alarm.evidence["mixed_up"][0]
    assert "cross" in worst
    assert "ring" in worst


def test_what_is_in_the_box_is_not_looked_at():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, SIDE, SIDE, 3), np.uint8)
    boxes = np.tile(np.array([9, 9, 15, 15], np.float32), (2, 1, 1))
    images[1] = images[0]
    images[1, 9:15, 9:15] = 255
    found = measure_all(source(images, [0, 1], boxes=boxes), [0, 1], workers=1)
    assert np.array_equal(found[0].outside, found[1].outside)
    assert np.array_equal(found[0].border, found[1].border)
    images[1, 0, 0] = 255 - images[1, 0, 0]
    changed = measure_all(source(images, [0, 1], boxes=boxes), [1], workers=1)[1]
    assert not np.array_equal(found[0].outside, changed.outside)


def test_an_object_that_fills_the_image_leaves_no_outside():
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    boxes = np.array([[[0, 0, 24, 24]], [[4, 4, 12, 12]]], np.float32)
    found = measure_all(source(images, [0, 1], boxes=boxes), [0, 1], workers=1)
    assert found[0].outside is None
    assert found[1].outside is not None


def test_a_background_shared_by_a_group_is_no_shortcut():
    """Eight groups of ten, a ground and a class each; another group has another ground."""
    groups = np.repeat(np.arange(8), 10)
    labels = np.array([0, 1, 2, 3, 1, 0, 3, 2])[groups]
    images, _ = pictures(labels, 10 + groups)
    assert of_kind(audited(source(images, labels)), "shortcut")
    few = audited(source(images, labels, groups=[str(g) for g in groups]))
    assert not of_kind(few, "shortcut")
    assert "left out, it needs two classes or more with 5" in shortcut_line(few)
    groups = np.repeat(np.arange(10), 8)
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1])[groups]
    images, _ = pictures(labels, 10 + groups)
    assert of_kind(audited(source(images, labels)), "shortcut")
    held = audited(source(images, labels, groups=[str(g) for g in groups]))
    assert not of_kind(held, "shortcut")
    assert "no sign" in shortcut_line(held)


def test_near_duplicates_before_one_wall_are_tested_all_the_same():
    """A still camera for each class: its images are near-duplicates, but for the object."""
    rng = np.random.default_rng(0)
    walls = [np.repeat(np.repeat(rng.integers(40, 200, (8, 8, 3)), 8, 0), 8, 1) for _ in range(2)]
    labels = balanced(40, classes=2)
    images = np.stack([walls[c] + rng.normal(0, 2, (64, 64, 3)) for c in labels])
    for image in images:
        y, x = rng.integers(2, 50, 2)
        image[y : y + 10, x : x + 10] = rng.integers(0, 255, 3)
    found = audited(source(np.clip(images, 0, 255).astype(np.uint8), labels))
    assert max(map(len, found.clusters)) > 10
    assert of_kind(found, "shortcut")


def test_too_few_images_are_left_out():
    labels = balanced(12)
    images, _ = pictures(labels, labels)
    found = audited(source(images, labels))
    assert not of_kind(found, "shortcut")
    assert "left out" in shortcut_line(found)


def test_files_that_went_away_and_what_is_kept(monkeypatch):
    labels = balanced(NUMBER)
    images, boxes = pictures(labels, labels)
    made = source(images, labels, boxes=boxes)
    made._stamp = "kept"
    found = scan(made)
    reads = made.read_raw
    gone = BadSample("row 3", "is gone", "")

    def without_three(index):
        if index == 3:
            raise gone
        return reads(index)

    monkeypatch.setattr(made, "read_raw", without_three)
    first = background_features.look_at(made, found.facts, list(range(NUMBER)))
    assert set(first) == set(range(NUMBER)) - {3}
    monkeypatch.setattr(made, "read_raw", lambda index: pytest.fail("read again"))
    again = background_features.look_at(made, found.facts, [i for i in range(NUMBER) if i != 3])
    assert all(np.array_equal(again[i].border, first[i].border) for i in first)
    assert all(np.array_equal(again[i].outside, first[i].outside) for i in first)


def test_excluded_samples_take_no_part_and_places_are_those_of_the_whole():
    labels = balanced(NUMBER)
    images, boxes = pictures(labels, labels)
    made = source(images, labels, boxes=boxes)
    found = audit_findings.find(made, scan(made, cache=False), excluded=[0, 5])
    (alarm,) = of_kind(found, "shortcut")
    assert set(alarm.members) == set(range(NUMBER)) - {0, 5}
    assert all(NAMES[labels[i]] == name for i, name in alarm.evidence["examples"].items())
    named = audit_findings.to_json(found, made.records, [None] * NUMBER)[0]["evidence"]["examples"]
    assert {NAMES[labels[int(i)]] == name for i, name in named.items()} == {True}
