"""The training loop: steps, epochs, scores, checkpoints.

It drives ordinary Keras callbacks. Everything it must remember over a kill is in
`LoopState`; everything that changes in a step is in `TrainStep.named_variables`. With the
stateless stream of `data/pipeline.py` a resumed run is then the uninterrupted run.
"""

import hashlib
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
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
)
from tfvision.engine.progress import Progress, duration
from tfvision.engine.schedules import Schedule
from tfvision.engine.signals import Interrupted, StopRequest
from tfvision.engine.stages import first_shares, planned_shares
from tfvision.engine.step import TrainStep, assign_all
from tfvision.errors import EnvironmentFault, InputError, PartFailed, out_of_memory

Scores = dict[str, float]


@dataclass
class LoopState:
    """What the loop knows besides the variables; saved in every checkpoint."""

    step: int = 0
    epoch: int = 0
    epoch_first_step: int = 0
    epoch_loss: float = 0.0  # summed over the steps of the running epoch
    epoch_terms: dict[str, float] = field(default_factory=dict)  # the same of its named terms
    epoch_seconds: float = 0.0
    elapsed: float = 0.0  # seconds of training, over all sittings
    best_value: float | None = None
    best_epoch: int | None = None
    best_step: int | None = None
    waited: int = 0  # epochs since the best
    schedule: dict = field(default_factory=dict)
    rate: float = 0.0  # the learning rate of the last step
    rate_factor: float = 1.0  # by which Keras callbacks have changed the learning rate
    finished: bool = False
    history: list[dict] = field(default_factory=list)
    alarms: dict[str, str] = field(default_factory=dict)  # of the watch, by kind
    stage: int = -1  # of `train.stages`, from 0; none has begun yet
    stage_first_step: int = 0  # where its optimizer began to count
    stage_first_epoch: int = 0
    identity: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How long to train, and what to do on the way.

    Attributes:
        steps_per_epoch: Optimizer steps between two validations.
        epochs: When to end; without effect under a `time_limit`.
        time_limit: Seconds of training after which to end; the schedule ends with it.
        learning_rate: What the schedule's factor is multiplied with.
        schedule: See `engine/schedules.py`.
        monitor: Validation score whose best epoch is kept; of equal ones that of the least
            validation loss.
        larger_is_better: The direction of that score.
        early_stopping: Epochs without a better score before ending; 0 is never.
        checkpoint_every: Longest time between two checkpoints, in seconds.
    """

    steps_per_epoch: int
    epochs: int
    time_limit: float | None
    learning_rate: float
    schedule: Schedule
    monitor: str
    early_stopping: int = 0
    larger_is_better: bool = True
    checkpoint_every: float = 300.0

    def progress(self, state: LoopState) -> float:
        """Share of the training that is done, in [0, 1]."""
        if self.time_limit is not None:
            return min(1.0, state.elapsed / self.time_limit)
        return min(1.0, state.step / (self.steps_per_epoch * self.epochs))

    def done(self, state: LoopState) -> bool:
        """Whether no further epoch begins."""
        if self.time_limit is not None:
            return state.elapsed >= self.time_limit
        return state.epoch >= self.epochs


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
        self.state = LoopState(identity=identity or {})
        self._batches, self._validate, self._names = batches, validate, batch_names
        self._on_epoch, self._watch, self._stop_on_alarm = on_epoch, watch, stop_on_alarm
        self._follow = follow
        self._progress = progress or Progress(quiet=True)
        with train_step.strategy.scope():
            self.model.compile(optimizer=train_step.optimizer, loss=None)
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        self.state.rate = plan.learning_rate
        self._stage_starts = _stage_starts(train_step, plan)
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
        if changed:
            raise InputError(
                "The run cannot go on: it was started with another config or data set.\n  "
                + "\n  ".join(changed)
            )
        where = f"The checkpoint of step {checkpoint.step}"
        restore_variables(self.train_step.named_variables(), checkpoint.variables, where)
        identity = self.state.identity
        self.state = LoopState(**checkpoint.state)
        self.state.identity = identity
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
            rate = self._rate()
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
            self._show_step()
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

    def _images_of(self, step: int) -> str:
        return _images(self._names(step))

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
        if self._validate is not None:
            row.update(self._scores())
        self._call("on_epoch_end", state.epoch, dict(row))
        self._follow_callbacks()
        gain = self._note_best(row)
        plan.schedule.observe(gain)
        row["images_per_second"] = images / max(state.epoch_seconds, 1e-9)
        state.elapsed += time.monotonic() - began
        row["seconds"] = state.epoch_seconds + time.monotonic() - began
        state.history.append(row)
        self._show_epoch(row)
        state.epoch += 1
        state.epoch_first_step, state.epoch_loss, state.epoch_seconds = state.step, 0.0, 0.0
        state.epoch_terms = {}
        last_stage = state.stage + 1 >= len(self._stage_starts)
        stalled = plan.early_stopping and state.waited >= plan.early_stopping and last_stage
        state.finished = bool(plan.done(state) or stalled or self.model.stop_training)
        began = time.monotonic()
        alarms = self._new_alarms()
        self._save()
        self._on_epoch(state.history)
        state.elapsed += time.monotonic() - began  # a time limit holds for saving, too
        if alarms and self._stop_on_alarm:
            raise InputError(
                "train.sentinel is fail, and:\n  " + "\n  ".join(alarms) + "\nThe checkpoint of "
                "this epoch is kept; --resume with --set train.sentinel=warn goes on all the same."
            )

    def _new_alarms(self) -> list[str]:
        """What the watch has to say that it has not said before."""
        found = self._watch(self.state.history, self.plan.progress(self.state))
        new = {kind: text for kind, text in found.items() if kind not in self.state.alarms}
        self.state.alarms.update(new)
        for text in new.values():
            self._progress.line(f"warning: {text}")
        return list(new.values())

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

    def _note_best(self, row) -> bool:
        """Whether the score is better than any before.

        Of epochs with one and the same score, which few validation images make likely, the one
        of least validation loss is the best; of losses that changed, the first.
        """
        state = self.state
        if self._validate is None:
            state.best_epoch, state.best_step = row["epoch"], state.step
            return True
        value = row[self.plan.monitor]
        best, sign = state.best_value, 1 if self.plan.larger_is_better else -1
        gain = math.isfinite(value) and (best is None or sign * value > sign * best)
        if gain or (value == state.best_value and self._loses_less(row)):
            state.best_value, state.best_epoch, state.best_step = value, row["epoch"], state.step
        state.waited = 0 if gain else state.waited + 1
        return gain

    def _loses_less(self, row) -> bool:
        """Whether the validation loss is below that of the best epoch so far."""
        if self._follow is not None:
            return False
        best = self.state.history[self.state.best_epoch - 1]
        return row.get("val_loss", math.inf) < best.get("val_loss", math.inf)

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
            raise InputError(
                f"The loss of step {step + 1} is {value}. {self._images_of(step)} "
                "Look at them, lower train.optimizer.learning_rate, or set train.clip_norm=1. "
                "The checkpoints before it are untouched."
            )
        self.state.epoch_loss += value
        for name, term in terms.items():
            self.state.epoch_terms[name] = self.state.epoch_terms.get(name, 0.0) + float(term)

    def _rate(self) -> float:
        progress, epoch, number = self.plan.progress(self.state), self.state.epoch, self.state.stage
        if number >= 0 and self.train_step.stages[number].restart:
            begin, end = [*self._stage_starts, 1.0][number : number + 2]
            progress = min(1.0, max(0.0, (progress - begin) / (end - begin)))
            epoch -= self.state.stage_first_epoch
        factor = self.plan.schedule.factor(progress, epoch)
        self.state.rate = self.plan.learning_rate * self.state.rate_factor * factor
        return self.state.rate

    def _follow_callbacks(self):
        """A callback that has set another learning rate scales all that follow."""
        now, before = self._optimizers_rate(), float(np.float32(self.state.rate))
        if now != before and before > 0:
            self.state.rate_factor *= now / before
            self.state.rate = now

    def _optimizers_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.train_step.optimizer.learning_rate))

    def _save(self):
        self._take()
        if self.folder is None:
            return
        self.state.schedule = self.plan.schedule.state()
        checkpoint = Checkpoint(self.state.step, self._finite_arrays(), asdict(self.state))
        save_checkpoint(self.folder, checkpoint, best_step=self.state.best_step)
        self._saved_at = time.monotonic()

    def _finite_arrays(self) -> dict[str, np.ndarray]:
        """All variables. A step whose loss was finite can still have broken the weights; they
        must neither be saved nor be the best."""
        arrays = self._arrays()
        for name, value in arrays.items():
            of_model = name.startswith(("model/", "average/")) and value.dtype.kind == "f"
            if of_model and not np.isfinite(value).all():
                last = self.state.step - 1
                raise InputError(
                    f"After step {last + 1} the weights {name} are not finite, though the loss "
                    f"was. {self._images_of(last)} Lower train.optimizer.learning_rate, or set "
                    "train.clip_norm=1. The checkpoints before it are untouched."
                )
        return arrays

    def _arrays(self) -> dict[str, np.ndarray]:
        named = self.train_step.named_variables()
        return {name: keras.ops.convert_to_numpy(v) for name, v in named.items()}

    def _show_step(self):
        state, plan = self.state, self.plan
        done = state.step - state.epoch_first_step
        rate = done * self.train_step._batch_size / max(state.epoch_seconds, 1e-9)
        share = plan.progress(state)
        left = duration(state.elapsed * (1 - share) / share) if share > 0 else "?"
        best = "" if state.best_value is None else f"  best {plan.monitor} {state.best_value:.3f}"
        self._progress.live(
            f"epoch {self._of_epochs()}  {done}/{plan.steps_per_epoch}  "
            f"loss {state.epoch_loss / max(done - 1, 1):.4f}  {rate:.0f} images/s  "
            f"{left} left{best}"
        )

    def _show_epoch(self, row):
        share = self.plan.progress(self.state)
        left = duration(self.state.elapsed * (1 - share) / share) if share > 0 else "?"
        shown = {"loss": row["loss"]}
        shown.update({k: row[k] for k in ("val_loss", self.plan.monitor) if k in row})
        values = "  ".join(f"{k} {v:.4f}" for k, v in shown.items())
        best = self._validate is not None and row["epoch"] == self.state.best_epoch
        mark = "  best so far" if best else ""
        self._progress.line(
            f"epoch {self._of_epochs()}  {values}  {row['images_per_second']:.0f} images/s  "
            f"{left} left{mark}"
        )

    def _of_epochs(self) -> str:
        total = "" if self.plan.time_limit is not None else f"/{self.plan.epochs}"
        return f"{self.state.epoch + 1}{total}"


def variables_sha256(variables) -> str:
    """One SHA-256 over the bytes of Keras variables, sorted by path."""
    digest = hashlib.sha256()
    for variable in sorted(variables, key=lambda v: v.path):
        value = keras.ops.convert_to_numpy(variable)
        digest.update(f"{variable.path} {value.dtype} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def cannot_make(step: int, error: Exception, names: Sequence[str]) -> InputError:
    """The error for a batch that cannot be made, with its images, which tf.data does not name.

    Args:
        step: Of the batch, from 0.
        error: What tf.data raised.
        names: Ids of the batch's images.
    """
    return InputError(
        f"The batch of step {step + 1} cannot be made: {_cause(error)}. {_images(names)} Look at "
        "data.augment and data.mix, which are what acts on them. Checkpoints are untouched."
    )


def _images(names: Sequence[str]) -> str:
    return f"The images of that batch: {', '.join(map(str, names))}."


def _cause(error: Exception) -> str:
    """What went wrong, without the stack that TensorFlow adds to an error inside tf.data."""
    lines = [line.strip() for line in str(error).splitlines()]
    plain = [line for line in lines if line and not line.startswith(("Traceback", "File "))]
    raised = [line for line in plain if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (raised or plain or [type(error).__name__])[0].rstrip(".")[:300]


def _stage_starts(train_step: TrainStep, plan: Plan) -> list[float]:
    """The share of the training at which each stage begins; empty without stages."""
    if not train_step.stages:
        return []
    if plan.time_limit is not None:
        return planned_shares(train_step.stages)
    return first_shares(train_step.stages, plan.epochs)
