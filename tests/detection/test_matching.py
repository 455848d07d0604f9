"""Matching of anchors and proposals with boxes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import overlap, random_boxes
from tfvision.detection import matching
from tfvision.detection.matching import BACKGROUND, IGNORED, match


def plain(references, boxes, high, low, low_quality):
    """Reference by reference; ties go to the first box."""
    if not len(boxes):
        return [BACKGROUND] * len(references)
    table = np.array([[overlap(r, b) for b in boxes] for r in references], np.float32)
    most = table.max(0)
    found = []
    for row in table:
        matched = row.max() >= high
        if low_quality:
            matched |= any(0 < own == highest for own, highest in zip(row, most, strict=True))
        unmatched = BACKGROUND if row.max() < low else IGNORED
        found.append(int(row.argmax()) if matched else unmatched)
    return found


def padded(rng, most):
    """Boxes of three images, the last without any; classes."""
    boxes, classes = np.zeros((3, most, 4), "f4"), np.full((3, most), -1)
    for i, number in enumerate((most, 3, 0)):
        boxes[i, :number] = random_boxes(rng, (number,))
        classes[i, :number] = 0
    return boxes, classes.astype("i4")


@pytest.mark.parametrize("low_quality", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_equals_plain_matching(low_quality, shared):
    rng = np.random.default_rng(0)
    boxes, classes = padded(rng, 6)
    references = random_boxes(rng, (80,) if shared else (3, 80))
    found = match(references, boxes, classes, high=0.5, low=0.2, low_quality=low_quality)
    assert found.dtype == tf.int32
    for i in range(3):
        own = references if shared else references[i]
        there = boxes[i][classes[i] >= 0]
        assert found[i].numpy().tolist() == plain(own, there, 0.5, 0.2, low_quality)


def test_many_boxes_go_image_by_image_to_the_same_result(monkeypatch):
    """Trap: anchors x boxes x images in memory at once."""
    rng = np.random.default_rng(1)
    boxes, classes = padded(rng, 9)
    references = random_boxes(rng, (3, 50))
    options = {"high": 0.5, "low": 0.3, "low_quality": True}
    at_once = [match(r, boxes, classes, **options) for r in (references, references[0])]
    monkeypatch.setattr(matching, "MOST_AT_ONCE", 8)
    one_by_one = [match(r, boxes, classes, **options) for r in (references, references[0])]
    np.testing.assert_array_equal(at_once, one_by_one)


def test_low_quality_matches_every_best_anchor_of_a_box_that_is_touched():
    references = np.float32([[0, 0, 10, 10], [10, 0, 20, 10], [40, 40, 50, 50]])
    boxes = np.float32([[[5, 0, 15, 10], [80, 80, 90, 90]]])  # a tie; far from all
    classes = np.int32([[0, 0]])
    found = match(references, boxes, classes, high=0.7, low=0.3, low_quality=True)
    np.testing.assert_array_equal(found, [[0, 0, BACKGROUND]])
    found = match(references, boxes, classes, high=0.7, low=0.3)
    np.testing.assert_array_equal(found, [[IGNORED, IGNORED, BACKGROUND]])


def test_of_equal_boxes_the_first_is_taken():
    box = np.float32([[[0, 0, 10, 10]] * 3])
    found = match(box[0, :1], box, np.int32([[-1, 1, 2]]), high=0.5, low=0.5)
    np.testing.assert_array_equal(found, [[1]])


def test_no_room_for_boxes_is_all_background():
    found = match(np.zeros((7, 4), "f4"), tf.zeros((2, 0, 4)), tf.zeros((2, 0)), high=0.5, low=0.4)
    np.testing.assert_array_equal(found, np.full((2, 7), BACKGROUND))


@pytest.mark.parametrize("most", [64, 1])
def test_what_lies_in_a_crowd_is_no_background_and_a_crowd_matches_nothing(monkeypatch, most):
    monkeypatch.setattr(matching, "MOST_AT_ONCE", most)
    boxes = np.float32([[[0, 0, 20, 20], [50, 0, 100, 50], [0, 0, 9, 9]]] * 2)
    classes = np.int32([[0, -2 - 1, -1], [0, 1, -1]])
    references = np.float32(
        [
            [0, 0, 20, 20],  # the box
            [50, 0, 100, 50],  # the crowd itself
            [60, 10, 66, 20],  # a small part of it
            [43, 0, 53, 10],  # 0.3 of its area in it
            [47, 0, 57, 10],  # 0.7
            [30, 0, 100, 99],  # holds it
            [0, 0, 9, 9],  # padding
        ]
    )
    found = match(references, boxes, classes, high=0.5, low=0.4, low_quality=True).numpy()
    crowded = [0, IGNORED, IGNORED, BACKGROUND, IGNORED, BACKGROUND, BACKGROUND]
    assert found[0].tolist() == crowded
    assert found[1].tolist() == [0, 1, *[BACKGROUND] * 5]
    each = match(np.stack([references] * 2), boxes, classes, high=0.5, low=0.4, low_quality=True)
    np.testing.assert_array_equal(each, found)


def test_a_box_in_a_crowd_is_matched_all_the_same():
    boxes = np.float32([[[0, 0, 100, 100], [10, 10, 30, 30]]])
    references = np.float32([[10, 10, 30, 30], [12, 10, 30, 30], [60, 60, 80, 80]])
    found = match(references, boxes, np.int32([[-2, 3]]), high=0.5, low=0.5)
    np.testing.assert_array_equal(found, [[1, 1, IGNORED]])
