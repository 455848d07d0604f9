"""Ends this process by SIGKILL inside a save: at a named stage of writing a checkpoint.

    python experiments/kill_in_save.py FOLDER STAGE NTH

saves small checkpoints into FOLDER until the NTH save comes to STAGE. The functions of
`tfvision/engine/checkpoint.py` are wrapped here, in the process that is to die; the product
knows nothing of it. Used by kill_and_resume.py and by tests.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tfvision.engine import checkpoint as module

# In the order in which a save comes to them.
STAGES = (
    "folder",  # the temporary folder is there, and empty
    "half",  # half of variables.npz
    "variables",  # variables.npz is on disk
    "state",  # state.json, too
    "manifest",  # all three, still under the temporary name
    "renamed",  # the checkpoint has its name; nothing is verified or removed
    "pruning",  # the first file of an old checkpoint is gone
)


def arm(stage: str, nth: int = 1) -> None:
    """From now on the `nth` save ends this process at `stage`.

    `pruning` comes in the first save at or after the `nth` that removes something.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}, not {stage!r}")
    saves = 0
    real = SimpleNamespace(**{name: getattr(module, name) for name in _WRAPPED})

    def due() -> bool:
        return saves >= nth

    def write(folder, checkpoint):
        nonlocal saves
        saves += 1
        _end_if(due() and stage == "folder")
        synced = iter(("variables", "state", "manifest"))

        def sync(file):
            real._sync(file)
            _end_if(due() and stage == next(synced))

        module._sync = sync
        real._write(folder, checkpoint)

    def write_npz(file, values):
        values = list(values)
        if due() and stage == "half":
            real._write_npz(file, values[: len(values) // 2])
            file.flush()
            _end_if(True)
        real._write_npz(file, values)

    def check(path):
        _end_if(due() and stage == "renamed")
        real._check(path)

    def remove(path, **options):
        if due() and stage == "pruning" and Path(path).name.startswith("ckpt-"):
            sorted(Path(path).iterdir())[0].unlink()
            _end_if(True)
        shutil.rmtree(path, **options)

    module._write, module._write_npz, module._check = write, write_npz, check
    module.shutil = SimpleNamespace(rmtree=remove)


_WRAPPED = ("_write", "_write_npz", "_sync", "_check")


def _end_if(now: bool) -> None:
    if now:
        os.kill(os.getpid(), signal.SIGKILL)


def in_a_fork(work: Callable[[], None]) -> int:
    """Runs `work` in a fork of this process. Returns its exit status, -9 for SIGKILL."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def save_until_killed(folder: Path, stage: str, nth: int) -> None:
    import numpy as np

    arm(stage, nth)
    for step in range(1, nth + 10):
        variables = {f"model/{i:04d}/v": np.full(1000, step) for i in range(4)}
        checkpoint = module.Checkpoint(step, variables, {"step": step})
        module.save_checkpoint(folder, checkpoint, best_step=None)


if __name__ == "__main__":
    save_until_killed(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
