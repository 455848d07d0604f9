"""Suppression against a plain greedy one, in each of its forms."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import greedy, random_boxes
from tfvision.detection.nms import suppress


def scenes(seed, own_boxes=False):
    """Boxes (2, 60, 1 or 3, 4) in crowds, and scores (2, 60, 3), none equal to another."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, (2, 60, 3 if own_boxes else 1), size=60)
    scores = rng.permutation(360).reshape(2, 60, 3) / 361
    return boxes, scores.astype("f4")


def check(found, boxes, scores, classes, **options):
    kept = greedy(boxes, scores, classes, **options)
    rest = options["most"] - len(kept)
    found = [x.numpy() for x in found]
    np.testing.assert_allclose(found[0], np.pad(boxes[kept], [(0, rest), (0, 0)]))
    np.testing.assert_allclose(found[1], np.pad(scores[kept], (0, rest)))
    np.testing.assert_array_equal(found[2], np.pad(classes[kept], (0, rest), constant_values=-1))


@pytest.mark.parametrize("most", [12, 150])
@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize("xla", [False, True])
def test_by_class(most, own_boxes, xla):
    boxes, scores = scenes(0, own_boxes)
    options = {"iou": 0.4, "score": 0.3, "most": most}
    found = suppress(boxes, scores, xla=xla, **options)
    for i in range(2):
        flat = np.broadcast_to(boxes[i], (60, 3, 4)).reshape(-1, 4)
        one = [x[i] for x in found]
        check(one, flat, scores[i].ravel(), np.tile(np.arange(3), 60), **options)


@pytest.mark.parametrize("own_boxes", [False, True])
def test_over_all_classes(own_boxes):
    boxes, scores = scenes(1, own_boxes)
    options = {"iou": 0.4, "score": 0.3, "most": 30}
    found = suppress(boxes, scores, by_class=False, **options)
    for i in range(2):
        classes = scores[i].argmax(1)
        own = boxes[i][np.arange(60), classes if own_boxes else 0]
        kept = greedy(own, scores[i].max(1), np.zeros(60), **options)
        assert found[2][i].numpy()[: len(kept)].tolist() == classes[kept].tolist()
        np.testing.assert_allclose(found[0][i].numpy()[: len(kept)], own[kept])
        assert (found[2][i].numpy()[len(kept) :] == -1).all()


def test_boxes_are_not_clipped_to_the_unit_square():
    """Trap: `combined_non_max_suppression` does so by default."""
    boxes = np.float32([[[[3, 4, 50, 60]], [[-7, -8, 2, 2]]]])
    found, *_ = suppress(boxes, np.float32([[[0.9], [0.8]]]), iou=0.5, most=2)
    np.testing.assert_array_equal(found, boxes[:, :, 0])


def test_nothing_to_keep():
    for xla in (False, True):
        boxes, scores, classes = suppress(
            np.zeros((1, 5, 1, 4), "f4"), np.zeros((1, 5, 2), "f4"), iou=0.5, most=4, xla=xla
        )
        assert not boxes.numpy().any()
        assert not scores.numpy().any()
        assert classes.numpy().tolist() == [[-1] * 4]


def test_xla_compiles_it_and_shapes_are_static():
    boxes, scores = scenes(2)

    @tf.function(jit_compile=True)
    def compiled(boxes, scores):
        return suppress(boxes, scores, iou=0.4, most=20, score=0.3, xla=True)

    plain = suppress(boxes, scores, iou=0.4, most=20, score=0.3)
    for a, b in zip(compiled(boxes, scores), plain, strict=True):
        np.testing.assert_allclose(a, b)
