"""Centres of objects: any number of points an image, each with a score.

A task that the toolkit does not have, in one file: a network gives a heat map of a quarter of
the image's sides and, at each place, where in it the centre lies (Zhou, Wang and Krähenbühl,
"Objects as Points", 2019, without classes). Scored by average precision: a point is right where
it lies within `NEAR` pixels of a centre that no point of a higher score has taken.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from tfvision.config import DataConfig, RunConfig
from tfvision.config.schema import LossTerm
from tfvision.registry import Registry, Spec
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Measure, group_numbers
from tfvision.tasks.facts import Score, TaskFacts
from tfvision.tasks.task import Task

HERE = "tests.tasks.proof.centres"
STRIDE, MOST, NEAR = 4, 12, 6.0  # MOST points are predicted of an image
MODELS = Registry("model", {"heat": f"{HERE}:heat"})
SOURCES = Registry("source", {"scenes": f"{HERE}:scenes"})
METRICS = Registry("metric", {"ap": f"{HERE}:ap"})
RULES = Registry("rule", {"at_least": f"{HERE}:at_least"})


class CentresData(DataConfig):
    task: ClassVar[str] = "centres"
    source: Spec = Spec(name="scenes")


class CentresConfig(RunConfig):
    task: ClassVar[str] = "centres"
    data: CentresData = CentresData()
    loss: tuple[LossTerm, ...] = ()
    metrics: tuple[Spec, ...] = Field(default=(Spec(name="ap"),), min_length=1)


FACTS = TaskFacts(
    name="centres",
    script="train_centres.py",
    folder="centres",
    arch="heat",
    truth="boxes",
    truth_word="boxes",
    unit="centres",
    config=f"{HERE}:CentresConfig",
    task=f"{HERE}:Centres",
    evidence=f"{HERE}:Points",
    formats=(),
    example=((96, 128, 1), 1),
    arrays=("points", "scores"),
    tables={
        "model": f"{HERE}:MODELS",
        "data.source": f"{HERE}:SOURCES",
        "metrics": f"{HERE}:METRICS",
        "postprocess": f"{HERE}:RULES",
    },
    scores={"ap": Score("average precision")},
)


def scenes(*, pool: int = 36, test: int = 12):
    """Some of the embedded scenes with boxes: `pool` to train and to validate on."""
    from tfvision.data.sources.array_source import ArraySource
    from tfvision.data.sources.embedded_boxes import embedded_boxes

    source, parts = embedded_boxes(), {}
    for part, split, count in (("pool", "train", pool), ("test", "test", test)):
        rows = [i for i, record in enumerate(source.records) if record.split == split][:count]
        samples = [source.read_raw(i) for i in rows]
        columns = {key: [getattr(s, key) for s in samples] for key in ("boxes", "classes")}
        parts[part] = {"images": np.stack([s.image for s in samples]), **columns}
    return ArraySource(parts, class_names=source.class_names, truth="boxes", name="scenes")


def ap(num_classes: int = 0) -> None:
    """Average precision; `Points` computes it."""


def at_least(score: float):
    """Leaves out points below a score."""

    def rule(prediction):
        stay = prediction["scores"] >= score
        return {name: value[stay] for name, value in prediction.items()}

    return rule


def heat(input_shape, num_classes: int, *, width: int = 8):
    """(B, H, W, C) -> (B, H / 4, W / 4, 3): logits of a centre, and its place in the cell."""
    import keras
    from keras import layers

    inputs = x = keras.Input(input_shape)
    for step in (2, 1, 2, 1):
        x = layers.Conv2D(width * 2, 3, step, "same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.GroupNormalization(4)(x))
    rare = keras.initializers.Constant(-2.0)  # few places are centres
    model = keras.Model(inputs, layers.Conv2D(3, 1, bias_initializer=rare, dtype="float32")(x))
    model.stride = STRIDE
    return model


class Centres(Task):
    """The task; see `Task` for what its methods are asked."""

    facts = FACTS

    def losses(self, recipe, batch, outputs):
        import tensorflow as tf

        wanted, places, there = targets(batch["boxes"], batch["classes"], outputs[0].shape[1:3])
        p = tf.clip_by_value(tf.sigmoid(outputs[0][..., 0]), 1e-4, 1 - 1e-4)
        hit = tf.cast(wanted == 1, tf.float32)
        found = hit * (1 - p) ** 2 * tf.math.log(p)
        missed = (1 - hit) * (1 - wanted) ** 4 * p**2 * tf.math.log(1 - p)
        number = tf.maximum(tf.reduce_sum(there, 1), 1.0)
        off = tf.abs(tf.sigmoid(outputs[0][..., 1:]) - places) * hit[..., None]
        return {
            "heat": -tf.reduce_sum(found + missed, (1, 2)) / number,
            "place": tf.reduce_sum(off, (1, 2, 3)) / number,
        }

    def arrays(self, recipe, outputs, size):
        import tensorflow as tf

        p = tf.sigmoid(outputs[0][..., :1])
        peaks = tf.where(tf.nn.max_pool2d(p, 3, 1, "SAME") == p, p, 0.0)[..., 0]
        width = tf.shape(peaks)[2]
        scores, index = tf.math.top_k(tf.reshape(peaks, [tf.shape(p)[0], -1]), MOST)
        rows = tf.reshape(tf.sigmoid(outputs[0][..., 1:]), [tf.shape(p)[0], -1, 2])
        cells = tf.stack([index % width, index // width], -1)
        points = (tf.cast(cells, tf.float32) + tf.gather(rows, index, batch_dims=1)) * STRIDE
        return {"points": points, "scores": scores}

    def evidence(self, recipe, ids, answers, truths):
        return Points.of(ids, answers, [centres_of(truth["boxes"]) for truth in truths])

    def undo(self, view, prediction, size):
        return {**prediction, "points": view.place(prediction["points"], size)}

    def merge(self, tiles, size):
        moved = [{**p, "points": p["points"] + [left, top]} for (top, left), p in tiles]
        return self.combine(moved, [1.0] * len(tiles))

    def combine(self, predictions, weights):
        """Points closer than half of `NEAR` are one, whose score is the sum of the shares."""
        points = np.concatenate([p["points"] for p in predictions])
        scores = [w * p["scores"] for w, p in zip(weights, predictions, strict=True)]
        scores = np.concatenate(scores).astype(np.float32)
        near = np.hypot(*(points[:, None] - points).T) < NEAR / 2
        free, kept, sums = np.ones(len(scores), bool), [], []
        for i in np.argsort(-scores, kind="stable"):
            if free[i]:
                kept.append(points[i])
                sums.append(min(scores[near[i] & free].sum(), 1))
                free &= ~near[i]
        order = np.argsort(-np.array(sums), kind="stable")[:MOST]
        return {"points": np.array(kept)[order], "scores": np.array(sums)[order]}

    def candidates(self, recipe):
        return {"at_least": [{"name": "at_least", "score": s} for s in (0.1, 0.2, 0.3, 0.5)]}


def centres_of(boxes):
    """(n, 4) `x1 y1 x2 y2` -> (n, 2) `x y`."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def targets(boxes, classes, size):
    """Heat (B, h, w) with 1 at centres, their places (B, h, w, 2), which boxes are true (B, M)."""
    import tensorflow as tf

    there = tf.cast(classes >= 0, tf.float32)
    points = centres_of(boxes) / STRIDE
    cells = tf.floor(points)
    y, x = tf.meshgrid(tf.range(float(size[0])), tf.range(float(size[1])), indexing="ij")
    away = tf.reduce_sum((tf.stack([x, y], -1)[None, None] - cells[:, :, None, None]) ** 2, -1)
    bumps = tf.exp(-away / 2) * there[:, :, None, None]
    owner = tf.argmax(bumps, 1)
    places = tf.gather(points - cells, owner, batch_dims=1)
    return tf.reduce_max(bumps, 1), places, there


