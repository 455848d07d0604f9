"""Where `distractors` pastes, what, and what it leaves alone. The harness is in test_mixing.py."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.test_mixing import boxes_alone
from tfvision.augment import distractors
from tfvision.errors import InputError


def flat(count=200, height=30, width=40):
    """Row i has a background of value 0.1 or 0.3, and an object of 0.9 in its middle."""
    image = np.where(np.arange(count) % 2, 0.1, 0.3)[:, None, None, None]
    image = np.broadcast_to(image, (count, height, width, 3)).astype(np.float32)
    image = image.copy()
    image[:, 10:20, 15:25] = 0.9
    return {
        "image": tf.constant(image),
        "boxes": tf.constant(np.tile(np.float32([[[15, 10, 25, 20], [0] * 4]]), (count, 1, 1))),
        "classes": tf.constant(np.tile(np.int32([[0, -1]]), (count, 1))),
    }


def changed(batch, out):
    return np.any(out["image"].numpy() != batch["image"].numpy(), axis=-1)


def test_backgrounds_come_in_and_objects_neither_come_nor_are_covered():
    batch = flat()
    out = distractors(p=1.0)(batch, [3, 4])
    new = changed(batch, out)
    assert not new[:, 10:20, 15:25].any()
    assert new.any(axis=(1, 2)).mean() > 0.9
    own = np.where(np.arange(200) % 2, 0.1, 0.3)
    values = out["image"].numpy()[new] / np.roll(own, 1)[np.nonzero(new)[0], None]
    # the partner's background times a gain; an object would be 3 or 9 times as bright
    assert values.min() >= 0.5 * (1 - 1e-5)
    assert values.max() <= 2 * (1 + 1e-5)
    for key in ("boxes", "classes"):
        np.testing.assert_array_equal(out[key], batch[key])


def test_a_single_one_is_as_large_as_asked_and_no_rectangle():
    batch = flat(count=300, height=60, width=60) | {"classes": tf.fill([300, 2], -1)}
    new = changed(batch, distractors(p=1.0, count=1, minimum=0.5, maximum=0.5)(batch, [1, 2]))
    inside = [n for n in new if n.any() and not (n[[0, -1]].any() or n[:, [0, -1]].any())]
    shares = []
    for shape in inside:
        rows, columns = np.nonzero(shape.any(1))[0], np.nonzero(shape.any(0))[0]
        sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert max(sides) <= 0.5 * 60 * 1.34 + 1  # a stretched diameter
        shares.append(shape.sum() / (sides[0] * sides[1]))
    assert len(inside) > 50
    assert min(shares) < 0.6  # triangles
    assert np.median(shares) < 0.85


def test_p_is_the_share_of_rows_and_a_grey_image_stays_grey():
    batch = flat(count=400)
    grey = batch | {"image": batch["image"][..., :1]}
    out = distractors(p=0.3)(grey, [5, 5])
    assert out["image"].shape == grey["image"].shape
    assert changed(grey, out).any(axis=(1, 2)).mean() == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 2}, "probability p"),
        ({"count": 0}, "count must be a whole number from 1"),
        ({"minimum": 0}, "minimum must be a number from 0.01"),
        ({"minimum": 0.5, "maximum": 0.2}, "minimum 0.5 must not be above maximum 0.2"),
    ],
)
def test_impossible_values_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        distractors(**arguments)


def test_other_truth_beside_boxes_is_refused():
    batch = boxes_alone() | {"label": tf.zeros([6], tf.int32)}
    with pytest.raises(InputError, match="the batch has label"):
        distractors()(batch, [0, 0])
