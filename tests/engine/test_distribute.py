"""Texts of --device, and what becomes of them where there is no GPU."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from tfvision.engine.distribute import (
    count_replicas,
    describe,
    make_strategy,
    parse_device,
    resolve_determinism,
    resolve_precision,
)
from tfvision.errors import EnvironmentFault, InputError


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("auto", ("auto", None)),
        ("cpu", ("cpu", None)),
        ("cpu:1", ("cpu", (1,))),
        ("cpu:16", ("cpu", (16,))),
        ("gpu", ("gpu", None)),
        ("gpu:0", ("gpu", (0,))),
        ("gpu:3,1", ("gpu", (3, 1))),
    ],
)
def test_good_devices(text, parsed):
    assert parse_device(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tpu",
        "GPU",
        "gpu:",
        "gpu:,1",
        "gpu:0,",
        "gpu:0,0",
        "gpu:-1",
        "gpu: 0",
        "gpu:a",
        "cpu:0",
        "cpu:1,2",
        "cpu:1.5",
        "cpu:99999999999",
        "auto:0",
        "cpu\n",
        "0",
    ],
)
def test_bad_devices(text):
    with pytest.raises(InputError, match=r"--device must be auto, cpu, gpu.*Received: ") as said:
        parse_device(text)
    assert repr(text) in str(said.value)


def test_two_logical_cpus_are_one_strategy_however_often_they_are_asked_for():
    strategy = make_strategy("cpu:2")
    assert make_strategy("cpu:2") is strategy
    assert strategy.num_replicas_in_sync == 2
    assert describe(strategy)["replicas"] == 2
    assert describe(strategy)["strategy"] == "MirroredStrategy"


@pytest.mark.parametrize("device", ["auto", "cpu", "cpu:1"])
def test_one_device_is_tensorflows_default(device):
    strategy = make_strategy(device)
    assert strategy is tf.distribute.get_strategy()
    assert describe(strategy)["replicas"] == 1
    assert describe(strategy)["gpus"] == []
    json.dumps(describe(strategy))


def pretend(monkeypatch, *names):
    """TensorFlow sees these devices and no others."""
    devices = [SimpleNamespace(name=f"/physical_device:{n}", kind=n[:3]) for n in names]
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: [d for d in devices if kind in (None, d.kind)],
    )


@pytest.mark.parametrize("device", ["gpu", "gpu:0", "gpu:0,1"])
def test_a_gpu_that_is_not_there(monkeypatch, device):
    pretend(monkeypatch, "CPU:0")
    with pytest.raises(
        EnvironmentFault, match=r"sees no GPU here, only CPU:0\. Run with --device cpu, or see"
    ) as e:
        make_strategy(device)
    assert e.value.exit_code == 3


def test_more_gpus_than_there_are(monkeypatch):
    pretend(monkeypatch, "CPU:0", "GPU:0")
    with pytest.raises(
        EnvironmentFault, match=r"--device gpu:0,1: TensorFlow sees 1 GPU\(s\).*: CPU:0, GPU:0\."
    ):
        make_strategy("gpu:0,1")


def test_more_logical_cpus_than_a_started_tensorflow_has():
    tf.constant(0.0)
    with pytest.raises(
        EnvironmentFault, match=r"--device cpu:9: TensorFlow is already running with 2"
    ):
        make_strategy("cpu:9")


def test_before_tensorflow_has_started_the_logical_cpus_are_made(monkeypatch):
    made = []
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda cpu: None)
    monkeypatch.setattr(
        tf.config, "set_logical_device_configuration", lambda cpu, each: made.append(len(each))
    )
    assert make_strategy("cpu:2").num_replicas_in_sync == 2
    assert make_strategy("cpu:1").num_replicas_in_sync == 1
    assert made == [2]


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([], "float32"),
        ([(7, 0)], "mixed_float16"),
        ([(9, 0), (8, 6)], "mixed_float16"),
        ([(9, 0), (6, 1)], "float32"),
        ([None], "float32"),
    ],
)
def test_auto_precision_follows_the_slowest_gpu(monkeypatch, capabilities, precision):
    details = {
        f"GPU:{i}": {} if c is None else {"compute_capability": c}
        for i, c in enumerate(capabilities)
    }
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(details))
    monkeypatch.setattr(
        tf.config, "experimental", SimpleNamespace(get_device_details=details.__getitem__)
    )
    assert resolve_precision("auto") == precision
    assert resolve_precision("mixed_bfloat16") == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("setting", "xla", "gpus", "result"),
    [
        ("auto", False, [], True),
        ("auto", True, [], False),
        ("auto", False, ["GPU:0"], False),
        (True, False, ["GPU:0"], True),
        (False, False, [], False),
        (False, True, [], False),
    ],
)
def test_determinism(monkeypatch, setting, xla, gpus, result):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    assert resolve_determinism(setting, xla=xla) is result


def test_determinism_and_xla_exclude_each_other():
    with pytest.raises(InputError, match=r"train\.deterministic and train\.xla exclude each other"):
        resolve_determinism(True, xla=True)


@pytest.mark.parametrize(
    ("device", "count"), [("auto", 1), ("cpu", 1), ("cpu:2", 2), ("gpu:0,1", 2)]
)
def test_replicas_are_counted_without_a_device(device, count):
    assert count_replicas(device) == count
