"""Scores of classifiers against scikit-learn, on random and on degenerate cases."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from tfvision.errors import InputError
from tfvision.metrics import METRICS, Contract, classification, confusion_matrix
from tfvision.metrics.classification import (
    average_precision,
    brier,
    log_loss,
    precision_recall_curve,
    roc_auc,
    roc_curve,
    scores,
)

K = 4
NAMES = ["ant", "bee", "cat", "dog"]


def counts_of(labels, predictions, num_classes=K, ignore=()):
    labels, predictions = (np.asarray(v).reshape(-1, 1, 1) for v in (labels, predictions))
    return confusion_matrix(labels, predictions, num_classes, ignore)


def case(kind, seed=0, count=60):
    """Labels (N,) and probabilities (N, K) of a model that is right more often than not."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, count)
    if kind == "class never true":
        labels[labels == 2] = 1
    if kind == "one class only":
        labels[:] = 3
    logits = rng.standard_normal((count, K)) + 1.5 * np.eye(K)[labels]
    if kind in ("class never predicted", "class absent"):
        logits[:, 2] = -50
    if kind == "class absent":
        labels[labels == 2] = 0
    if kind == "all right":
        logits += 50 * np.eye(K)[labels]
    if kind == "all wrong":
        logits += 50 * np.eye(K)[(labels + 1) % K]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if kind == "ties":
        probabilities = np.round(probabilities, 1)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, probabilities


KINDS = (
    "random",
    "ties",
    "class never true",
    "class never predicted",
    "class absent",
    "one class only",
    "all right",
    "all wrong",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_scores_are_those_of_scikit_learn(kind, absent):
    labels, probabilities = case(kind)
    guess = probabilities.argmax(axis=1)
    found = scores(counts_of(labels, guess), probabilities, labels, Contract(absent=absent), NAMES)
    given = {"zero_division": 0.0, "labels": None if absent == "skip" else range(K)}
    expected = {"accuracy": sk.accuracy_score(labels, guess), "num_images": 60}
    for mean in ("macro", "weighted"):
        expected |= {
            f"{mean}_f1": sk.f1_score(labels, guess, average=mean, **given),
            f"{mean}_precision": sk.precision_score(labels, guess, average=mean, **given),
            f"{mean}_recall": sk.recall_score(labels, guess, average=mean, **given),
        }
    expected["log_loss"] = sk.log_loss(labels, probabilities, labels=range(K))
    expected["brier"] = sk.brier_score_loss(
        labels, probabilities, labels=range(K), scale_by_half=False
    )
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-12), key
    assert found["accuracy"] == pytest.approx(sk.f1_score(labels, guess, average="micro"))
    if absent == "skip":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes that are not in the truth
            balanced = sk.balanced_accuracy_score(labels, guess)
        assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_classes_is_that_of_scikit_learn(kind):
    labels, probabilities = case(kind, seed=1)
    guess = probabilities.argmax(axis=1)
    found = scores(counts_of(labels, guess), probabilities, labels, Contract(), NAMES)["per_class"]
    assert list(found) == NAMES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        columns = sk.precision_recall_fscore_support(
            labels, guess, labels=range(K), zero_division=np.nan
        )
    for key, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        got = [np.nan if row[key] is None else row[key] for row in found.values()]
        assert got == pytest.approx(column, abs=1e-12, nan_ok=True), key


@pytest.mark.parametrize("kind", ["random", "ties"])
def test_ranking_scores_are_those_of_scikit_learn(kind):
    labels, probabilities = case(kind, seed=2)
    found = scores(
        counts_of(labels, probabilities.argmax(axis=1)), probabilities, labels, Contract(), NAMES
    )
    truth = np.eye(K)[labels]
    area = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert found["roc_auc"] == pytest.approx(area, abs=1e-12)
    mean = sk.average_precision_score(truth, probabilities, average="macro")
    assert found["average_precision"] == pytest.approx(mean, abs=1e-12)
    each = sk.average_precision_score(truth, probabilities, average=None)
    got = [row["average_precision"] for row in found["per_class"].values()]
    assert got == pytest.approx(each, abs=1e-12)


def test_two_classes_have_the_area_of_the_second():
    labels, probabilities = case("ties", seed=3)
    labels, second = labels % 2, np.round(probabilities[:, 1] * 16) / 16  # 1 - p is exact
    both = np.stack([1 - second, second], axis=1)
    found = scores(
        counts_of(labels, both.argmax(axis=1), 2), both, labels, Contract(), ["no", "yes"]
    )
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, second), abs=1e-12)


def test_a_class_without_images_stays_out_of_the_ranking_means():
    labels, probabilities = case("class never true", seed=4)
    found = scores(
        counts_of(labels, probabilities.argmax(axis=1)), probabilities, labels, Contract(), NAMES
    )
    assert found["per_class"]["cat"]["roc_auc"] is None
    assert found["per_class"]["cat"]["average_precision"] is None
    there = [k for k in range(K) if k != 2]
    areas = [sk.roc_auc_score(labels == k, probabilities[:, k]) for k in there]
    assert found["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
    only = scores(counts_of([3, 3], [3, 1]), probabilities[:2], [3, 3], Contract(), NAMES)
    assert only["roc_auc"] is None
    assert only["average_precision"] == 1.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_curves_are_those_of_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    truth = rng.random(40) < 0.4
    score = rng.integers(0, levels, 40) / levels + 0.3 * truth
    for ours, theirs in zip(roc_curve(truth, score), sk.roc_curve(truth, score), strict=True):
        assert ours.shape == theirs.shape
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(
        precision_recall_curve(truth, score),
        sk.precision_recall_curve(truth, score),
        strict=True,
    ):
        assert np.array_equal(ours, theirs)
    assert roc_auc(truth, score) == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-12)
    expected = sk.average_precision_score(truth, score)
    assert average_precision(truth, score) == pytest.approx(expected, abs=1e-12)


