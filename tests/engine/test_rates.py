"""Layers that learn slower or faster than the rest."""

import keras
import numpy as np
import pytest

from tests.engine import toy
from tests.engine.test_step import assert_same, sgd, take_steps, two_devices
from tfvision.engine.rates import factors_of
from tfvision.engine.stages import Stage
from tfvision.errors import InputError

DEEP, FLAT = "encoder_0*", "logits"
OPTIMIZERS = {
    "momentum": sgd,
    "adamw": lambda: keras.optimizers.AdamW(weight_decay=0.1, name="adamw"),
    "lion": lambda: keras.optimizers.Lion(name="lion"),
}


def is_slow(name):
    return name.startswith("model/") and "encoder_0" in name


def first_step(optimizer, rate, **options):
    """Weights before and after a step."""
    step = toy.train_step(dropout=0.0, normalization="group", optimizer=optimizer, **options)
    before = toy.values(step)
    step(next(iter(toy.stream())), rate)
    return before, toy.values(step)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_factor_is_another_learning_rate(optimizer):
    """Weight decay of AdamW included: the slow layers move as at a tenth of the rate."""
    before, mixed = first_step(optimizer, 0.1, rate_factors={DEEP: 0.1})
    _, slow = first_step(optimizer, 0.01)
    _, fast = first_step(optimizer, 0.1)
    assert any(is_slow(name) for name in before)
    for name in before:
        if "learning_rate" in name:
            continue
        expected = slow if is_slow(name) else fast
        np.testing.assert_allclose(mixed[name], expected[name], rtol=1e-4, atol=2e-7, err_msg=name)
    moved = [n for n in before if is_slow(n) and not np.array_equal(before[n], mixed[n])]
    assert moved


def test_two_devices_slow_a_layer_alike():
    settings = {"normalization": "group", "dropout": 0.0, "optimizer": sgd, "ema": 0.9}
    settings["rate_factors"] = {DEEP: 0.3}
    losses, values = take_steps(toy.train_step(**settings))
    losses_2, values_2 = take_steps(toy.train_step(two_devices(), **settings))
    np.testing.assert_allclose(losses, losses_2, rtol=1e-5)
    assert_same(values, values_2, atol=2e-6)


def test_a_frozen_layer_stays_bit_for_bit_under_a_factor():
    """0.1 * (x - x) + x is x, but the layer must not even be written."""
    step = toy.train_step(
        dropout=0.0,
        normalization="group",
        optimizer=sgd,
        rate_factors={"*": 0.3},
        stages=(Stage(trainable=("logits",)),),
    )
    before = toy.values(step)
    step.begin_stage(0)
    step(next(iter(toy.stream())), 0.1)
    after = toy.values(step)
    moved = {n for n in before if not np.array_equal(before[n], after[n])}
    weights = {n for n in moved if n.startswith("model/")}
    assert weights
    assert all("logits" in n for n in weights)


def test_the_last_pattern_counts_and_a_factor_of_one_is_none():
    model = toy.train_step().model
    factors = factors_of(model, {"*": 0.1, DEEP: 0.5, FLAT: 1.0})
    by_path = {v.path: f for v, f in factors}
    assert {f for p, f in by_path.items() if "encoder_0" in p} == {0.5}
    assert not [p for p in by_path if "logits" in p]
    assert {f for p, f in by_path.items() if "decoder_0" in p} == {0.1}
    assert all(isinstance(v, keras.Variable) and v.trainable for v, _ in factors)


def test_a_pattern_without_a_layer_is_an_error():
    with pytest.raises(InputError, match=r"train.rate_factors: `encodr_\*` matches no layer"):
        factors_of(toy.train_step().model, {"encodr_*": 0.1})
