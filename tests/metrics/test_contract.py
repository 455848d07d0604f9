"""Scores under the contract, against Keras and scikit-learn on the same pixels."""

import json
import math

import keras
import numpy as np
import pytest
import sklearn.metrics

from tfvision.errors import InputError
from tfvision.metrics import Contract, confusion_matrix, conventions
from tfvision.metrics import contract as c

K = 5
NAMES = ["background", "soil", "bedrock", "sand", "rock"]


def random_maps(seed, *, num_images=6, size=(5, 8)):
    """Predictions mostly right; some classes are in no truth, some in no prediction."""
    rng = np.random.default_rng(seed)
    in_truth = rng.choice(K, rng.integers(2, K + 1), replace=False)
    in_prediction = rng.choice(K, rng.integers(2, K + 1), replace=False)
    labels = rng.choice(in_truth, (num_images, *size))
    guesses = rng.choice(in_prediction, labels.shape)
    right = (rng.random(labels.shape) < 0.6) & np.isin(labels, in_prediction)
    return labels, np.where(right, labels, guesses)


def keras_mean_iou(labels, predictions, **kwargs):
    metric = keras.metrics.MeanIoU(num_classes=K, **kwargs)
    metric.update_state(labels, predictions)
    return float(metric.result())


def sklearn_iou(labels, predictions, *, labels_of_interest=range(K)):
    """Per class, NaN where a class is in neither, which jaccard_score itself can not say."""
    classes = list(labels_of_interest)
    iou = sklearn.metrics.jaccard_score(
        labels, predictions, average=None, labels=classes, zero_division=0
    )
    occurs = np.isin(classes, labels) | np.isin(classes, predictions)
    return np.where(occurs, iou, np.nan)


def by_name(cms):
    return {row["name"]: row["mean_iou"] for row in conventions(cms, NAMES)}


