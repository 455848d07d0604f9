"""The loop takes the steps it says, keeps the best, and resumes bit for bit."""

import math
import signal
import time

import keras
import numpy as np
import pytest

from tests.engine import toy
from tfvision.engine.checkpoint import load_checkpoint, steps_in
from tfvision.engine.schedules import Constant, Plateau
from tfvision.engine.signals import Interrupted, StopRequest

TIMES = {"seconds", "images_per_second"}


def without_times(history):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in history]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    loop = toy.loop(tmp_path_factory.mktemp("whole"))
    state = loop.run()
    return loop.variables_sha256, without_times(state.history), loop


def test_steps_epochs_and_history(uninterrupted):
    _, history, loop = uninterrupted
    assert int(loop.train_step.optimizer.iterations.numpy()) == loop.state.step == 12
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["step"] for row in history] == [3, 6, 9, 12]
    assert loop.state.finished


def test_same_seed_same_run(uninterrupted, tmp_path):
    loop = toy.loop(tmp_path)
    state = loop.run()
    assert (loop.variables_sha256, without_times(state.history)) == uninterrupted[:2]


def test_another_seed_another_run(uninterrupted, tmp_path):
    loop = toy.loop(tmp_path, batches=lambda first: toy.stream(first, seed=4))
    loop.run()
    assert loop.variables_sha256 != uninterrupted[0]


class Stop(StopRequest):
    """A stop request that comes at a given step."""

    def __init__(self, step):
        super().__init__()
        self.steps = step

    def after_step(self):
        self.steps -= 1
        if self.steps == 0:
            self.number = signal.SIGTERM


class _Count(keras.callbacks.Callback):
    def __init__(self, stop):
        super().__init__()
        self.stop = stop

    def on_train_batch_end(self, batch, logs=None):
        self.stop.after_step()


@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 11])
def test_stopped_anywhere_and_resumed_is_the_uninterrupted_run(uninterrupted, tmp_path, at):
    stop = Stop(at)
    first = toy.loop(tmp_path, callbacks=[_Count(stop)])
    with pytest.raises(Interrupted) as stopped:
        first.run(stop)
    assert stopped.value.exit_code == 143
    assert steps_in(tmp_path)[-1] == at
    second = toy.loop(tmp_path)
    assert f"goes on after step {at}" in second.restore()[-1]
    state = second.run()
    assert (second.variables_sha256, without_times(state.history)) == uninterrupted[:2]


def test_a_lost_newest_checkpoint_costs_steps_but_changes_nothing(uninterrupted, tmp_path):
    stop = Stop(8)
    with pytest.raises(Interrupted):
        toy.loop(tmp_path, callbacks=[_Count(stop)]).run(stop)
    file = tmp_path / "ckpt-00000008/variables.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    second = toy.loop(tmp_path)
    notes = second.restore()
    assert "checkpoint of step 8 is damaged, moved to damaged-00000008" in notes[0]
    assert "goes on after step 6" in notes[1]
    second.run()
    assert second.variables_sha256 == uninterrupted[0]


