"""The Keras metrics against the contract's NumPy scores, under every way of batching."""

import itertools

import keras
import numpy as np
import pytest

from tfvision.errors import InputError
from tfvision.metrics import (
    METRICS,
    Contract,
    MeanIoU,
    PixelAccuracy,
    classification,
    confusion_matrix,
)
from tfvision.metrics import contract as c
from tfvision.metrics.segmentation import LIMB

K = 4
SCORES = {
    "mean_iou": c.mean_iou,
    "mean_dice": c.mean_dice,
    "pixel_accuracy": c.pixel_accuracy,
    **classification.SCORES,
}


def random_case(seed, *, num_images=7, size=(5, 6)):
    """Labels with void 255, some images wholly void, and logits; classes are often absent."""
    rng = np.random.default_rng(seed)
    labels = np.stack(
        [rng.choice(rng.choice(K, rng.integers(1, 4), False), size) for _ in range(num_images)]
    ).astype(np.uint8)
    logits = rng.standard_normal((num_images, *size, K)) + 2 * np.eye(K)[labels]
    logits[..., seed % K] -= 100 * (seed % 2)  # a class that is never predicted
    labels[rng.random(labels.shape) < 0.1] = 255
    labels[seed % num_images] = 255
    return labels, logits.astype(np.float32)


def in_batches(metric, labels, predictions, size):
    metric.reset_state()
    for i in range(0, len(labels), size):
        metric.update_state(labels[i : i + size], predictions[i : i + size])
    return float(metric.result())


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize(
    ("absent", "average", "ignore"),
    list(itertools.product(["skip", "zero", "one"], ["dataset", "image"], [(255,), (0, 255)])),
)
def test_equals_the_contract_in_numpy_and_any_batching_is_the_same(name, absent, average, ignore):
    seed = 1 + len(ignore) + 3 * len(absent)
    labels, logits = random_case(seed)
    arguments = {"ignore_labels": ignore, "absent": absent, "average": average}
    metric = METRICS[name](num_classes=K, exclude_classes=(2,), **arguments)
    assert metric.contract == Contract(exclude_classes=(2,), **arguments)
    cms = confusion_matrix(labels, logits.argmax(-1), K, 255)
    expected = SCORES[name](cms, metric.contract)
    results = [in_batches(metric, labels, logits, size) for size in (1, 2, 3, 7)]
    assert results[0] == pytest.approx(expected, abs=1e-6)
    assert len(set(results)) == 1
    assert in_batches(metric, labels[..., None], logits.argmax(-1), 4) == results[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ignore_class", [None, 0, 2])
def test_equals_keras_mean_iou(seed, ignore_class):
    labels, logits = random_case(seed)
    labels[labels == 255] = 1
    theirs = keras.metrics.MeanIoU(
        num_classes=K, ignore_class=ignore_class, sparse_y_true=True, sparse_y_pred=False
    )
    theirs.update_state(labels, logits)
    ours = MeanIoU(num_classes=K, ignore_labels=() if ignore_class is None else ignore_class)
    assert in_batches(ours, labels, logits, 3) == pytest.approx(float(theirs.result()), abs=1e-6)


def test_counts_stay_exact_past_the_whole_numbers_of_float32():
    labels = np.zeros((1, 1, 3), np.uint8)
    predictions = np.array([[[0, 0, 1]]])
    metric = PixelAccuracy(num_classes=2)
    # As after 2^40 + 2^20 - 1 pixels, more than float32 or int32 can count one by one.
    metric.update_state(labels, predictions)
    metric.high.assign(np.array([[2**20, 0], [0, 0]]))
    metric.low.assign(np.array([[LIMB - 1, 0], [0, 0]]))
    metric.update_state(labels, predictions)
    high, low = (np.asarray(v.numpy(), int) for v in (metric.high, metric.low))
    assert (high * LIMB + low).tolist() == [[2**40 + LIMB + 1, 1], [0, 0]]


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize("average", ["dataset", "image"])
def test_stray_label_makes_the_result_nan_until_reset(name, average):
    labels, logits = random_case(3)
    metric = METRICS[name](num_classes=K, average=average, ignore_labels=255)
    clean = in_batches(metric, labels, logits, 3)
    spoilt = labels.copy()
    spoilt[np.argmax((labels != 255).any(axis=(1, 2))), 0, 0] = 7
    assert np.isnan(in_batches(metric, spoilt, logits, 3))
    assert in_batches(metric, labels, logits, 3) == clean
    # 255 that nobody declared as void is such a label too.
    assert np.isnan(in_batches(METRICS[name](num_classes=K, average=average), labels, logits, 3))


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize("absent", ["skip", "zero", "one"])
def test_nothing_counted_is_nan(name, absent):
    for average in ("dataset", "image"):
        metric = METRICS[name](num_classes=K, ignore_labels=255, absent=absent, average=average)
        void = np.full((2, 3, 3), 255)
        assert np.isnan(in_batches(metric, void, np.zeros((2, 3, 3, K)), 1))


@pytest.mark.parametrize("name", list(METRICS))
def test_config_round_trip(name):
    metric = METRICS[name](
        num_classes=K,
        ignore_labels=[0, 255],
        exclude_classes=[1],
        absent="one",
        average="image",
        name="mine",
    )
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert (copy.contract, copy.name) == (metric.contract, "mine")
    assert METRICS[name](num_classes=K).name == name


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2"),
        ({"num_classes": "5"}, "num_classes must be a whole number"),
        ({"num_classes": 3, "exclude_classes": [255]}, "belong in ignore_labels"),
        ({"num_classes": 3, "average": "batch"}, "Unknown value of `average`"),
        ({"num_classes": 3, "absent": "nan"}, "Unknown value of `absent`"),
    ],
)
@pytest.mark.parametrize("name", list(METRICS))
def test_bad_arguments(name, kwargs, message):
    with pytest.raises(InputError, match=message):
        METRICS[name](**kwargs)


def test_bad_updates():
    labels, logits = random_case(0)
    metric = MeanIoU(num_classes=K)
    with pytest.raises(InputError, match="of the same size; received"):
        metric.update_state(labels[:, :3], logits)
    with pytest.raises(InputError, match="of the same size; received"):
        metric.update_state(labels, logits[..., :3])
    with pytest.raises(InputError, match="takes no sample_weight"):
        metric.update_state(labels, logits, sample_weight=np.ones(7))
