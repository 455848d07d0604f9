"""The calibration of specialists: fitted on the validation split, kept in the run.

It is fitted once, for the best weights, and kept beside them in `calibration.json`: whoever
rebuilds the model from a checkpoint puts it in. In exports it is part of the model.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine import platt_scaling
from tfvision.engine.inference import logits_of
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.recipe import Recipe

FILE = "calibration.json"
MOST = 500_000  # pixels to fit two numbers a class on; more are thinned out evenly


def calibrate(
    run: RunFolder,
    recipe: Recipe,
    model: keras.Model,
    samples: Samples | None,
    say: Callable[[str], None],
) -> list[str]:
    """Fits the calibration of `model`, if it has any, and puts it in. Returns warnings.

    Args:
        run: Gets `calibration.json`.
        recipe: Of the run.
        model: With its final weights.
        samples: The validation split, None where there is none.
        say: Gets a line to show.
    """
    if platt_scaling.layer_of(model) is None:
        return []
    if samples is None:
        return ["There is no validation split: the specialists' scores are not calibrated."]
    channels = platt_scaling.layer_of(model).get_weights()[1].size
    classes = list(range(recipe.num_classes - channels, recipe.num_classes))
    platt_scaling.put_into(model, np.ones(channels), np.zeros(channels))
    scores, labels = _scores(recipe, model, samples)
    found = platt_scaling.fit(scores[:, classes], labels[:, None] == classes)
    platt_scaling.put_into(model, found.scale, found.bias)
    record = {"classes": classes, "scale": found.scale, "bias": found.bias, "pixels": len(labels)}
    run.write_json(FILE, record)
    pairs = zip(classes, found.scale, found.bias, strict=True)
    fitted = ", ".join(f"{k}: {a:.3g} s {b:+.3g}" for k, a, b in pairs)
    say(f"scores of the specialists calibrated on {len(labels):,} validation pixels ({fitted})")
    return [
        f"The specialist of class {classes[channel]} is not calibrated: {why}."
        for channel, why in found.left.items()
    ]


def put_back(run: RunFolder, model: keras.Model) -> None:
    """Gives a model rebuilt from a checkpoint the run's calibration.

    Raises:
        InputError: The record is damaged, or of another model.
    """
    layer = platt_scaling.layer_of(model)
    if layer is None or not (run.path / FILE).is_file():  # a run without validation has none
        return
    record = run.read_json(FILE)
    try:
        platt_scaling.put_into(model, record["scale"], record["bias"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{run.path / FILE} does not fit the model ({error}). Restore it, or finish the run "
            f"again with --resume {run.path}."
        ) from error


def _scores(recipe: Recipe, model, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, K) and labels (n,) of counted pixels at the training size."""
    config = recipe.config.data
    size = min(config.batch_size, len(samples))
    logits = tf.function(lambda image: logits_of(model, image)[-1])
    kept, every = [], max(1, -(-samples.targets["mask"][0].size * len(samples) // MOST))
    for batch in scoring_batches(samples, batch_size=size, workers=config.workers):
        valid = batch["valid"].numpy()
        labels = batch["mask"].numpy()[valid].reshape(-1)[::every]
        scores = logits(batch["image"]).numpy()[valid].reshape(-1, recipe.num_classes)[::every]
        counted = ~np.isin(labels, recipe.ignored)
        kept.append((scores[counted], labels[counted]))
    scores, labels = (np.concatenate(column) for column in zip(*kept, strict=True))
    return scores, labels