def test_run_ends_with_the_best_weights_and_keeps_their_checkpoint(uninterrupted):
    loop = uninterrupted[2]
    assert (loop.state.best_epoch, loop.state.best_step, loop.state.best_value) == (2, 6, 0.9)
    assert steps_in(loop.folder) == [6, 9, 12]
    saved = load_checkpoint(loop.folder, 6).variables
    average = {k.split("/", 2)[2]: v for k, v in saved.items() if k.startswith("average/")}
    averaged = [v for v in loop.model.variables if v.dtype == "float32"]
    assert len(averaged) == len(average) > 0
    for variable, value in zip(averaged, average.values(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_resuming_a_finished_run_trains_no_further(uninterrupted, tmp_path):
    toy.loop(tmp_path).run()
    again = toy.loop(tmp_path)
    again.restore()
    again.run()
    assert again.state.step == 12
    assert again.variables_sha256 == uninterrupted[0]


def test_extending_a_finished_run_trains_on_and_keeps_the_best(tmp_path):
    toy.loop(tmp_path).run()
    longer = toy.loop(tmp_path, the_plan=toy.plan(epochs=6))
    longer.restore(extend=True)
    state = longer.run()
    assert state.step == 18
    assert (state.best_epoch, state.best_value) == (2, 0.9)


def test_another_config_or_data_set_is_refused_with_the_difference(tmp_path):
    toy.loop(tmp_path, identity={"config": {"seed": 0}, "data_fingerprint": "a"}).run()
    other = toy.loop(tmp_path, identity={"config": {"seed": 1}, "data_fingerprint": "b"})
    with pytest.raises(ValueError, match=r"config.seed: 0 -> 1\n  data_fingerprint: 'a' -> 'b'"):
        other.restore()


def test_another_model_is_refused_and_nothing_is_assigned(tmp_path):
    toy.loop(tmp_path).run()
    other = toy.loop(tmp_path, step=toy.train_step(ema=0.9, normalization="group"))
    before = toy.values(other.train_step)
    with pytest.raises(ValueError, match="belongs to another model or optimizer"):
        other.restore()
    after = toy.values(other.train_step)
    assert all(np.array_equal(before[k], after[k]) for k in before)


def test_a_run_killed_before_its_first_checkpoint_starts_at_step_0_and_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert toy.loop(tmp_path / "checkpoints").restore() == [
        "no checkpoint had been written yet: the run starts at step 0"
    ]


def test_nan_is_never_best(tmp_path):
    scores = iter([math.nan, 0.1, math.nan, 0.05])
    loop = toy.loop(tmp_path, validate=lambda: {"val_score": next(scores)})
    assert loop.run().best_epoch == 2


def test_of_equal_scores_the_one_of_least_loss_is_best(tmp_path):
    rows = [(0.6, 0.5), (0.9, 0.4), (0.9, 0.2), (0.9, 0.3), (0.8, 0.1)]
    scores = iter([{"val_score": score, "val_loss": loss} for score, loss in rows])
    loop = toy.loop(tmp_path, validate=lambda: next(scores), the_plan=toy.plan(epochs=5))
    state = loop.run()
    assert (state.best_epoch, state.best_step, state.best_value) == (3, 9, 0.9)
    assert 9 in steps_in(tmp_path)
    again = toy.loop(tmp_path)
    again.restore()
    again.run()
    assert again.variables_sha256 == loop.variables_sha256
    assert state.waited == 3  # an equal score is no gain, and does not put off early stopping


def test_losses_of_a_loss_that_moves_are_not_compared(tmp_path):
    rows = [(0.6, 0.5), (0.9, 0.4), (0.9, 0.2), (0.8, 0.1)]
    scores = iter([{"val_score": score, "val_loss": loss} for score, loss in rows])
    shares = []
    loop = toy.loop(
        tmp_path,
        validate=lambda: next(scores),
        the_plan=toy.plan(epochs=4),
        follow=shares.append,
    )
    assert loop.run().best_epoch == 2
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.8 < shares[-1] < 1


def test_early_stopping_counts_epochs_without_gain(tmp_path):
    scores = iter([0.5, 0.6, 0.6, 0.1, 0.9])
    loop = toy.loop(
        tmp_path,
        the_plan=toy.plan(epochs=10, early_stopping=2),
        validate=lambda: {"val_score": next(scores)},
    )
    assert loop.run().epoch == 4
    again = toy.loop(tmp_path, the_plan=toy.plan(epochs=10, early_stopping=2))
    again.restore()
    assert again.run().epoch == 4


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(tmp_path):
    data = toy.samples()
    broken = data.images.astype(np.float32) / 255
    broken[4] = np.nan
    data = toy.Samples(data.ids, broken, 1.0, data.targets)

    def names(step):
        batch = next(iter(toy.stream(step, data=data).take(1)))
        return [data.ids[i] for i in batch["index"].numpy()]

    loop = toy.loop(tmp_path, batches=lambda first: toy.stream(first, data=data), batch_names=names)
    with pytest.raises(ValueError, match=r"The loss of step \d+ is nan.*id4"):
        loop.run()


def test_keras_callbacks_see_what_fit_would_show_them(tmp_path):
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append("train")

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(f"begin {epoch}")

        def on_epoch_end(self, epoch, logs=None):
            assert {"loss", "val_score", "learning_rate"} <= set(logs)
            assert self.model.optimizer is not None
            seen.append(f"end {epoch}")
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            seen.append("done")

    toy.loop(tmp_path, callbacks=[Spy()]).run()
    assert seen == ["train", "begin 0", "end 0", "begin 1", "end 1", "done"]


def test_a_callback_that_sets_the_learning_rate_is_followed_also_after_a_resume(tmp_path):
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rate = self.model.optimizer.learning_rate
            rate.assign(rate.numpy() / 2)

    constant = {"schedule": Constant()}
    loop = toy.loop(tmp_path, the_plan=toy.plan(epochs=2, **constant), callbacks=[Halve()])
    loop.run()
    rates = [row["learning_rate"] for row in loop.state.history]
    assert rates == pytest.approx([1e-2, 5e-3])
    longer = toy.loop(tmp_path, the_plan=toy.plan(epochs=3, **constant), callbacks=[Halve()])
    longer.restore(extend=True)
    longer.run()
    assert longer.state.history[-1]["learning_rate"] == pytest.approx(2.5e-3)


def test_plateau_goes_on_where_it_was_after_a_resume(tmp_path):
    def plateau(epochs):
        return toy.plan(epochs=epochs, schedule=Plateau(patience=2, gamma=0.1))

    scores = {"val_score": 0.5}
    whole = toy.loop(tmp_path / "a", the_plan=plateau(6), validate=lambda: scores)
    whole.run()
    rates = [row["learning_rate"] for row in whole.state.history]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4])
    toy.loop(tmp_path / "b", the_plan=plateau(2), validate=lambda: scores).run()
    rest = toy.loop(tmp_path / "b", the_plan=plateau(6), validate=lambda: scores)
    rest.restore(extend=True)
    rest.run()
    assert [row["learning_rate"] for row in rest.state.history] == rates


