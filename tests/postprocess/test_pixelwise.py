"""Rules of single pixels, each against the same thing written out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfvision.errors import InputError
from tfvision.postprocess import POSTPROCESS
from tfvision.postprocess.pixelwise import (
    class_prior_offsets,
    class_thresholds,
    decode,
    drop_class,
)
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


OFFSETS = [0.7, -1.2, 0.0, 2.5]
CUTS = [0.0, 0.45, 0.2, 0.9]


def test_offsets_add_to_log_probabilities_and_give_probabilities(probabilities):
    rule = class_prior_offsets(num_classes=CLASSES, offsets=OFFSETS)
    with np.errstate(divide="ignore"):
        want = np.argmax(np.log(probabilities.astype(np.float64)) + OFFSETS, -1)
    labels = np.asarray(decode([rule])(probabilities))
    np.testing.assert_array_equal(labels, want)
    assert (labels != np.argmax(probabilities, -1)).mean() > 0.1
    np.testing.assert_allclose(np.asarray(rule(probabilities)).sum(-1), 1, rtol=1e-5)


def test_offsets_are_the_ratio_of_the_priors():
    """Bayes by hand: likelihoods under priors a; the posterior under priors b."""
    likelihoods = np.array([[0.2, 0.5, 0.1], [0.6, 0.1, 0.3]])
    a, b = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    posteriors = [x / x.sum(-1, keepdims=True) for x in (likelihoods * a, likelihoods * b)]
    rule = class_prior_offsets(num_classes=3, offsets=np.log(b / a).tolist())
    np.testing.assert_allclose(np.asarray(rule(posteriors[0])), posteriors[1], rtol=1e-6)


def test_a_constant_added_to_all_offsets_changes_nothing(probabilities):
    rules = [
        class_prior_offsets(num_classes=CLASSES, offsets=[v + shift for v in OFFSETS])
        for shift in (0.0, -3.0)
    ]
    first, second = (np.asarray(rule(probabilities)) for rule in rules)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


def threshold_by_hand(scores):
    passing = [k for k in range(CLASSES) if scores[k] >= np.float32(CUTS[k])]
    return max(passing or range(CLASSES), key=lambda k: (scores[k], -k))


def test_thresholds_take_the_most_probable_class_that_reaches_its_own(probabilities):
    labels = np.asarray(
        decode([class_thresholds(num_classes=CLASSES, thresholds=CUTS)])(probabilities)
    )
    want = np.apply_along_axis(threshold_by_hand, -1, probabilities)
    np.testing.assert_array_equal(labels, want)
    assert (labels != np.argmax(probabilities, -1)).mean() > 0.05


def test_where_no_class_reaches_its_threshold_the_most_probable_stays():
    rule = class_thresholds(num_classes=3, thresholds=[0.9, 0.9, 0.9])
    assert np.asarray(decode([rule])(np.array([[0.2, 0.5, 0.3]], np.float32))).tolist() == [1]


@pytest.mark.parametrize("after", ["offsets", "thresholds"])
def test_a_dropped_class_stays_dropped_under_the_other_rules(probabilities, after):
    others = {
        "offsets": class_prior_offsets(num_classes=CLASSES, offsets=[0, 6.0, 0, 0]),
        "thresholds": class_thresholds(num_classes=CLASSES, thresholds=[0.99, 0, 0.99, 0.99]),
    }
    rules = [drop_class(num_classes=CLASSES, index=1), others[after]]
    assert 1 in np.asarray(decode(rules[1:])(probabilities))
    assert 1 not in np.asarray(decode(rules)(probabilities))
    scores = rules[1](rules[0](probabilities))  # among them pixels certain of the dropped class
    assert np.isfinite(np.asarray(scores)).all()


def test_offsets_and_thresholds_work_inside_a_graph(probabilities):
    rules = [
        class_prior_offsets(num_classes=CLASSES, offsets=OFFSETS),
        class_thresholds(num_classes=CLASSES, thresholds=CUTS),
    ]
    compiled = tf.function(decode(rules))(tf.constant(probabilities))
    np.testing.assert_array_equal(compiled, np.asarray(decode(rules)(probabilities)))


@pytest.mark.parametrize(
    ("rule", "values", "what"),
    [
        (class_prior_offsets, [0.0, 1.0], r"offsets=...\) must be 4 numbers of -20 to 20"),
        (class_prior_offsets, [0.0, 1.0, float("nan"), 0.0], r"must be 4 numbers"),
        (class_prior_offsets, [0, 0, 0, 21], r"must be 4 numbers of -20 to 20"),
        (class_prior_offsets, 1.0, r"one a class. Received: 1.0"),
        (class_thresholds, [0.1, 0.2, 0.3, 1.5], r"thresholds=...\) must be 4 numbers of 0 to 1"),
        (class_thresholds, [0.1, 0.2, 0.3, True], r"must be 4 numbers"),
        (class_thresholds, "0.5", r"Received: '0.5'"),
    ],
)
def test_numbers_that_do_not_fit_the_classes_are_refused(rule, values, what):
    key = "offsets" if rule is class_prior_offsets else "thresholds"
    with pytest.raises(InputError, match=what):
        rule(num_classes=CLASSES, **{key: values})
