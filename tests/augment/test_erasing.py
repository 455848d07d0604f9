import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import make_sample
from tfvision.augment import coarse_dropout, cutout, grid_dropout


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


def test_one_coarse_rectangle_has_any_size_of_the_range_and_lies_inside():
    one = {"min_count": 1, "max_count": 1, "min_size": 0.1, "max_size": 0.5}
    hidden = holes(coarse_dropout(**one, p=1.0))
    sizes = set()
    for hole in hidden:
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (len(rows), len(columns))
        sizes.add((len(rows), len(columns)))
    heights, widths = (set(side) for side in zip(*sizes, strict=True))
    assert heights == set(range(2, 11))  # 0.1 to 0.5 of 20: none is cut off at the edge
    assert widths == set(range(3, 16))
    assert len(sizes) > 60  # each side is drawn for itself
    assert hidden.any(0).mean() > 0.99


def test_coarse_dropout_draws_its_number_of_rectangles():
    """Single pixels of a large image hardly ever meet, so they can be counted."""
    tiny = {"min_count": 2, "max_count": 5, "min_size": 0.0, "max_size": 0.001}
    counts = holes(coarse_dropout(**tiny, p=1.0), 200, 300, 200).sum((1, 2))
    assert set(counts) == {2, 3, 4, 5}
    assert np.bincount(counts)[2:].min() > 25
    assert holes(coarse_dropout(p=0.25)).any((1, 2)).mean() == pytest.approx(0.25, abs=0.09)


def grid(unit, top, left, ratio, height=20, width=30):
    """Chen et al.: a pixel is hidden where both its places in the unit lie in the square."""
    hole = min(max(round(unit * (1 - ratio)), 1), unit - 1)
    return np.array(
        [[(y + top) % unit < hole > (x + left) % unit for x in range(width)] for y in range(height)]
    )


@pytest.mark.parametrize("ratio", [0.4, 0.75])
def test_grid_dropout_is_a_grid_of_every_unit_and_offset(ratio):
    hidden = holes(grid_dropout(ratio, min_unit=4, max_unit=6, p=1.0), count=400)
    wanted = {
        grid(unit, top, left, ratio).tobytes(): (unit, top, left)
        for unit in (4, 5, 6)
        for top in range(unit)
        for left in range(unit)
    }
    seen = [wanted[hole.tobytes()] for hole in hidden]  # a KeyError where it is no such grid
    assert len(set(seen)) > 0.95 * len(wanted)
    assert np.bincount([unit for unit, _, _ in seen])[4:].min() > 90


def test_grid_dropout_keeps_the_share_of_its_paper():
    kept = 1 - holes(grid_dropout(0.6, min_unit=10, max_unit=10, p=1.0), 100, 100, 5).mean()
    assert kept == pytest.approx(1 - (1 - 0.6) ** 2)


@pytest.mark.parametrize("op", [coarse_dropout, grid_dropout])
def test_dropouts_hide_the_mask_only_where_a_label_is_given_for_it(op):
    sample = make_sample(40, 50, channels=3)
    keep = op(p=1.0, fill=0.5)(sample, [1, 1])
    assert keep["mask"] is sample["mask"]
    hide = op(p=1.0, fill=0.5, fill_label=255)(sample, [1, 1])
    hidden = np.all(hide["image"] == 0.5, axis=-1)
    assert hidden.any()
    np.testing.assert_array_equal(hide["mask"], np.where(hidden, 255, sample["mask"]))
    assert hide["boxes"] is sample["boxes"]
