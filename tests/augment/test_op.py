import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, make_sample
from tfvision.augment import (
    brightness,
    compose,
    cutout,
    flip_lr,
    flip_ud,
    negative,
    rotate,
    scale,
    translate,
)
from tfvision.errors import InputError


def one_by_one(ops, sample, seed):
    for i, op in enumerate(ops):
        sample = op(sample, tf.random.experimental.stateless_fold_in(seed, i))
    return sample


def bordered_sample():
    """Content with so wide a margin that no shift of the tests takes it over the edge."""
    inner = make_sample(6, 8, channels=3)
    margin = [[9, 9], [12, 12]]
    return {
        "image": tf.pad(inner["image"], [*margin, [0, 0]]),
        "mask": tf.pad(inner["mask"], margin),
        "boxes": tf.constant([[13.0, 10.0, 18.0, 14.0]]),
        "classes": tf.constant([1]),
    }


def test_merged_is_one_by_one_for_flips_and_whole_shifts():
    move = {"max_shift": 0.15, "p": 0.8, "fill_label": 0}
    ops = [flip_lr(), translate(**move), flip_ud(), negative(), translate(**move), flip_lr()]
    merged, sample = compose(ops), bordered_sample()
    different = set()
    for s in range(12):
        out = merged(sample, [s, 3])
        assert_same(out, one_by_one(ops, sample, [s, 3]))
        different.add(out["mask"].numpy().tobytes())
    assert len(different) > 8


def test_merged_draws_are_those_of_each_op_alone():
    """A rotation and its neighbours: the matrices multiply in the order of the ops."""
    ops = [rotate(max_degrees=50, fill_label=0), scale(fill_label=0), flip_lr(p=1.0)]
    sample = bordered_sample()
    for s in range(4):
        merged = compose(ops)(sample, [s, 3])["boxes"]
        apart = one_by_one(ops, sample, [s, 3])["boxes"]
        # The ellipse in the hull of an ellipse is another one, but shares its middle.
        np.testing.assert_allclose(
            merged[:, :2] + merged[:, 2:], apart[:, :2] + apart[:, 2:], atol=1e-3
        )


def resamplings(ops):
    traced = tf.function(compose(ops)).get_concrete_function(
        make_sample(), tf.TensorSpec([2], tf.int32)
    )
    return sum(node.type == "ImageProjectiveTransformV3" for node in traced.graph.get_operations())


def test_a_run_is_resampled_once_and_flips_never():
    assert resamplings([flip_lr(), flip_ud()]) == 0
    once = 3  # of the image, the mask, the region
    assert resamplings([flip_lr(), rotate(), scale(), translate(), flip_ud()]) == once
    assert resamplings([rotate(), brightness(), scale()]) == 2 * once


def test_ops_run_in_order():
    """A black hole is white when the negative comes after it."""
    ops = [cutout(size=4, p=1.0, fill=0.0), negative(p=1.0)]
    sample = {"image": tf.fill([12, 16, 1], 0.25)}
    assert set(np.unique(compose(ops)(sample, [1, 2])["image"])) == {0.75, 1.0}
    assert set(np.unique(compose(ops[::-1])(sample, [1, 2])["image"])) == {0.75, 0.0}


def test_each_op_draws_its_own_chance():
    ops = compose([flip_lr(), flip_ud()])
    sample = make_sample()
    outcomes = {ops(sample, [s, 0])["image"].numpy().tobytes() for s in range(40)}
    assert len(outcomes) == 4


def test_nothing_to_do_is_the_identity():
    assert_same(compose([])(make_sample(), [0, 0]), make_sample())


def test_reflecting_neighbours_agree_whatever_fill_they_name():
    ops = [rotate(mode="reflect", fill=0.3), scale(mode="reflect")]
    assert resamplings(ops) == resamplings([rotate()])


@pytest.mark.parametrize(
    "changes", [{"fill": 0.5}, {"fill_label": 0}, {"mode": "reflect"}, {"min_visibility": 0.5}]
)
def test_neighbours_must_agree_on_the_border(changes):
    with pytest.raises(InputError, match="must declare the same mode, fill, fill_label"):
        compose([rotate(), flip_lr(), scale(**changes)])
    compose([rotate(), negative(), scale(**changes)])  # not neighbours: nothing to merge


def test_an_entry_must_be_an_op():
    with pytest.raises(InputError, match=r"entry 1 must be an op, .* got 'flip_lr'"):
        compose([flip_ud(), "flip_lr"])
