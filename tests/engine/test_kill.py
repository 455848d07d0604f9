"""Killed without warning and resumed, a run is the uninterrupted run, bit for bit.

The short form of experiments/kill_and_resume.py, which does it to the whole program.
"""

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine import killed
from tests.engine.test_loop import without_times
from tfvision.engine.checkpoint import steps_in

DEVICES = (1, 2)
INSIDE = {1: "manifest", 2: "renamed"}  # stage of a save at which the second kill comes
STEPS = 160


def killed_sitting(
    folder: Path, devices: int, steps: int = 0, seconds: float = 0.0, stage: str | None = None
) -> list[str]:
    """Starts the program; SIGKILL so many steps and seconds after it has begun to train, or at
    a stage of a save."""
    inside = [] if stage is None else [stage]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.killed", str(folder), str(devices), *inside],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if stage is None and lines.count("step") == steps:
            time.sleep(seconds)
            process.kill()
            break
    lines += process.stdout.read().splitlines()
    assert process.wait() == -9, lines
    return lines


def kill_and_resume(folder: Path, devices: int) -> list[int]:
    """The step at which each kill left the run."""
    chance = random.Random(devices)
    left_at = [0]
    for moment in (
        {"steps": chance.randint(20, 60), "seconds": chance.uniform(0, 0.1)},
        {"stage": INSIDE[devices]},
    ):
        lines = killed_sitting(folder, devices, **moment)
        assert any(f"the run starts at step {left_at[-1]}" in line for line in lines) or any(
            f"goes on after step {left_at[-1]}," in line for line in lines
        )
        left_at.append(steps_in(folder)[-1])
    return left_at[1:]


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Both runs, killed twice each, once inside a save, side by side (T01): most of the time
    is Python's start."""
    folders = {n: tmp_path_factory.mktemp(f"devices-{n}") for n in DEVICES}
    with ThreadPoolExecutor(len(DEVICES)) as pool:
        found = {n: pool.submit(kill_and_resume, folders[n], n) for n in DEVICES}
        return {n: (folders[n], found[n].result()) for n in DEVICES}


@pytest.mark.parametrize("devices", DEVICES)
def test_a_run_killed_twice_and_resumed_is_the_uninterrupted_run(broken, tmp_path, devices):
    folder, left_at = broken[devices]
    assert 0 < left_at[0] < left_at[1] < STEPS
    assert any(step % 40 for step in left_at)  # in the middle of an epoch
    last = killed.make(folder, devices, checkpoint_every=1e9)
    (note,) = last.restore()  # no kill has left a damaged checkpoint
    assert note == f"goes on after step {left_at[1]}, in epoch {left_at[1] // 40 + 1}"
    state = last.run()
    whole = killed.make(tmp_path, devices, checkpoint_every=1e9)
    undisturbed = whole.run()
    assert last.variables_sha256 == whole.variables_sha256
    assert (state.step, state.best_epoch) == (STEPS, undisturbed.best_epoch)
    assert without_times(state.history) == without_times(undisturbed.history)
