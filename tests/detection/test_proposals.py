"""Proposals: the best of each level, clipped, suppressed level by level."""

import numpy as np

from tests.detection.references import greedy, random_boxes
from tfvision.detection.proposals import propose


def levels(rng, counts=(40, 10), spread=0.3):
    anchors = [random_boxes(rng, (n,), size=60) for n in counts]
    logits = [rng.normal(size=(2, n)).astype("f4") for n in counts]
    deltas = [(spread * rng.normal(size=(2, n, 4))).astype("f4") for n in counts]
    return logits, deltas, anchors


def plain(logits, deltas, anchors, size, before, most):
    """One image: boxes and probabilities."""
    boxes, scores, level = [], [], []
    for i, (of_level, shifts, places) in enumerate(zip(logits, deltas, anchors, strict=True)):
        for row in np.argsort(-of_level, kind="stable")[:before]:
            x1, y1, x2, y2 = places[row]
            dx, dy, dw, dh = shifts[row]
            w, h = x2 - x1, y2 - y1
            cx, cy = (x1 + x2) / 2 + dx * w, (y1 + y2) / 2 + dy * h
            w, h = w * np.exp(dw), h * np.exp(dh)
            box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            box = np.clip(box, 0, [size[1], size[0]] * 2)
            if min(box[2:] - box[:2]) >= 1e-3:
                boxes.append(box)
                scores.append(1 / (1 + np.exp(-of_level[row])))
                level.append(i)
    boxes, scores = np.array(boxes), np.array(scores)
    kept = greedy(boxes, scores, level, 0.5, 0, most)
    return boxes[kept], scores[kept]


def test_equals_plain_proposals():
    rng = np.random.default_rng(0)
    logits, deltas, anchors = levels(rng)
    for most in (8, 50):
        options = {"before": 20, "most": most}
        found = propose(logits, deltas, anchors, (50, 70), iou=0.5, **options)
        assert found[0].shape == (2, most, 4)
        for i in range(2):
            own = [[x[i] for x in each] for each in (logits, deltas)]
            boxes, scores = plain(*own, anchors, (50, 70), **options)
            np.testing.assert_allclose(found[0][i].numpy()[: len(boxes)], boxes, atol=1e-4)
            np.testing.assert_allclose(found[1][i].numpy()[: len(boxes)], scores, rtol=1e-5)
            assert not found[1][i].numpy()[len(boxes) :].any()
            assert not found[0][i].numpy()[len(boxes) :].any()


def test_what_lies_outside_the_image_is_left_out():
    """Trap: a proposal clipped to no size."""
    anchors = [np.float32([[-30, -30, -10, -10], [10, 10, 20, 20], [90, 0, 99, 9]])]
    logits = [np.float32([[5, 1, 4]])]
    boxes, scores = propose(
        logits, [np.zeros((1, 3, 4), "f4")], anchors, (40, 40), before=9, most=3
    )
    np.testing.assert_array_equal(boxes[0, 0], [10, 10, 20, 20])
    assert (scores.numpy()[0, 1:] == 0).all()


def test_overflowing_deltas_give_finite_proposals():
    rng = np.random.default_rng(1)
    logits, deltas, anchors = levels(rng, spread=1e4)
    boxes, scores = propose(logits, deltas, anchors, (50, 70), before=20, most=30)
    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()
