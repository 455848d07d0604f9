"""What holds for every op in MIXERS, and what each means."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.samples import assert_same, make_batch, make_sample
from tfvision.augment import MIXERS, cutmix, mixup
from tfvision.errors import InputError

each_mixer = pytest.mark.parametrize("name", list(MIXERS))
by_share = pytest.mark.parametrize("name", ["mixup", "cutmix"])
ADDED = {
    "mixup": {"mix", "mask_other", "label_other"},
    "cutmix": {"mix", "label_other"},
    "copy_paste": set(),
    "mosaic": set(),
    "paste_on_background": set(),
    "distractors": set(),
}
ARGUMENTS = {
    "mixup": {"alpha": 1.0},
    "cutmix": {"alpha": 1.0},
    "copy_paste": {"classes": [1, 3]},
    "mosaic": {},
    "paste_on_background": {},
    "distractors": {},
}


def build(name, p=1.0):
    return MIXERS[name](p=p, **ARGUMENTS[name])


def batch_for(name, **options):
    """A batch with all that the mixer takes."""
    batch = make_batch(**options)
    without = {
        "copy_paste": ("boxes", "classes"),
        "mosaic": ("mask", "label"),
        "distractors": ("mask", "label"),
    }
    without = without.get(name, ())
    return {key: value for key, value in batch.items() if key not in without}


def partner(value):
    return np.roll(np.asarray(value), 1, axis=0)


def test_every_mixer_is_tested():
    assert set(ADDED) == set(ARGUMENTS) == set(MIXERS)


@each_mixer
@pytest.mark.parametrize("channels", [1, 3])
def test_eager_and_tf_data_agree(name, channels):
    op, batch = build(name, p=0.6), batch_for(name, channels=channels)
    pairs = [[s, 2] for s in range(4)]
    pipe = tf.data.Dataset.from_tensor_slices(pairs).map(lambda seed: op(batch, seed))
    for seed, out in zip(pairs, pipe, strict=True):
        assert_same(out, op(batch, seed))


@each_mixer
def test_any_batch_size_and_image_size_at_run_time(name):
    op, batch = build(name), batch_for(name, channels=3)
    signature = {
        key: tf.TensorSpec([None] * value.shape.rank, value.dtype) for key, value in batch.items()
    }
    traced = tf.function(op, input_signature=[signature, tf.TensorSpec([2], tf.int32)])
    assert_same(traced(batch, [3, 4]), op(batch, [3, 4]))
    one = {key: value[:1] for key, value in batch.items()}
    alone = traced(one, [3, 4])  # its own partner
    assert_same(alone, op(one, [3, 4]))
    if name not in ("copy_paste", "mosaic", "distractors"):  # which move what they show
        np.testing.assert_allclose(alone["image"], one["image"], atol=1e-6)


@each_mixer
def test_same_seed_same_batch_other_seed_other_batch(name):
    p = 0.5 if name == "paste_on_background" else 1.0  # of p=1 that has one outcome
    op, batch = build(name, p=p), batch_for(name, count=20)
    assert_same(op(batch, [1, 2]), op(batch, [1, 2]))
    outcomes = {op(batch, [s, 2])["image"].numpy().tobytes() for s in range(6)}
    assert len(outcomes) == 6


@each_mixer
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_keys_shapes_and_dtypes_do_not_depend_on_chance(name, p):
    batch = batch_for(name)
    pipe = tf.data.Dataset.from_tensors(batch).map(lambda b: build(name, p=p)(b, [0, 1]))
    spec = pipe.element_spec
    assert set(spec) == set(batch) | ADDED[name]
    assert spec["image"] == tf.TensorSpec([4, 8, 10, 1], tf.float32)
    if "mask" in batch:
        assert spec["mask"] == tf.TensorSpec([4, 8, 10], tf.int32)
    if not ADDED[name]:
        return
    assert spec["mix"] == tf.TensorSpec([4], tf.float32)
    assert spec["label_other"] == tf.TensorSpec([4], tf.int32)
    assert spec["boxes"] == tf.TensorSpec([4, 8, 4], tf.float32)
    assert spec["classes"] == tf.TensorSpec([4, 8], tf.int32)


@by_share
def test_p_0_changes_nothing_and_gives_the_own_image_all_the_weight(name):
    batch = make_batch()
    out = build(name, p=0.0)(batch, [5, 6])
    np.testing.assert_array_equal(out["mix"], np.ones(4))
    for key in ("image", "mask", "label", "id"):
        np.testing.assert_array_equal(out[key], batch[key])
    np.testing.assert_array_equal(out["boxes"][:, :4], batch["boxes"])
    np.testing.assert_array_equal(out["classes"][:, :4], batch["classes"])
    assert np.all(out["classes"][:, 4:] == -1)
    np.testing.assert_array_equal(out["label_other"], [3, 0, 1, 2])


@by_share
def test_p_is_the_share_of_mixed_rows(name):
    batch = make_batch(count=400)
    out = build(name, p=0.3)(batch, [5, 6])
    changed = np.any(out["image"] != batch["image"], axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, out["mix"] < 1)
    # A rectangle of no pixels is a miss too: its side is under half a pixel in 1 of 400.
    assert changed.mean() == pytest.approx(0.3, abs=0.08)


OF_BOXES = {  # what acts on boxes alone, and how many times as many rows come out
    "mixup": ({}, 2),
    "cutmix": ({}, 2),
    "copy_paste": ({"classes": "all"}, 2),
    "mosaic": ({}, 4),
    "distractors": ({}, 1),
}
on_boxes = pytest.mark.parametrize("name", list(OF_BOXES))


def test_every_mixer_acts_on_boxes_or_says_that_it_does_not():
    assert set(OF_BOXES) | {"paste_on_background"} == set(MIXERS)


def boxes_alone(count=6, height=40, width=50, seed=0):
    """As detection has it: boxes of up to 20 pixels, the empty rows last, a seed a row."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, [width - 21, height - 21], (count, 5, 2))
    boxes = np.concatenate([first, first + rng.uniform(2, 20, (count, 5, 2))], axis=-1)
    filled = np.arange(5) < rng.integers(0, 6, (count, 1))
    return {
        "image": tf.constant(rng.random((count, height, width, 3), dtype=np.float32)),
        "boxes": tf.constant(np.where(filled[..., None], boxes, 0), tf.float32),
        "classes": tf.constant(np.where(filled, rng.integers(0, 3, (count, 5)), -1), tf.int32),
        "seed": tf.constant(rng.integers(0, 99, (count, 2)), tf.int32),
        "index": tf.range(count, dtype=tf.int64),
    }


