"""What holds for every op in OPS. A new entry needs a line in ARGUMENTS, no more."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, differ, make_sample
from tfvision.augment import OPS
from tfvision.errors import InputError

HEIGHT, WIDTH = 12, 16

# Arguments beside `p`, and the labels that the op may bring into a mask.
ARGUMENTS = {
    "flip_lr": ({}, ()),
    "flip_ud": ({}, ()),
    "translate": ({"max_shift": 0.5, "fill_label": 9}, (9,)),
    "rotate": ({"max_degrees": 40}, (255,)),
    "scale": ({"minimum": 0.5, "maximum": 1.5, "max_aspect_hw": 1.3}, (255,)),
    "perspective": ({"max_shift": 0.15, "fill_label": 6}, (6,)),
    "elastic": ({"stddev": 2.0, "sigma": 3.0, "fill_label": 5}, (5,)),
    "grid_distortion": ({"steps": 3, "max_stretch": 0.6}, ()),
    "crop": ({"height": 10, "width": 20, "fill_label": 8}, (8,)),
    "brightness": ({}, ()),
    "contrast": ({}, ()),
    "gamma": ({}, ()),
    "hsv": ({"max_hue": 0.5, "max_saturation": 1.0, "max_value": 1.0}, ()),
    "channel_gain": ({"minimum": 0.5, "maximum": 2.0}, ()),
    "noise": ({}, ()),
    "blur": ({"max_sigma": 8}, ()),  # a small sigma changes no bit, and would blur `p`
    "sharpen": ({}, ()),
    "jpeg_quality": ({}, ()),
    "negative": ({}, ()),
    "cutout": ({"size": (4, 6), "count": 2, "fill_label": 7}, (7,)),
    "coarse_dropout": ({"max_size": 0.4, "fill_label": 7}, (7,)),
    "grid_dropout": ({"min_unit": 4, "max_unit": 8, "fill_label": 7}, (7,)),
    "random_background": ({"kinds": ["colour", "noise", "clouds", "blur"]}, ()),
    "albumentations": (
        {
            "transforms": [
                {"name": "Affine", "rotate": (-20, 20), "fill_mask": 9, "p": 1.0},
                {"name": "RandomBrightnessContrast", "p": 1.0},
            ]
        },
        (9,),
    ),
}

each_op = pytest.mark.parametrize("name", list(OPS))
SPECS = {
    "mask": tf.TensorSpec([None, None], tf.int32),
    "region": tf.TensorSpec([None, None], tf.uint8),
    "label": tf.TensorSpec([], tf.int32),
    "boxes": tf.TensorSpec([None, 4], tf.float32),
    "classes": tf.TensorSpec([None], tf.int32),
    "id": tf.TensorSpec([], tf.string),
    "index": tf.TensorSpec([], tf.int64),
}


def sample_for(name, **options):
    """What the op takes: of colours if it needs them."""
    return make_sample(**({"channels": 3} if name == "hsv" else {}) | options)


def build(name, p=1.0, **changes):
    return OPS[name](**{**ARGUMENTS[name][0], **changes}, p=p)


def seeds(count, first=0):
    return tf.constant([[7, s] for s in range(first, first + count)], tf.int64)


def test_every_op_is_tested():
    assert set(ARGUMENTS) == set(OPS)


@each_op
@pytest.mark.parametrize("channels", [1, 3])
def test_eager_and_tf_data_agree(name, channels):
    if (name, channels) == ("hsv", 1):
        pytest.skip("grey has no colours: test_photometric.py")
    op, sample = build(name, p=0.7), make_sample(channels=channels)
    piped = tf.data.Dataset.from_tensor_slices(seeds(6)).map(
        lambda seed: op(sample, seed), num_parallel_calls=2
    )
    for seed, out in zip(seeds(6), piped, strict=True):
        assert_same(out, op(sample, seed))


@each_op
def test_a_size_known_only_at_run_time_changes_nothing(name):
    op, sample = build(name), make_sample(channels=3)
    image = tf.TensorSpec([None, None, 3], tf.float32)
    signature = [{"image": image, **SPECS}, tf.TensorSpec([2], tf.int32)]
    traced = tf.function(op, input_signature=signature)
    for seed in seeds(3):
        seed = tf.cast(seed, tf.int32)
        assert_same(traced(sample, seed), op(sample, seed))


@each_op
def test_same_seed_same_sample_other_seed_other_sample(name):
    op, sample = build(name), sample_for(name)
    first = [op(sample, seed) for seed in seeds(8)]
    for out, seed in zip(first, seeds(8), strict=True):
        assert_same(out, op(sample, seed))
    if name not in ("flip_lr", "flip_ud", "negative"):  # of p=1 these have one outcome only
        assert any(differ(first[0], out) for out in first[1:])
    some = build(name, p=0.5)
    outcomes = {some(sample, seed)["image"].numpy().tobytes() for seed in seeds(12)}
    assert len(outcomes) > 1


@each_op
def test_p_0_is_the_identity(name):
    size = {"height": HEIGHT, "width": WIDTH} if name == "crop" else {}
    op = build(name, p=0.0, **size)
    sample = make_sample(channels=3)
    for seed in seeds(4):
        assert_same(op(sample, seed), sample)


@each_op
def test_p_is_the_share_of_changed_samples(name):
    if name == "crop":
        pytest.skip("p of crop chooses between a random place and the middle: test_crop.py")
    sample = sample_for(name, parts=())

    def share(p, count):
        op = build(name, p=p)
        changed = tf.data.Dataset.from_tensor_slices(seeds(count)).map(
            lambda seed: tf.reduce_any(op(sample, seed)["image"] != sample["image"])
        )
        return np.mean(list(changed.as_numpy_iterator()))

    # Of 400 draws the standard deviation is 0.023. A shift of no pixels is one in 221.
    assert share(0.3, 400) == pytest.approx(0.3, abs=0.08)
    assert share(1.0, 50) > 0.95


@each_op
def test_shapes_dtypes_and_other_keys_stay(name):
    op, sample = build(name), make_sample(channels=3)
    mapped = tf.data.Dataset.from_tensors(sample).map(lambda s: op(s, [3, 4]))
    (out,), spec = mapped, mapped.element_spec
    size = (10, 20) if name == "crop" else (HEIGHT, WIDTH)
    assert spec["image"] == tf.TensorSpec([*size, 3], tf.float32)
    assert spec["mask"] == tf.TensorSpec(size, tf.int32)
    assert spec["region"] == tf.TensorSpec(size, tf.uint8)
    assert spec["boxes"].dtype == tf.float32
    assert spec["boxes"].shape[1] == 4
    assert spec["classes"].dtype == tf.int32
    assert len(out["boxes"]) == len(out["classes"])
    assert set(out) == set(sample)
    for key in ("label", "id", "index"):
        assert out[key].numpy() == sample[key].numpy()


@each_op
@pytest.mark.parametrize("parts", [(), ("mask",), ("boxes",)])
def test_works_without_mask_or_boxes_and_draws_the_same(name, parts):
    op, whole = build(name), sample_for(name)
    sample = sample_for(name, parts=parts)
    for seed in seeds(3):
        out, full = op(sample, seed), op(whole, seed)
        assert_same(out, {key: full[key] for key in sample})


@each_op
def test_labels_stay_labels(name):
    """Never a label that was not there, save the declared fill: masks are not blended."""
    op, sample = build(name), sample_for(name)
    sample["mask"] = tf.where(sample["mask"] > 1, 40, 2)
    allowed = {2, 40, *ARGUMENTS[name][1]}
    for seed in seeds(20):
        assert set(np.unique(op(sample, seed)["mask"])) <= allowed


@each_op
def test_a_region_moves_with_the_mask_and_0_comes_in(name):
    sample = sample_for(name)
    sample["region"] = tf.cast(sample["mask"] == 3, tf.uint8)
    # What hides pixels of the mask does not move them: the object is still there.
    op = build(name, **({"fill_label": None} if ARGUMENTS[name][1] == (7,) else {}))
    for seed in seeds(5):
        out = op(sample, seed)
        np.testing.assert_array_equal(out["region"], out["mask"] == 3)


@each_op
def test_image_stays_in_range(name):
    op, sample = build(name), make_sample(channels=3)
    sample["image"] = tf.round(sample["image"])
    for seed in seeds(20):
        image = op(sample, seed)["image"]
        assert np.all((image >= 0) & (image <= 1))


@each_op
def test_boxes_stay_in_the_image_and_have_an_area(name):
    """Large and small ones, some at the edge; what comes out has its class, which is its own."""
    boxes = [[0, 0, 16, 12], [0, 0, 1, 1], [15.5, 3, 16, 3.25], [3, 11, 9, 12], [7, 5, 7.5, 9]]
    sample = {
        **sample_for(name, parts=()),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.range(5),
    }
    op, counts = build(name), set()
    for seed in seeds(12):
        out = op(sample, seed)
        found, (height, width) = out["boxes"].numpy(), out["image"].shape[:2]
        assert out["boxes"].dtype == tf.float32
        assert np.all(found >= 0)
        assert np.all(found <= [width, height, width, height])
        assert np.all(found[:, 2:] > found[:, :2])
        assert len(out["classes"]) == len(set(out["classes"].numpy())) == len(found)
        counts.add(len(found))
    assert max(counts) > 1


@each_op
def test_the_sample_that_came_in_is_left_alone(name):
    sample, copy = sample_for(name), sample_for(name)
    build(name)(sample, [0, 1])
    assert_same(sample, copy)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan"), "often", True])
@each_op
def test_p_must_be_a_probability(name, p):
    with pytest.raises(InputError, match=f"{name}: the probability p must be .* from 0 to 1"):
        build(name, p=p)


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("translate", {"max_shift": 1.5}, "max_shift must be a number from 0 to 1, got 1.5"),
        ("rotate", {"max_degrees": -3}, "max_degrees must be a number from 0 to 180"),
        ("rotate", {"mode": "wrap"}, "mode must be 'constant' or 'reflect', got 'wrap'"),
        ("rotate", {"fill": 128}, "fill must be a number from 0 to 1, got 128"),
        ("rotate", {"fill_label": 0.5}, "fill_label must be a whole number"),
        ("rotate", {"fill_label": 2**30}, "fill_label must be at most 16777216"),
        ("rotate", {"min_visibility": 2}, "min_visibility must be a number from 0 to 1"),
        ("scale", {"minimum": 0.0}, "scale: minimum and maximum are factors"),
        ("scale", {"minimum": 2.0}, "got minimum=2.0 and maximum=1.5"),
        ("scale", {"max_aspect_hw": 0.5}, "max_aspect_hw must be a number from 1 up"),
        ("crop", {"height": 0}, "height must be a whole number from 1 up, got 0"),
        ("perspective", {"max_shift": 0.2}, "max_shift must be a number from 0 to 0.15, got 0.2"),
        ("perspective", {"mode": "wrap"}, "perspective: mode must be 'constant' or 'reflect'"),
        ("elastic", {"stddev": -1}, "stddev must be a number from 0 to 100"),
        ("elastic", {"sigma": 0}, "sigma must be a number from 0.5 to 100"),
        ("elastic", {"fill": 255}, "elastic: fill must be a number from 0 to 1"),
        ("grid_distortion", {"steps": 1}, "steps must be a whole number from 2 up, got 1"),
        ("grid_distortion", {"max_stretch": 1}, "max_stretch must be a number from 0 to 0.9"),
        ("crop", {"balance": 2}, "balance must be a number from 0 to 1, got 2"),
        ("crop", {"ignore_label": "none"}, "must be a whole number"),
        ("crop", {"width": 2.5}, "width must be a whole number from 1 up, got 2.5"),
        ("brightness", {"max_delta": 51}, "max_delta must be a number from 0 to 1"),
        ("contrast", {"minimum": 3}, "contrast: minimum and maximum are factors"),
        ("gamma", {"maximum": "2"}, "maximum must be a number"),
        ("noise", {"stddev": -1}, "stddev must be a number from 0 to 1"),
        ("blur", {"max_sigma": 0}, "max_sigma must be a number from 0.001 to 100"),
        ("blur", {"min_sigma": 9}, "min_sigma must be a number from 0 to 8, got 9"),
        ("blur", {"kernel": 4}, "kernel must be odd, so that it has a middle, got 4"),
        ("blur", {"kernel": 1}, "kernel must be a whole number from 3 up, got 1"),
        ("hsv", {"max_hue": 30}, "max_hue must be a number from 0 to 0.5, got 30"),
        ("hsv", {"max_saturation": -1}, "max_saturation must be a number from 0 to 10"),
        ("hsv", {"max_value": "1"}, "max_value must be a number from 0 to 10, got '1'"),
        ("channel_gain", {"minimum": 0}, "channel_gain: minimum and maximum are factors"),
        ("sharpen", {"max_amount": 0}, "max_amount must be a number from 0.001 to 10"),
        ("sharpen", {"sigma": 0}, "sigma must be a number from 0.1 to 100"),
        ("jpeg_quality", {"minimum": 0}, "minimum must be a whole number from 1 up, got 0"),
        ("jpeg_quality", {"maximum": 101}, "maximum must be at most 100, got 101"),
        ("jpeg_quality", {"minimum": 96}, "must not be above maximum, got 96 and 95"),
        ("coarse_dropout", {"min_count": 0}, "min_count must be a whole number from 1 up"),
        ("coarse_dropout", {"min_count": 9}, "min_count must not be above max_count, got 9 and 8"),
        ("coarse_dropout", {"max_size": 1.5}, "max_size must be a number from 0.001 to 1"),
        ("coarse_dropout", {"min_size": 0.5}, "min_size must not be above max_size, got 0.5"),
        ("grid_dropout", {"ratio": 1.0}, "ratio must be a number from 0.01 to 0.99"),
        ("grid_dropout", {"min_unit": 1}, "min_unit must be a whole number from 2 up"),
        ("grid_dropout", {"min_unit": 50}, "min_unit must not be above max_unit, got 50 and 8"),
        ("cutout", {"size": 0}, "size must be a whole number from 1 up, got 0"),
        ("cutout", {"size": (3, 4, 5)}, r"a pair \(height, width\), got \(3, 4, 5\)"),
        ("cutout", {"count": 0}, "count must be a whole number from 1 up"),
    ],
)
def test_bad_arguments_are_refused_when_built(name, arguments, match):
    with pytest.raises(InputError, match=match):
        build(name, **arguments)


@pytest.mark.parametrize(
    "name", ["rotate", "translate", "crop", "elastic", "flip_lr", "perspective"]
)
def test_crowds_move_like_boxes_and_stay_while_anything_of_them_is_seen(name):
    sample = {**sample_for(name), "classes": tf.constant([3, 1, 2])}
    sample["boxes"] = tf.constant([[0, 0, 3, 12], [12.5, 3, 16, 6], [2, 2, 13, 10]], tf.float32)
    crowds = {**sample, "classes": tf.constant([-5, -3, -4])}
    every = build(name) if name == "flip_lr" else build(name, min_visibility=0.0)
    for seed in seeds(6):
        boxes, moved = every(sample, seed), build(name)(crowds, seed)
        np.testing.assert_array_equal(boxes["boxes"], moved["boxes"])
        np.testing.assert_array_equal(boxes["classes"], -2 - moved["classes"])
