"""Validation in a compiled step, scoring of files and counting by hand say the same."""

import keras
import numpy as np
import pytest

from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine.distribute import make_strategy
from tfvision.engine.inference import Inference
from tfvision.engine.predict import as_float, batches_of_one_size
from tfvision.engine.step import batch_loss
from tfvision.losses import CrossEntropy
from tfvision.models import MODELS
from tfvision.postprocess.pixelwise import drop_class
from tfvision.tasks.segmentation.scoring import Validation, score

CLASSES, COUNT, SIZE = 3, 7, (9, 12)
VOID = (255,)
LOSS = batch_loss([(CrossEntropy(ignore_labels=VOID), 1.0)])


@pytest.fixture(scope="module")
def samples():
    """Seven images of noise whose masks have no more to do with them, with void pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, *SIZE, 1), dtype=np.uint8)
    masks = rng.choice([0, 1, 2, 255], (COUNT, *SIZE), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    return Samples([f"id{i}" for i in range(COUNT)], images, 1 / 255, {"mask": masks})


@pytest.fixture(scope="module")
def weights():
    return [w * 3 for w in make().get_weights()]


def make(shape=(*SIZE, 1), strategy=None):
    strategy = strategy or make_strategy("cpu")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return MODELS["unet"](shape, CLASSES, width=4, depth=1, normalization="group")


def rules_for(dropped):
    return [drop_class(num_classes=CLASSES, index=k) for k in dropped]


def count_by_hand(samples, weights, dropped=()):
    """(N, K, K) counts, pixel by pixel, of the argmax over the classes that are left."""
    model = make()
    model.set_weights(weights)
    logits = np.array(model(samples.images.astype(np.float32) / 255, training=False))
    logits[..., list(dropped)] = -np.inf
    counts = np.zeros((COUNT, CLASSES, CLASSES), int)
    for i, (mask, labels) in enumerate(
        zip(samples.targets["mask"], np.argmax(logits, -1), strict=True)
    ):
        for truth, predicted in zip(mask.ravel(), labels.ravel(), strict=True):
            if truth not in VOID:
                counts[i, truth, predicted] += 1
    return counts


def validation(samples, weights, *, device, batch_size, dropped=()):
    strategy = make_strategy(device)
    model = make(strategy=strategy)
    model.set_weights(weights)
    return Validation(
        model,
        scoring_batches(samples, batch_size=batch_size),
        num_classes=CLASSES,
        loss=LOSS,
        rules=rules_for(dropped),
        ignore_labels=VOID,
        strategy=strategy,
    )


def scored(samples, weights, *, batch_size, dropped=()):
    model = make((None, None, 1))
    model.set_weights(weights)
    inference = Inference(model, channels=1, rules=rules_for(dropped))
    return score(
        inference,
        (
            (
                samples.ids[i],
                samples.images[i],
                samples.targets["mask"][i].astype(np.int32),
                1 / 255,
            )
            for i in range(COUNT)
        ),
        num_classes=CLASSES,
        rules=rules_for(dropped),
        ignore_labels=VOID,
        batch_size=batch_size,
    )


@pytest.mark.parametrize(
    ("device", "batch_size"), [("cpu", 1), ("cpu", 3), ("cpu", 16), ("cpu:2", 2), ("cpu:2", 6)]
)
def test_validation_is_the_count_by_hand_at_any_batch_size_and_on_two_devices(
    samples, weights, device, batch_size
):
    plain, processed, loss = validation(samples, weights, device=device, batch_size=batch_size)()
    np.testing.assert_array_equal(plain, count_by_hand(samples, weights))
    assert plain.dtype == np.int64
    assert (plain.sum(axis=(0, 1)) > 0).all()  # every class is predicted somewhere
    assert processed is None
    model = make()
    model.set_weights(weights)
    logits = np.asarray(model(samples.images.astype(np.float32) / 255, training=False))
    powers = np.exp(logits.astype(np.float64))
    shares = powers / powers.sum(-1, keepdims=True)
    valid = samples.targets["mask"] != 255
    right = np.take_along_axis(shares, np.where(valid, samples.targets["mask"], 0)[..., None], -1)[
        ..., 0
    ]
    each = [-np.log(p[v]).mean() for p, v in zip(right, valid, strict=True)]
    assert loss == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize("device", ["cpu", "cpu:2"])
def test_rules_count_beside_the_plain_argmax(samples, weights, device):
    found = validation(samples, weights, device=device, batch_size=4, dropped=[0])()
    np.testing.assert_array_equal(found[0], count_by_hand(samples, weights))
    np.testing.assert_array_equal(found[1], count_by_hand(samples, weights, [0]))
    assert found[1][:, :, 0].sum() == 0


def test_a_validation_follows_the_weights_that_are_in_the_model(samples, weights):
    validate = validation(samples, weights, device="cpu", batch_size=4)
    validate()
    other = [w[..., ::-1] for w in weights]
    validate._model.set_weights(other)
    np.testing.assert_array_equal(validate()[0], count_by_hand(samples, other))


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_scoring_is_the_count_by_hand_too(samples, weights, batch_size):
    found = scored(samples, weights, batch_size=batch_size)
    np.testing.assert_array_equal(found.plain, count_by_hand(samples, weights))
    assert found.processed is None
    assert found.final is found.plain
    assert found.ids == list(samples.ids)
    ruled = scored(samples, weights, batch_size=batch_size, dropped=[0, 1])
    np.testing.assert_array_equal(ruled.plain, found.plain)
    np.testing.assert_array_equal(ruled.final, count_by_hand(samples, weights, [0, 1]))
    assert {label.dtype for label in ruled.answers} == {np.dtype(np.uint8)}
    assert set(np.unique(ruled.answers)) == {2}


def test_labels_of_a_scoring_are_those_it_counted(samples, weights):
    found = scored(samples, weights, batch_size=3)
    pairs = zip(found.plain, samples.targets["mask"], found.answers, strict=True)
    for cm, mask, labels in pairs:
        for k in range(CLASSES):
            for predicted in range(CLASSES):
                assert cm[k, predicted] == ((mask == k) & (labels == predicted)).sum()


def test_images_of_several_sizes_are_scored_each_at_its_own(weights):
    rng = np.random.default_rng(1)
    sizes = [(9, 12), (9, 12), (5, 7), (9, 12), (16, 16), (16, 16)]
    model = make((None, None, 1))
    model.set_weights(weights)
    inference = Inference(model, channels=1)
    images = [rng.integers(0, 256, (*size, 1), dtype=np.uint8) for size in sizes]
    masks = [rng.integers(0, CLASSES, size, dtype=np.int32) for size in sizes]
    rows = list(zip("abcdef", images, masks, [1 / 255] * 6, strict=True))
    common = {"num_classes": CLASSES, "rules": [], "ignore_labels": VOID, "batch_size": 2}
    found = score(inference, iter(rows), **common)
    assert found.ids == list("abcdef")
    assert [labels.shape for labels in found.answers] == sizes
    for i, row in enumerate(rows):
        alone = score(inference, iter([row]), **common)
        np.testing.assert_array_equal(found.plain[i], alone.plain[0])
        np.testing.assert_array_equal(found.answers[i], alone.answers[0])


def test_an_empty_split_scores_to_nothing(weights):
    model = make((None, None, 1))
    found = score(
        Inference(model, channels=1),
        iter([]),
        num_classes=CLASSES,
        rules=rules_for([0]),
        ignore_labels=VOID,
        batch_size=4,
    )
    assert (found.ids, found.answers) == ([], [])
    assert found.plain.shape == found.processed.shape == (0, CLASSES, CLASSES)


def test_groups_have_one_size_and_keep_the_order():
    def sample(number, side):
        return (number, np.zeros((side, 8, 1)))

    rows = [sample(i, side) for i, side in enumerate([4, 4, 4, 5, 5, 4])]
    groups = [[row[0] for row in group] for group in batches_of_one_size(iter(rows), 2)]
    assert groups == [[0, 1], [2], [3, 4], [5]]
    assert list(batches_of_one_size(iter([]), 2)) == []


def test_each_stored_image_is_scaled_by_its_own_factor():
    images = [np.full((1, 1, 1), 255, np.uint8), np.full((1, 1, 1), 65535, np.uint16)]
    found = as_float(images, [1 / 255, 1 / 65535])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.ones((2, 1, 1, 1)))
