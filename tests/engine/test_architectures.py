"""Every architecture takes the same step on two devices as on one, and in half precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine.test_step import two_devices
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import BinaryCrossEntropy, CrossEntropy
from tfvision.models import MODELS

RATE = 0.1
SHAPE = (8, 8, 1)
SMALL = {name: {"width": 4, "depth": 1} for name in MODELS}  # tracing takes the time
SMALL["pan"] |= {"levels": 1}
SMALL["double_unet"] |= {"aspp_rates": (1,)}
SMALL["deeplab_v3plus"] |= {"rates": (1,), "skip": 0, "features": 8}
SMALL["segformer"] |= {"first_stride": 2, "num_layers": 1, "decoder_width": 8}


LOSS = {"specialists": BinaryCrossEntropy}  # each net against the rest; all others CrossEntropy


def batch_of(count):
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.random((count, *SHAPE), dtype="float32")),
        "mask": tf.constant(rng.integers(0, 2, (count, *SHAPE[:2])), tf.int32),
    }


QUICK = ("unet", "pan", "segformer")  # the others take most of the time
BY_COST = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


def loss_and_gradient(model, loss, batch):
    weights = [w.value for w in model.trainable_weights]
    with tf.GradientTape() as tape:
        outputs = keras.tree.flatten(model(batch["image"], training=True))
        value = tf.reduce_mean(loss(batch, outputs))
    return value, [tf.convert_to_tensor(g) for g in tape.gradient(value, weights)]


def loss_of(name):
    return batch_loss([(LOSS.get(name, CrossEntropy)(), 1.0)])


@pytest.mark.parametrize("name", [name for name in MODELS if name not in QUICK])
def test_halves_of_a_batch_have_the_mean_gradient_of_the_whole(name):
    """So two devices, which have a half each, take the step of one, as they do for QUICK."""
    model = MODELS[name](SHAPE, 2, **SMALL[name], normalization="group")
    loss, batch = loss_of(name), batch_of(4)
    parts = [{k: v[half] for k, v in batch.items()} for half in (slice(2), slice(2, 4))]
    (whole, gradients), *halves = (loss_and_gradient(model, loss, part) for part in (batch, *parts))
    np.testing.assert_allclose(np.mean([value for value, _ in halves]), whole, rtol=1e-5)
    for weight, gradient, *both in zip(
        model.trainable_weights, gradients, *(found for _, found in halves), strict=True
    ):
        mean = RATE * np.mean(both, axis=0)
        np.testing.assert_allclose(mean, RATE * gradient, atol=2e-6, err_msg=weight.path)


@pytest.mark.parametrize("name", BY_COST)
def test_two_devices_take_the_step_of_one(name):
    """Normalised by image, so that it does not matter how a batch is shared out; one device's
    step is worked out here, loss, gradient and plain descent."""
    strategy = two_devices()
    with strategy.scope():
        model = MODELS[name](SHAPE, 2, **SMALL[name], normalization="group")
        optimizer = keras.optimizers.SGD(RATE)
    loss, batch = loss_of(name), batch_of(4)
    weights = model.trainable_weights
    expected, gradients = loss_and_gradient(model, loss, batch)
    after = [w.numpy() - RATE * g for w, g in zip(weights, gradients, strict=True)]

    step = TrainStep(model, optimizer, loss, strategy=strategy, batch_size=4)
    stream = tf.data.Dataset.from_tensors(batch)  # one global batch, two images a device
    shares = strategy.experimental_distribute_dataset(stream.unbatch().batch(4))
    np.testing.assert_allclose(float(step(next(iter(shares)), RATE)), expected, rtol=1e-5)
    for weight, value in zip(weights, after, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=2e-6, err_msg=weight.path)


@pytest.mark.parametrize("name", BY_COST)
def test_a_step_in_half_precision_is_that_of_full_precision_within_its_digits(name):
    """Loss and weights after one step of scaled float16 gradients against float32. Activations
    are smooth, so that no rounding crosses a kink."""
    found = {}
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            style = {"normalization": "group", "activation": "gelu"}
            model = MODELS[name](SHAPE, 2, **SMALL[name], **style)
            optimizer = keras.optimizers.SGD(RATE)
            if policy != "float32":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0)
        finally:
            keras.config.set_dtype_policy("float32")
        loss = loss_of(name)
        before = model.get_weights()
        strategy = tf.distribute.get_strategy()
        step = TrainStep(model, optimizer, loss, strategy=strategy, batch_size=4)
        value = float(step(batch_of(4), RATE))
        moves = [after - b for after, b in zip(model.get_weights(), before, strict=True)]
        found[policy] = value, np.concatenate([move.ravel() for move in moves])
    (full, moved), (half, near) = found["float32"], found["mixed_float16"]
    assert half == pytest.approx(full, rel=5e-3)
    assert np.linalg.norm(moved) > 1e-3
    assert np.linalg.norm(near - moved) < 0.05 * np.linalg.norm(moved)
