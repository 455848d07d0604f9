"""The step and the loop are the same path under `MultiWorkerMirroredStrategy`."""

import json
import os
import socket
import subprocess
import sys

import pytest

WORKER = """
import sys
import tensorflow as tf
strategy = None
if sys.argv[1] == "workers":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras
import numpy as np
from tests.engine import toy
from tests.engine.test_step import sgd
step = toy.train_step(
    strategy, normalization="group", dropout=0.0, optimizer=sgd, deterministic=False, ema=0.9
)
loop = toy.loop(None, step=step, validate=None)
loop.run()
print("RESULT", " ".join(f"{float(np.abs(v).sum()):.6f}" for v in toy.values(step).values()))
"""


@pytest.mark.slow
def test_two_workers_on_this_machine_give_the_result_of_one():
    alone = _finish(_start("alone", {}))
    ports = [_free_port(), _free_port()]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = [
        _start(
            "workers",
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})},
        )
        for i in range(2)
    ]
    first, second = (_finish(worker) for worker in workers)
    assert first == second
    assert first == pytest.approx(alone, rel=1e-4)


def _start(kind, environment):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, kind],
        env={**os.environ, **environment, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    line = next(line for line in out.splitlines() if line.startswith("RESULT"))
    return [float(number) for number in line.split()[1:]]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
