"""A look at a training that is to come: what would stop it before its first step."""

import keras

from tfvision.config import RunConfig
from tfvision.recipe.dataset import Prepared
from tfvision.runs.set_up import check_config
from tfvision.tasks.task import task_of


def check_trainable(config: RunConfig, prepared: Prepared, replicas: int) -> None:
    """Checks a config, settles it on its data, augments a few samples and builds the model.

    Nothing is written, no weights are read and no step is taken.

    Args:
        config: Of a new run.
        prepared: Its data, at the size and with the channels of the config.
        replicas: Devices that will share a batch.

    Raises:
        InputError: A run of the config would end before its first step.
    """
    task = task_of(config.task)
    settled = task.settle(config, prepared, check_config(config, replicas))
    task.augmented(settled.recipe, settled.prepared)
    model = settled.recipe.build(task.open_shape(settled.recipe))
    task.check_model(settled.recipe, model)
    keras.utils.clear_session()  # many configs are looked at in one process
