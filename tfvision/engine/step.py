"""One training step, the same on one device, several, or several machines."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfvision.engine.checkpoint import name_variables
from tfvision.errors import InputError

Batch = dict[str, tf.Tensor]
BatchLoss = Callable[[Batch, Sequence[tf.Tensor]], tf.Tensor]


class TrainStep:
    """Gradients of a batch, their sum over replicas, one update of the weights.

    The loss of a batch is the mean over its images, whatever replica or part of the batch
    they fall in, so any number of replicas gives the same step (batch normalisation
    aside, which has to be synchronised for that).

    Args:
        model: A built model, made under `strategy.scope()`.
        optimizer: A Keras optimizer, made there too.
        loss: `(batch, outputs) -> (b,)` float32, one value an image.
        strategy: A `tf.distribute` strategy.
        batch_size: Images a step, over all replicas.
        accumulate: Parts each replica works its share of the batch through in, one after
            the other; less memory, the same gradient.
        clip_norm: Bound of the gradient's global norm, or None.
        ema: Decay of the averaged weights, or None.
        xla: Compile forward and backward pass by XLA.

    Raises:
        InputError: `batch_size` does not divide by replicas times parts.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: BatchLoss,
        *,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        accumulate: int = 1,
        clip_norm: float | None = None,
        ema: float | None = None,
        xla: bool = False,
    ):
        check_batch_size(batch_size, strategy.num_replicas_in_sync, accumulate)
        self.model, self.optimizer, self.strategy = model, optimizer, strategy
        self._loss, self._batch_size, self._accumulate = loss, batch_size, accumulate
        self._clip_norm, self._ema = clip_norm, ema
        with strategy.scope():
            optimizer.build(model.trainable_variables)
            self._averaged = [
                v for v in model.variables if ema and v.dtype in ("float32", "float64")
            ]
            self.averages = [
                keras.Variable(keras.ops.convert_to_numpy(v), trainable=False, name=f"average_{i}")
                for i, v in enumerate(self._averaged)
            ]
        self._gradients = (
            tf.function(self._gradients_of, jit_compile=True) if xla else (self._gradients_of)
        )
        self._distributed = tf.function(self._distributed_step)

    def __call__(self, batch: Batch, learning_rate: float) -> tf.Tensor:
        """Takes one step. Returns the loss, a float32 scalar; it is not waited for."""
        self.optimizer.learning_rate.assign(learning_rate)
        return self._distributed(batch)

    def named_variables(self) -> dict[str, keras.Variable]:
        """All that changes in a step: weights, statistics, seeds, slots, averages."""
        return {
            **name_variables("model", self.model.variables),
            **name_variables("optimizer", self.optimizer.variables),
            **name_variables("average", self.averages),
        }

    def scored_values(self) -> list:
        """The values a score belongs to: the averages where there are any."""
        averages = {id(v): a for v, a in zip(self._averaged, self.averages, strict=True)}
        return [keras.ops.convert_to_numpy(averages.get(id(v), v)) for v in self.model.variables]

    def _distributed_step(self, batch):
        losses = self.strategy.run(self._replica_step, args=(batch,))
        for variable, average in zip(self._averaged, self.averages, strict=True):
            # Slow start: an average over few steps must not remember the initial weights.
            steps = tf.cast(self.optimizer.iterations.value, tf.float32)
            decay = tf.minimum(self._ema, (1 + steps) / (10 + steps))
            average.assign(decay * average.value + (1 - decay) * variable.value)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, batch):
        if self._accumulate == 1:
            loss, gradients = self._gradients(batch)
        else:
            parts = [self._gradients(self._part(batch, i)) for i in range(self._accumulate)]
            loss = tf.add_n([part[0] for part in parts])
            gradients = [tf.add_n(g) for g in zip(*(part[1] for part in parts), strict=True)]
        if self._clip_norm:
            gradients = self._clip(gradients)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss

    def _gradients_of(self, batch):
        with tf.GradientTape() as tape:
            outputs = self.model(batch["image"], training=True)
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            loss = tf.reduce_sum(self._loss(batch, outputs)) / self._batch_size
            share = self.strategy.num_replicas_in_sync * self._accumulate
            penalty = sum(self.model.losses) / share if self.model.losses else 0.0
            scaled = self.optimizer.scale_loss(loss + penalty)
        values = [v.value for v in self.model.trainable_variables]
        return loss, tape.gradient(scaled, values)

    def _part(self, batch, i):
        size = self._batch_size // (self.strategy.num_replicas_in_sync * self._accumulate)
        return {key: value[i * size : (i + 1) * size] for key, value in batch.items()}

    def _clip(self, gradients):
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        bound = self._clip_norm
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            bound *= tf.convert_to_tensor(self.optimizer.dynamic_scale)
        gradients, _ = tf.clip_by_global_norm(gradients, bound)
        # `apply` sums over the replicas again.
        return [g / self.strategy.num_replicas_in_sync for g in gradients]


def check_batch_size(batch_size: int, replicas: int, accumulate: int) -> None:
    """Raises an `InputError` where a batch does not divide by devices times parts."""
    if batch_size % (replicas * accumulate):
        raise InputError(
            f"data.batch_size {batch_size} must divide by {replicas} device(s) times "
            f"train.accumulate {accumulate}. Try "
            f"{max(1, batch_size // (replicas * accumulate)) * replicas * accumulate}."
        )


def batch_loss(terms: Sequence[tuple[keras.losses.Loss, float]]) -> BatchLoss:
    """The weighted sum of `terms`, averaged over a model's outputs, one value an image.

    A batch that went through MixUp has the labels of two images; each gets its share.

    Args:
        terms: (loss, weight); a loss's `call(labels, logits)` gives (b,) float32.
    """

    def total(labels, outputs):
        values = [weight * loss.call(labels, y) for y in outputs for loss, weight in terms]
        return tf.add_n(values) / len(outputs)

    def of_batch(batch: Batch, outputs: Sequence[tf.Tensor]) -> tf.Tensor:
        own = total(batch["mask"], outputs)
        if "mask_other" not in batch:
            return own
        return batch["mix"] * own + (1 - batch["mix"]) * total(batch["mask_other"], outputs)

    return of_batch
