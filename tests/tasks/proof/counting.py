"""How many objects an image holds: a regression in one file, scored by the mean absolute error."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from tfvision.config import DataConfig, RunConfig
from tfvision.config.schema import LossTerm
from tfvision.registry import Registry, Spec
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Ratios, by_group
from tfvision.tasks.facts import Score, TaskFacts
from tfvision.tasks.task import Task

HERE = "tests.tasks.proof.counting"
MODELS = Registry("model", {"counter": f"{HERE}:counter"})
METRICS = Registry("metric", {"mean_error": f"{HERE}:mean_error"})
SOURCES = Registry("source", {"scenes": "tests.tasks.proof.centres:scenes"})


class CountingData(DataConfig):
    task: ClassVar[str] = "counting"
    source: Spec = Spec(name="scenes")


class CountingConfig(RunConfig):
    task: ClassVar[str] = "counting"
    data: CountingData = CountingData()
    loss: tuple[LossTerm, ...] = ()
    metrics: tuple[Spec, ...] = Field(default=(Spec(name="mean_error"),), min_length=1)


FACTS = TaskFacts(
    name="counting",
    script="train_counting.py",
    folder="counting",
    arch="counter",
    truth="boxes",
    truth_word="boxes",
    unit="images",
    config=f"{HERE}:CountingConfig",
    task=f"{HERE}:Counting",
    evidence=f"{HERE}:Numbers",
    formats=(),
    example=((96, 128, 1), 1),
    arrays=("number",),
    tables={
        "model": f"{HERE}:MODELS",
        "metrics": f"{HERE}:METRICS",
        "data.source": f"{HERE}:SOURCES",
    },
    scores={"mean_error": Score("mean absolute error", high=math.inf, larger_is_better=False)},
    reasons={"tile": "the number of a whole image is no sum over tiles that overlap"},
)


def mean_error(num_classes: int = 0) -> None:
    """Mean absolute error; `Numbers` computes it."""


def counter(input_shape, num_classes: int):
    """(B, H, W, C) -> (B, 1), the number of objects."""
    import keras
    from keras import layers

    inputs = x = keras.Input(input_shape)
    for filters in (8, 16, 32):
        x = layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1, bias_initializer="ones", dtype="float32")(x))


class Counting(Task):
    """The task; see `Task` for what its methods are asked."""

    facts = FACTS

    def losses(self, recipe, batch, outputs):
        import tensorflow as tf

        number = tf.reduce_sum(tf.cast(batch["classes"] >= 0, tf.float32), 1)
        return {"squared": (outputs[0][:, 0] - number) ** 2}

    def arrays(self, recipe, outputs, size):
        return {"number": outputs[0][:, 0]}

    def evidence(self, recipe, ids, answers, truths):
        numbers = np.array([answer["number"] for answer in answers], np.float64)
        return Numbers(list(ids), numbers, np.array([len(t["boxes"]) for t in truths], np.float64))

    def undo(self, view, prediction, size):
        return prediction

    def combine(self, predictions, weights):
        pairs = zip(weights, predictions, strict=True)
        return {"number": np.float32(sum(w * p["number"] for w, p in pairs))}


@dataclass(frozen=True, eq=False)
class Numbers(Evidence):
    """(N,) numbers of objects, predicted and true."""

    suffix: ClassVar[str] = "numbers"
    scores: ClassVar[tuple[str, ...]] = ("mean_error",)
    text: ClassVar[str] = "numbers"

    ids: list[str]
    predicted: np.ndarray
    true: np.ndarray

    def digest(self):
        return self.true[:, None]

    def measure(self, score, contract, *, groups=None, class_index=None):
        sides = (np.abs(self.predicted - self.true), np.ones(len(self)))
        above, below = (by_group(side[:, None], groups) for side in sides)
        return Ratios(above, below, high=math.inf, larger_is_better=False)
