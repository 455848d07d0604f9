"""A run to be killed: `python -m tests.engine.killed FOLDER DEVICES [STAGE]`.

It takes its time between the steps, saves often, and prints a line a step. With a stage of
experiments/kill_in_save.py it kills itself there, in its third save.
"""

import sys
import time
from pathlib import Path

import keras

from experiments import kill_in_save
from tests.engine import toy
from tfvision.engine.distribute import make_strategy

PAUSE = 0.02  # seconds a step


class Slow(keras.callbacks.Callback):
    """Says that training has begun, and takes its time."""

    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)
        time.sleep(PAUSE)


def momentum():
    """Has slots, and is traced in half the time of Adam, which `test_loop.py` resumes."""
    return keras.optimizers.SGD(1e-2, momentum=0.9, name="sgd")


def make(folder: Path, devices: int, *, callbacks=(), checkpoint_every=0.05):
    """The loop: dropout, batch normalisation, momentum, averages; 4 epochs of 40 steps."""
    strategy = make_strategy(f"cpu:{devices}") if devices > 1 else None
    step = toy.train_step(strategy, ema=0.9, optimizer=momentum)
    return toy.loop(
        folder,
        step=step,
        the_plan=toy.plan(epochs=4, steps_per_epoch=40, checkpoint_every=checkpoint_every),
        validate=lambda: {"val_score": -abs(float(step.model.variables[0].numpy().sum()))},
        callbacks=callbacks,
    )


if __name__ == "__main__":
    loop = make(Path(sys.argv[1]), int(sys.argv[2]), callbacks=[Slow()])
    for line in loop.restore():
        print(line, flush=True)
    if len(sys.argv) > 3:
        kill_in_save.arm(sys.argv[3], nth=3)
    loop.run()
