"""What can go wrong while a loop trains, and what is left then (T04-T06, T08-T11, T13)."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tests.engine.test_loop import without_times
from tfvision.cli import shared
from tfvision.engine import checkpoint as checkpoint_module
from tfvision.engine import loop as loop_module
from tfvision.engine.checkpoint import newest_checkpoint, steps_in
from tfvision.engine.schedules import Constant
from tfvision.errors import EnvironmentFault, InputError, PartFailed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    loop = toy.loop(tmp_path_factory.mktemp("whole"))
    state = loop.run()
    return loop.variables_sha256, without_times(state.history)


def resumed(folder, **options):
    loop = toy.loop(folder, **options)
    loop.restore()
    state = loop.run()
    return loop.variables_sha256, without_times(state.history)


class At(keras.callbacks.Callback):
    """Does something when a hook is called for the nth time, once."""

    def __init__(self, hook, number, action):
        super().__init__()
        self.hook, self.left, self.action = hook, number, action

    def _seen(self, hook):
        if hook == self.hook:
            self.left -= 1
            if self.left == 0:
                self.action()

    def on_train_begin(self, logs=None):
        self._seen("on_train_begin")

    def on_train_end(self, logs=None):
        self._seen("on_train_end")

    def on_epoch_begin(self, epoch, logs=None):
        self._seen("on_epoch_begin")

    def on_epoch_end(self, epoch, logs=None):
        self._seen("on_epoch_end")

    def on_train_batch_begin(self, batch, logs=None):
        self._seen("on_train_batch_begin")

    def on_train_batch_end(self, batch, logs=None):
        self._seen("on_train_batch_end")


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES]
)
def test_a_failed_save_ends_the_run_and_the_rest_can_be_trained_later(
    uninterrupted, tmp_path, monkeypatch, number
):
    """T04, T05: the run stops at once, the previous checkpoint is what it goes on from."""
    real, saves = checkpoint_module._write, iter(range(2))

    def write(folder, checkpoint):
        if next(saves, None) is None:
            raise OSError(number, os.strerror(number))
        real(folder, checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "_write", write)
        message = rf"{os.strerror(number)}\. Needed about .* are free there.*--resume"
        with pytest.raises(EnvironmentFault, match=message):
            toy.loop(tmp_path).run()
    assert steps_in(tmp_path) == [3, 6]
    assert resumed(tmp_path) == uninterrupted


def test_weights_that_a_finite_loss_has_broken_are_never_saved(uninterrupted, tmp_path):
    """T06: the last step of an epoch breaks the weights; the epoch's score is not looked at."""

    def broken():
        loop.model.variables[0].assign(np.full(loop.model.variables[0].shape, np.inf))

    loop = toy.loop(
        tmp_path,
        callbacks=[At("on_train_batch_end", 6, broken)],
        batch_names=lambda step: [f"image {step}", "b"],
        validate=lambda: {"val_score": 1.0},
    )
    message = (
        r"After step 6 the weights model/0000/.* are not finite, though the loss was\. "
        r"The images of that batch: image 5, b\. .*clip_norm"
    )
    with pytest.raises(InputError, match=message):
        loop.run()
    assert steps_in(tmp_path) == [3]
    found, _ = newest_checkpoint(tmp_path)
    assert found.state["best_step"] == 3
    assert all(np.isfinite(v).all() for v in found.variables.values())
    assert resumed(tmp_path)[0] == uninterrupted[0]


def test_after_a_loss_that_is_not_finite_the_last_finite_checkpoint_is_there(
    uninterrupted, tmp_path
):
    """T06: NaN at step 5 leaves the checkpoint of step 3; mended, the run goes on from it."""
    healthy = toy.stream

    def spoilt(first):
        def spoil(i, batch):
            worse = tf.where(tf.equal(i + first, 4), np.nan, 1.0)
            return {**batch, "image": batch["image"] * tf.cast(worse, tf.float32)}

        return healthy(first).enumerate().map(spoil)

    loop = toy.loop(tmp_path, batches=spoilt, batch_names=lambda step: [f"id of {step}"])
    with pytest.raises(InputError, match=r"The loss of step 5 is nan\. .*: id of 4\."):
        loop.run()
    assert steps_in(tmp_path) == [3]
    assert resumed(tmp_path) == uninterrupted


