import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, column_sample
from tfvision.augment import OPS
from tfvision.errors import InputError

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


def scene(height=40, width=60):
    """Two small classes in a large one, each place of its own, and a strip without label."""
    mask = np.zeros([height, width], np.int32)
    mask[10:12, 20:23], mask[30, 50] = 1, 2
    mask[:, :8] = 255
    places = np.arange(height * width).reshape(height, width, 1) / (height * width)
    return {"image": tf.constant(places, tf.float32), "mask": tf.constant(mask)}


def drawn_windows(op, sample, count=600):
    """(top, left) of each window of `scene`, read off the image."""
    height, width = sample["mask"].shape
    pipe = tf.data.Dataset.range(count).map(lambda s: op(sample, tf.stack([s, 3])))
    for out in pipe.as_numpy_iterator():
        first = round(float(out["image"][0, 0, 0]) * height * width)
        top, left = divmod(first, width)
        size = out["mask"].shape
        inside = sample["mask"].numpy()[top : top + size[0], left : left + size[1]]
        np.testing.assert_array_equal(out["mask"], inside)
        yield top, left, out["mask"]


def test_a_balanced_crop_has_each_class_in_its_middle_equally_often():
    """5 x 7 windows; the middle is pixel (2, 3), and no pixel here is too near the edge."""
    op = crop(5, 7, balance=1.0)
    middles = [mask[2, 3] for _, left, mask in drawn_windows(op, scene()) if left]
    counts = np.bincount(middles, minlength=256)
    assert counts[1:3].min() > 160  # of 600, 200 each; one standard deviation is 11.5
    assert counts[1:3].max() < 240
    assert counts[255] == 0
    plain = [mask[2, 3] for _, _, mask in drawn_windows(crop(5, 7), scene())]
    assert np.isin(plain, [1, 2]).mean() < 0.02


def test_a_balanced_crop_draws_the_pixels_of_a_class_evenly():
    op = crop(5, 7, balance=1.0)
    places = [(top + 2, left + 3) for top, left, mask in drawn_windows(op, scene(), 900)]
    found = [places.count((row, column)) for row in (10, 11) for column in (20, 21, 22)]
    assert min(found) > 25  # 50 expected
    assert max(found) < 80


def test_balance_is_a_share_of_the_random_places():
    middles = [mask[2, 3] for _, _, mask in drawn_windows(crop(5, 7, balance=0.5), scene())]
    assert np.isin(middles, [1, 2]).mean() == pytest.approx(0.5 * 2 / 3, abs=0.07)
    in_middle = crop(5, 7, p=0.0, balance=1.0)(scene(), [1, 1])
    np.testing.assert_array_equal(in_middle["image"], crop(5, 7, p=0.0)(scene(), [1, 1])["image"])


def test_a_window_at_the_edge_or_larger_than_the_image_stays_as_it_may():
    sample = scene()
    sample["mask"] = tf.where(tf.constant(np.indices((40, 60)).sum(0) == 0), 1, 255)
    out = crop(9, 9, balance=1.0)(sample, [0, 3])
    assert out["mask"][0, 0] == 1  # the only labelled pixel is the corner
    out = crop(50, 70, balance=1.0)(sample, [0, 3])
    assert (out["mask"].numpy() == 1).sum() == 1


def test_without_a_labelled_pixel_or_with_balance_0_the_place_is_that_of_a_plain_crop():
    sample = scene()
    assert_same(crop(5, 7, balance=0.0)(sample, [4, 4]), crop(5, 7)(sample, [4, 4]))
    sample["mask"] = tf.fill([40, 60], 255)
    assert_same(crop(5, 7, balance=1.0)(sample, [4, 4]), crop(5, 7)(sample, [4, 4]))
    other = crop(5, 7, balance=1.0, ignore_label=None)(sample, [4, 4])
    assert np.all(other["mask"] == 255)


def test_balance_needs_a_mask():
    with pytest.raises(InputError, match="balance chooses places by the mask, and the sample has"):
        crop(2, 2, balance=0.5)({"image": tf.zeros([4, 4, 1])}, [0, 0])
