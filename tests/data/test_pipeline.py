"""The stream of batches is a pure function of (seed, step), and loses or repeats no sample."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfvision.augment import (
    brightness,
    compose,
    copy_paste,
    crop,
    cutmix,
    flip_lr,
    flip_ud,
    hsv,
    mixup,
    mosaic,
    noise,
    rotate,
)
from tfvision.data.pipeline import Samples, fold_in, scoring_batches, training_batches
from tfvision.errors import InputError

COUNT = 10
AUGMENT = compose([flip_lr(p=0.5), rotate(max_degrees=20), brightness(max_delta=0.3), noise()])


def make(count=COUNT, *, dtype=np.uint8, boxes=False, size=(6, 8)):
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, *size, 1)).astype(dtype)
    masks = rng.integers(0, 3, (count, *size)).astype(np.uint8)
    targets = {"mask": masks}
    if boxes:
        numbers = [i % 4 for i in range(count)]
        corners = [rng.integers(0, 3, (n, 2)) for n in numbers]
        targets["boxes"] = [np.hstack([c, c + 3]).astype(np.float32) for c in corners]
        targets["classes"] = [rng.integers(0, 3, n).astype(np.int32) for n in numbers]
    return Samples([f"id{i}" for i in range(count)], images, 1 / 255, targets)


def first(stream, count):
    """The first batches of a stream, as dicts of arrays."""
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(count)]


def orders(samples, *, batch_size, epochs, **options):
    """(epochs, N) the samples a stream draws, epoch of the data by epoch."""
    total = epochs * len(samples)
    assert total % batch_size == 0
    stream = training_batches(samples, batch_size=batch_size, **{"seed": 0, **options})
    drawn = np.concatenate([batch["index"] for batch in first(stream, total // batch_size)])
    return drawn.reshape(epochs, len(samples))


def assert_equal(one, other):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            assert a[key].tobytes() == b[key].tobytes(), key


@pytest.mark.parametrize("mix", [None, mixup(alpha=0.4), cutmix(p=0.7)])
def test_a_stream_from_step_k_is_the_whole_stream_without_its_first_k_batches(mix):
    options = {"batch_size": 4, "seed": 5, "augment": AUGMENT, "mix": mix}
    whole = first(training_batches(make(boxes=True), **options), 9)
    for k in (1, 7):
        later = training_batches(make(boxes=True), first_step=k, **options)
        assert_equal(first(later, 9 - k), whole[k:])
    assert ("mix" in whole[0]) == (mix is not None and "mask_other" in whole[0])


def test_a_repeated_stream_is_the_same_whatever_the_number_of_workers():
    options = {"batch_size": 4, "seed": 5, "augment": AUGMENT, "mix": mixup()}
    one = first(training_batches(make(), workers=1, **options), 6)
    assert_equal(first(training_batches(make(), workers=5, **options), 6), one)


def test_another_seed_gives_another_order_and_another_chance():
    one = first(training_batches(make(), batch_size=10, seed=1, augment=AUGMENT), 1)[0]
    other = first(training_batches(make(), batch_size=10, seed=2, augment=AUGMENT), 1)[0]
    assert one["index"].tolist() != other["index"].tolist()
    back, back_other = np.argsort(one["index"]), np.argsort(other["index"])
    same = np.isclose(one["image"][back], other["image"][back_other]).all(axis=(1, 2, 3))
    assert not same.any()


@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_every_sample_is_seen_once_an_epoch_and_every_epoch_has_its_own_order(batch_size):
    drawn = orders(make(), batch_size=batch_size, epochs=8)
    assert (np.sort(drawn, axis=1) == np.arange(COUNT)).all()
    assert len({tuple(order) for order in drawn}) == 8


def test_batches_straddle_epochs_so_that_all_are_full():
    batches = first(training_batches(make(), batch_size=4, seed=0), 5)
    assert [len(batch["index"]) for batch in batches] == [4] * 5
    # The third batch has the last two samples of one epoch and the first two of the next.
    seen = np.concatenate([batch["index"] for batch in batches[:2]])
    assert set(batches[2]["index"][:2]) == set(range(COUNT)) - set(seen)


def test_a_batch_may_be_larger_than_the_data_set():
    drawn = orders(make(3), batch_size=8, epochs=8)
    assert (np.sort(drawn, axis=1) == np.arange(3)).all()


def test_one_sample_alone_is_a_data_set():
    assert orders(make(1), batch_size=2, epochs=4).tolist() == [[0]] * 4


def test_no_two_places_of_the_stream_share_their_chance():
    stream = training_batches(
        make(), batch_size=5, seed=0, augment=lambda sample, seed: {**sample, "chance": seed}
    )
    seeds = np.concatenate([batch["chance"] for batch in first(stream, 10)])
    assert len({tuple(seed) for seed in seeds}) == 50


def test_chance_of_mixing_is_neither_that_of_a_sample_nor_of_another_step():
    stream = training_batches(
        make(),
        batch_size=5,
        seed=0,
        augment=lambda sample, seed: {**sample, "chance": seed},
        mix=lambda batch, seed: {**batch, "own": seed[None]},
    )
    batches = first(stream, 8)
    own = {tuple(batch["own"][0]) for batch in batches}
    assert len(own) == 8
    assert not own & {tuple(seed) for batch in batches for seed in batch["chance"]}


def test_fold_in_depends_on_every_number_and_on_their_order():
    cases = itertools.product([0, 1], [0, 1, -1], [0, 1])
    seeds = {tuple(fold_in(seed, a, b).numpy()) for seed, a, b in cases}
    assert len(seeds) == 12


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.uint8, 1 / 255), (np.uint16, 1 / 65535), (np.float32, 1.0)]
)
def test_images_are_scaled_to_float32_and_masks_are_int32(dtype, scale):
    samples = make(dtype=dtype)
    highest = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    images = (samples.images / 255 * highest).astype(dtype)
    images[0, 0, 0], images[0, 0, 1] = 0, highest
    samples = Samples(samples.ids, images, scale, samples.targets)
    for stream in (
        training_batches(samples, batch_size=5, seed=0),
        scoring_batches(samples, batch_size=5),
    ):
        batch = first(stream, 1)[0]
        assert batch["image"].dtype == np.float32
        assert batch["mask"].dtype == np.int32
        np.testing.assert_array_equal(
            batch["image"], images[batch["index"]].astype(np.float32) * np.float32(scale)
        )
        np.testing.assert_array_equal(batch["mask"], samples.targets["mask"][batch["index"]])
    whole = first(scoring_batches(samples, batch_size=COUNT), 1)[0]["image"]
    assert (whole.min(), whole.max()) == (0, 1)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 16])
def test_scoring_batches_hold_each_sample_once_in_order_and_have_one_size(batch_size):
    samples = make()
    batches = first(scoring_batches(samples, batch_size=batch_size), 100)
    assert {len(batch["index"]) for batch in batches} == {batch_size}
    assert len(batches) == -(-COUNT // batch_size)
    index, valid, image = (
        np.concatenate([batch[key] for batch in batches]) for key in ("index", "valid", "image")
    )
    assert valid.tolist() == [True] * COUNT + [False] * (len(valid) - COUNT)
    assert index[valid].tolist() == list(range(COUNT))
    np.testing.assert_array_equal(image, samples.images[index] * np.float32(1 / 255))


def test_boxes_are_padded_with_class_minus_one():
    samples = make(boxes=True)
    for stream in (
        training_batches(samples, batch_size=COUNT, seed=0),
        scoring_batches(samples, batch_size=COUNT),
    ):
        batch = first(stream, 1)[0]
        assert batch["boxes"].shape == (COUNT, 3, 4)
        assert batch["classes"].shape == (COUNT, 3)
        for row, i in enumerate(batch["index"]):
            boxes, classes = (samples.targets[key][i] for key in ("boxes", "classes"))
            count = len(boxes)
            np.testing.assert_array_equal(batch["boxes"][row, :count], boxes)
            np.testing.assert_array_equal(batch["classes"][row, :count], classes)
            assert (batch["boxes"][row, count:] == 0).all()
            assert (batch["classes"][row, count:] == -1).all()


def test_a_data_set_without_masks_or_boxes_has_no_such_keys():
    samples = Samples(["a", "b"], np.zeros((2, 4, 4, 3), np.uint8), 1 / 255)
    assert first(training_batches(samples, batch_size=2, seed=0), 1)[0].keys() == {
        "image",
        "index",
        "seed",
    }


def test_autotune_is_off_and_the_order_deterministic():
    for stream in (
        training_batches(make(), batch_size=4, seed=0, augment=AUGMENT, mix=mixup()),
        scoring_batches(make(), batch_size=4),
    ):
        options = stream.options()
        assert options.autotune.enabled is False
        assert options.deterministic is True
        assert options.threading.private_threadpool_size == 2


def test_shapes_are_static_so_that_a_step_is_traced_once():
    stream = training_batches(make(boxes=True), batch_size=4, seed=0, augment=AUGMENT)
    assert stream.element_spec["image"].shape == (4, 6, 8, 1)
    assert stream.element_spec["mask"].shape == (4, 6, 8)
    assert stream.element_spec["boxes"].shape == (4, 3, 4)
    assert scoring_batches(make(), batch_size=4).element_spec["image"].shape == (4, 6, 8, 1)


def test_training_batches_never_end_and_scoring_batches_do():
    for mix in (None, mixup()):
        stream = training_batches(make(), batch_size=4, seed=0, mix=mix)
        assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert scoring_batches(make(), batch_size=4).cardinality() == 3


def test_take_keeps_what_belongs_together():
    samples = make(boxes=True)
    part = samples.take([7, 2])
    assert part.ids == ["id7", "id2"]
    assert len(part) == 2
    np.testing.assert_array_equal(part.images, samples.images[[7, 2]])
    np.testing.assert_array_equal(part.targets["mask"], samples.targets["mask"][[7, 2]])
    np.testing.assert_array_equal(part.targets["boxes"][0], samples.targets["boxes"][7])
    np.testing.assert_array_equal(part.targets["classes"][1], samples.targets["classes"][2])


def test_repeat_has_every_sample_that_often_in_one_order():
    drawn = np.concatenate(
        [b["index"] for b in first(training_batches(make(), batch_size=5, seed=0, repeat=3), 24)]
    )
    epochs = drawn.reshape(4, 3 * COUNT)
    for epoch in epochs:
        np.testing.assert_array_equal(np.bincount(epoch), [3] * COUNT)
    # Not three passes one after the other: the copies are shuffled together.
    assert min(len(set(epoch[:COUNT])) for epoch in epochs) < COUNT
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_copies_of_a_sample_are_augmented_each_for_itself():
    stream = training_batches(make(), batch_size=3 * COUNT, seed=0, repeat=3, augment=AUGMENT)
    batch = first(stream, 1)[0]
    for i in range(COUNT):
        copies = batch["image"][batch["index"] == i]
        assert len({copy.tobytes() for copy in copies}) == 3


WEIGHTS = np.array([1.0, 1, 2, 1, 1, 1, 3, 1, 1, 0.5])


def test_weights_are_how_often_samples_come_in_each_epoch_and_on_average():
    stream = training_batches(make(), batch_size=20, seed=3, repeat=2, weights=WEIGHTS)
    counts = np.array([np.bincount(b["index"], minlength=COUNT) for b in first(stream, 150)])
    wanted = 20 * WEIGHTS / WEIGHTS.sum()
    assert (counts >= np.floor(wanted)).all()
    assert (counts <= np.ceil(wanted)).all()
    # The rounding of one epoch has a standard deviation of at most 0.5, of the mean 0.041.
    np.testing.assert_allclose(counts.mean(axis=0), wanted, atol=0.13)


def test_equal_weights_give_every_sample_once_an_epoch():
    drawn = orders(make(), batch_size=4, epochs=6, weights=np.full(COUNT, 0.3))
    assert (np.sort(drawn, axis=1) == np.arange(COUNT)).all()
    assert len({tuple(order) for order in drawn}) == 6


@pytest.mark.parametrize("options", [{"repeat": 3}, {"weights": WEIGHTS}])
def test_repeated_and_weighted_streams_can_start_at_any_step(options):
    options = {"batch_size": 4, "seed": 5, "augment": AUGMENT, "mix": mixup(), **options}
    whole = first(training_batches(make(), **options), 9)
    for k in (1, 5, 8):
        assert_equal(first(training_batches(make(), first_step=k, **options), 9 - k), whole[k:])
    assert_equal(first(training_batches(make(), workers=5, **options), 9), whole)


def test_another_seed_draws_otherwise_and_the_last_sample_is_reached():
    streams = [
        training_batches(make(), batch_size=COUNT, seed=s, weights=WEIGHTS) for s in range(2)
    ]
    one, other = (np.array([b["index"] for b in first(stream, 40)]) for stream in streams)
    assert not np.array_equal(one, other)
    counts = [tuple(np.bincount(epoch, minlength=COUNT)) for epoch in one]
    assert len(set(counts)) > 3  # the offset is drawn anew each epoch
    assert set(one.ravel()) == set(range(COUNT))


@pytest.mark.parametrize("options", [{}, {"weights": np.arange(1.0, COUNT + 1)}, {"repeat": 2}])
def test_views_of_a_sample_stand_side_by_side_each_augmented_anew(options):
    options = {"seed": 5, "augment": AUGMENT, **options}
    one = first(training_batches(make(), batch_size=4, **options), 3)
    two = first(training_batches(make(), batch_size=8, views=2, **options), 3)
    for single, double in zip(one, two, strict=True):
        np.testing.assert_array_equal(double["index"], np.repeat(single["index"], 2))
        views = double["image"].reshape(4, 2, *double["image"].shape[1:])
        assert (views[:, 0] != views[:, 1]).any(axis=(1, 2, 3)).all()
    images = np.concatenate([batch["image"] for batch in two])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_a_stream_of_views_resumes_anywhere():
    options = {"batch_size": 6, "seed": 5, "augment": AUGMENT, "views": 3, "mix": mixup()}
    whole = first(training_batches(make(), **options), 6)
    assert_equal(first(training_batches(make(), first_step=4, **options), 2), whole[4:])


def test_each_sample_carries_a_seed_of_its_own_that_resumes():
    options = {"batch_size": 4, "seed": 5, "augment": AUGMENT}
    whole = first(training_batches(make(), **options), 9)
    seeds = np.concatenate([batch["seed"] for batch in whole])
    assert (seeds.shape, seeds.dtype) == ((36, 2), np.int32)
    assert len({tuple(seed) for seed in seeds}) == 36
    plain = first(training_batches(make(), batch_size=4, seed=5, first_step=3), 6)
    for one, other in zip(whole[3:], plain, strict=True):
        np.testing.assert_array_equal(one["seed"], other["seed"])
    other = first(training_batches(make(), batch_size=4, seed=6), 1)[0]
    assert (other["seed"] != whole[0]["seed"]).any()
    views = first(training_batches(make(), batch_size=8, seed=5, views=2), 3)
    assert len({tuple(seed) for batch in views for seed in batch["seed"]}) == 24


def test_no_seed_that_is_carried_is_one_that_augmentation_draws_by():
    stream = training_batches(
        make(), batch_size=5, seed=0, augment=lambda sample, seed: {**sample, "chance": seed}
    )
    batches = first(stream, 4)
    carried = {tuple(seed) for batch in batches for seed in batch["seed"]}
    assert not carried & {tuple(np.int32(s)) for batch in batches for s in batch["chance"]}


def test_seeds_of_scoring_are_those_of_the_place_whatever_the_batch_size():
    seeds = [
        np.concatenate([b["seed"] for b in first(scoring_batches(make(), batch_size=size), 9)])
        for size in (3, 10)
    ]
    np.testing.assert_array_equal(seeds[0][:COUNT], seeds[1])
    assert len({tuple(seed) for seed in seeds[1]}) == COUNT


def adding(count, *, says=True):
    """An op that adds boxes to each sample."""

    def op(sample, seed):
        boxes = tf.concat([sample["boxes"], tf.ones([count, 4])], axis=0)
        classes = tf.concat([sample["classes"], tf.fill([count], 1)], axis=0)
        return {**sample, "boxes": boxes, "classes": classes}

    if says:
        op.adds = count
    return op


def test_an_op_may_add_as_many_boxes_as_it_says():
    samples = make(boxes=True)
    ops = compose([adding(2), flip_lr(p=0.5), adding(1)])
    batch = first(training_batches(samples, batch_size=COUNT, seed=0, augment=ops), 1)[0]
    assert batch["boxes"].shape == (COUNT, 3 + 3, 4)
    counts = (batch["classes"] >= 0).sum(axis=1)
    assert counts.tolist() == [i % 4 + 3 for i in batch["index"]]


def test_boxes_for_which_there_is_no_room_are_an_error_that_says_so():
    ops = compose([adding(2, says=False)])
    stream = training_batches(make(boxes=True), batch_size=COUNT, seed=0, augment=ops)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"room for 3 rows.*`adds`"):
        first(stream, 1)


def test_boxes_follow_what_they_surround_through_flips_and_crops():
    """Each object has a grey level of its own: its box is where that level is."""
    rng, size = np.random.default_rng(0), 24
    images, boxes, classes = np.zeros((12, size, size, 1), np.uint8), [], []
    for i, image in enumerate(images):
        cells = rng.permutation(9)[: i % 5]  # of 8 x 8 pixels, so that nothing overlaps
        corners = np.stack([cells % 3, cells // 3], axis=-1) * 8 + rng.integers(0, 4, (i % 5, 2))
        boxes.append(np.hstack([corners, corners + 4]).astype(np.float32))
        classes.append(np.arange(i % 5, dtype=np.int32))
        for number, (x, y) in enumerate(corners):
            image[y : y + 4, x : x + 4] = 50 * (number + 1)
    samples = Samples(list("abcdefghijkl"), images, 1 / 255, {"boxes": boxes, "classes": classes})
    ops = compose([flip_lr(p=0.5), crop(14, 16, min_visibility=0.0), flip_ud(p=0.5)])
    seen = 0
    for batch in first(training_batches(samples, batch_size=12, seed=1, augment=ops), 4):
        assert batch["boxes"].shape == (12, 4, 4)
        for image, found, numbers in zip(
            batch["image"], batch["boxes"], batch["classes"], strict=True
        ):
            levels = np.rint(image[..., 0] * 255).astype(int)
            count = int((numbers >= 0).sum())
            assert (found[count:] == 0).all()
            assert (numbers[count:] == -1).all()
            assert {50 * (k + 1) for k in numbers[:count]} == set(np.unique(levels)) - {0}
            for box, k in zip(found[:count], numbers[:count], strict=True):
                ys, xs = np.nonzero(levels == 50 * (k + 1))
                assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                seen += 1
    assert seen > 30


def test_boxes_of_several_images_in_one_have_one_shape_and_start_anywhere():
    made = make(boxes=True, size=(24, 32))
    targets = {name: made.targets[name] for name in ("boxes", "classes")}
    samples = Samples(made.ids, made.images, made.scale, targets)
    mix = compose([copy_paste("all"), mosaic(), mixup(p=0.5)])
    settings = {"batch_size": 4, "seed": 3, "augment": AUGMENT, "mix": mix}
    whole = first(training_batches(samples, **settings), 5)
    assert {batch["boxes"].shape for batch in whole} == {(4, 3 * 2 * 4 * 2, 4)}
    assert {batch["seed"].shape for batch in whole} == {(4, 2)}
    for one, other in zip(
        whole[2:], first(training_batches(samples, **settings, first_step=2), 3), strict=True
    ):
        assert one.keys() == other.keys() == {"image", "boxes", "classes", "index", "seed"}
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_what_an_op_refuses_is_said_in_its_own_words():
    samples = make(boxes=True)
    with pytest.raises(InputError, match=r"^hsv: changes colours.*or set data\.channels=3"):
        training_batches(samples, batch_size=2, seed=0, augment=compose([hsv()]))
    with pytest.raises(InputError, match=r"^copy_paste: the batch has boxes"):
        training_batches(samples, batch_size=2, seed=0, mix=copy_paste(classes=[1]))


def test_take_and_other_names_than_the_known_ones():
    samples = make(boxes=True)
    points = [np.full((i % 3, 2), i, np.float32) for i in range(COUNT)]
    depth = np.arange(COUNT, dtype=np.float32)
    samples = Samples(
        samples.ids, samples.images, samples.scale, {"points": points, "depth": depth}
    )
    batch = first(scoring_batches(samples.take([5, 4, 3]), batch_size=3), 1)[0]
    assert batch["depth"].tolist() == [5, 4, 3]
    assert batch["points"][..., 0].tolist() == [[5, 5], [4, 0], [0, 0]]