@on_boxes
def test_boxes_alone_gain_no_key_and_stay_in_the_image_with_an_area(name):
    arguments, times = OF_BOXES[name]
    batch = boxes_alone()
    pipe = tf.data.Dataset.range(8).map(
        lambda s: MIXERS[name](p=0.7, **arguments)(batch, tf.stack([s, 3]))
    )
    assert set(pipe.element_spec) == set(batch)
    assert pipe.element_spec["boxes"] == tf.TensorSpec([6, 5 * times, 4], tf.float32)
    assert pipe.element_spec["classes"] == tf.TensorSpec([6, 5 * times], tf.int32)
    for s, out in enumerate(pipe):
        assert_same(out, MIXERS[name](p=0.7, **arguments)(batch, tf.constant([s, 3], tf.int64)))
        boxes, classes = out["boxes"].numpy(), out["classes"].numpy()
        filled = classes >= 0
        assert np.all(np.diff(filled.astype(int), axis=1) <= 0)  # empty rows last
        assert np.all(boxes[~filled] == 0)
        assert np.all(classes[~filled] == -1)
        assert np.all(boxes >= 0)
        assert np.all(boxes <= [50, 40, 50, 40])
        assert np.all(boxes[filled][:, 2:] > boxes[filled][:, :2])


@on_boxes
def test_p_0_keeps_image_and_boxes_alone_bit_by_bit(name):
    arguments, _ = OF_BOXES[name]
    batch = boxes_alone()
    out = MIXERS[name](p=0.0, **arguments)(batch, [1, 2])
    np.testing.assert_array_equal(out["image"], batch["image"])
    np.testing.assert_array_equal(out["boxes"][:, :5], batch["boxes"])
    np.testing.assert_array_equal(out["classes"][:, :5], batch["classes"])
    assert np.all(out["classes"][:, 5:] == -1)