@dataclass(frozen=True, eq=False)
class Points(Evidence):
    """Scores (N, M) of points, NaN where there is none, which are right, and the true number."""

    suffix: ClassVar[str] = "points"
    scores: ClassVar[tuple[str, ...]] = ("ap",)
    pools: ClassVar[bool] = False
    text: ClassVar[str] = "points"

    ids: list[str]
    found: np.ndarray
    right: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, ids, answers, truths):
        found, right = np.full((len(ids), MOST), np.nan), np.zeros((len(ids), MOST))
        for i, (answer, centres) in enumerate(zip(answers, truths, strict=True)):
            free = np.ones(len(centres), bool)
            for j in np.argsort(-answer["scores"], kind="stable"):
                found[i, j] = answer["scores"][j]
                away = np.hypot(*(centres - answer["points"][j]).T)
                near = np.flatnonzero(free & (away < NEAR))
                if len(near):
                    free[near[away[near].argmin()]], right[i, j] = False, 1
        return cls(list(ids), found, right, np.array([len(t) for t in truths]))

    def digest(self):
        return self.number[:, None]

    def measure(self, score, contract, *, groups=None, class_index=None):
        return AveragePrecision(self, *group_numbers(groups, len(self)))


class AveragePrecision(Measure):
    """The mean, over the true centres, of the precision where each is found."""

    def __init__(self, points: Points, member: np.ndarray, num_units: int):
        order = np.argsort(-points.found, axis=None, kind="stable")
        order = order[~np.isnan(points.found.ravel()[order])]
        self._units, self._unit = num_units, np.repeat(member, MOST)[order]
        self._right = points.right.ravel()[order]
        self._number = np.bincount(member, points.number, num_units)

    @property
    def num_units(self) -> int:
        return self._units

    def under(self, weights):
        w, right = weights[:, self._unit], self._right
        total, hits = weights @ self._number, np.cumsum(w * right, 1)
        seen = np.maximum(np.cumsum(w, 1), 1e-12)
        total, precision = np.where(total > 0, total, np.nan), hits / seen
        value = (w * right * precision).sum(1) / total
        # What a point changes: its own term, and the precision of all that stand behind it.
        terms = (w * right / seen, w * right * hits / seen**2)
        ahead, share = (np.cumsum(term[:, ::-1], 1)[:, ::-1] for term in terms)
        pull = right * precision + right * ahead - share
        by_unit = pull @ (self._unit[:, None] == np.arange(self._units))
        return value, (by_unit - value[:, None] * self._number) / total[:, None]
