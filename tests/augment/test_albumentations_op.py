import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, hull_of, make_sample, round_sample
from tfvision.augment import albumentations, flip_lr
from tfvision.errors import InputError

FLIP = {"name": "HorizontalFlip", "p": 1.0}


def test_a_flip_is_the_native_flip():
    sample = make_sample(channels=3)
    out = albumentations([FLIP])(sample, [0, 1])
    expected = flip_lr(p=1.0)(sample, [0, 1])
    for key in ("image", "mask", "classes"):
        np.testing.assert_array_equal(out[key], expected[key])
    np.testing.assert_allclose(out["boxes"], expected["boxes"], atol=1e-5)


def test_transforms_of_one_probability_do_not_happen_in_step():
    """`Compose.set_random_seed` would give each transform the same random numbers."""
    op = albumentations([{"name": "HorizontalFlip"}, {"name": "VerticalFlip"}])  # p 0.5 each
    sample = make_sample(parts=())
    outcomes = [op(sample, [s, 0])["image"].numpy().tobytes() for s in range(60)]
    assert len(set(outcomes)) == 4


def test_several_workers_give_the_same_samples_bit_for_bit():
    op = albumentations(
        [
            {"name": "ElasticTransform", "alpha": 20, "sigma": 4, "p": 1.0},
            {"name": "OneOf", "transforms": [{"name": "GaussNoise"}, {"name": "RandomGamma"}]},
            {"name": "CoarseDropout", "p": 0.5},
        ]
    )
    sample = make_sample(channels=3, parts=("mask",))
    several = tf.data.Dataset.range(40).map(
        lambda s: op(sample, tf.stack([s, 9])), num_parallel_calls=8
    )
    for s, out in enumerate(several):
        assert_same(out, op(sample, [s, 9]))


def test_labels_beyond_a_byte_survive_a_warp():
    sample = make_sample(parts=())
    sample["mask"] = tf.where(sample["image"][..., 0] > 0.5, 70001, -3)
    warp = {"name": "Affine", "rotate": (30, 30), "fill_mask": 400, "p": 1.0}
    out = albumentations([warp])(sample, [0, 0])
    assert out["mask"].dtype == tf.int32
    assert set(np.unique(out["mask"])) == {70001, -3, 400}


def test_boxes_follow_and_leave_with_their_classes():
    sample = {
        "image": tf.zeros([10, 10, 1]),
        "boxes": tf.constant([[0.0, 1.0, 4.0, 3.0], [4.0, 1.0, 8.0, 3.0]]),
        "classes": tf.constant([4, 9]),
    }
    shift = {"name": "Affine", "translate_px": {"x": (4, 4), "y": (0, 0)}, "p": 1.0}
    out = albumentations([shift], min_visibility=0.6)(sample, [0, 0])
    np.testing.assert_allclose(out["boxes"], [[4, 1, 8, 3]], atol=1e-5)
    np.testing.assert_array_equal(out["classes"], [4])
    away = {**shift, "translate_px": {"x": (10, 10), "y": (0, 0)}}
    out = albumentations([away])(sample, [0, 0])
    assert out["boxes"].shape == (0, 4)
    assert out["classes"].shape == (0,)
    assert out["classes"].dtype == tf.int32


def test_the_box_of_a_turned_round_object_is_its_box():
    sample = round_sample(40, 60, 104, 124, size=(160, 160))
    turn = {"name": "Affine", "rotate": (30, 30), "p": 1.0}
    out = albumentations([turn])(sample, [0, 0])
    drawn = hull_of(out["mask"].numpy() == 3)
    np.testing.assert_allclose(out["boxes"][0], drawn, atol=1.01)


def test_boxes_need_classes():
    sample = {"image": tf.zeros([4, 4, 1]), "boxes": tf.zeros([1, 4])}
    with pytest.raises(InputError, match="both boxes and classes or neither, got image, boxes"):
        albumentations([FLIP])(sample, [0, 0])


def test_another_size_is_refused():
    op, sample = albumentations([{"name": "Resize", "height": 6, "width": 6}]), make_sample()
    match = r"image must keep its size, got \(6, 6, 1\) from \(12, 16, 1\). Use the op `crop`"
    with pytest.raises(InputError, match=match):
        op(sample, [0, 0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        next(iter(tf.data.Dataset.from_tensors(0).map(lambda s: op(sample, [s, 0]))))


@pytest.mark.parametrize(
    ("transforms", "match"),
    [
        ([{"name": "HorizontalFlp"}], "Unknown albumentations transform: 'HorizontalFlp'. "
         "Did you mean 'HorizontalFlip'"),
        ([{"name": "DualTransform", "q": 1}], "Unknown argument of albumentations DualTransform"),
        ([{"name": "RandomBrightnessContrast", "brightnes_limit": 0.1}],
         "argument of albumentations RandomBrightnessContrast: 'brightnes_limit'. "
         "Did you mean 'brightness_limit'"),
        ([{"name": "HorizontalFlip", "p": 3}], "albumentations HorizontalFlip: .*less than"),
        ([{"name": "OneOf", "transforms": [{"name": "Nope"}]}], "transform: 'Nope'"),
        ([{"name": "Normalize"}], "Normalize changes the range or type of the image"),
        ([{"p": 1.0}], "must be a dict with a name"),
        (["HorizontalFlip"], "must be a dict with a name.*got 'HorizontalFlip'"),
        ([], "at least one transform"),
        (None, "at least one transform"),
    ],
)  # fmt: skip
def test_a_bad_list_of_transforms_is_refused_when_built(transforms, match):
    with pytest.raises(InputError, match=f"(?s){match}"):
        albumentations(transforms)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(InputError, match=r"pip install albumentations==2\.0\.8"):
        albumentations([FLIP])


def test_the_import_does_not_ask_the_network(monkeypatch):
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    albumentations([FLIP])
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
