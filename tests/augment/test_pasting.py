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


def objects(count=24, height=40, width=60, most=5, seed=0):
    """Rows of 0 to `most` boxes in whole pixels, which may overlap; no two pixels are equal."""
    rng = np.random.default_rng(seed)
    image = rng.permutation(count * height * width).reshape(count, height, width, 1)
    boxes = np.zeros((count, most, 4), np.float32)
    classes = np.full((count, most), -1, np.int32)
    for row in range(count):
        for j in range(row % (most + 1)):
            x1, y1 = rng.integers(0, [width - 20, height - 20])
            wide, high = rng.integers(6, 20, 2)
            boxes[row, j], classes[row, j] = [x1, y1, x1 + wide, y1 + high], rng.integers(0, 3)
    batch = {"image": image.astype(np.float32), "boxes": boxes, "classes": classes}
    return {key: tf.constant(value) for key, value in batch.items()}


def boxes_by_hand(batch, row, flip, down, right, pasted, min_visibility):
    """The boxes of one row after a paste into its pixels `pasted` (H, W), by counting them."""
    height, width = pasted.shape
    found = []
    for box, k in zip(batch["boxes"][row].numpy(), batch["classes"][row].numpy(), strict=True):
        x1, y1, x2, y2 = box.astype(int)
        seen = np.sum(~pasted[y1:y2, x1:x2])
        if k >= 0 and seen and seen >= min_visibility * (x2 - x1) * (y2 - y1):
            found.append((x1, y1, x2, y2, k))
    other = (batch[key][row - 1].numpy() for key in ("boxes", "classes"))
    for box, k in zip(*other, strict=True):
        x1, y1, x2, y2 = box.astype(int)
        x1, x2 = (width - x2, width - x1) if flip else (x1, x2)
        x1, y1, x2, y2 = x1 + right, y1 + down, x2 + right, y2 + down
        seen = pasted[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)].sum()
        if k >= 0 and seen and seen >= min_visibility * (x2 - x1) * (y2 - y1):
            found.append((max(x1, 0), max(y1, 0), min(x2, width), min(y2, height), k))
    return np.reshape(found, [-1, 5])


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_objects_cut_by_their_boxes_are_pasted_and_boxes_follow_what_is_seen(share):
    """Each row is one of the flips and shifts; its boxes are counted pixel by pixel."""
    batch = objects()
    op = copy_paste("all", p=1.0, max_shift=0.1, share=share, min_visibility=0.4)
    out = op(batch, [3, 1])
    assert out["boxes"].shape == (24, 10, 4)
    image, before = out["image"].numpy()[..., 0], batch["image"].numpy()[..., 0]
    cases = [(f, y, x) for f in (0, 1) for y in range(-4, 5) for x in range(-6, 7)]
    dropped = pasted_rows = counted = 0
    for row in range(24):
        changed = image[row] != before[row]
        if not changed.any():
            continue
        pasted_rows += 1
        hits = []
        for flip, down, right in cases:
            source = before[row - 1][:, ::-1] if flip else before[row - 1]
            moved = np.full_like(source, -1)
            ys, xs = (
                slice(max(down, 0), 40 + min(down, 0)),
                slice(max(right, 0), 60 + min(right, 0)),
            )
            moved[ys, xs] = source[
                max(-down, 0) : 40 - max(down, 0), max(-right, 0) : 60 - max(right, 0)
            ]
            if np.array_equal(image[row][changed], moved[changed]):
                hits.append((flip, down, right))
        assert len(hits) == 1, row
        wanted = boxes_by_hand(batch, row, *hits[0], changed, 0.4)
        filled = out["classes"][row].numpy() >= 0
        found = np.c_[out["boxes"][row].numpy(), out["classes"][row].numpy()][filled]
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        counted += len(wanted)
        dropped += np.sum(batch["classes"][row] >= 0) + np.sum(batch["classes"][row - 1] >= 0)
        dropped -= len(wanted)
    assert pasted_rows > 11
    assert counted > 50
    assert dropped > 5


def test_only_boxes_of_the_classes_are_pasted():
    batch = objects()
    out = copy_paste([1], p=1.0, share=1.0, flip_p=0.0, max_shift=0.0)(batch, [0, 2])
    changed = (out["image"] != batch["image"]).numpy()[..., 0]
    for row in range(24):
        allowed = np.zeros_like(changed[row])
        for box, k in zip(batch["boxes"][row - 1].numpy(), batch["classes"][row - 1], strict=True):
            x1, y1, x2, y2 = box.astype(int)
            allowed[y1:y2, x1:x2] |= k.numpy() == 1
        assert not (changed[row] & ~allowed).any()
    assert changed.sum() > 500


def test_a_truth_that_is_covered_is_dropped_and_one_that_is_seen_enough_is_not():
    boxes = np.float32([[[2, 2, 12, 12], [20.5, 4, 30, 10]], [[2, 2, 12, 5], [20.5, 4, 30, 9]]])
    batch = {
        "image": tf.stack([tf.zeros([16, 32, 1]), tf.ones([16, 32, 1])]),
        "boxes": tf.constant(boxes),
        "classes": tf.constant([[0, 1], [2, 3]]),
    }
    op = copy_paste("all", p=1.0, share=1.0, flip_p=0.0, max_shift=0.0)
    out = op(batch, [0, 0])
    # Of the first 3 of 10 rows are covered, of the second 5 of 6: less than a quarter is seen.
    np.testing.assert_array_equal(out["classes"][0], [0, 2, 3, -1])
    np.testing.assert_array_equal(out["boxes"][0, :3], [boxes[0, 0], boxes[1, 0], boxes[1, 1]])
    assert np.all(out["image"][0, 4:9, 20:30] == 1)  # the whole pixels that the box touches
    np.testing.assert_array_equal(out["classes"][1], [0, 1, -1, -1])


