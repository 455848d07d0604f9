"""A dropped class is never predicted, and all else stays as it was."""

import numpy as np
import pytest
import tensorflow as tf

from tfvision.postprocess import POSTPROCESS
from tfvision.postprocess.pixelwise import decode, drop_class
from tfvision.registry import Spec

CLASSES = 4


@pytest.fixture(scope="module")
def probabilities():
    """(2, 20, 30, 4) softmax of noise, with ties and certain pixels among them."""
    logits = np.random.default_rng(0).normal(0, 3, (2, 20, 30, CLASSES))
    found = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found[0, 0, :CLASSES] = np.eye(CLASSES)  # certain: all others have probability 0
    found[0, 1, 0] = 1 / CLASSES
    return found.astype(np.float32)


def masked_argmax(probabilities, dropped):
    masked = probabilities.copy()
    masked[..., list(dropped)] = -np.inf
    return np.argmax(masked, -1)


@pytest.mark.parametrize("dropped", [[0], [1], [3], [0, 2], [3, 1, 0]])
def test_dropping_classes_is_the_argmax_of_the_others(probabilities, dropped):
    rules = [drop_class(num_classes=CLASSES, index=k) for k in dropped]
    labels = np.asarray(decode(rules)(probabilities))
    np.testing.assert_array_equal(labels, masked_argmax(probabilities, dropped))
    assert not np.isin(labels, dropped).any()
    plain = np.argmax(probabilities, -1)
    assert np.isin(plain, dropped).any()  # they would have been predicted
    others = ~np.isin(plain, dropped)
    np.testing.assert_array_equal(labels[others], plain[others])


def test_a_rule_leaves_the_scores_of_all_other_classes(probabilities):
    scores = np.asarray(drop_class(num_classes=CLASSES, index=2)(probabilities))
    np.testing.assert_array_equal(scores[..., [0, 1, 3]], probabilities[..., [0, 1, 3]])
    assert (scores[..., 2] < scores[..., [0, 1, 3]].min(-1)).all()


def test_rules_work_inside_a_graph_and_in_half_precision(probabilities):
    rules = [drop_class(num_classes=CLASSES, index=0)]
    compiled = tf.function(decode(rules))(tf.constant(probabilities))
    np.testing.assert_array_equal(compiled, masked_argmax(probabilities, [0]))
    half = probabilities.astype(np.float16)
    np.testing.assert_array_equal(decode(rules)(half), masked_argmax(half, [0]))


def test_rules_are_applied_in_order():
    def swap(scores):
        return scores[..., ::-1]

    rule = drop_class(num_classes=2, index=0)
    scores = np.array([[0.9, 0.1]], np.float32)
    assert np.asarray(decode([rule, swap])(scores)).tolist() == [0]
    assert np.asarray(decode([swap, rule])(scores)).tolist() == [1]


def test_without_rules_decoding_is_the_argmax_as_uint8(probabilities):
    labels = np.asarray(decode([])(probabilities))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.argmax(probabilities, -1))


@pytest.mark.parametrize("index", [-1, CLASSES, 1.0, "1", None, True])
def test_an_index_that_is_no_class_is_refused(index):
    with pytest.raises(ValueError, match=r"must name one of 4 classes, 0 to 3") as failure:
        drop_class(num_classes=CLASSES, index=index)
    assert f"Received: {index!r}." in str(failure.value)


def test_the_only_class_cannot_be_dropped():
    with pytest.raises(ValueError, match=r"one of 1 classes, 0 to 0, and leave another"):
        drop_class(num_classes=1, index=0)


def test_a_config_finds_it_by_name(probabilities):
    rule = POSTPROCESS.build(Spec.model_validate("drop_class(index=1)"), num_classes=CLASSES)
    np.testing.assert_array_equal(decode([rule])(probabilities), masked_argmax(probabilities, [1]))
