"""Every architecture takes the same step on two devices as on one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine.test_step import two_devices
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy
from tfvision.models import MODELS

RATE = 0.1
SHAPE = (8, 8, 1)
SMALL = {name: {"width": 4, "depth": 1} for name in MODELS}  # tracing takes the time
SMALL["pan"] |= {"levels": 1}
SMALL["double_unet"] |= {"aspp_rates": (1,)}
SMALL["deeplab_v3plus"] |= {"rates": (1,), "skip": 0, "features": 8}
SMALL["segformer"] |= {"first_stride": 2, "num_layers": 1, "decoder_width": 8}


@pytest.mark.parametrize("name", MODELS)
def test_two_devices_take_the_step_of_one(name):
    """Normalised by image, so that it does not matter how a batch is shared out; one device's
    step is worked out here, loss, gradient and plain descent."""
    strategy = two_devices()
    with strategy.scope():
        model = MODELS[name](SHAPE, 2, **SMALL[name], normalization="group")
        optimizer = keras.optimizers.SGD(RATE)
    loss = batch_loss([(CrossEntropy(), 1.0)])
    rng = np.random.default_rng(0)
    batch = {
        "image": tf.constant(rng.random((4, *SHAPE), dtype="float32")),
        "mask": tf.constant(rng.integers(0, 2, (4, *SHAPE[:2])), tf.int32),
    }
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