def failing_stream(first):
    """A batch that cannot be made at step 4: an op on it raises."""

    def act(i, image):
        if int(i) + first == 4:
            raise ValueError("no such colour space")
        return image

    def op(i, batch):
        image = tf.numpy_function(act, [i, batch["image"]], tf.float32)
        return {**batch, "image": tf.ensure_shape(image, batch["image"].shape)}

    return toy.stream(first).enumerate().map(op)


def test_a_batch_that_cannot_be_made_names_its_images(uninterrupted, tmp_path):
    """T09: tf.data says neither the cause plainly nor a file."""
    loop = toy.loop(tmp_path, batches=failing_stream, batch_names=lambda step: [f"{step}.png"])
    with pytest.raises(InputError) as said:
        loop.run()
    message = str(said.value)
    assert message.startswith("The batch of step 5 cannot be made: ")
    assert "ValueError: no such colour space. The images of that batch: 4.png. " in message
    assert "\n" not in message
    assert "data.augment" in message
    assert steps_in(tmp_path) == [3]
    assert resumed(tmp_path) == uninterrupted


@pytest.mark.parametrize(
    ("hook", "number", "step"),
    [
        ("on_train_begin", 1, 0),
        ("on_epoch_begin", 2, 3),
        ("on_train_batch_begin", 5, 4),
        ("on_train_batch_end", 5, 5),
        ("on_epoch_end", 2, 6),
        ("on_train_end", 1, 12),
    ],
)
def test_a_callback_that_fails_costs_no_step(uninterrupted, tmp_path, hook, number, step):
    """T10: the state is saved, the message says what failed, the rest is the same run."""

    def fail():
        raise KeyError("wandb")

    loop = toy.loop(tmp_path, callbacks=[At(hook, number, fail)])
    message = rf"A Keras callback failed in {hook}: KeyError: 'wandb'. The state after step {step} "
    with pytest.raises(PartFailed, match=message):
        loop.run()
    assert steps_in(tmp_path)[-1] == step
    assert resumed(tmp_path) == uninterrupted


def test_errors_of_a_callback_that_say_it_themselves_pass(tmp_path):
    def fail():
        raise InputError("wrong password")

    with pytest.raises(InputError, match=r"^wrong password$"):
        toy.loop(tmp_path, callbacks=[At("on_epoch_end", 1, fail)]).run()


