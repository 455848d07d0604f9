"""What goes wrong in silence while a detector is trained."""

from functools import partial
from typing import Any

import numpy as np

from tfvision.recipe.recipe import Recipe
from tfvision.tasks.parts import Watch

PATIENCE = 3  # epochs in a row
NOTHING = 0.01  # an AP50 at which nothing is found
FEW = 0.5  # of the boxes have a proposal: the second stage never sees the others
RISING = 0.02  # in `PATIENCE` epochs; a recall that rises so is only slow


def watch_of(recipe: Recipe) -> Watch:
    """Alarms after each epoch of a run: nothing is found though the loss falls, or no number."""
    return partial(alarms_of, recipe.config.model.name)


def alarms_of(model: str, history: list[dict[str, Any]], done: float) -> dict[str, str]:
    """Alarms by kind.

    Args:
        model: Name of the detector.
        history: One row an epoch, with `loss`, `val_loss` and `val_ap50`, and of detectors of
            two stages `val_proposal_recall`.
        done: Share of the training that is done, in [0, 1].
    """
    alarms: dict[str, str] = {}
    if not history or "val_ap50" not in history[-1]:
        return alarms
    last, loss = history[-1], history[-1].get("val_loss")
    if loss is not None and not np.isfinite(loss):
        alarms["validation loss"] = (
            f"the validation loss of epoch {last['epoch']} is {loss}. Look for images with extreme "
            "values in that split, and lower train.optimizer.learning_rate."
        )
    found = [row["val_ap50"] for row in history[-PATIENCE:]]
    fallen = 1 - last["loss"] / history[0]["loss"] if history[0]["loss"] > 0 else 0.0
    learning = done >= 0.25 and len(history) >= PATIENCE and fallen > 0.2
    recall = [row.get("val_proposal_recall", np.nan) for row in history[-PATIENCE:]]
    if learning and np.nanmax([*recall, -1.0]) < FEW and recall[-1] - recall[0] < RISING:
        alarms["proposals"] = (
            f"the training loss has fallen by {fallen:.0%}, but only {recall[-1]:.0%} of the "
            f"validation boxes have a proposal with an IoU of 0.5: the second stage of {model} "
            "never sees the others. Look whether anchors have the sizes and ratios of the boxes "
            "(python -m tfvision audit --task detection proposes better ones), or raise "
            "model.proposals where images hold many objects."
        )
    if learning and np.nanmax([*found, -1.0]) < NOTHING:
        alarms["no score"] = (
            f"the training loss has fallen by {fallen:.0%}, but val_ap50 is {found[-1]:.3f}: the "
            f"{model} finds nothing that counts. Look whether its anchors have the sizes of the "
            "boxes, whether boxes lie on their objects (python -m tfvision audit --task detection "
            "draws both), and whether the validation boxes mean the same classes."
        )
    return alarms
