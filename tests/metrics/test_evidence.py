"""Confusion counts as evidence: the scores of the contract and of scikit-learn, and its parts."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from tests.support.detections import answer, truth
from tfvision.engine.evidence_file import read_evidence_file, write_evidence
from tfvision.errors import InputError
from tfvision.metrics import classification, contract
from tfvision.metrics.contract import CONVENTIONS, Contract
from tfvision.metrics.detections import DetectionEvidence
from tfvision.metrics.evidence import ConfusionEvidence, LabelEvidence
from tfvision.tasks.facts import facts_of, task_names

AGREED = Contract(ignore_labels=(1,), exclude_classes=(0,))


def masks(count: int = 12, seed: int = 0, *, rules: bool = True) -> ConfusionEvidence:
    rng = np.random.default_rng(seed)
    plain = rng.integers(0, 9, (count, 3, 3))
    processed = np.roll(plain, 1, axis=2) if rules else None
    return ConfusionEvidence.of([f"image {i}" for i in range(count)], plain, processed)


def labels(count: int = 40) -> tuple[LabelEvidence, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, count), rng.integers(0, 3, count)
    counts = np.zeros((count, 3, 3), np.int64)
    counts[np.arange(count), truth, predicted] = 1
    return LabelEvidence([str(i) for i in range(count)], counts), truth, predicted


@pytest.mark.parametrize("score", ["mean_iou", "mean_dice", "pixel_accuracy"])
@pytest.mark.parametrize("agreed", [Contract(), AGREED, Contract(average="image")], ids=str)
def test_a_measure_is_the_score_of_the_contract(score, agreed):
    evidence = masks()
    assert evidence.measure(score, agreed).value() == pytest.approx(
        contract.scores(evidence.counts, agreed)[score], abs=1e-12
    )
    assert evidence.summary(agreed) == contract.scores(evidence.counts, agreed)


def test_labels_are_scored_as_by_scikit_learn():
    evidence, truth, predicted = labels()
    for score, expected in {
        "accuracy": sklearn.accuracy_score(truth, predicted),
        "macro_f1": sklearn.f1_score(truth, predicted, average="macro"),
        "weighted_f1": sklearn.f1_score(truth, predicted, average="weighted"),
        "balanced_accuracy": sklearn.balanced_accuracy_score(truth, predicted),
    }.items():
        assert evidence.measure(score, Contract()).value() == pytest.approx(expected)
    each = sklearn.recall_score(truth, predicted, average=None)
    found = [one.value() for one in evidence.classes("balanced_accuracy", Contract())]
    assert found == pytest.approx(each)
    assert evidence.summary(Contract()) == classification.count_scores(evidence.counts)


def test_classes_and_images_have_their_own_scores():
    evidence = masks()
    found = [one.value() for one in evidence.classes("mean_iou", AGREED)]
    assert found == pytest.approx(evidence.summary(AGREED)["per_class_iou"], abs=1e-12)
    each = [contract.mean_iou(cm[None], AGREED) for cm in evidence.counts]
    np.testing.assert_array_equal(evidence.image_scores("mean_iou", AGREED), each)
    assert evidence.presence().all(axis=1).any()


@pytest.mark.parametrize("rules", [False, True])
def test_parts_and_the_file_are_the_same_evidence(rules, tmp_path):
    evidence = masks(rules=rules)
    rows = np.random.default_rng(0).permutation(12)
    parts = [evidence.take(rows[:5]), evidence.take(rows[5:])]
    joined = ConfusionEvidence.join(parts).take(np.argsort(rows))
    write_evidence(tmp_path / "val_confusion.npz", evidence, fold=np.arange(12))
    with np.load(tmp_path / "val_confusion.npz") as file:
        assert file.files == ["ids", "fold", "plain", *(["processed"] if rules else [])]
    read = read_evidence_file(tmp_path / "val_confusion.npz", ConfusionEvidence, remedy="Train.")
    for back in (joined, read):
        assert back.ids == evidence.ids
        np.testing.assert_array_equal(back.counts, evidence.counts)
        assert back.processed == rules
        if rules:
            np.testing.assert_array_equal(back.before.counts, evidence.before.counts)
    assert evidence.renamed([f"b{i}" for i in range(12)]).ids[1] == "b1"


def test_the_digest_tells_another_truth_and_not_another_prediction():
    first, second = masks(), masks()
    second.counts[4] = np.roll(second.counts[4], 1, axis=1)  # predicted otherwise
    np.testing.assert_array_equal(first.digest(), second.digest())
    second.counts[4, 0, 0] += 1
    assert np.flatnonzero((first.digest() != second.digest()).any(axis=1)).tolist() == [4]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"ids": ["a"]}, "plain"),
        ({"ids": ["a"], "plain": np.zeros((2, 3, 3))}, r"1 ids, counts \(2, 3, 3\)"),
        ({"ids": ["a"], "plain": np.zeros((1, 3, 2))}, r"counts \(1, 3, 2\)"),
        (
            {"ids": ["a"], "plain": np.zeros((1, 3, 3)), "processed": np.zeros((1, 2, 2))},
            r"counts \(1, 2, 2\) and \(1, 3, 3\)",
        ),
    ],
)
def test_a_damaged_file_is_named(arrays, reason, tmp_path):
    path = tmp_path / "val_confusion.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=rf"val_confusion\.npz cannot be read .*{reason}.*Train\."):
        read_evidence_file(path, ConfusionEvidence, remedy="Train.")
    with pytest.raises(InputError, match=r"none\.npz cannot be read .*Train\."):
        read_evidence_file(tmp_path / "none.npz", ConfusionEvidence, remedy="Train.")


def test_conventions_are_of_masks_alone():
    evidence = masks()
    named = evidence.by_convention(AGREED)
    assert list(named) == ["contract", *(name for name, _, _ in CONVENTIONS)]
    for name, (score, convention) in evidence.conventions.items():
        assert named[name] == pytest.approx(evidence.measure(score, convention).value())
    assert (labels()[0].by_convention(AGREED), LabelEvidence.conventions) == ({}, {})


@pytest.mark.parametrize("task", task_names())
def test_the_facts_of_a_score_are_those_of_its_measure(task):
    facts = facts_of(task)
    found = [answer((0, 0.9, (0, 0, 8, 8)))]
    boxes = DetectionEvidence.of(["a"], found, [truth((0, (0, 0, 8, 9)))], num_classes=1)
    examples = {type(one): one for one in (masks(), labels()[0], boxes)}
    evidence = examples[facts.evidence_class()]
    assert set(facts.scores) <= set(evidence.scores)
    for name, score in facts.scores.items():
        measure = evidence.measure(name, Contract())
        assert (score.low, score.high) == (measure.low, measure.high)
        assert score.larger_is_better == measure.larger_is_better
        assert name in evidence.summary(Contract())
        assert facts.score(name) is score
    assert facts_of("segmentation").score("macro_f1").title == "macro-F1"
    assert facts.score("nothing").title == "nothing"
