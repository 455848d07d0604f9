import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import column_sample
from tfvision.augment import OPS

crop = OPS["crop"]
FILL, FILL_LABEL = 0.875, 255


def window(sample, top, left, height, width):
    """By NumPy: the rows and columns from top and left on, filled where there are none."""
    pixels = sample["mask"].numpy()
    big = np.full([pixels.shape[0] + 40, pixels.shape[1] + 40], FILL_LABEL)
    big[20:-20, 20:-20] = pixels
    return big[20 + top : 20 + top + height, 20 + left : 20 + left + width]


@pytest.mark.parametrize(("height", "width"), [(3, 4), (5, 8), (9, 12), (3, 12), (9, 4), (1, 1)])
def test_every_place_is_reached_and_is_a_window_of_the_image(height, width):
    sample = column_sample(5, 8)
    op = crop(height, width, fill=FILL, fill_label=FILL_LABEL)
    starts = [
        (top, left)
        for top in range(min(0, 5 - height), max(0, 5 - height) + 1)
        for left in range(min(0, 8 - width), max(0, 8 - width) + 1)
    ]
    expected = {window(sample, *start, height, width).tobytes(): start for start in starts}
    seen = set()
    pipe = tf.data.Dataset.range(400).map(lambda s: op(sample, tf.stack([s, 3])))
    for out in pipe.as_numpy_iterator():
        seen.add(expected[out["mask"].astype(np.int64).tobytes()])
        padding = out["mask"] == FILL_LABEL
        image = np.where(padding, FILL, out["mask"] / np.float32(100))
        np.testing.assert_allclose(out["image"][..., 0], image, rtol=1e-6)
    assert seen == set(starts)


def test_p_is_the_share_of_random_places_and_the_rest_is_the_middle():
    sample = column_sample(9, 15)
    middle = window(sample, 3, 5, 3, 5)
    op = crop(3, 5, p=0.4)
    pipe = tf.data.Dataset.range(500).map(lambda s: op(sample, tf.stack([s, 3]))["mask"])
    in_the_middle = np.mean([np.array_equal(mask, middle) for mask in pipe.as_numpy_iterator()])
    # 0.6, and of the random places one in 7 * 11; the standard deviation is 0.022.
    assert in_the_middle == pytest.approx(0.6 + 0.4 / 77, abs=0.08)
    np.testing.assert_array_equal(crop(3, 5, p=0.0)(sample, [1, 1])["mask"], middle)


def test_padding_in_the_middle():
    out = crop(7, 11, p=0.0, fill_label=255)(column_sample(5, 8), [0, 0])
    np.testing.assert_array_equal(out["mask"], window(column_sample(5, 8), -1, -1, 7, 11))


def test_boxes_and_classes_follow():
    """Each box is that of its own label in the mask, so the mask says where it must be."""
    mask = np.zeros([20, 24], np.int32)
    places = {1: (2, 3, 6, 8), 2: (10, 12, 14, 20), 3: (15, 2, 19, 5)}
    boxes = []
    for label, (top, left, bottom, right) in places.items():
        mask[top:bottom, left:right] = label
        boxes.append([left, top, right, bottom])
    sample = {
        "image": tf.constant(mask[..., None] / 3, tf.float32),
        "mask": tf.constant(mask),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.constant([1, 2, 3]),
    }
    sizes = np.bincount(mask.ravel())
    counts = set()
    for s in range(40):
        out = crop(10, 40, min_visibility=0.3)(sample, [s, 0])
        found = np.bincount(np.where(out["mask"] == 255, 0, out["mask"]).ravel(), minlength=4)
        expected = [label for label in (1, 2, 3) if found[label] >= 0.3 * sizes[label]]
        np.testing.assert_array_equal(out["classes"], expected)
        for box, label in zip(out["boxes"].numpy(), expected, strict=True):
            rows, columns = np.nonzero(out["mask"] == label)
            hull = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(box, hull)
        counts.add(len(expected))
    assert len(counts) > 1