@on_boxes
def test_a_batch_without_any_box_stays_one(name):
    arguments, times = OF_BOXES[name]
    batch = boxes_alone()
    batch |= {"boxes": tf.zeros([6, 5, 4]), "classes": tf.fill([6, 5], -1)}
    out = MIXERS[name](p=1.0, **arguments)(batch, [1, 2])
    assert np.all(out["classes"] == -1)
    assert np.all(out["boxes"] == 0)
    assert out["boxes"].shape == (6, 5 * times, 4)


def test_mixup_of_boxes_blends_about_evenly_and_others_hardly():
    batch = boxes_alone(count=300, height=22, width=22)
    out = mixup()(batch, [1, 1])
    image, other = batch["image"].numpy(), partner(batch["image"])
    difference = image - other
    share = ((out["image"] - other) * difference).numpy().sum((1, 2, 3))
    share /= np.square(difference).sum((1, 2, 3))
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * 65), rel=0.25)  # of Beta(32, 32)
    given = mixup(alpha=0.2)({**batch, "label": tf.range(300)}, [1, 1])["mix"]
    np.testing.assert_array_equal(mixup()({**batch, "label": tf.range(300)}, [1, 1])["mix"], given)


@by_share
def test_only_what_the_batch_has_is_mixed(name):
    batch = {"image": make_batch()["image"]}
    assert set(build(name)(batch, [0, 0])) == {"image"} | ({"mix"} if name == "mixup" else set())


def test_mixup_blends_images_by_mix_and_keeps_masks_whole():
    batch = make_batch(count=6, channels=3)
    out = mixup(alpha=1.0)(batch, [1, 1])
    share = out["mix"].numpy()
    assert len(set(share)) == 6
    weight = share[:, None, None, None]
    expected = weight * batch["image"] + (1 - weight) * partner(batch["image"])
    np.testing.assert_allclose(out["image"], expected, atol=1e-6)
    np.testing.assert_array_equal(out["mask"], batch["mask"])
    np.testing.assert_array_equal(out["mask_other"], partner(batch["mask"]))
    np.testing.assert_array_equal(out["label"], batch["label"])
    np.testing.assert_array_equal(out["label_other"], partner(batch["label"]))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mix_has_the_moments_of_a_beta_distribution(alpha):
    batch = {"image": tf.zeros([4000, 1, 1, 1])}
    share = mixup(alpha=alpha)(batch, [3, 3])["mix"].numpy()
    variance = 1 / (4 * (2 * alpha + 1))
    assert share.mean() == pytest.approx(0.5, abs=4 * np.sqrt(variance / 4000))
    assert share.var() == pytest.approx(variance, rel=0.08)


def test_a_tiny_alpha_gives_no_nan():
    share = mixup(alpha=1e-4)({"image": tf.zeros([2000, 1, 1, 1])}, [0, 0])["mix"].numpy()
    assert np.all((share >= 0) & (share <= 1))


def boxes_of(batch, row):
    """The boxes and classes of one row, in order, without the empty places."""
    filled = batch["classes"][row].numpy() >= 0
    return batch["boxes"][row].numpy()[filled], batch["classes"][row].numpy()[filled]


