"""Two logical CPUs for every test, made before anything touches TensorFlow's devices."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in what runs in processes of its own
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

from tests.support import runs


def pytest_configure(config):
    """Not in the process that only hands the tests to the workers of `-n`."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


def pytest_collection_finish():
    """What the imports and the collection made stays to the end: no collection of garbage, of
    which every new model asks for one, looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Tests share one cache of their own, never the user's."""
    cache = tmp_path_factory.getbasetemp() / "tfvision-cache"
    monkeypatch.setenv("TFVISION_CACHE", str(cache))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return runs.write_npz(tmp_path_factory.mktemp("data") / "scenes.npz")


@pytest.fixture(scope="session")
def whole(dataset, tmp_path_factory):
    """A finished run. Tests that write to it take a copy."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        return runs.new_run(
            folder / "run",
            dataset,
            data={"augment": ["flip_lr(p=0.5)"]},
            model={"normalization": "batch"},
            train={"ema": 0.9, "optimizer": runs.ADAMW},
        )


@pytest.fixture
def quick(monkeypatch):
    """Runs without their export, whose check starts a process."""
    from tfvision.runs import finish

    monkeypatch.setattr(finish, "export_run", lambda *args, **options: [])
