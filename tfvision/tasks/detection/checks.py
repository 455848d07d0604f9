"""What a detector cannot be trained with: settings that it contradicts, splits without a box."""

from typing import Any

import keras
import numpy as np

from tfvision.config import RunConfig
from tfvision.engine.rates import factors_of
from tfvision.engine.stages import StagedModel
from tfvision.errors import InputError
from tfvision.models.detector import Detector
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.pretrained import self_contained
from tfvision.recipe.recipe import stages_of
from tfvision.tasks.detection.facts import FACTS
from tfvision.tasks.detection.losses import check_heads
from tfvision.tasks.detection.sizes import input_size


def built(config: RunConfig, architecture: dict[str, Any] | None) -> Detector:
    """The detector of a config, to be looked at: one of open size.

    Args:
        config, architecture: Of the run; see `TrainingSide.settle`.

    Raises:
        InputError: An argument has an impossible value.
    """
    names = config.data.class_names
    model = FACTS.models().build(
        self_contained(config.model, architecture),
        input_shape=(None, None, config.data.channels or 3),
        num_classes=len(names) if names else 2,
    )
    keras.utils.clear_session()  # the run's own model gets the names it would have had
    return model


def check_detector(config: RunConfig, architecture: dict[str, Any] | None) -> None:
    """Builds the detector, and looks at what of the config speaks of it.

    Raises:
        InputError: An argument has an impossible value; its heads, its layers or its stride are
            not what the loss, `train.stages`, `train.rate_factors` or `data.image_size` say.
    """
    model = built(config, architecture)
    check_heads(config.loss, model.heads)
    if config.data.image_size is not None:
        input_size(config.data.image_size, np.zeros((0, 2)), config.model.name, model.stride)
    if config.train.stages is not None:
        StagedModel(model, stages_of(config))
    factors_of(model, config.train.rate_factors)


def check_boxes(prepared: Prepared) -> list[str]:
    """Lines on splits without a box, for the user.

    Raises:
        InputError: That of the training is one.
    """
    if not prepared.class_pixels("train").any():
        raise InputError(
            f"{prepared.source.layout}: no image of train has a box, so there is nothing to learn. "
            "Add annotated images to it, or give another split: --set data.splits=FILE.csv "
            "(columns id, split)."
        )
    if prepared.indices("val") and not prepared.class_pixels("val").any():
        return [
            "no image of val has a box, so no epoch can be scored: the weights of the last one are "
            "used, and no threshold is chosen; add annotated images to val"
        ]
    return []
