"""Recall of anchors against every anchor of the grid, and proposals on planted boxes."""

import numpy as np
import pytest

from tfvision.data.audit.anchors import Sizes, nearest, propose
from tfvision.detection.anchors import AnchorGrid, anchor_shapes

SIZE = (64, 96)


def grid(sizes=((16.0, 22.6), (32.0, 45.0)), ratios=(0.5, 1.0, 2.0), offset=0.5):
    return AnchorGrid((8, 16), tuple(anchor_shapes(s, ratios) for s in sizes), offset)


def boxes_of(rng, number, sides, ratio=(0.4, 2.5)):
    size, ratio = rng.uniform(*sides, number), np.exp(rng.uniform(*np.log(ratio), number))
    half = np.stack([size / np.sqrt(ratio), size * np.sqrt(ratio)], -1) / 2
    centre = rng.uniform(0, SIZE[::-1], (number, 2))
    return np.concatenate([centre - half, centre + half], -1)


def iou(a, b):
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    area = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return common / (area[0][:, None] + area[1] - common)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_nearest_anchor_is_the_best_of_all_that_the_grid_has(offset):
    given = grid(offset=offset)
    boxes = boxes_of(np.random.default_rng(1), 300, (4, 60))
    every = np.concatenate(given.of([(8, 12), (4, 6)])).astype(np.float64)
    expected = iou(boxes, every)
    anchors, found, shape = nearest(boxes, given, SIZE)
    np.testing.assert_allclose(found, expected.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(iou(boxes, anchors)), found, atol=1e-12)
    sides = (anchors[:, 2:] - anchors[:, :2])[:, ::-1]
    np.testing.assert_allclose(sides, np.concatenate(given.shapes)[shape])


def test_a_box_beyond_the_last_place_is_reached_from_it():
    corner = np.array([[88.0, 56.0, 96.0, 64.0]])  # its centre is that of the last cell
    anchors, found, _ = nearest(corner, grid(sizes=((8.0,), (99.0,)), ratios=(1.0,)), SIZE)
    assert found[0] == 1.0
    assert anchors[0].tolist() == corner[0].tolist()


def test_a_planted_set_is_reached_by_what_k_means_proposes():
    rng = np.random.default_rng(2)
    tall = boxes_of(rng, 80, (20, 22), ratio=(5.0, 5.6))
    boxes = np.concatenate([tall, boxes_of(rng, 80, (44, 48), ratio=(5.0, 5.6))])
    classes = np.repeat([0, 1], 80)
    given = grid(ratios=(0.5, 1.0, 2.0))
    before = nearest(boxes, given, SIZE)[1]
    made = propose(boxes, classes, given, SIZE, ratios_hw=(0.5, 1.0, 2.0))
    after = nearest(boxes, made.grid(given), SIZE)[1]
    assert (before >= 0.5).mean() < 0.6 < 0.8 < (after >= 0.5).mean()
    assert (after >= 0.7).mean() > (before >= 0.7).mean() + 0.2
    assert [len(level) for level in made.sizes] == [2, 2]
    assert sum(made.sizes, ()) == tuple(sorted(sum(made.sizes, ())))
    assert any(4.7 < ratio < 5.9 for ratio in made.ratios_hw)
    assert made == propose(boxes, classes, given, SIZE, ratios_hw=(0.5, 1.0, 2.0))


def test_a_rare_class_counts_as_much_as_the_commonest():
    rng = np.random.default_rng(3)
    common, rare = boxes_of(rng, 400, (14, 18), ratio=(0.9, 1.1)), boxes_of(rng, 6, (40, 44))
    boxes, classes = np.concatenate([common, rare]), np.repeat([0, 1], [400, 6])
    given = grid(sizes=((14.0,), (18.0,)), ratios=(1.0,))
    made = propose(boxes, classes, given, SIZE, ratios_hw=(1.0,))
    assert (nearest(rare, given, SIZE)[1] < 0.5).all()
    assert (nearest(rare, made.grid(given), SIZE)[1] >= 0.5).mean() >= 0.5


def test_nothing_is_proposed_where_all_is_reached():
    given = grid()
    boxes = np.concatenate(given.of([(2, 2), (2, 2)]))[:40].astype(np.float64)
    assert propose(boxes, np.zeros(len(boxes), int), given, SIZE, ratios_hw=(0.5, 1, 2)) is None


def test_boxes_of_one_ratio_get_one_ratio():
    boxes = boxes_of(np.random.default_rng(4), 60, (6, 9), ratio=(1.0, 1.0001))
    made = propose(boxes, np.zeros(60, int), grid(), SIZE, ratios_hw=(0.5, 1.0, 2.0))
    assert isinstance(made, Sizes)
    assert made.ratios_hw == (1.0,)
