"""What the sentinel says of a detector that learns nothing, and what it looks at."""

import numpy as np
import pytest

from tests.models.test_faster_rcnn import batch_of, small
from tfvision.tasks.detection.validation import reached
from tfvision.tasks.detection.watch import alarms_of


def history(recalls, losses=None, ap50=0.3):
    rows = []
    for k, recall in enumerate(recalls):
        loss = 1 - 0.2 * k if losses is None else losses[k]
        rows.append({"epoch": k + 1, "loss": loss, "val_loss": 1.0, "val_ap50": ap50})
        rows[-1] |= {} if recall is None else {"val_proposal_recall": recall}
    return rows


def test_few_proposals_on_boxes_are_said_where_the_loss_falls():
    said = alarms_of("faster_rcnn", history([0.3, 0.31, 0.31]), 0.5)
    assert list(said) == ["proposals"]
    assert (
        "fallen by 40%, but only 31% of the validation boxes have a proposal" in said["proposals"]
    )
    assert "python -m tfvision audit" in said["proposals"]
    both = alarms_of("faster_rcnn", history([0.0] * 4, ap50=0.0), 0.5)
    assert list(both) == ["proposals", "no score"]


@pytest.mark.parametrize(
    ("recalls", "losses", "done"),
    [
        ([0.6, 0.6, 0.6], None, 0.5),  # enough
        ([0.1, 0.2, 0.3], None, 0.5),  # slow, but it comes
        ([0.3, 0.3, 0.3], None, 0.1),  # too early
        ([0.3, 0.3], None, 0.5),
        ([0.3, 0.3, 0.3], [1, 0.99, 0.98], 0.5),  # nothing is learnt, which others say
        ([None, None, None], None, 0.5),  # one stage
        ([None, 0.3, 0.3], None, 0.5),  # resumed from before it was looked at
        ([np.nan] * 3, None, 0.5),  # no box to validate on
    ],
)
def test_what_is_no_reason_to_warn(recalls, losses, done):
    assert alarms_of("faster_rcnn", history(recalls, losses), done) == {}


def test_a_box_is_reached_by_a_proposal_of_half_its_overlap():
    boxes = np.float32([[[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]])
    proposals = np.float32([[[0, 0, 10, 5], [21, 0, 30, 5], [40, 0, 50, 10]]])
    found = reached(boxes, proposals, np.float32([[0.9, 0.8, 0.0]]))
    assert found.numpy().tolist() == [[True, False, False]]


def test_proposals_of_the_validation_are_those_that_the_second_stage_learns_from():
    model, batch = small((None, None, 1)), batch_of()
    heads, (boxes, scores) = model.validation_outputs(batch)
    assert boxes.shape == (4, model.proposals, 4)
    assert scores.shape == (4, model.proposals)
    alone = model.training_outputs(batch, False)
    assert list(heads) == list(alone)
    np.testing.assert_array_equal(heads["head"].logits, alone["head"].logits)
