"""An optimizer by its name is the one of its paper: the first step against its formula."""

import keras
import numpy as np
import pytest

from tfvision.engine import OPTIMIZERS
from tfvision.errors import InputError
from tfvision.registry import Spec

RATE = 0.01
WEIGHT = np.array([1.0, -2.0, 3.0], np.float32)
GRADIENT = np.array([0.5, -0.1, 2.0], np.float32)

# The change that the first step from zero moments makes to WEIGHT.
FIRST_STEP = {
    "sgd": (Spec(name="sgd"), -RATE * GRADIENT),
    "adam": (Spec(name="adam"), -RATE * np.sign(GRADIENT)),  # m / sqrt(v) of one gradient
    "adamw": (
        Spec(name="adamw", weight_decay=0.1),
        -RATE * np.sign(GRADIENT) - RATE * 0.1 * WEIGHT,
    ),
    "lion": (Spec(name="lion"), -RATE * np.sign(GRADIENT)),
    "rmsprop": (Spec(name="rmsprop", rho=0.9), -RATE * np.sign(GRADIENT) / np.sqrt(0.1)),
    "nadam": (Spec(name="nadam"), None),
}


def first_step(spec):
    optimizer = OPTIMIZERS.build(spec)
    variable = keras.Variable(WEIGHT)
    optimizer.build([variable])
    optimizer.learning_rate.assign(RATE)
    optimizer.apply([keras.ops.convert_to_tensor(GRADIENT)])
    return keras.ops.convert_to_numpy(variable) - WEIGHT, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_first_step(name):
    spec, expected = FIRST_STEP[name]
    change, optimizer = first_step(spec)
    assert type(optimizer).__name__.lower() == name
    if expected is None:  # Nadam looks one step ahead: between 1 and 2 of Adam's steps
        assert np.all(np.sign(change) == -np.sign(GRADIENT))
        assert np.all((np.abs(change) > 0.5 * RATE) & (np.abs(change) < 2 * RATE))
    else:
        np.testing.assert_allclose(change, expected, rtol=1e-4)


def test_arguments_are_checked_by_name():
    with pytest.raises(
        InputError,
        match=r"Unknown argument of optimizer `sgd`: 'momentun'\. Did you mean 'momentum'",
    ):
        OPTIMIZERS.build(Spec(name="sgd", momentun=0.9))
