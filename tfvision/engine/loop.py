"""The training loop: steps, epochs, scores, checkpoints.

It drives ordinary Keras callbacks. Everything it must remember over a kill is in
`LoopState`; everything that changes in a step is in `TrainStep.named_variables`. With the
stateless stream of `data/pipeline.py` a resumed run is then the uninterrupted run.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import differences
from tfvision.engine.checkpoint import (
    Checkpoint,
    best_weights,
    newest_checkpoint,
    restore_variables,
    save_checkpoint,
    variables_sha256,
)
from tfvision.engine.loop_messages import (
    cannot_make,
    check_finite,
    epoch_line,
    loss_not_finite,
    step_line,
    stopped_by,
)
from tfvision.engine.loop_state import LoopState, Plan
from tfvision.engine.progress import Progress
from tfvision.engine.signals import Interrupted, StopRequest
from tfvision.engine.step import TrainStep, assign_all
from tfvision.errors import EnvironmentFault, InputError, PartFailed, out_of_memory

Scores = dict[str, float]


class Loop:
    """Trains a model from a stream of batches, with everything a long run needs.

    Args:
        train_step: Takes one step; holds model and optimizer.
        batches: `first_step -> tf.data.Dataset`, the stream from that step on.
        validate: Scores the weights in the model; None trains without validation, and
            the last weights are the run's.
        plan: How long, how fast.
        folder: Where checkpoints go; None keeps none.
        identity: What must be equal when the run is resumed (config, data fingerprint).
        may_change: Beginnings of lines, as `differences` has them, of what need not be equal.
        batch_names: `step -> ids` of that step's batch, for messages.
        callbacks: Keras callbacks; logs hold `loss`, `learning_rate` and, at the end of
            an epoch, the validation's scores.
        on_epoch: Called with the history after every epoch.
        follow: Told the share of the training that is done, in [0, 1], before every step; it may
            change the loss. None: the loss stays as it is.
        watch: `(history, share of the training done) -> alarms by kind`, after every epoch;
            an alarm is said once.
        stop_on_alarm: Stop at an alarm, after the checkpoint of its epoch.
        progress: Where to print.
    """

    def __init__(
        self,
        train_step: TrainStep,
        batches: Callable[[int], tf.data.Dataset],
        *,
        validate: Callable[[], Scores] | None,
        plan: Plan,
        folder: Path | None = None,
        identity: dict | None = None,
        may_change: Sequence[str] = (),
        batch_names: Callable[[int], Sequence[str]] = lambda step: [],
        callbacks: Sequence[keras.callbacks.Callback] = (),
        on_epoch: Callable[[list[dict]], None] = lambda history: None,
        follow: Callable[[float], None] | None = None,
        watch: Callable[[list[dict], float], dict[str, str]] = lambda history, done: {},
        stop_on_alarm: bool = False,
        progress: Progress | None = None,
    ):
        self.train_step, self.model = train_step, train_step.model
        self.plan, self.folder = plan, folder
        self.state, self._may_change = LoopState(identity=identity or {}), tuple(may_change)
        self._batches, self._validate, self._names = batches, validate, batch_names
        self._on_epoch, self._watch, self._stop_on_alarm = on_epoch, watch, stop_on_alarm
        self._follow, self._progress = follow, progress or Progress(quiet=True)
        with train_step.strategy.scope():
            self.model.compile(optimizer=train_step.optimizer, loss=None)
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        self.state.rate = plan.learning_rate
        self._stage_starts = plan.stage_starts(train_step.stages)
        self._new_schedule = plan.schedule.state()
        self.problems: list[str] = []  # what a reader of the run must know
        # Step and loss of the step before: it is read while the next one runs.
        self._pending: tuple[int, tf.Tensor, dict[str, tf.Tensor]] | None = None

    def restore(self, *, extend: bool = False) -> list[str]:
        """Takes up the newest whole checkpoint, if there is one.

        Args:
            extend: Train on although the run had finished: the plan has become longer.

        Returns:
            Lines to show: damaged checkpoints that were left out, where the run goes on.

        Raises:
            InputError: The checkpoint is of another model, optimizer, config or data.
        """
        checkpoint, notes = newest_checkpoint(self.folder)
        if checkpoint is None:
            return [*notes, "no checkpoint had been written yet: the run starts at step 0"]
        changed = differences(checkpoint.state["identity"], self.state.identity)
        if changed := [line for line in changed if not line.startswith(self._may_change)]:
            raise InputError(
                "The run cannot go on: it was started with another config or data set.\n  "
                + "\n  ".join(changed)
            )
        where = f"The checkpoint of step {checkpoint.step}"
        restore_variables(self.train_step.named_variables(), checkpoint.variables, where)
        self.state = LoopState(**{**checkpoint.state, "identity": self.state.identity})
        if self.state.schedule:
            self.plan.schedule.restore(self.state.schedule)
        if extend:
            if self.plan.done(self.state):
                raise InputError(
                    f"The run has {self.state.epoch} epochs already; train.epochs must be more "
                    f"to extend it. Received: {self.plan.epochs}."
                )
            self.state.finished = False
        self._on_epoch(self.state.history)
        return [*notes, f"goes on after step {self.state.step}, in epoch {self.state.epoch + 1}"]

    def run(self, stop: StopRequest | None = None) -> LoopState:
        """Trains to the end of the plan and leaves the weights to be used in the model.

        Raises:
            Interrupted: `stop` was requested; a checkpoint of this very step is on disk.
            InputError: The loss or the weights are not finite, or a batch cannot be made;
                says at which step and names the images.
            PartFailed: A callback failed; the state is saved.
        """
        strategy, state = self.train_step.strategy, self.state
        if not state.finished:
            self.model.stop_training = False
            stream = strategy.experimental_distribute_dataset(self._batches(state.step))
            batches = iter(stream)
            if state.stage >= 0:  # a resumed run
                self.train_step.enter_stage(state.stage)
            self._call("on_train_begin")
            self._saved_at = time.monotonic()
            while not state.finished:
                self._train_epoch(batches, stop)
                self._end_epoch()
            self._call("on_train_end")
            self.train_step.leave_stages()
        self.variables_sha256 = variables_sha256(
            [*self.model.variables, *self.train_step.optimizer.variables]
        )
        self._use_best()
        return state

    def _train_epoch(self, batches, stop):
        state, plan = self.state, self.plan
        if state.step == state.epoch_first_step:
            self._next_stage()
            self._call("on_epoch_begin", state.epoch)
            self._follow_callbacks()
        began = time.monotonic()
        last = state.epoch_first_step + plan.steps_per_epoch
        while state.step < last:
            rate = state.rate = plan.rate(state, self.train_step.stages)
            if self._follow is not None:
                self._follow(plan.progress(state))
            self._call("on_train_batch_begin", state.step - state.epoch_first_step)
            loss = self.train_step(self._next(batches), rate)
            state.step += 1
            self._take()
            self._pending = (state.step - 1, loss, self.train_step.terms)
            self._call(
                "on_train_batch_end",
                state.step - 1 - state.epoch_first_step,
                {"loss": loss, "learning_rate": rate},
            )
            now = time.monotonic()
            state.elapsed += now - began
            state.epoch_seconds += now - began
            began = now
            self._progress.live(step_line(state, plan, self.train_step._batch_size))
            requested = stop is not None and stop.number is not None
            if requested or now - self._saved_at >= plan.checkpoint_every:
                self._save()
                if requested:
                    stop.check()
            if plan.time_limit is not None and state.elapsed >= plan.time_limit:
                break
        self._take()
        self._check_count()

    def _next_stage(self):
        """Begins the stage that is due. One an epoch, so that a time limit skips none."""
        state, number = self.state, self.state.stage + 1
        due = number < len(self._stage_starts)
        if not due or self.plan.progress(state) < self._stage_starts[number]:
            return
        for line in self.train_step.begin_stage(number):
            self._progress.line(line)
        state.stage, state.waited = number, 0
        state.stage_first_epoch, stage = state.epoch, self.train_step.stages[number]
        if not stage.keep_slots:
            state.stage_first_step = state.step
        if stage.restart:
            self.plan.schedule.restore(self._new_schedule)

    def _call(self, hook: str, *arguments):
        """Calls the Keras callbacks; one that fails costs no step."""
        try:
            getattr(self._callbacks, hook)(*arguments)
        except (InputError, EnvironmentFault, Interrupted):
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            self._save()
            kept = f"The state after step {self.state.step} is saved; mend it and --resume."
            raise PartFailed(
                f"A Keras callback failed in {hook}: {type(error).__name__}: {error}. "
                + (kept if self.folder is not None else "No checkpoints are kept.")
            ) from error

    def _next(self, batches):
        """The next batch; where it cannot be made, its images are named, as tf.data does not."""
        try:
            return next(batches)
        except StopIteration:
            raise RuntimeError(f"the stream of batches ends at step {self.state.step}") from None
        except Exception as error:
            if out_of_memory(error):
                raise
            step = self.state.step
            raise cannot_make(step, error, self._names(step)) from error

    def _check_count(self):
        state = self.state
        iterations = int(keras.ops.convert_to_numpy(self.train_step.optimizer.iterations))
        scaled = isinstance(self.train_step.optimizer, keras.optimizers.LossScaleOptimizer)
        steps = state.step - state.stage_first_step  # a stage has a new optimizer, or goes on
        if iterations != steps and not scaled:  # float16 leaves out steps that overflow
            raise RuntimeError(f"{steps} steps taken, but the optimizer counts {iterations}.")

    def _end_epoch(self):
        state, plan = self.state, self.plan
        began = time.monotonic()
        steps = state.step - state.epoch_first_step
        images = steps * self.train_step._batch_size
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            **({"stage": state.stage + 1} if self._stage_starts else {}),
            "learning_rate": self.state.rate,
            "loss": state.epoch_loss / steps,
            **{f"loss_{name}": total / steps for name, total in state.epoch_terms.items()},
        }
        if scored := self._validate is not None:
            row.update(self._scores())
        self._call("on_epoch_end", state.epoch, dict(row))
        self._follow_callbacks()
        gain = state.note_best(row, plan if scored else None, losses_compare=self._follow is None)
        plan.schedule.observe(gain)
        row["images_per_second"] = images / max(state.epoch_seconds, 1e-9)
        state.elapsed += time.monotonic() - began
        row["seconds"] = state.epoch_seconds + time.monotonic() - began
        state.history.append(row)
        self._progress.line(epoch_line(state, plan, row, scored=scored))
        state.epoch += 1
        state.epoch_first_step, state.epoch_loss, state.epoch_seconds = state.step, 0.0, 0.0
        state.epoch_terms = {}
        last_stage = state.stage + 1 >= len(self._stage_starts)
        stalled = plan.early_stopping and state.waited >= plan.early_stopping and last_stage
        state.finished = bool(plan.done(state) or stalled or self.model.stop_training)
        began = time.monotonic()
        alarms = state.new_alarms(self._watch(state.history, plan.progress(state)))
        for text in alarms:
            self._progress.line(f"warning: {text}")
        self._save()
        self._on_epoch(state.history)
        state.elapsed += time.monotonic() - began  # a time limit holds for saving, too
        if alarms and self._stop_on_alarm:
            raise stopped_by(alarms)

    def _scores(self) -> Scores:
        """Validates with the weights that a score belongs to, then puts the others back."""
        if not self.train_step.averages:
            return self._validate()
        kept = [keras.ops.convert_to_numpy(v) for v in self.model.variables]
        assign_all(self.model.variables, self.train_step.scored_values())
        try:
            return self._validate()
        finally:
            assign_all(self.model.variables, kept)

    def _use_best(self):
        state = self.state
        values = self.train_step.scored_values()
        if self.folder is not None and state.best_step not in (None, state.step):
            last = Checkpoint(state.step, self._arrays(), asdict(state))
            values, problem = best_weights(self.folder, last)
            if problem:
                self.problems.append(problem)
                self._progress.line(problem)
        assign_all(self.model.variables, values)

    def _take(self):
        """Waits for the loss of a step and adds it to the epoch's."""
        if self._pending is None:
            return
        (step, loss, terms), self._pending = self._pending, None
        value = float(loss)
        if not math.isfinite(value):
            raise loss_not_finite(step, value, self._names(step))
        self.state.epoch_loss += value
        for name, term in terms.items():
            self.state.epoch_terms[name] = self.state.epoch_terms.get(name, 0.0) + float(term)

    def _follow_callbacks(self):
        """A callback that has set another learning rate scales all that follow."""
        now = float(keras.ops.convert_to_numpy(self.train_step.optimizer.learning_rate))
        before = float(np.float32(self.state.rate))
        if now != before and before > 0:
            self.state.rate_factor *= now / before
            self.state.rate = now

    def _save(self):
        self._take()
        if self.folder is None:
            return
        self.state.schedule = self.plan.schedule.state()
        arrays = self._arrays()
        check_finite(arrays, self.state.step - 1, self._names)
        checkpoint = Checkpoint(self.state.step, arrays, asdict(self.state))
        save_checkpoint(self.folder, checkpoint, best_step=self.state.best_step)
        self._saved_at = time.monotonic()

    def _arrays(self) -> dict[str, np.ndarray]:
        named = self.train_step.named_variables()
        return {name: keras.ops.convert_to_numpy(v) for name, v in named.items()}
