"""What the training loop remembers, and the plan that it follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tfvision.engine.schedules import Schedule
from tfvision.engine.stages import Stage, first_shares, planned_shares


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

    def note_best(self, row: dict, plan: "Plan | None", *, losses_compare: bool) -> bool:
        """Whether an epoch's score is better than any before; the best epoch is remembered.

        Of epochs with one and the same score, which few validation images make likely, the one
        of least validation loss is the best; of losses that changed, the first.

        Args:
            row: Of `history`, with the scores of the epoch.
            plan: Names the score; None: every epoch is better than the one before.
            losses_compare: Whether the validation losses of two epochs are of one loss.
        """
        if plan is None:
            self.best_epoch, self.best_step = row["epoch"], self.step
            return True
        value, best, sign = row[plan.monitor], self.best_value, 1 if plan.larger_is_better else -1
        gain = math.isfinite(value) and (best is None or sign * value > sign * best)
        equal = value == best and losses_compare
        if gain or (equal and self._loses_less(row)):
            self.best_value, self.best_epoch, self.best_step = value, row["epoch"], self.step
        self.waited = 0 if gain else self.waited + 1
        return gain

    def new_alarms(self, found: dict[str, str]) -> list[str]:
        """Those of the watch that have not been said before; they are remembered."""
        new = {kind: text for kind, text in found.items() if kind not in self.alarms}
        self.alarms.update(new)
        return list(new.values())

    def _loses_less(self, row: dict) -> bool:
        """Whether the validation loss is below that of the best epoch so far."""
        best = self.history[self.best_epoch - 1]
        return row.get("val_loss", math.inf) < best.get("val_loss", math.inf)


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

    def stage_starts(self, stages: Sequence[Stage]) -> list[float]:
        """The share of the training at which each stage begins."""
        if not stages:
            return []
        if self.time_limit is not None:
            return planned_shares(stages)
        return first_shares(stages, self.epochs)

    def rate(self, state: LoopState, stages: Sequence[Stage]) -> float:
        """The learning rate of the next step."""
        progress, epoch, number = self.progress(state), state.epoch, state.stage
        if number >= 0 and stages[number].restart:
            begin, end = [*self.stage_starts(stages), 1.0][number : number + 2]
            progress = min(1.0, max(0.0, (progress - begin) / (end - begin)))
            epoch -= state.stage_first_epoch
        return self.learning_rate * state.rate_factor * self.schedule.factor(progress, epoch)
