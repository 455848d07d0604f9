"""Labels and logits that the tests of the losses share."""

import numpy as np
import tensorflow as tf

from tfvision import losses

K = 4
NAMES = [name for name in losses.LOSSES if name not in losses.ON_EMBEDDINGS]


def build(name, **kwargs):
    return losses.LOSSES[name](**kwargs)


def random_case(seed, *, batch=3, size=(5, 6), num_classes=K, scale=3.0):
    """Labels and logits; some classes are missing in some images, as in real masks."""
    rng = np.random.default_rng(seed)
    labels = np.stack(
        [
            rng.choice(rng.choice(num_classes, rng.integers(1, num_classes + 1), False), size)
            for _ in range(batch)
        ]
    )
    return labels, (scale * rng.standard_normal((batch, *size, num_classes))).astype(np.float32)


def perfect_logits(labels, num_classes=K):
    """Right for a softmax, with a margin of 100, and for one-vs-rest sigmoids."""
    truth = np.eye(num_classes, dtype=np.float32)[np.asarray(labels) % num_classes]
    return 100.0 * truth - 50.0


def gradient(loss, labels, logits):
    """The sum of the images' losses, and its gradient by the logits."""
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(loss.call(labels, logits))
    return value.numpy(), tape.gradient(value, logits).numpy()
