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
from tfvision.engine.checkpoint import newest_checkpoint, steps_in

KILLS = 2
DEVICES = (1, 2)
STEPS = 160


def sitting(folder: Path, devices: int, moment: tuple[int, float] | None) -> list[str]:
    """Runs the program; SIGKILL at a moment: so many steps and seconds after it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.killed", str(folder), str(devices)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if moment is not None and lines.count("step") == moment[0]:
            time.sleep(moment[1])
            process.kill()
            break
    lines += process.stdout.read().splitlines()
    assert process.wait() == (0 if moment is None else -9), lines
    return lines


def kill_and_resume(folder: Path, devices: int) -> tuple[list[str], list[int]]:
    """What the last sitting printed, and the step each kill left the run at."""
    chance = random.Random(devices)
    left_at = []
    for _ in range(KILLS):
        sitting(folder, devices, (chance.randint(20, 60), chance.uniform(0, 0.1)))
        left_at.append(steps_in(folder)[-1])
    return sitting(folder, devices, None), left_at


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Both runs, killed twice each, side by side: most of the time is Python's start."""
    folders = {n: tmp_path_factory.mktemp(f"devices-{n}") for n in DEVICES}
    with ThreadPoolExecutor(len(DEVICES)) as pool:
        found = {n: pool.submit(kill_and_resume, folders[n], n) for n in DEVICES}
        return {n: (folders[n], *found[n].result()) for n in DEVICES}


@pytest.mark.parametrize("devices", DEVICES)
def test_a_run_killed_twice_and_resumed_is_the_uninterrupted_run(broken, tmp_path, devices):
    folder, lines, left_at = broken[devices]
    whole = killed.make(tmp_path, devices, checkpoint_every=1e9)
    state = whole.run()
    assert lines[-1].split() == ["end", whole.variables_sha256, str(state.best_epoch)]
    last, notes = newest_checkpoint(folder)
    assert notes == []  # no kill has left a damaged checkpoint
    assert last.step == STEPS
    assert without_times(last.state["history"]) == without_times(state.history)
    assert 0 < left_at[0] < left_at[1] < STEPS
    assert f"goes on after step {left_at[1]}, in epoch {left_at[1] // 40 + 1}" in lines
    assert any(step % 40 for step in left_at)  # in the middle of an epoch