def test_curves_without_one_side_are_undefined():
    score = np.array([0.1, 0.9, 0.4])
    for truth in (np.zeros(3, bool), np.ones(3, bool)):
        assert np.isnan(roc_auc(truth, score))
    assert np.isnan(average_precision(np.zeros(3, bool), score))
    assert average_precision(np.ones(3, bool), score) == 1.0
    assert np.isnan(roc_auc(np.zeros(0, bool), np.zeros(0)))
    assert np.isnan(average_precision(np.zeros(0, bool), np.zeros(0)))


def test_a_sure_mistake_costs_what_float32_can_say():
    sure = np.array([[1.0, 0.0]], np.float32)
    assert log_loss(sure, np.array([1])) == pytest.approx(-np.log(np.finfo(np.float32).eps))
    assert log_loss(sure, np.array([1])) == pytest.approx(sk.log_loss([1], sure, labels=[0, 1]))
    assert brier(sure, np.array([1])) == 2.0


def test_ignored_labels_are_not_scored_at_all():
    labels, probabilities = case("random", seed=5)
    guess = probabilities.argmax(axis=1)
    void = labels.copy()
    void[::3] = 255
    agreed = Contract(ignore_labels=(1, 255))
    kept = (void != 255) & (void != 1)
    found = scores(counts_of(void, guess, ignore=(255,)), probabilities, void, agreed, NAMES)
    assert found["num_images"] == kept.sum()
    assert found["accuracy"] == pytest.approx((labels == guess)[kept].mean())
    assert found["log_loss"] == pytest.approx(
        sk.log_loss(labels[kept], probabilities[kept], labels=range(K))
    )
    assert found["per_class"]["bee"]["support"] == 0


def test_excluded_classes_stay_out_of_every_mean():
    labels, probabilities = case("random", seed=6)
    guess = probabilities.argmax(axis=1)
    agreed = Contract(exclude_classes=(0,))
    found = scores(counts_of(labels, guess), probabilities, labels, agreed, NAMES)
    for mean in ("macro", "weighted"):
        for name, score in (("f1", sk.f1_score), ("precision", sk.precision_score)):
            expected = score(labels, guess, labels=[1, 2, 3], average=mean)
            assert found[f"{mean}_{name}"] == pytest.approx(expected, abs=1e-12)
    areas = [sk.roc_auc_score(labels == k, probabilities[:, k]) for k in (1, 2, 3)]
    assert found["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
    recall = sk.recall_score(labels, guess, labels=[1, 2, 3], average="macro")
    assert found["balanced_accuracy"] == pytest.approx(recall, abs=1e-12)


def test_without_probabilities_and_without_images():
    found = scores(counts_of([0, 1], [0, 2]), None, None, Contract(), NAMES)
    assert found["accuracy"] == 0.5
    ranking = ("log_loss", "brier", "ece", "roc_auc", "average_precision")
    assert {found[key] for key in ranking} == {None}
    empty = scores(np.zeros((0, K, K), int), np.zeros((0, K)), np.zeros(0, int), Contract(), NAMES)
    assert empty["num_images"] == 0
    assert empty["accuracy"] is None is empty["log_loss"] is empty["ece"] is empty["roc_auc"]


def test_wrong_input_is_named():
    labels, probabilities = case("random")
    counts = counts_of(labels, probabilities.argmax(axis=1))
    plain = Contract()
    with pytest.raises(InputError, match="4 classes need 4 names; received 2"):
        scores(counts, None, None, plain, ["a", "b"])
    with pytest.raises(InputError, match="60 counts, 59 rows of probabilities and 60 labels"):
        scores(counts, probabilities[1:], labels, plain, NAMES)
    with pytest.raises(InputError, match="and no labels"):
        scores(counts, probabilities, None, plain, NAMES)
    with pytest.raises(InputError, match=r"of sum 1; row 0 is .* Of logits take the softmax"):
        scores(counts, np.log(probabilities), labels, plain, NAMES)
    stray = labels.copy()
    stray[7] = 9
    with pytest.raises(InputError, match=r"in 0\.\.3; row 7 has .*9"):
        scores(counts, probabilities, stray, plain, NAMES)


def test_scores_of_counts_alone_are_the_same_numbers():
    labels, probabilities = case("class never predicted")
    counts = counts_of(labels, probabilities.argmax(axis=1))
    agreed = Contract(exclude_classes=(1,))
    whole = scores(counts, probabilities, labels, agreed, NAMES)
    alone = classification.count_scores(counts, agreed)
    for key in (*classification.SCORES, "num_images"):
        assert alone[key] == whole[key]
    for key, name in (("per_class_f1", "f1"), ("precision", "precision"), ("recall", "recall")):
        assert alone[key] == [row[name] for row in whole["per_class"].values()]
    assert alone["precision"][2] is None


@pytest.mark.parametrize("name", list(classification.SCORES))
def test_a_classifiers_own_shapes_are_taken(name):
    """Labels (B,) or (B, 1) with logits (B, K), as `compile` and `fit` give them."""
    labels, probabilities = case("random", seed=7, count=17)
    expected = classification.SCORES[name](counts_of(labels, probabilities.argmax(axis=1)))
    for truth in (labels, labels[:, None], labels[:, None, None]):
        metric = METRICS[name](num_classes=K)
        logits = np.log(probabilities)
        for part in (slice(0, 5), slice(5, None)):
            own = logits[part] if truth.ndim < 3 else logits[part, None, None]
            metric.update_state(truth[part], own)
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="of the same size; received"):
        METRICS[name](num_classes=K).update_state(labels, probabilities[:, :3])