def test_mixup_keeps_the_boxes_of_both():
    batch = make_batch()
    out = mixup(alpha=1.0)(batch, [1, 1])
    for row in range(4):
        expected = [
            np.concatenate(pair)
            for pair in zip(boxes_of(batch, row), boxes_of(batch, row - 1), strict=True)
        ]
        for got, wanted in zip(boxes_of(out, row), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        count = len(expected[1])
        assert np.all(out["classes"][row, :count] >= 0)  # empty places stay at the end
        assert np.all(out["boxes"][row, count:] == 0)


def rectangles(batch, out):
    """(B, H, W) bool: what came from the partner, read off images without equal pixels."""
    pasted = np.all(out["image"] == partner(batch["image"]), axis=-1)
    own = np.all(out["image"] == batch["image"].numpy(), axis=-1)
    assert np.all(pasted ^ own)
    return pasted


def test_cutmix_pastes_one_rectangle_of_image_and_mask():
    batch = make_batch(count=60, channels=3)
    out = cutmix(p=1.0)(batch, [1, 1])
    pasted = rectangles(batch, out)
    for rectangle in pasted:
        rows, columns = rectangle.any(1), rectangle.any(0)
        assert rectangle.sum() == rows.sum() * columns.sum()
        assert np.count_nonzero(np.diff(rows.astype(int))) <= 2
        assert np.count_nonzero(np.diff(columns.astype(int))) <= 2
    np.testing.assert_array_equal(
        out["mask"], np.where(pasted, partner(batch["mask"]), batch["mask"])
    )
    np.testing.assert_allclose(out["mix"], 1 - pasted.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_array_equal(out["label_other"], partner(batch["label"]))
    assert 0.2 < pasted.mean() < 0.5  # half, less what the border cuts off
    assert pasted.any(0).all()


def share_inside(box, inside):
    """Share of `box` within the pixel rectangle `inside` (H, W) bool, by fine sampling."""
    x1, y1, x2, y2 = box
    xs = x1 + (np.arange(200) + 0.5) / 200 * (x2 - x1)
    ys = y1 + (np.arange(200) + 0.5) / 200 * (y2 - y1)
    return inside[np.ix_(ys.astype(int), xs.astype(int))].mean()


def test_cutmix_keeps_the_boxes_that_are_still_seen():
    batch = make_batch(count=30)
    out = cutmix(p=1.0, min_visibility=0.4)(batch, [4, 1])
    pasted = rectangles(batch, out)
    dropped = clipped = 0
    for row in range(30):
        expected = []
        for box, label in zip(*boxes_of(batch, row), strict=True):
            if 1 - share_inside(box, pasted[row]) >= 0.4:
                expected.append((*box, label))
            else:
                dropped += 1
        for box, label in zip(*boxes_of(batch, row - 1), strict=True):
            if share_inside(box, pasted[row]) >= 0.4:
                rows = np.flatnonzero(pasted[row].any(1))
                columns = np.flatnonzero(pasted[row].any(0))
                edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                inner = [*np.maximum(box[:2], edges[:2]), *np.minimum(box[2:], edges[2:])]
                clipped += not np.array_equal(inner, box)
                expected.append((*inner, label))
        boxes, classes = boxes_of(out, row)
        got = np.concatenate([boxes, classes[:, None]], axis=1)
        np.testing.assert_allclose(got, np.reshape(expected, [-1, 5]), atol=1e-5)
    assert dropped > 3
    assert clipped > 3


@each_mixer
def test_a_sample_is_no_batch(name):
    with pytest.raises(InputError, match=r"image must be \(B, H, W, C\).*Apply it after batching"):
        build(name)(make_sample(), [0, 0])


@each_mixer
def test_a_batch_is_mixed_once(name):
    with pytest.raises(InputError, match="mixed already"):
        build(name)(mixup()(make_batch(), [0, 0]), [0, 0])


@by_share
def test_bad_arguments(name):
    with pytest.raises(InputError, match=f"{name}: alpha must be above 0.*set p=0"):
        MIXERS[name](alpha=0)
    with pytest.raises(InputError, match="alpha must be a number from 0 up, got -1"):
        MIXERS[name](alpha=-1)
    with pytest.raises(InputError, match="probability p must be a number"):
        MIXERS[name](p=2)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "mosaic"])
def test_crowds_move_like_boxes_and_stay_while_anything_of_them_is_seen(name):
    batch = batch_for(name)
    batch.pop("mask", None)
    arguments = ARGUMENTS[name]
    crowd = {**batch, "classes": tf.where(batch["classes"] == 1, -3, batch["classes"])}
    least = {} if name == "mixup" else {"min_visibility": 0.0}
    every = MIXERS[name](p=1.0, **arguments, **least)
    some = MIXERS[name](p=1.0, **arguments)
    crowds = 0
    for seed in ([1, 2], [3, 4], [5, 6]):
        a, b = every(batch, tf.constant(seed)), some(crowd, tf.constant(seed))
        for row in range(4):
            own = a["boxes"][row][a["classes"][row] == 1].numpy()
            moved = b["boxes"][row][b["classes"][row] == -3].numpy()
            np.testing.assert_array_equal(np.sort(own, 0), np.sort(moved, 0))
            crowds += len(moved)
    assert crowds > 3