def test_what_it_cannot_paste_is_refused():
    with pytest.raises(InputError, match="classes 'all' is of boxes; every pixel of a mask"):
        copy_paste("all")(batch_of(2), [0, 0])
    with pytest.raises(InputError, match=r"known only with the training set.*rare_classes"):
        copy_paste()(batch_of(2), [0, 0])
    with pytest.raises(InputError, match="the batch has boxes, and which of them"):
        copy_paste([1])(make_batch(), [0, 0])
    with pytest.raises(InputError, match="pastes by the mask, and the batch has none"):
        copy_paste([1])({"image": tf.zeros([2, 4, 4, 1])}, [0, 0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"classes": "common"}, r"must be 'rare', 'all' or a list .* got 'common'"),
        ({"classes": []}, "list with at least one label"),
        ({"classes": [1, -2]}, "a label of classes must be a whole number from 0 up, got -2"),
        ({"p": 2}, "the probability p must be a number from 0 to 1"),
        ({"flip_p": -1}, "flip_p must be a number from 0 to 1"),
        ({"share": 1.5}, "share must be a number from 0 to 1, got 1.5"),
        ({"min_visibility": -1}, "min_visibility must be a number from 0 to 1"),
        ({"max_shift": 3}, "max_shift must be a number from 0 to 1, got 3"),
    ],
)
def test_bad_arguments_are_refused_when_built(arguments, match):
    with pytest.raises(InputError, match=match):
        copy_paste(**{"classes": [1], **arguments})


def test_a_crowd_stays_under_what_is_pasted_and_is_not_pasted_itself():
    boxes = tf.constant([[[2, 2, 8, 8], [0, 0, 20, 20]], [[2, 2, 3, 3], [1, 1, 9, 9]]], tf.float32)
    image = tf.random.stateless_uniform([2, 24, 24, 1], [1, 2])
    batch = {"image": image, "boxes": boxes, "classes": tf.constant([[1, -2], [-2 - 1, 0]])}
    op = copy_paste(classes="all", p=1.0, flip_p=0.0, max_shift=0.0, share=1.0)
    out = op(batch, tf.constant([3, 4]))
    # Row 0 gets the box (1, 1, 9, 9) of row 1, which hides its own box; its crowd stays.
    assert sorted(out["classes"][0].numpy().tolist()) == [-3, -2, -1, 0]
    # Row 1 gets the box of row 0, which hides its crowd; of that beneath it too little is shown.
    assert sorted(out["classes"][1].numpy().tolist()) == [-1, -1, 0, 1]
    assert not tf.reduce_any(out["image"][1][9:] != image[1][9:]).numpy()


def discs(count=60, height=24, width=30):
    """A disc of value 1 a row in a box of its size, on a background of 0; it is the region."""
    y, x = np.mgrid[:height, :width] + 0.5
    centres = np.random.default_rng(0).integers(6, [height - 6, width - 6], (count, 2))
    region = np.stack([np.hypot(y - cy, x - cx) < 5 for cy, cx in centres])
    boxes = np.concatenate([centres[:, ::-1] - 5, centres[:, ::-1] + 5], axis=1)[:, None]
    return {
        "image": tf.constant(region[..., None], tf.float32),
        "region": tf.constant(region, tf.uint8),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.zeros([count, 1], tf.int32),
    }


def test_an_object_is_cut_out_of_its_box_and_the_region_holds_it():
    batch = discs()
    out = copy_paste("all", p=1.0, share=1.0, max_shift=0.5, cut="object")(batch, [1, 1])
    # Corners of the pasted boxes would have put background over the row's own disc.
    assert np.all(out["image"].numpy() >= batch["image"].numpy())
    np.testing.assert_array_equal(out["region"], out["image"][..., 0] > 0)
    boxed = copy_paste("all", p=1.0, share=1.0, max_shift=0.5)(batch, [1, 1])
    assert np.any(boxed["image"].numpy() < batch["image"].numpy())
    two = (out["classes"].numpy() == 0).all(axis=1)
    assert two.mean() > 0.5
    for row in np.flatnonzero(two):  # each box, the pasted one too, has its disc's middle
        for x1, y1, x2, y2 in out["boxes"].numpy()[row]:
            assert out["image"].numpy()[row, int((y1 + y2) / 2), int((x1 + x2) / 2), 0] == 1


def test_what_was_not_found_is_not_pasted_and_stays_unknown():
    batch = discs(count=4)
    batch["region"] *= tf.constant([0, 1, 0, 1], tf.uint8)[:, None, None]
    out = copy_paste("all", p=1.0, share=1.0, max_shift=0.0, cut="object")(batch, [1, 1])
    for row in (1, 3):  # their partners, 0 and 2, have no region
        np.testing.assert_array_equal(out["image"][row], batch["image"][row])
        assert (out["classes"][row].numpy() == 0).sum() == 1
    assert not out["region"].numpy()[[0, 2]].any()


def test_a_cut_needs_a_region_and_a_known_name():
    batch = {key: value for key, value in discs().items() if key != "region"}
    with pytest.raises(InputError, match="copy_paste: must know where the object is"):
        copy_paste("all", cut="object")(batch, [0, 0])
    with pytest.raises(InputError, match="cut 'object' is of boxes; a mask tells the outlines"):
        copy_paste([1], cut="object")(batch_of(), [0, 0])
    with pytest.raises(InputError, match="cut must be 'box' or 'object', got 'disc'"):
        copy_paste("all", cut="disc")