def test_a_time_limit_ends_the_run_as_a_finished_one_with_the_schedule_at_its_end(tmp_path):
    loop = toy.loop(
        tmp_path,
        the_plan=toy.plan(epochs=1, steps_per_epoch=50, time_limit=4.0),
        validate=lambda: {"val_score": 0.5},
    )
    state = loop.run()
    assert state.finished
    assert 4.0 <= state.elapsed < 8.0
    assert state.history[-1]["learning_rate"] < 1e-3


def test_what_happens_between_epochs_counts_for_a_time_limit(tmp_path):
    loop = toy.loop(
        tmp_path,
        the_plan=toy.plan(steps_per_epoch=1, time_limit=2.0),
        validate=lambda: {"val_score": 0.5},
        on_epoch=lambda history: time.sleep(0.5),
    )
    state = loop.run()
    assert state.elapsed >= 2.0
    assert 1 <= len(state.history) <= 5


def test_without_validation_the_last_weights_are_the_runs(tmp_path):
    loop = toy.loop(tmp_path, validate=None)
    loop.run()
    assert (loop.state.best_epoch, loop.state.best_step) == (4, 12)


def test_a_damaged_best_checkpoint_leaves_the_last_weights_and_says_so(tmp_path):
    toy.loop(tmp_path).run()
    (tmp_path / "ckpt-00000006/state.json").write_text("{}")
    again = toy.loop(tmp_path)
    again.restore()
    again.run()
    assert "The best checkpoint is damaged; the last weights are used" in again.problems[0]
    last = load_checkpoint(tmp_path, 12).variables
    averages = [v for name, v in last.items() if name.startswith("average/")]
    floats = [v for v in again.model.variables if v.dtype == "float32"]
    for variable, value in zip(floats, averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_extending_to_fewer_epochs_is_refused(tmp_path):
    toy.loop(tmp_path).run()
    again = toy.loop(tmp_path, the_plan=toy.plan(epochs=3))
    with pytest.raises(ValueError, match=r"has 4 epochs already; train.epochs must be more"):
        again.restore(extend=True)
