"""What the training loop says: a line a step, a line an epoch, and why it cannot go on."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfvision.engine.loop_state import LoopState, Plan
from tfvision.engine.progress import duration
from tfvision.errors import InputError


def step_line(state: LoopState, plan: Plan, batch_size: int) -> str:
    """Where the epoch stands after a step."""
    done = state.step - state.epoch_first_step
    rate = done * batch_size / max(state.epoch_seconds, 1e-9)
    best = "" if state.best_value is None else f"  best {plan.monitor} {state.best_value:.3f}"
    return (
        f"epoch {_of_epochs(state, plan)}  {done}/{plan.steps_per_epoch}  "
        f"loss {state.epoch_loss / max(done - 1, 1):.4f}  {rate:.0f} images/s  "
        f"{_left(state, plan)} left{best}"
    )


def epoch_line(state: LoopState, plan: Plan, row: Mapping, *, scored: bool) -> str:
    """What an epoch came to, before it is counted in `state.epoch`."""
    shown = {k: row[k] for k in ("loss", "val_loss", plan.monitor) if k in row}
    values = "  ".join(f"{k} {v:.4f}" for k, v in shown.items())
    mark = "  best so far" if scored and row["epoch"] == state.best_epoch else ""
    return (
        f"epoch {_of_epochs(state, plan)}  {values}  {row['images_per_second']:.0f} images/s  "
        f"{_left(state, plan)} left{mark}"
    )


def loss_not_finite(step: int, value: float, names: Sequence[str]) -> InputError:
    """The error for a loss that is not finite; arguments as `cannot_make` has them."""
    return InputError(
        f"The loss of step {step + 1} is {value}. {_images(names)} "
        "Look at them, lower train.optimizer.learning_rate, or set train.clip_norm=1. "
        "The checkpoints before it are untouched."
    )


def check_finite(
    arrays: Mapping[str, np.ndarray], step: int, names: Callable[[int], Sequence[str]]
) -> None:
    """A step whose loss was finite can still have broken the weights; they must neither be
    saved nor be the best.

    Args:
        arrays: All variables, by name.
        step: The last one, from 0.
        names: Its value at a step: ids of the images of its batch.

    Raises:
        InputError: Weights are not finite.
    """
    for name, value in arrays.items():
        of_model = name.startswith(("model/", "average/")) and value.dtype.kind == "f"
        if of_model and not np.isfinite(value).all():
            raise InputError(
                f"After step {step + 1} the weights {name} are not finite, though the loss "
                f"was. {_images(names(step))} Lower train.optimizer.learning_rate, or set "
                "train.clip_norm=1. The checkpoints before it are untouched."
            )


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


def stopped_by(alarms: Sequence[str]) -> InputError:
    """The error for alarms under `train.sentinel: fail`."""
    return InputError(
        "train.sentinel is fail, and:\n  " + "\n  ".join(alarms) + "\nThe checkpoint of "
        "this epoch is kept; --resume with --set train.sentinel=warn goes on all the same."
    )


def _images(names: Sequence[str]) -> str:
    return f"The images of that batch: {', '.join(map(str, names))}."


def _cause(error: Exception) -> str:
    """What went wrong, without the stack that TensorFlow adds to an error inside tf.data."""
    lines = [line.strip() for line in str(error).splitlines()]
    plain = [line for line in lines if line and not line.startswith(("Traceback", "File "))]
    raised = [line for line in plain if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (raised or plain or [type(error).__name__])[0].rstrip(".")[:300]


def _left(state: LoopState, plan: Plan) -> str:
    share = plan.progress(state)
    return duration(state.elapsed * (1 - share) / share) if share > 0 else "?"


def _of_epochs(state: LoopState, plan: Plan) -> str:
    total = "" if plan.time_limit is not None else f"/{plan.epochs}"
    return f"{state.epoch + 1}{total}"
