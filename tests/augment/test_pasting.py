"""What `copy_paste` pastes, where, and what it refuses. The harness is in test_mixing.py."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import make_batch
from tfvision.augment import compose, copy_paste, mixup
from tfvision.errors import InputError


def batch_of(count=40, height=8, width=10):
    """Masks of labels 0 to 3; every pixel of the image tells its label, row, and place."""
    batch = make_batch(count, height, width)
    mask = batch["mask"].numpy()
    places = np.arange(height * width).reshape(height, width) / (height * width)
    image = mask + np.arange(count)[:, None, None] * 10 + places
    return {"image": tf.constant(image[..., None], tf.float32), "mask": batch["mask"]}


def pasted_by_hand(image, mask, other_image, other_mask, classes, flip, down, right):
    """Loops over the pixels of one row and its partner."""
    image, mask = image.copy(), mask.copy()
    height, width = mask.shape
    if flip:
        other_image, other_mask = other_image[:, ::-1], other_mask[:, ::-1]
    for y in range(height):
        for x in range(width):
            to_y, to_x = y + down, x + right
            if other_mask[y, x] in classes and 0 <= to_y < height and 0 <= to_x < width:
                image[to_y, to_x], mask[to_y, to_x] = other_image[y, x], other_mask[y, x]
    return image, mask


def test_the_classes_pixels_of_the_partner_are_pasted_image_and_mask_together():
    """Each row is one of the 2 flips x 3 x 5 shifts, by a loop in NumPy."""
    batch = batch_of()
    out = copy_paste([1, 3], p=1.0, flip_p=0.5, max_shift=0.2)(batch, [3, 1])
    before = [batch[key].numpy() for key in ("image", "mask")]
    after = [out[key].numpy() for key in ("image", "mask")]
    cases = [(f, y, x) for f in (0, 1) for y in range(-1, 2) for x in range(-2, 3)]
    found = []
    for row in range(len(before[0])):
        own, other = ([part[i] for part in before] for i in (row, row - 1))
        hits = [
            case
            for case in cases
            if all(
                np.array_equal(part[row], wanted)
                for part, wanted in zip(
                    after, pasted_by_hand(*own, *other, (1, 3), *case), strict=True
                )
            )
        ]
        assert len(hits) == 1, row
        found += hits
    flips, downs, rights = (set(values) for values in zip(*found, strict=True))
    assert flips == {0, 1}
    assert downs == {-1, 0, 1}
    assert rights == {-2, -1, 0, 1, 2}


def test_image_and_mask_agree_everywhere_and_only_the_classes_come_in():
    batch = batch_of()
    out = copy_paste([2], p=1.0)(batch, [5, 5])
    np.testing.assert_array_equal(np.floor(out["image"][..., 0]) % 10, out["mask"])
    changed = np.any(out["image"] != batch["image"], axis=-1)
    assert changed.mean() > 0.1
    assert set(out["mask"].numpy()[changed]) == {2}


def test_p_is_the_share_of_rows_that_are_pasted_into():
    batch = batch_of(400, 4, 5)
    out = copy_paste([0, 1, 2], p=0.3)(batch, [2, 2])
    changed = np.any(out["image"] != batch["image"], axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.08)
    same = copy_paste([0, 1, 2], p=0.0)(batch, [2, 2])
    for key in batch:
        np.testing.assert_array_equal(same[key], batch[key])


def test_a_partner_without_the_class_changes_nothing():
    batch = batch_of()
    out = copy_paste([17], p=1.0)(batch, [0, 0])
    np.testing.assert_array_equal(out["image"], batch["image"])


def test_mixup_may_follow():
    mixed = compose([copy_paste([1], p=1.0), mixup()])(batch_of(4), tf.constant([0, 1], tf.int64))
    assert "mask_other" in mixed


def test_what_it_cannot_paste_is_refused():
    with pytest.raises(InputError, match=r"known only with the training set.*rare_classes"):
        copy_paste()(batch_of(2), [0, 0])
    with pytest.raises(InputError, match="the batch has boxes, and which of them"):
        copy_paste([1])(make_batch(), [0, 0])
    with pytest.raises(InputError, match="pastes by the mask, and the batch has none"):
        copy_paste([1])({"image": tf.zeros([2, 4, 4, 1])}, [0, 0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"classes": "common"}, r"must be 'rare' or a list .* got 'common'"),
        ({"classes": []}, "list with at least one label"),
        ({"classes": [1, -2]}, "a label of classes must be a whole number from 0 up, got -2"),
        ({"p": 2}, "the probability p must be a number from 0 to 1"),
        ({"flip_p": -1}, "flip_p must be a number from 0 to 1"),
        ({"max_shift": 3}, "max_shift must be a number from 0 to 1, got 3"),
    ],
)
def test_bad_arguments_are_refused_when_built(arguments, match):
    with pytest.raises(InputError, match=match):
        copy_paste(**{"classes": [1], **arguments})
