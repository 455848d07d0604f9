"""Anchors and proposals of an image, in its own pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.support.detections import answer, truth
from tfvision.detection.anchors import AnchorGrid
from tfvision.recipe.read import Native
from tfvision.tasks.detection import shown
from tfvision.tasks.detection.predicting import DetectionPredictor
from tfvision.tasks.scored import Scored


class TwoStages:
    """A detector that proposes the upper left quarter of what it sees, and pads with nothing."""

    stride = 16
    anchors = AnchorGrid((16,), (((8.0, 8.0), (16.0, 16.0)),))

    def __call__(self, images, training):
        height, width = images.shape[1:3]
        return [tf.constant([[[0.0, 0.0, width / 2, height / 2], [0, 0, 0, 0]]])]

    def proposals_of(self, outputs):
        return outputs[0], tf.constant([[0.75, 0.0]])


class OneStage(TwoStages):
    anchors = None

    def proposals_of(self, outputs):
        return None


IMAGES = np.zeros((1, 40, 80, 1), np.float32)


@pytest.mark.parametrize(
    ("options", "corner"),
    [
        ({"size": (32, 32)}, (40, 40)),  # seen at 16x32 in 32x32: the quarter is padding below
        ({"size": (32, 32), "stretch": True}, (40, 20)),
        ({"size": (160, 160), "enlarge": True}, (40, 40)),
        ({}, (40, 24)),  # padded to 48 x 80
    ],
    ids=["letterbox", "stretched", "enlarged", "own size"],
)
def test_proposals_are_in_pixels_of_the_image(options, corner):
    predictor = DetectionPredictor(TwoStages(), channels=1, **options)
    boxes, scores = predictor.proposals(IMAGES)
    assert np.allclose(boxes[0, 0], [0, 0, *corner])
    assert scores.tolist() == [[0.75, 0.0]]


def test_anchors_are_in_pixels_of_the_image_and_their_iou_is_that_of_training():
    predictor = DetectionPredictor(TwoStages(), channels=1, size=(32, 32))
    boxes = np.array([[10, 10, 30, 30], [0, 0, 15, 15.0]])
    # Seen 2.5 times smaller: anchors of 20 and 40 pixels around (20, 20), (60, 20), ...
    anchors, ious = predictor.nearest_anchors(IMAGES, boxes)
    assert np.allclose(anchors, [[10, 10, 30, 30], [0, 0, 40, 40]])
    assert np.allclose(ious, [1, 225 / 1600])
    own = DetectionPredictor(TwoStages(), channels=1)
    anchors, ious = own.nearest_anchors(IMAGES, np.array([[0, 28, 16, 40.0]]))
    # The anchor reaches 8 pixels over the edge, into the padding: drawn whole, and counted whole.
    assert np.allclose(anchors, [[0, 32, 16, 48]])
    assert np.allclose(ious, [8 * 16 / (12 * 16 + 16 * 16 - 8 * 16)])


def test_a_detector_of_one_stage_has_no_proposals():
    predictor = DetectionPredictor(OneStage(), channels=1, size=(32, 32))
    assert predictor.proposals(IMAGES) is None
    assert predictor.nearest_anchors(IMAGES, np.zeros((1, 4))) is None


def stages_of(model, monkeypatch):
    truths = [truth((0, (0, 0, 10, 10))), truth((0, (10, 10, 30, 30)), (1, (60, 30, 80, 40)))]
    monkeypatch.setattr(
        shown, "native_scanned", lambda *_: Native(np.zeros((40, 80, 1), np.uint8), 1 / 255)
    )
    scored = Scored(SimpleNamespace(ids=["few", "many"]), [answer()] * 2, {"truths": truths})
    return shown.stages(
        SimpleNamespace(
            split="val",
            scored={"val": scored},
            prepared=SimpleNamespace(indices=lambda split: [0, 1]),
            predictor=DetectionPredictor(model, channels=1, size=(32, 32)),
        )
    )


def test_the_image_with_the_most_boxes_is_shown_with_anchors_and_proposals(monkeypatch):
    anchors, proposals = stages_of(TwoStages(), monkeypatch)
    assert (anchors.id, anchors.split) == ("many", "val")
    assert [layer.name for layer in anchors.layers] == ["truth", "anchors"]
    assert np.allclose(anchors.layers[1].boxes[0], [10, 10, 30, 30])  # the box itself
    assert anchors.layers[1].values[0] == pytest.approx(1)
    assert "1 of 2 boxes have one of at least 0.5" in anchors.text
    assert proposals.layers[1].values.tolist() == [0.75]  # padding is no proposal
    assert proposals.text.startswith("the 1 best of 1 proposals")
    assert "0 of 2 boxes have a proposal of IoU 0.5" in proposals.text
    assert stages_of(OneStage(), monkeypatch) == []
