"""A run small enough to repeat many times: tiny images, tiny models, everything on."""

import keras
import numpy as np
import tensorflow as tf

from tfvision.augment import compose, flip_lr
from tfvision.data.pipeline import Samples, training_batches
from tfvision.engine.loop import Loop
from tfvision.engine.loop_state import Plan
from tfvision.engine.schedules import Cosine
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy, Dice
from tfvision.models import MODELS

SHAPE = (8, 8, 1)
CLASSES = 3
_MADE = {}


def samples(count=10, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    masks = (images[..., 0] // 86).astype(np.uint8)
    return Samples([f"id{i}" for i in range(count)], images, 1 / 255, {"mask": masks})


def train_step(
    strategy=None,
    *,
    batch_size=4,
    normalization="batch",
    dropout=0.2,
    optimizer=None,
    deterministic=True,
    **options,
):
    """A step with its initial values; the same arguments share one traced graph."""
    strategy = strategy or tf.distribute.get_strategy()

    def make():
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        with strategy.scope():
            model = MODELS["unet"](
                SHAPE, CLASSES, width=4, depth=1, normalization=normalization, dropout=dropout
            )
            adam = keras.optimizers.AdamW
            learns = optimizer() if optimizer else adam(1e-2, name="adamw")
        loss = batch_loss([(CrossEntropy(), 1.0), (Dice(), 0.5)])
        return TrainStep(model, learns, loss, strategy=strategy, batch_size=batch_size, **options)

    settings = (batch_size, normalization, dropout, optimizer, repr(sorted(options.items())))
    return shared((id(strategy), *settings), make)


def shared(key, make):
    """The step that `make` gives, with its initial values; the same key shares one traced graph."""
    if key not in _MADE:
        keras.utils.clear_session()  # automatic names start again, as in a fresh process
        keras.utils.set_random_seed(0)
        step = make()
        _MADE[key] = step, values(step)
    step, initial = _MADE[key]
    for name, variable in step.named_variables().items():
        variable.assign(initial[name])
    return step


def stream(first_step=0, *, batch_size=4, data=None, seed=3):
    return training_batches(
        data or samples(),
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        augment=compose([flip_lr(p=0.5)]),
    )


def plan(**changes):
    settings = {
        "steps_per_epoch": 3,
        "epochs": 4,
        "time_limit": None,
        "learning_rate": 1e-2,
        "schedule": Cosine(warmup=0.1),
        "monitor": "val_score",
    }
    return Plan(**{**settings, **changes})


def validation(step):
    """A score that falls after the second epoch, so that best and last differ."""

    def validate():
        epoch = int(step.optimizer.iterations.numpy()) // 3
        return {"val_score": [0.0, 0.3, 0.9, 0.5, 0.4, 0.6, 0.1][epoch]}

    return validate


def loop(folder=None, *, step=None, the_plan=None, **options):
    step = step or train_step(ema=0.9)
    options.setdefault("validate", validation(step))
    options.setdefault("batches", stream)
    batches = options.pop("batches")
    return Loop(step, batches, plan=the_plan or plan(), folder=folder, **options)


def values(step):
    """All variables of a step as arrays, by name."""
    return {k: keras.ops.convert_to_numpy(v) for k, v in step.named_variables().items()}
