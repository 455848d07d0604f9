"""What `mosaic` shows where, and its boxes. The harness is in test_mixing.py."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import make_batch
from tfvision.augment import compose, mixup, mosaic
from tfvision.errors import InputError

HEIGHT, WIDTH, COUNT = 48, 64, 8


def places():
    """Pixels hold their row in the batch, and their own place in the image."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.broadcast_to([y + 0.5, x + 0.5], (COUNT, 2, HEIGHT, WIDTH))
    number = np.broadcast_to(np.arange(COUNT)[:, None, None, None], (COUNT, 1, HEIGHT, WIDTH))
    image = np.concatenate([number, image], axis=1)
    return tf.constant(np.moveaxis(image, 1, -1), tf.float32)


def with_boxes(boxes):
    """The places, and the same boxes in every row; the class tells row and number."""
    boxes = np.float32(boxes)
    classes = np.arange(COUNT * len(boxes), dtype=np.int32).reshape(COUNT, -1)
    tiled = np.broadcast_to(boxes, (COUNT, *boxes.shape))
    return {"image": places(), "boxes": tf.constant(tiled), "classes": tf.constant(classes)}


def parts_of(image, row):
    """The four windows of a mosaic: (partner, y1, x1, y2, x2, the pixels in it)."""
    number = np.rint(image[..., 0]).astype(int)
    found = []
    for j, behind in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        ys, xs = np.nonzero(number == (row - j) % COUNT)
        y1, x1, y2, x2 = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
        assert len(ys) == (y2 - y1) * (x2 - x1)  # a rectangle, whole
        assert ((y1 > 0), (x1 > 0)) == tuple(bool(b) for b in behind)
        assert ((y2 == HEIGHT), (x2 == WIDTH)) == tuple(bool(b) for b in behind)
        found.append(((row - j) % COUNT, y1, x1, y2, x2, image[y1:y2, x1:x2, 1:]))
    return found


def test_four_windows_at_one_scale_each():
    scales, crosses = [], []
    for s in range(4):
        out = mosaic(p=1.0)(with_boxes([[0, 0, 2, 2]]), [s, 1])["image"].numpy()
        for row in range(COUNT):
            for _, y1, x1, y2, x2, read in parts_of(out[row], row):
                down, right = np.diff(read[..., 0], axis=0), np.diff(read[..., 1], axis=1)
                step = np.median(down)
                # But at the edge of an image, whose outer half pixel has no neighbour.
                np.testing.assert_allclose(down[1:-1], step, atol=1e-3)
                np.testing.assert_allclose(right[:, 1:-1], step, atol=1e-3)
                scales.append(1 / step)
                least = max((y2 - y1) / HEIGHT, (x2 - x1) / WIDTH, 0.5)
                assert least - 1e-3 <= scales[-1] <= 1 + 1e-3
            crosses.append(parts_of(out[row], row)[0][3:5])
    assert min(scales) < 0.6
    assert max(scales) > 0.95
    across = np.array(crosses) / [HEIGHT, WIDTH]
    assert 0.25 <= across.min() < 0.35
    assert 0.65 < across.max() <= 0.75


def test_boxes_lie_over_what_they_lay_over():
    """A box's edges come out where its own coordinates are read, clipped to the part."""
    boxes = np.float32([[3, 2, 30, 20], [30.5, 25.25, 61, 44], [10, 30, 14, 47], [50, 3, 53, 6]])
    batch = with_boxes(boxes)
    out = mosaic(p=1.0, min_visibility=0.3)(batch, [6, 1])
    assert out["boxes"].shape == (COUNT, 16, 4)
    dropped = clipped = 0
    for row in range(COUNT):
        wanted = {}
        for number, y1, x1, y2, x2, read in parts_of(out["image"].numpy()[row], row):
            ys, xs = read[..., 0].mean(1), read[..., 1].mean(0)
            scale = 1 / np.median(np.diff(ys))
            middle = len(ys) // 2, len(xs) // 2
            top = y1 + middle[0] + 0.5 - ys[middle[0]] * scale  # where row 0 of the image is
            left = x1 + middle[1] + 0.5 - xs[middle[1]] * scale
            for j, box in enumerate(boxes):
                moved = box * scale + [left, top, left, top]
                inner = np.clip(moved, [x1, y1, x1, y1], [x2, y2, x2, y2])
                share = np.prod(inner[2:] - inner[:2]) / np.prod(moved[2:] - moved[:2])
                assert abs(share - 0.3) > 1e-3  # else another seed
                if share > 0.3:
                    wanted[number * len(boxes) + j] = inner
                    clipped += share < 0.999
                else:
                    dropped += 1
        filled = out["classes"][row].numpy() >= 0
        found = dict(
            zip(out["classes"][row].numpy()[filled], out["boxes"][row].numpy(), strict=False)
        )
        assert found.keys() == wanted.keys()
        for k, box in found.items():
            np.testing.assert_allclose(box, wanted[k], atol=0.02)
    assert dropped > 10
    assert clipped > 10


def test_p_is_the_share_of_mosaics():
    batch = {"image": tf.random.stateless_uniform([400, 8, 8, 1], [1, 1])}
    batch |= {"boxes": tf.zeros([400, 1, 4]), "classes": tf.fill([400, 1], -1)}
    out = mosaic(p=0.3)(batch, [5, 6])
    changed = np.any(out["image"] != batch["image"], axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.08)


def test_mixup_of_mosaics():
    op = compose([mosaic(p=1.0), mixup(p=1.0)])
    out = op(with_boxes([[0, 0, 60, 44]]), tf.constant([0, 1], tf.int64))
    assert out["boxes"].shape == (COUNT, 8, 4)
    assert "mix" not in out


def test_other_truth_than_boxes_is_refused():
    with pytest.raises(InputError, match="must be boxes alone, and the batch has mask, label\\."):
        mosaic()(make_batch(), [0, 0])
    with pytest.raises(InputError, match=r"mosaic: .* the batch has none. Leave it out"):
        mosaic()({"image": tf.zeros([2, 4, 4, 1])}, [0, 0])
    with pytest.raises(InputError, match="min_visibility must be a number from 0 to 1, got 2"):
        mosaic(min_visibility=2)


def test_a_region_is_shown_as_the_image_is_and_unknown_where_one_of_four_is():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    region = np.stack([np.hypot(y - 20, x - 20 - 3 * i) < 12 for i in range(COUNT)])
    batch = with_boxes([[5, 5, 30, 30]])
    batch |= {
        "image": tf.constant(region[..., None], tf.float32),
        "region": tf.constant(region, tf.uint8),
    }
    out = mosaic(p=1.0)(batch, [3, 1])
    image, shown = out["image"][..., 0].numpy(), out["region"].numpy()
    assert shown[image == 1].all()
    assert not shown[image == 0].any()
    assert (shown.mean(axis=(1, 2)) > 0).all()
    unknown = batch | {
        "region": batch["region"] * tf.constant([0] + [1] * 7, tf.uint8)[:, None, None]
    }
    without = mosaic(p=1.0)(unknown, [3, 1])["region"].numpy()
    assert not without[:4].any()
    np.testing.assert_array_equal(without[4:], shown[4:])
    spared = mosaic(p=0.0)(unknown, [3, 1])["region"]
    np.testing.assert_array_equal(spared, unknown["region"])
