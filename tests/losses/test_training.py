"""Losses and metrics in a plain Keras `compile`, `fit`, `evaluate`, `save`, `load`."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.losses.cases import NAMES
from tfvision import losses, metrics


def tiny_problem(num_images=8):
    """Two classes told apart by brightness, with a void border."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (num_images, 8, 8)).astype(np.uint8)
    images = (labels[..., None] + 0.1 * rng.standard_normal((num_images, 8, 8, 1))).astype(
        "float32"
    )
    labels[:, 0] = 255
    return images, labels


def tiny_net(dtype=None):
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", dtype=dtype),
            keras.layers.Conv2D(2, 1, dtype=dtype),
        ]
    )


@pytest.mark.parametrize("name", NAMES)
def test_fit_evaluate_save_and_load(name, tmp_path):
    keras.utils.set_random_seed(0)
    images, labels = tiny_problem()
    model = tiny_net()
    chosen = list(metrics.METRICS) if name == "cross_entropy" else ["mean_iou", "pixel_accuracy"]
    model.compile(
        keras.optimizers.Adam(0.05),
        loss=losses.LOSSES[name](class_weights=[1, 2]),
        metrics=[metrics.METRICS[m](num_classes=2, ignore_labels=[255]) for m in chosen],
    )
    # Of whole batches, so that one graph is traced; those of `evaluate` are of several sizes.
    history = model.fit(images, labels, batch_size=4, epochs=18, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["mean_iou"][-1] > 0.9
    model.save(tmp_path / "model.keras")
    # No custom_objects: everything is registered under the package's name.
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    scores = model.evaluate(images, labels, batch_size=5, verbose=0, return_dict=True)
    assert loaded.evaluate(images, labels, batch_size=5, verbose=0, return_dict=True) == scores
    assert loaded.loss.get_config() == model.loss.get_config()
    predicted = np.asarray(model(images)).argmax(-1)
    counted = labels != 255
    np.testing.assert_allclose(
        scores["pixel_accuracy"], (predicted == labels)[counted].mean(), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["focal", "tversky"])
def test_half_precision_network_and_compiled_step(name):
    keras.utils.set_random_seed(0)
    images, labels = tiny_problem()
    model = tiny_net(dtype="mixed_float16")
    model.compile(
        "adam",
        loss=losses.LOSSES[name](),
        metrics=[metrics.MeanIoU(num_classes=2, ignore_labels=[255])],
        jit_compile=True,
    )
    history = model.fit(images, labels, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert 0 <= history["mean_iou"][-1] <= 1


def test_metric_under_two_replicas_equals_one():
    images, labels = tiny_problem()
    one = tiny_net()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        two = tiny_net()
    two.set_weights(one.get_weights())
    results = []
    for model, scope in ((one, tf.distribute.get_strategy()), (two, strategy)):
        for average in ("dataset", "image"):
            with scope.scope():
                # A compiled metric is bound to its model, so each round has its own.
                metric = metrics.MeanIoU(num_classes=2, ignore_labels=[255], average=average)
                model.compile(loss=losses.Dice(), metrics=[metric])
            data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
            results.append(model.evaluate(data, verbose=0, return_dict=True)["mean_iou"])
    assert results[:2] == results[2:]
    assert 0 < results[0] < 1


JAX_STEP = """
import keras, numpy as np
from tfvision import losses, metrics, models
assert keras.backend.backend() == "jax"
rng = np.random.default_rng(0)
images = rng.random((4, 8, 8, 1), np.float32)
labels = (images[..., 0] > 0.5).astype(np.uint8)
labels[:, 0] = 255
for name in set(losses.LOSSES) - losses.ON_EMBEDDINGS:
    builder = models.UNet if name == "dice" else models.UNetPlusPlus
    model = builder((8, 8, 1), 2, width=4, depth=1)
    counting = [
        metrics.METRICS[m](num_classes=2, ignore_labels=[255], average=average, name=m + average)
        for m in metrics.METRICS for average in ("dataset", "image")
    ]
    model.compile("adam", loss=losses.LOSSES[name](class_weights=[1, 3]), metrics=counting)
    before = model.get_weights()
    logs = model.fit(images, labels, batch_size=2, epochs=1, verbose=0).history
    assert all(np.isfinite(v).all() for v in logs.values()), logs
    assert any((a != b).any() for a, b in zip(before, model.get_weights()))
    scores = model.evaluate(images, labels, verbose=0, return_dict=True)
    right = (np.asarray(model.predict(images, verbose=0)).argmax(-1) == labels)[labels != 255]
    assert abs(scores["pixel_accuracydataset"] - right.mean()) < 1e-6
print("done")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None,
    reason="JAX is not installed; it is no dependency, only a second backend of keras.ops",
)
def test_one_epoch_under_jax():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", JAX_STEP], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
