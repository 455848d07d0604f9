"""Rules on boxes, fusion and tiles, against plain loops and planted sets."""

import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.postprocess import BOX_RULES
from tfvision.postprocess.boxes import by_score, fuse, join_tiles, pairwise_iou
from tfvision.registry import Spec


def rule(name, **arguments):
    return BOX_RULES.build(Spec(name=name, **arguments))


def drawn(seed, count=40, classes=3):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 80, (count, 2)), rng.uniform(5, 40, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    return by_score(boxes, rng.random(count), rng.integers(0, classes, count))


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@pytest.mark.parametrize("over_all", [False, True])
def test_suppress_is_a_plain_greedy_loop(over_all):
    for seed in range(5):
        one = drawn(seed)
        kept = []
        for i in range(len(one["scores"])):
            rivals = [j for j in kept if over_all or one["classes"][i] == one["classes"][j]]
            if all(iou(one["boxes"][i], one["boxes"][j]) <= 0.4 for j in rivals):
                kept.append(i)
        found = rule("suppress", iou=0.4, over_all=over_all)(one)
        assert found["scores"].tolist() == one["scores"][kept].tolist()
        assert len(kept) < len(one["scores"])


def test_thresholds_for_all_and_by_class():
    one = by_score([[0, 0, 2, 2]] * 3, [0.9, 0.5, 0.3], [0, 1, 1])
    assert rule("score_threshold", minimum=0.5)(one)["scores"].tolist() == pytest.approx([0.9, 0.5])
    found = rule("score_threshold", by_class=[0.95, 0.2])(one)
    assert found["classes"].tolist() == [1, 1]
    assert rule("at_most", number=1)(one)["classes"].tolist() == [0]
    none = rule("score_threshold", minimum=1.0)(one)
    assert none["boxes"].shape == (0, 4)
    assert rule("suppress")(none)["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("score_threshold", {}, "minimum=0.5, or by_class"),
        ("score_threshold", {"minimum": 2}, "from 0 to 1"),
        ("score_threshold", {"minimum": 0.5, "by_class": [0.1]}, "minimum=0.5, or by_class"),
        ("suppress", {"iou": 1.5}, "between 0 and 1"),
        ("at_most", {"number": 0}, "at least 1"),
    ],
)
def test_what_a_rule_cannot_take(name, arguments, said):
    with pytest.raises(InputError, match=said):
        rule(name, **arguments)


def test_thresholds_of_too_few_classes_are_refused():
    with pytest.raises(InputError, match="one number for each class"):
        rule("score_threshold", by_class=[0.5])(by_score([[0, 0, 1, 1]], [0.9], [1]))


def test_fused_boxes_are_the_weighted_mean():
    one = by_score([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.6], [0, 1])
    other = by_score([[2, 0, 12, 10]], [0.3], [0])
    found = fuse([one, other], [0.5, 0.5])
    # Both saw the first: its corners by score, its score the mean; one saw the second.
    np.testing.assert_allclose(found["boxes"][0], [0.5, 0, 10.5, 10], rtol=1e-6)
    np.testing.assert_allclose(found["scores"], [0.6, 0.3], rtol=1e-6)
    assert found["classes"].tolist() == [0, 1]


def test_one_prediction_fused_with_itself_is_itself():
    one = rule("suppress", iou=0.5)(drawn(3))
    found = fuse([one, one, one], [0.2, 0.3, 0.5])
    for name in ("boxes", "scores", "classes"):
        np.testing.assert_allclose(found[name], one[name], rtol=1e-5)


def test_boxes_of_other_classes_are_not_fused():
    one = by_score([[0, 0, 10, 10]], [0.8], [0])
    other = by_score([[0, 0, 10, 10]], [0.8], [1])
    assert sorted(fuse([one, other], [1, 1])["classes"].tolist()) == [0, 1]


def test_objects_at_a_seam_are_found_once():
    """Each tile sees of an object what lies in it; whole objects win over their parts."""
    rng = np.random.default_rng(0)
    size, tile, step = (100, 160), (100, 64), 48
    x = np.arange(4, 140, 15)
    truth = np.stack([x, rng.integers(0, 80, len(x)), x + 12, rng.integers(85, 99, len(x))], 1)
    tiles = []
    for left in range(0, 97, step):
        inside = np.clip(truth - [left, 0, left, 0], 0, [64, 100, 64, 100]).astype(float)
        seen = inside[:, 2] - inside[:, 0] > 2
        one = by_score(inside[seen], rng.uniform(0.5, 1, seen.sum()), np.zeros(seen.sum(), int))
        tiles.append(((0, left), tile, one))
    found = join_tiles(tiles, size)
    overlap = pairwise_iou(truth.astype(float), found["boxes"])
    assert len(found["boxes"]) == len(truth)
    assert (overlap.max(axis=1) > 0.999).all()
