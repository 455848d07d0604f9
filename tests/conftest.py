"""Two logical CPUs for every test, made before anything touches TensorFlow's devices."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in what runs in processes of its own
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Tests share one cache of their own, never the user's."""
    cache = tmp_path_factory.getbasetemp() / "tfvision-cache"
    monkeypatch.setenv("TFVISION_CACHE", str(cache))