@pytest.mark.parametrize("seed", range(12))
def test_conventions_equal_keras_and_scikit_learn(seed):
    labels, predictions = random_maps(seed)
    got = by_name(confusion_matrix(labels, predictions, K))
    flat = labels.ravel(), predictions.ravel()
    assert got["plain"] == pytest.approx(keras_mean_iou(labels, predictions), abs=1e-6)
    # Without `labels`, scikit-learn averages over the classes that occur.
    occurring = sklearn.metrics.jaccard_score(*flat, average="macro")
    assert got["plain"] == pytest.approx(occurring, abs=1e-12)
    assert got["contract"] == got["plain"]
    ignoring = keras_mean_iou(labels, predictions, ignore_class=0)
    assert got["keras_ignore_class_0"] == pytest.approx(ignoring, abs=1e-6)
    assert got["mmsegmentation_ignore_index_0"] == got["keras_ignore_class_0"]
    all_classes = sklearn.metrics.jaccard_score(
        *flat, average="macro", labels=range(K), zero_division=0
    )
    assert got["sklearn_macro"] == pytest.approx(all_classes, abs=1e-12)
    # Reduced labels: class 0 is not in the truth, and each other class is scored by itself.
    kept = labels != 0
    reduced = sklearn_iou(labels[kept], predictions[kept], labels_of_interest=range(1, K))
    assert got["mmsegmentation_reduce_zero_label"] == pytest.approx(np.nanmean(reduced), abs=1e-12)
    images = [
        sklearn.metrics.jaccard_score(a.ravel(), b.ravel(), average="macro")
        for a, b in zip(labels, predictions, strict=True)
    ]
    assert got["per_image"] == pytest.approx(np.mean(images), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_scikit_learn_per_class(seed):
    labels, predictions = random_maps(seed)
    scores = c.scores(confusion_matrix(labels, predictions, K))
    flat = labels.ravel(), predictions.ravel()

    def json_ready(values):
        return [None if math.isnan(v) else pytest.approx(v) for v in values]

    def per_class(score):
        return json_ready(score(*flat, average=None, labels=range(K), zero_division=np.nan))

    assert scores["per_class_iou"] == json_ready(sklearn_iou(*flat))
    assert scores["per_class_dice"] == per_class(sklearn.metrics.f1_score)
    assert scores["precision"] == per_class(sklearn.metrics.precision_score)
    assert scores["recall"] == per_class(sklearn.metrics.recall_score)
    assert scores["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(*flat))
    dice = [v for v in scores["per_class_dice"] if v is not None]
    assert scores["mean_dice"] == pytest.approx(np.mean(dice))
    assert scores["num_images"] == len(labels)
    json.dumps(scores, allow_nan=False)


def test_one_stray_pixel_of_class_0_multiplies_the_score_by_four_fifths():
    """81,920 pixels, none of them background; what Keras' `MeanIoU(ignore_class=0)` does."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, K, (10, 64, 128))
    predictions = np.where(rng.random(labels.shape) < 0.8, labels, rng.integers(1, K, labels.shape))
    before = by_name(confusion_matrix(labels, predictions, K))
    predictions[3, 10, 20] = 0
    after = by_name(confusion_matrix(labels, predictions, K))
    for name in ("keras_ignore_class_0", "mmsegmentation_ignore_index_0"):
        assert after[name] / before[name] == pytest.approx(4 / 5, abs=1e-4)
    expected = keras_mean_iou(labels, predictions, ignore_class=0)
    assert after["keras_ignore_class_0"] == pytest.approx(expected, abs=1e-6)
    unmoved = "mmsegmentation_reduce_zero_label"
    assert after[unmoved] / before[unmoved] == pytest.approx(1, abs=1e-4)


def test_the_three_switches_are_separate():
    # Truth 0 once predicted 1; truth 1 right twice, once predicted 0; class 2 nowhere.
    cms = np.array([[[0, 1, 0], [1, 2, 0], [0, 0, 0]]])
    assert c.mean_iou(cms) == pytest.approx((0 + 2 / 4) / 2)
    assert c.mean_iou(cms, Contract(ignore_labels=(0,))) == pytest.approx((0 + 2 / 3) / 2)
    assert c.mean_iou(cms, Contract(exclude_classes=(0,))) == pytest.approx(2 / 4)
    both = Contract(ignore_labels=(0,), exclude_classes=(0,))
    assert c.mean_iou(cms, both) == pytest.approx(2 / 3)
    assert c.mean_iou(cms, Contract(absent="zero")) == pytest.approx((0 + 2 / 4 + 0) / 3)
    assert c.mean_iou(cms, Contract(absent="one")) == pytest.approx((0 + 2 / 4 + 1) / 3)
    assert c.mean_dice(cms, both) == pytest.approx(4 / 5)
    assert c.pixel_accuracy(cms) == pytest.approx(2 / 4)
    assert c.pixel_accuracy(cms, Contract(ignore_labels=(0,))) == pytest.approx(2 / 3)


def test_averages_over_images_and_over_the_data_set_differ_as_defined():
    right, wrong = np.diag([8, 0]), np.array([[0, 1], [1, 0]])
    cms = np.stack([right, right, wrong])
    assert c.mean_iou(cms) == pytest.approx((16 / 18 + 0) / 2)
    assert c.mean_iou(cms, Contract(average="image")) == pytest.approx((1 + 1 + 0) / 3)
    scores = c.scores(cms)
    assert scores["mean_iou"] == c.mean_iou(cms)
    assert scores["mean_iou_per_image"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("absent", ["skip", "zero", "one"])
def test_an_image_without_counted_pixels_has_no_score(absent):
    empty, full = np.zeros((2, 2), int), np.diag([3, 5])
    contract = Contract(absent=absent, average="image")
    assert c.mean_iou(np.stack([empty, full]), contract) == c.mean_iou(full[None], contract) == 1
    assert math.isnan(c.mean_iou(empty[None], contract))
    scores = c.scores(empty[None], Contract(absent=absent))
    assert scores["mean_iou"] is None
    assert scores["mean_iou_per_image"] is None
    assert scores["pixel_accuracy"] is None
    assert scores["per_class_iou"] == [None, None]


def test_conventions_mark_those_equal_to_the_contract_and_name_class_0():
    cms = confusion_matrix(*random_maps(1), K)
    contract = Contract(ignore_labels=(0, 255))
    rows = conventions(cms, NAMES, contract)
    same = {row["name"] for row in rows if row["is_contract"]}
    assert same == {"contract", "keras_ignore_class_0", "mmsegmentation_ignore_index_0"}
    assert all("(background)" in r["explanation"] for r in rows if "class_0" in r["name"])
    assert rows[0]["mean_iou"] == c.mean_iou(cms, contract)


def test_scoring_leaves_the_counts_alone():
    cms = confusion_matrix(*random_maps(2), K)
    kept = cms.copy()
    c.scores(cms, Contract(ignore_labels=(0,)))
    np.testing.assert_array_equal(cms, kept)


def test_single_numbers_become_tuples():
    assert Contract(ignore_labels=255, exclude_classes=[2, 0, 2]) == Contract((255,), (0, 2))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"absent": "nan"}, "Unknown value of `absent` in the metric contract: 'nan'"),
        ({"average": "images"}, "Did you mean 'image'"),
        ({"ignore_labels": "void"}, "ignore_labels must be a whole number"),
        ({"exclude_classes": [0.5]}, "exclude_classes must be a whole number"),
    ],
)
def test_bad_contracts(kwargs, message):
    with pytest.raises(InputError, match=message):
        Contract(**kwargs)


@pytest.mark.parametrize(
    ("exclude", "message"),
    [((5,), r"exclude_classes must lie in 0\.\.4; received \[5\]"), (range(K), "names all 5")],
)
def test_contract_that_does_not_fit_the_classes(exclude, message):
    with pytest.raises(InputError, match=message):
        c.mean_iou(np.ones((1, K, K), int), Contract(exclude_classes=exclude))


def test_bad_counts():
    with pytest.raises(InputError, match=r"confusion matrices \(N, K, K\)"):
        c.scores(np.ones((K, K), int))
    marked = np.ones((3, K, K), int)
    marked[1] = -1  # what the graph version gives for a stray label
    with pytest.raises(InputError, match=r"1 of 3 images have labels outside.*position 1"):
        c.scores(marked)
    with pytest.raises(InputError, match="5 classes need 5 names; received 2"):
        conventions(np.ones((1, K, K), int), ["a", "b"])
