"""What the background ops replace. The harnesses are in test_ops.py and test_mixing.py."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, make_batch, make_sample
from tfvision.augment import compose, mixup, paste_on_background, random_background, rotate
from tfvision.augment.background import KINDS
from tfvision.errors import InputError

each_kind = pytest.mark.parametrize("kind", KINDS)


def sample_of(channels=3, height=24, width=30):
    """Random pixels, the object a rectangle in the middle."""
    sample = make_sample(height, width, channels, parts=())
    region = np.zeros((height, width), np.uint8)
    region[6:15, 8:20] = 1
    return {**sample, "region": tf.constant(region)}


@each_kind
@pytest.mark.parametrize("channels", [1, 3])
def test_the_object_stays_and_every_other_pixel_changes(kind, channels):
    sample = sample_of(channels)
    out = random_background(p=1.0, kinds=[kind])(sample, [1, 2])["image"].numpy()
    inside = sample["region"].numpy() == 1
    before = sample["image"].numpy()
    np.testing.assert_array_equal(out[inside], before[inside])
    assert np.mean(np.any(out[~inside] != before[~inside], axis=-1)) > 0.99


def backgrounds(kind, count=30):
    """(count, pixels outside, 3) of as many seeds."""
    sample = sample_of()
    outside = sample["region"].numpy() == 0
    op = random_background(p=1.0, kinds=[kind])
    return np.stack([op(sample, [s, 0])["image"].numpy()[outside] for s in range(count)])


def test_a_colour_is_one_colour_and_all_colours_come():
    found = backgrounds("colour")
    assert np.all(found == found[:, :1])
    assert found[:, 0].min() < 0.1
    assert found[:, 0].max() > 0.9


def test_noise_is_rough_and_clouds_are_smooth():
    def roughness(kind):
        return np.abs(np.diff(backgrounds(kind, 10)[:, :30], axis=1)).mean()  # along the first row

    assert roughness("noise") == pytest.approx(1 / 3, abs=0.03)  # of two uniform numbers
    assert 0.01 < roughness("clouds") < 0.1


def test_blur_keeps_the_colour_of_the_background():
    sample = sample_of()
    sample["image"] = tf.constant(np.full((24, 30, 3), [0.2, 0.5, 0.7]), tf.float32)
    out = random_background(p=1.0, kinds=["blur"])(sample, [1, 2])["image"]
    np.testing.assert_allclose(out, sample["image"], atol=1e-6)
    assert "blur" not in random_background.__defaults__[1]  # it does not hide the class


def test_all_kinds_asked_for_come_and_no_other():
    sample = sample_of()
    sample["image"] = tf.fill([24, 30, 3], 2.0)  # only "blur" knows it, and gives 1 after the clip
    op = random_background(p=1.0, kinds=["blur", "colour"])
    corners = [tuple(op(sample, [s, 1])["image"][0, 0].numpy()) for s in range(60)]
    share = np.mean([corner == (1.0, 1.0, 1.0) for corner in corners])
    assert share == pytest.approx(0.5, abs=0.25)
    assert len(set(corners)) > 10


@pytest.mark.parametrize("value", [0, 1])
def test_an_image_of_unknown_region_stays(value):
    sample = {**sample_of(), "region": tf.fill([24, 30], tf.constant(value, tf.uint8))}
    assert_same(random_background(p=1.0)(sample, [3, 3]), sample)


def test_an_unknown_region_is_unknown_after_a_rotation():
    sample = {**sample_of(), "region": tf.zeros([24, 30], tf.uint8)}
    turned = rotate(max_degrees=40)
    seed = tf.constant([3, 3])
    out = compose([turned, random_background(p=1.0)])(sample, seed)
    assert_same(out, turned(sample, tf.random.experimental.stateless_fold_in(seed, 0)))


@pytest.mark.parametrize("channels", [2, 4])
def test_the_region_that_an_image_carries_as_a_channel_stays(channels):
    sample = sample_of(channels)
    out = random_background(p=1.0, kinds=["noise"])(sample, [1, 1])["image"]
    np.testing.assert_array_equal(out[..., -1], sample["image"][..., -1])
    assert np.all(out[0, 0, :-1] != sample["image"][0, 0, :-1])


def batch_of_two():
    """Two images of 4 x 4 and 3 channels with the values 10 * row + column of the batch."""
    region = np.zeros((2, 4, 4), np.uint8)
    region[0, 1:3, 1:3] = 1
    region[1, 2:4, 2:4] = 1
    rng = np.random.default_rng(5)
    image = rng.random((2, 4, 4, 3), dtype=np.float32)
    return {"image": tf.constant(image), "region": tf.constant(region), "label": tf.range(2)}


def test_the_object_is_pasted_on_the_partners_background_without_its_object():
    batch = batch_of_two()
    image, region = batch["image"].numpy(), batch["region"].numpy() == 1
    out = paste_on_background(p=1.0)(batch, [0, 1])
    for row, other in ((0, 1), (1, 0)):
        mean = image[other][~region[other]].mean(axis=0)
        for y in range(4):
            for x in range(4):
                if region[row, y, x]:
                    wanted = image[row, y, x]
                else:
                    wanted = mean if region[other, y, x] else image[other, y, x]
                np.testing.assert_allclose(out["image"][row, y, x], wanted, atol=1e-6)
    np.testing.assert_array_equal(out["label"], batch["label"])
    np.testing.assert_array_equal(out["region"], batch["region"])


@pytest.mark.parametrize("value", [0, 1])
def test_without_both_regions_nothing_is_pasted(value):
    batch = batch_of_two()
    region = batch["region"].numpy()
    region[1] = value
    batch["region"] = tf.constant(region)
    assert_same(paste_on_background(p=1.0)(batch, [0, 1]), batch)


def test_p_is_the_share_of_rows_that_are_pasted():
    batch = make_batch(400, 6, 6)
    out = paste_on_background(p=0.3)(batch, [4, 4])
    changed = np.any(out["image"] != batch["image"], axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.08)
    assert_same(paste_on_background(p=0.0)(batch, [4, 4]), batch)


def test_mixup_may_follow():
    mixed = compose([paste_on_background(p=1.0), mixup()])(make_batch(), tf.constant([0, 1]))
    assert "mix" in mixed


def test_without_a_region_the_ops_say_what_to_do():
    sample, batch = make_sample(), make_batch()
    del sample["region"], batch["region"]
    with pytest.raises(InputError, match=r"random_background: must know where the object is.*find"):
        random_background()(sample, [0, 0])
    with pytest.raises(InputError, match="paste_on_background: must know where the object is"):
        paste_on_background()(batch, [0, 0])


@pytest.mark.parametrize("kinds", [[], ["partner"], "sky", 3])
def test_kinds_must_be_known(kinds):
    with pytest.raises(InputError, match="one or more of colour, noise, clouds, blur, got"):
        random_background(kinds=kinds)


def test_pasting_needs_a_probability():
    with pytest.raises(InputError, match="the probability p must be a number from 0 to 1"):
        paste_on_background(p=2)