class Clock:
    """Time that passes only when a step is taken; the clock on the wall is not there."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def test_a_time_limit_is_kept_by_a_clock_that_nobody_can_set(tmp_path, monkeypatch):
    """T11: only the monotonic clock is read; the run ends at its limit and resumes as finished."""
    clock = Clock()
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=clock.monotonic))

    def second():
        clock.now += 1.0

    class EveryStep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            second()

    limited = {"epochs": 1, "time_limit": 7.0, "schedule": Constant()}
    options = {"the_plan": toy.plan(**limited), "validate": lambda: {"val_score": 0.5}}
    loop = toy.loop(tmp_path, callbacks=[EveryStep()], **options)
    state = loop.run()
    assert (state.step, state.elapsed, state.finished) == (7, 7.0, True)
    clock.now -= 10_000  # another boot: a monotonic clock starts anywhere
    again = toy.loop(tmp_path, callbacks=[EveryStep()], **options)
    again.restore()
    assert (again.run().step, again.state.elapsed) == (7, 7.0)
    assert again.variables_sha256 == loop.variables_sha256


def test_half_of_a_time_limit_is_left_after_a_resume(tmp_path, monkeypatch):
    """T11: what earlier sittings took counts, the time between them does not."""
    clock = Clock()
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=clock.monotonic))

    class EveryStep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock.now += 1.0
            if clock.now == 1004.0:
                raise InputError("stop here")

    the_plan = toy.plan(time_limit=9.0, schedule=Constant(), checkpoint_every=1.0)
    options = {"the_plan": the_plan, "validate": lambda: {"val_score": 0.5}}
    with pytest.raises(InputError, match="stop here"):
        toy.loop(tmp_path, callbacks=[EveryStep()], **options).run()
    clock.now += 500
    again = toy.loop(tmp_path, callbacks=[EveryStep()], **options)
    again.restore()
    assert again.state.elapsed == 3.0
    state = again.run()
    assert (state.step, state.elapsed) == (9, 9.0)


def test_a_step_that_counts_twice_is_noticed(tmp_path):
    """T13: the optimizer's count must be the loop's, after every epoch."""

    def phantom():
        loop.train_step.optimizer.iterations.assign_add(1)

    loop = toy.loop(tmp_path, callbacks=[At("on_train_batch_end", 2, phantom)])
    with pytest.raises(RuntimeError, match="3 steps taken, but the optimizer counts 4"):
        loop.run()
    assert steps_in(tmp_path) == []


def test_a_stream_that_ends_is_noticed(tmp_path):
    """T13: the loop takes the steps of its plan, and a stream of fewer is an error."""
    loop = toy.loop(tmp_path, batches=lambda first: toy.stream(first).take(5))
    with pytest.raises(RuntimeError, match="the stream of batches ends at step 5"):
        loop.run()


def fill_tensorflow():
    tf.zeros([2**50])


def fill_numpy():
    np.ones(2**50)


@pytest.mark.parametrize(
    ("fill", "place"),
    [
        (fill_numpy, "callback"),
        (fill_numpy, "batch"),
        (fill_numpy, "validation"),
        # TensorFlow tries for ten seconds before it gives up.
        pytest.param(fill_tensorflow, "batch", marks=pytest.mark.slow),
    ],
)
def test_a_full_memory_is_the_environment_and_costs_no_checkpoint(
    uninterrupted, tmp_path, capsys, fill, place
):
    """T08: what TensorFlow and NumPy really raise ends with 3, advice, and the checkpoint."""
    calls = iter(range(1))

    def validate():
        if place == "validation" and next(calls, None) is None:
            fill()
        return {"val_score": 0.3}

    def act(i, image):
        if place == "batch" and int(i) == 4:
            fill()
        return image

    def stream(first):
        def op(i, batch):
            image = tf.numpy_function(act, [i + first, batch["image"]], tf.float32)
            return {**batch, "image": tf.ensure_shape(image, batch["image"].shape)}

        return toy.stream(first).enumerate().map(op)

    callbacks = [At("on_train_batch_end", 5, fill)] if place == "callback" else []
    loop = toy.loop(tmp_path, batches=stream, callbacks=callbacks, validate=validate)
    flags = argparse.Namespace(json=False, debug=False)
    assert shared.guarded(lambda: loop.run() and None, flags) == 3
    said = capsys.readouterr().err
    assert said.startswith("tfvision: out of memory; lower data.batch_size or raise train.accum")
    assert "go on with --resume" in said
    assert steps_in(tmp_path) == [3]
    assert resumed(tmp_path)[0] == uninterrupted[0]


OUT_OF_MEMORY = """
import argparse, resource, sys
from pathlib import Path
import numpy as np
from tfvision.cli import shared
from tfvision.engine.checkpoint import Checkpoint, save_checkpoint
def train():
    save_checkpoint(Path(sys.argv[1]), Checkpoint(3, {"a": np.ones(9)}, {}), best_step=None)
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    batch = [np.ones((256, 1024, 1024)) for _ in range(4)]
sys.exit(shared.guarded(train, argparse.Namespace(json=False, debug=False)))
"""


def test_a_real_process_with_a_real_limit_of_memory_ends_with_3(tmp_path):
    """T08: RLIMIT_AS. Without TensorFlow, which may not survive such a limit to say so."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr[-2000:]
    assert done.stderr.startswith("tfvision: out of memory; lower data.batch_size or raise train.")
    assert newest_checkpoint(tmp_path)[0].step == 3
