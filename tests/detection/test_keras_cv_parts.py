"""The right parts of keras-cv are equal to ours."""

import numpy as np
import pytest

from tests.detection.references import random_boxes
from tfvision.detection import boxes, matching, nms
from tfvision.detection.anchors import AnchorGrid, anchor_shapes

pytest.importorskip("keras_cv")
from tfvision.detection import keras_cv_parts as theirs


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_conversion(rng):
    a = random_boxes(rng, (2, 30))
    for one, other in zip(theirs.centre_and_sides(a), boxes.centre_and_sides(a), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_overlap(rng):
    a, b = random_boxes(rng, (2, 30)), random_boxes(rng, (2, 8))
    np.testing.assert_allclose(theirs.iou(a, b), boxes.iou(a, b), atol=1e-6)
    np.testing.assert_allclose(theirs.iou(a[0], b[0]), boxes.iou(a[0], b[0]), atol=1e-6)


def test_anchors():
    sizes, ratios = [[16, 20], [32, 40]], [0.5, 1.0, 3.0]
    grid = AnchorGrid((8, 16), tuple(anchor_shapes(s, ratios) for s in sizes))
    for a, b in zip(
        theirs.anchors((64, 48), (8, 16), sizes, ratios), grid.of([(8, 6), (4, 3)]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_matching(rng):
    references, truths = random_boxes(rng, (60,)), random_boxes(rng, (2, 5))
    classes = np.int32([[0, 1, 0, -1, -1], [-1] * 5])
    options = {"high": 0.5, "low": 0.2}
    np.testing.assert_array_equal(
        theirs.match(references, truths, classes, **options),
        matching.match(references, truths, classes, **options),
    )


def test_suppression(rng):
    candidates = random_boxes(rng, (2, 50, 1), size=60)
    scores = (rng.permutation(300).reshape(2, 50, 3) / 301).astype("f4")
    options = {"iou": 0.4, "most": 20, "score": 0.3}
    for a, b in zip(
        theirs.suppress(candidates, scores, **options),
        nms.suppress(candidates, scores, **options),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
