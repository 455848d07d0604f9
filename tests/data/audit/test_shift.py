"""Whether test images stand before other grounds than training images."""

import numpy as np
import pytest

from tests.data.audit.labelled import audited, balanced, of_kind, pictures, source

NUMBER = 80


def shift_line(found) -> str:
    (line,) = [note for note in found.notes if note.startswith("background shift test")]
    return line


def with_test(kinds, test_kinds, seed=0, *, groups=None):
    """A source of training images, and of as many without labels, before these grounds."""
    labels = balanced(len(kinds), seed)
    images, boxes = pictures(labels, kinds, seed)
    others, _ = pictures(balanced(len(test_kinds), 20 + seed), test_kinds, 40 + seed)
    return source(images, labels, boxes=boxes, test={"images": others}, groups=groups)


def test_another_ground_in_test_raises_the_alarm():
    found = audited(with_test(balanced(NUMBER, 1), 9 + balanced(40, 2, 1)))
    (alarm,) = of_kind(found, "background_shift")
    assert alarm.severity == "warning"
    assert alarm.members == tuple(range(NUMBER + 40))
    assert "the border of the image tells test images from training images" in alarm.reading
    assert alarm.evidence["value"] > 0.95
    assert (alarm.evidence["training_images"], alarm.evidence["test_images"]) == (NUMBER, 40)
    sides = alarm.evidence["examples"]
    assert all((name == "test") == (i >= NUMBER) for i, name in sides.items())
    assert len(sides) == 12
    assert "alarm" in shift_line(found)
    assert not of_kind(found, "shortcut")


def test_half_of_the_grounds_are_others_which_matters_where_they_tell_the_class():
    labels = balanced(NUMBER, 3)
    test_kinds = np.r_[balanced(30, 2), np.full(30, 9)]
    others, _ = pictures(balanced(60, 5), test_kinds, 7)
    for kinds, severity, word in (
        (balanced(NUMBER, 1), "note", "a sign"),
        (labels, "warning", "alarm"),
    ):
        images, _ = pictures(labels, kinds)
        found = audited(source(images, labels, test={"images": others}))
        (shift,) = of_kind(found, "background_shift")
        assert shift.severity == severity
        assert 0.6 < shift.evidence["value"] < 0.93
        assert f"test: {word}: the border" in shift_line(found)
        assert ("predicts the class too" in shift.reading) == (severity == "warning")


@pytest.mark.parametrize("seed", range(3))
def test_the_same_grounds_in_test_are_silent(seed):
    found = audited(with_test(balanced(NUMBER, seed), balanced(40, 30 + seed), seed))
    assert not of_kind(found, "background_shift")
    assert "sign: the border" in shift_line(found)


def test_a_class_that_is_rarer_in_test_is_no_shift_of_the_ground():
    rng = np.random.default_rng(2)
    labels = rng.permutation(np.r_[np.zeros(60, int), np.ones(20, int), np.ones(40, int)])
    images, boxes = pictures(labels, balanced(120, 5), 6)
    part = {"images": images[80:], "labels": np.ones(40, int), "boxes": boxes[80:]}
    part["images"], _ = pictures(part["labels"], balanced(40, 8), 9)
    part["classes"] = part["labels"][:, None]
    found = audited(source(images[:80], labels[:80], boxes=boxes[:80], test=part))
    assert not of_kind(found, "background_shift")
    assert "what lies outside the boxes" in shift_line(found)


def test_a_test_split_with_labels_counts_as_test():
    kinds = np.r_[balanced(NUMBER, 1, 2), 9 + balanced(30, 1, 1)]
    labels = balanced(NUMBER + 30, 3)
    images, _ = pictures(labels, kinds)
    splits = [None] * NUMBER + ["test"] * 30
    found = audited(source(images, labels), splits)
    assert of_kind(found, "background_shift")
    assert not [note for note in audited(source(images, labels)).notes if "shift" in note]


def test_few_test_images_are_left_out():
    found = audited(with_test(balanced(NUMBER, 1), 9 + balanced(12, 2, 1)))
    assert not of_kind(found, "background_shift")
    assert "left out, it needs 20 images" in shift_line(found)
