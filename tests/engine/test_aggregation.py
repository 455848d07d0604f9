"""Attention over pieces: gradients by differences, planted pieces, and no label seen twice."""

import json

import numpy as np
import pytest

from tfvision.data.crops.inputs import AGGREGATES, aggregate
from tfvision.engine.aggregation import (
    Attention,
    PieceScores,
    fit_attention,
    image_probabilities,
    loss_and_gradients,
    nested,
)
from tfvision.errors import InputError


def bags(count=120, seed=0, planted=True, classes=3):
    """Images of 1 to 5 pieces.

    Where planted, one piece of each image knows its class and is large; the others are small and
    sure of a class by chance. Otherwise all know as much, whatever their area.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    probabilities, weights, images = [], [], []
    for i, label in enumerate(labels):
        for j in range(rng.integers(1, 6)):
            knows = (j == 0) if planted else rng.random() < 0.6
            said = label if knows else rng.integers(0, classes)
            probabilities.append(rng.dirichlet(1 + 8 * np.eye(classes)[said]))
            large = (j == 0) if planted else rng.random() < 0.5
            weights.append(rng.uniform(500, 900) if large else rng.uniform(20, 60))
            images.append(i)
    return PieceScores(np.array(probabilities), np.array(weights), np.array(images)), labels


def log_loss(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


FOLDS = np.arange(120) % 4


@pytest.mark.parametrize("gated", [False, True])
def test_gradients_are_those_of_finite_differences(gated):
    pieces, labels = bags(12)
    rng = np.random.default_rng(1)
    features = rng.normal(size=(len(pieces.images), 4))
    parameters = [rng.normal(size=(2, 4)) for _ in range(1 + gated)] + [rng.normal(size=2)]

    def loss():
        return loss_and_gradients(parameters, features, pieces, labels, 0.1)[0]

    gradients = loss_and_gradients(parameters, features, pieces, labels, 0.1)[1]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for place in np.ndindex(parameter.shape):
            before = parameter[place]
            parameter[place] = before + 1e-5
            above = loss()
            parameter[place] = before - 1e-5
            slope = (above - loss()) / 2e-5
            parameter[place] = before
            assert gradient[place] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("gated", [False, True])
def test_it_finds_the_piece_that_knows(gated):
    pieces, labels = bags()
    learnt = nested(pieces, labels, FOLDS, "attention", gated=gated)
    plain = nested(pieces, labels, FOLDS, "mean")
    assert log_loss(learnt, labels) < 0.6 * log_loss(plain, labels)
    shares = fit_attention(pieces, labels, gated=gated).shares(pieces)
    np.testing.assert_allclose(np.bincount(pieces.images, shares), 1)
    several = np.bincount(pieces.images)[pieces.images] > 1
    assert shares[several & (pieces.weights > 400)].min() > 0.5


def test_where_all_pieces_know_as_much_it_stays_near_the_mean():
    pieces, labels = bags(planted=False)
    learnt = log_loss(nested(pieces, labels, FOLDS, "attention"), labels)
    assert learnt < log_loss(nested(pieces, labels, FOLDS, "mean"), labels) + 0.05


def test_without_a_score_it_is_the_mean():
    pieces, _ = bags()
    nothing = Attention(np.ones((2, 4)), None, np.zeros(2), np.zeros(4), np.ones(4))
    np.testing.assert_allclose(nothing(pieces), image_probabilities(pieces, "mean"))


def test_order_and_saving_change_nothing():
    pieces, labels = bags()
    attention = fit_attention(pieces, labels)
    mixed = np.random.default_rng(0).permutation(len(pieces.images))
    shuffled = PieceScores(pieces.probabilities[mixed], pieces.weights[mixed], pieces.images[mixed])
    np.testing.assert_allclose(attention(shuffled), attention(pieces), atol=1e-12)
    for gated in (False, True):
        fitted = fit_attention(pieces, labels, gated=gated)
        again = Attention.from_dict(json.loads(json.dumps(fitted.to_dict())))
        np.testing.assert_array_equal(again(pieces), fitted(pieces))
    np.testing.assert_array_equal(fit_attention(pieces, labels).w, attention.w)


def test_a_fold_is_scored_without_its_own_labels():
    pieces, labels = bags()
    held = FOLDS == 2
    other = np.where(held, (labels + 1) % 3, labels)
    one, two = (nested(pieces, truth, FOLDS, "attention") for truth in (labels, other))
    np.testing.assert_array_equal(one[held], two[held])
    assert np.any(one[~held] != two[~held])


@pytest.mark.parametrize("how", AGGREGATES)
def test_images_are_aggregated_one_by_one_in_any_order(how):
    pieces, labels = bags(20)
    mixed = np.random.default_rng(0).permutation(len(pieces.images))
    shuffled = PieceScores(pieces.probabilities[mixed], pieces.weights[mixed], pieces.images[mixed])
    out = nested(shuffled, labels, FOLDS[:20], how)
    for i in range(20):
        rows = pieces.images == i
        wanted = aggregate(pieces.probabilities[rows], pieces.weights[rows], how)
        np.testing.assert_allclose(out[i], wanted, atol=1e-12)


def test_what_does_not_fit_is_refused():
    pieces, labels = bags(20)
    with pytest.raises(InputError, match=r"how must be attention or one of mean, area, .* 'vote'"):
        nested(pieces, labels, FOLDS[:20], "vote")
    with pytest.raises(InputError, match="of two folds or more; got 20 values of 1 folds"):
        nested(pieces, labels, np.zeros(20), "attention")
    with pytest.raises(
        InputError, match=r"each of 0 to 20, as there are 21 labels; .* 20 different"
    ):
        fit_attention(pieces, np.zeros(21, int))
    empty = PieceScores(pieces.probabilities, 0 * pieces.weights, pieces.images)
    with pytest.raises(InputError, match="areas, must be above 0"):
        fit_attention(empty, labels)
    with pytest.raises(InputError, match="hidden must be a whole number from 1 up, got 0"):
        fit_attention(pieces, labels, hidden=0)
    with pytest.raises(InputError, match="decay must be a number from 0 up, got -1"):
        fit_attention(pieces, labels, decay=-1)
