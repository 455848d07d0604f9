"""The supervised contrastive loss against equation 2 of the paper, image by image in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.losses.cases import gradient
from tfvision.errors import InputError
from tfvision.losses import LOSSES, ON_EMBEDDINGS, SupervisedContrastive

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 1], np.int32)  # 2 and 3 are alone with their class


def unit_vectors(seed=0, count=8, size=5):
    z = np.random.default_rng(seed).normal(size=(count, size))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def reference(labels, z, temperature=0.1, ignored=()):
    """L_sup_out, one summand an anchor, as written in the paper, in float64."""
    z, values = z.astype(np.float64), []
    everyone = [i for i in range(len(z)) if labels[i] not in ignored]
    for i in range(len(z)):
        others = [a for a in everyone if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        below = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        logs = [np.log(np.exp(z[i] @ z[p] / temperature) / below) for p in positives]
        values.append(-sum(logs) / len(positives) if positives else 0.0)
    return np.array(values)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_equation_2(seed, temperature):
    z = unit_vectors(seed)
    values = SupervisedContrastive(temperature=temperature).call(LABELS, z)
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, reference(LABELS, z, temperature), rtol=1e-4, atol=1e-6)
    assert np.all(values.numpy()[[3, 6]] == 0)  # no positive
    assert np.all(values.numpy()[[0, 1, 2, 4, 5, 7]] > 0)


def test_equal_embeddings_cost_the_logarithm_of_the_others():
    """All ties: each of N - 1 others is as likely."""
    z = np.repeat(unit_vectors(count=1), 6, axis=0)
    values = SupervisedContrastive().call([0, 0, 1, 1, 1, 2], z)
    np.testing.assert_allclose(values, [*[np.log(5)] * 5, 0], rtol=1e-5)


def test_classes_far_apart_cost_the_logarithm_of_their_positives():
    """The least there is: the positives share the sum among themselves."""
    z = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
    values = SupervisedContrastive(temperature=0.01).call([0, 0, 0, 1, 1, 2], z)
    np.testing.assert_allclose(values, [np.log(2)] * 3 + [0, 0, 0], atol=1e-6)


def test_the_value_keras_gives_is_the_mean_over_the_batch():
    z = unit_vectors()
    loss = SupervisedContrastive()
    np.testing.assert_allclose(loss(LABELS, z), reference(LABELS, z).mean(), rtol=1e-5)
    maps = loss.call(LABELS[:, None, None], z)
    np.testing.assert_array_equal(maps, loss.call(LABELS, z))


def test_the_order_of_the_batch_does_not_matter():
    z, order = unit_vectors(), np.random.default_rng(1).permutation(len(LABELS))
    loss = SupervisedContrastive()
    np.testing.assert_allclose(
        loss.call(LABELS[order], z[order]), loss.call(LABELS, z).numpy()[order], rtol=1e-5
    )


def test_ignored_labels_are_no_anchors_and_no_others():
    z = unit_vectors()
    values = SupervisedContrastive(ignore_labels=[1, 255]).call(LABELS, z)
    expected = reference(LABELS, z, ignored=(1,))
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)
    assert np.all(values.numpy()[LABELS == 1] == 0)
    _, grad = gradient(SupervisedContrastive(ignore_labels=1), LABELS, z)
    assert np.all(grad[LABELS == 1] == 0)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_gradients_are_finite_and_that_of_the_reference(dtype):
    z = unit_vectors().astype(dtype)
    value, grad = gradient(SupervisedContrastive(), LABELS, z)
    z = z.astype(np.float32)
    np.testing.assert_allclose(value, reference(LABELS, z).sum(), rtol=1e-4)
    assert grad.dtype == dtype
    assert np.isfinite(grad).all()
    assert np.all(np.abs(grad).max(axis=1) > 1e-3)  # those alone are pushed away by the others
    step = 1e-5
    for i, j in ((0, 0), (3, 1), (7, 4)):
        moved = [z.astype(np.float64), z.astype(np.float64)]
        moved[0][i, j] += step
        moved[1][i, j] -= step
        above, below = (reference(LABELS, m).sum() for m in moved)
        expected = (above - below) / (2 * step)
        np.testing.assert_allclose(grad[i, j], expected, rtol=2e-3, atol=5e-3)


def test_without_any_positive_there_is_no_loss_and_no_gradient():
    for labels, count in (([0, 1, 2], 3), ([0], 1)):
        value, grad = gradient(SupervisedContrastive(), labels, unit_vectors(count=count))
        assert value == 0
        assert np.all(grad == 0)


def test_a_part_of_the_batch_has_its_part_of_the_values():
    z = unit_vectors()
    loss = SupervisedContrastive()
    whole = loss.call(LABELS, z)
    for first, last in ((0, 3), (3, 8)):
        part = slice(first, last)
        values = loss.call(LABELS[part], z[part], others=(LABELS, z), first=first)
        np.testing.assert_allclose(values, whole[part], rtol=1e-6)


def test_it_compiles_with_unknown_sizes():
    loss = SupervisedContrastive()
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 5], tf.float32)]
    compiled = tf.function(loss.call, input_signature=signature, jit_compile=True)
    np.testing.assert_allclose(
        compiled(LABELS, unit_vectors()), loss.call(LABELS, unit_vectors()), rtol=1e-5, atol=1e-6
    )


def test_config_round_trip():
    loss = LOSSES["supervised_contrastive"](temperature=0.07, ignore_labels=[2], name="mine")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert copy.get_config() == loss.get_config()
    assert (copy.temperature, copy.ignore_labels, copy.name) == (0.07, (2,), "mine")
    np.testing.assert_array_equal(copy(LABELS, unit_vectors()), loss(LABELS, unit_vectors()))


def test_the_losses_on_embeddings_are_named():
    assert {name for name in LOSSES if getattr(LOSSES[name], "on_embeddings", False)} == (
        ON_EMBEDDINGS
    )


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan")])
def test_bad_temperature(temperature):
    with pytest.raises(InputError, match="must be a finite number above 0; received"):
        SupervisedContrastive(temperature=temperature)


def test_bad_arguments():
    with pytest.raises(InputError, match="ignore_labels must be a whole number"):
        SupervisedContrastive(ignore_labels=0.5)
    with pytest.raises(InputError, match=r"embeddings \(B, D\), one vector an image. Received"):
        SupervisedContrastive().call(LABELS, np.zeros((8, 2, 2, 3), np.float32))
