import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import make_sample
from tfvision.augment import cutout


def holes(op, height=20, width=30, count=300):
    """(count, H, W) bool: what is hidden of a white image."""
    sample = {"image": tf.ones([height, width, 1])}
    pipe = tf.data.Dataset.range(count).map(lambda s: op(sample, tf.stack([s, 3]))["image"])
    return np.stack(list(pipe.as_numpy_iterator()))[..., 0] == 0


def test_a_hole_is_a_rectangle_whose_middle_is_any_pixel():
    hidden = holes(cutout(size=(5, 7), p=1.0))
    middles = set()
    for hole in hidden:
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns)
        assert np.ptp(rows) + 1 == len(rows) <= 5
        assert np.ptp(columns) + 1 == len(columns) <= 7
        if len(rows) < 5:
            assert rows[0] == 0 or rows[-1] == 19
        if len(columns) < 7:
            assert columns[0] == 0 or columns[-1] == 29
        middles.add((rows[0], columns[0]))
    assert len(middles) > 150
    assert hidden.sum((1, 2)).max() == 35
    assert hidden.any(0).all()  # corners too


def test_count_and_p():
    one, three = holes(cutout(size=4, p=1.0)), holes(cutout(size=4, count=3, p=1.0))
    assert 16 * 2 < three.sum((1, 2)).mean() <= 16 * 3
    assert one.sum((1, 2)).max() == 16
    assert holes(cutout(size=4, p=0.25)).any((1, 2)).mean() == pytest.approx(0.25, abs=0.09)


def test_the_mask_is_hidden_only_where_a_label_is_given_for_it():
    sample = make_sample(channels=3)
    keep = cutout(size=6, p=1.0, fill=0.5)(sample, [1, 1])
    assert keep["mask"] is sample["mask"]
    hide = cutout(size=6, p=1.0, fill=0.5, fill_label=255)(sample, [1, 1])
    hidden = np.all(hide["image"] == 0.5, axis=-1)
    assert hidden.any()
    np.testing.assert_array_equal(hide["mask"], np.where(hidden, 255, sample["mask"]))
    np.testing.assert_array_equal(hide["image"], keep["image"])
    assert hide["boxes"] is sample["boxes"]


def test_a_hole_larger_than_the_image_hides_it_all():
    assert holes(cutout(size=100, p=1.0), count=10).all()
