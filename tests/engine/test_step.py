"""A step is the same on one device and on two, in one part and in several."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tfvision.engine.distribute import make_strategy
from tfvision.engine.step import batch_loss
from tfvision.losses import CrossEntropy, Dice


@functools.cache  # steps of the same arguments share a graph, see `toy.train_step`
def two_devices():
    return make_strategy("cpu:2")


def sgd():
    """Adam divides by the gradient's size, and so makes rounding errors of any size."""
    return keras.optimizers.SGD(0.1, momentum=0.9, name="sgd")


def take_steps(step, count=5, rate=0.1):
    data = step.strategy.experimental_distribute_dataset(toy.stream())
    iterator = iter(data)
    losses = [float(step(next(iterator), rate)) for _ in range(count)]
    return losses, toy.values(step)


def assert_same(one, other, atol):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=atol, err_msg=name)


@pytest.mark.parametrize(
    ("normalization", "options"),
    [
        ("sync_batch", {}),
        ("sync_batch", {"clip_norm": 0.1}),
        ("group", {"ema": 0.9}),
    ],
)
def test_two_devices_give_the_result_of_one(normalization, options):
    settings = {"normalization": normalization, "dropout": 0.0, "optimizer": sgd, **options}
    losses, values = take_steps(toy.train_step(**settings))
    losses_2, values_2 = take_steps(toy.train_step(two_devices(), **settings))
    np.testing.assert_allclose(losses, losses_2, rtol=1e-5)
    assert_same(values, values_2, atol=2e-6)


@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy, two_devices])
def test_parts_give_the_gradient_of_the_whole(strategy):
    settings = {"normalization": "group", "dropout": 0.0, "optimizer": sgd}
    losses, values = take_steps(toy.train_step(strategy(), **settings))
    losses_2, values_2 = take_steps(toy.train_step(strategy(), accumulate=2, **settings))
    np.testing.assert_allclose(losses, losses_2, rtol=1e-5)
    assert_same(values, values_2, atol=2e-6)


XLA = """
from tests.engine import toy
from tests.engine.test_step import assert_same, sgd, take_steps
import numpy as np
settings = {"normalization": "group", "dropout": 0.0, "optimizer": sgd, "deterministic": False}
losses, values = take_steps(toy.train_step(**settings))
compiled, same = take_steps(toy.train_step(xla=True, **settings))
np.testing.assert_allclose(losses, compiled, rtol=1e-5)
assert_same(values, same, atol=1e-5)
"""


@pytest.mark.slow  # XLA takes 20 s to compile
def test_xla_gives_the_same_step():
    """In a process of its own: XLA refuses what deterministic ops need, for good."""
    done = subprocess.run([sys.executable, "-c", XLA], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does():
    with pytest.raises(ValueError, match=r"batch_size 5 must divide by 2 device\(s\).*Try 4"):
        toy.train_step(two_devices(), batch_size=5)
    with pytest.raises(ValueError, match=r"times train.accumulate 3. Try 3"):
        toy.train_step(batch_size=4, accumulate=3)


def test_clipping_bounds_the_update():
    plain = lambda: keras.optimizers.SGD(1.0, name="sgd")  # noqa: E731
    step = toy.train_step(clip_norm=1e-3, dropout=0.0, optimizer=plain)
    before = [v.numpy() for v in step.model.trainable_variables]
    step(next(iter(toy.stream())), 1.0)
    moved = [v.numpy() - b for v, b in zip(step.model.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(1e-3, rel=1e-3)


def test_float16_scales_its_loss_and_still_learns():
    def scaled():
        return keras.optimizers.LossScaleOptimizer(
            keras.optimizers.AdamW(1e-2), name="loss_scale", initial_scale=1024.0
        )

    keras.config.set_dtype_policy("mixed_float16")
    try:
        step = toy.train_step(dropout=0.0, clip_norm=1.0, optimizer=scaled)
    finally:
        keras.config.set_dtype_policy("float32")
    losses, _ = take_steps(step, 12, rate=1e-2)
    assert all(np.isfinite(losses))
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_averages_follow_the_weights():
    step = toy.train_step(ema=0.5)
    take_steps(step, 3)
    weights = [v.numpy() for v in step.model.variables if v.dtype == "float32"]
    averages = [v.numpy() for v in step.averages]
    assert len(weights) == len(averages)
    far = max(np.abs(w - a).max() for w, a in zip(weights, averages, strict=True))
    assert 0 < far < 1


def test_mixed_labels_weigh_the_two_losses():
    labels = tf.constant(np.random.default_rng(0).integers(0, 3, (2, 4, 4)))
    other = tf.constant(np.random.default_rng(1).integers(0, 3, (2, 4, 4)))
    logits = tf.constant(np.random.default_rng(2).normal(size=(2, 4, 4, 3)), tf.float32)
    loss = batch_loss([(CrossEntropy(), 2.0), (Dice(), 1.0)])
    own = loss({"mask": labels}, [logits])
    expected = 2 * CrossEntropy().call(labels, logits) + Dice().call(labels, logits)
    np.testing.assert_allclose(own, expected, rtol=1e-6)
    mixed = loss({"mask": labels, "mask_other": other, "mix": tf.constant([1.0, 0.25])}, [logits])
    second = loss({"mask": other}, [logits])
    np.testing.assert_allclose(mixed, [own[0], 0.25 * own[1] + 0.75 * second[1]], rtol=1e-6)
    both = loss({"mask": labels}, [logits, 2 * logits])
    np.testing.assert_allclose(both, (own + loss({"mask": labels}, [2 * logits])) / 2, rtol=1e-6)
