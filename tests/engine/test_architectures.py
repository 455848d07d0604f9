"""Every architecture takes the same step on two devices as on one."""

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


@pytest.mark.parametrize("name", MODELS)
def test_two_devices_take_the_step_of_one(name):
    """Normalised by image, so that it does not matter how a batch is shared out; one device's
    step is worked out here, loss, gradient and plain descent."""
    strategy = two_devices()
    with strategy.scope():
        model = MODELS[name](SHAPE, 2, **SMALL[name], normalization="group")
        optimizer = keras.optimizers.SGD(RATE)
    loss, batch = batch_loss([(LOSS.get(name, CrossEntropy)(), 1.0)]), batch_of(4)
    weights = model.trainable_weights
    with tf.GradientTape() as tape:
        outputs = keras.tree.flatten(model(batch["image"], training=True))
        expected = tf.reduce_mean(loss(batch, outputs))
    gradients = tape.gradient(expected, [w.value for w in weights])
    after = [
        w.numpy() - RATE * tf.convert_to_tensor(g) for w, g in zip(weights, gradients, strict=True)
    ]

    step = TrainStep(model, optimizer, loss, strategy=strategy, batch_size=4)
    stream = tf.data.Dataset.from_tensors(batch)  # one global batch, two images a device
    shares = strategy.experimental_distribute_dataset(stream.unbatch().batch(4))
    np.testing.assert_allclose(float(step(next(iter(shares)), RATE)), expected, rtol=1e-5)
    for weight, value in zip(weights, after, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=2e-6, err_msg=weight.path)


QUICK = ("unet", "pan", "segformer")  # the others take most of the time


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
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
        loss = batch_loss([(LOSS.get(name, CrossEntropy)(), 1.0)])
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
