"""One training step, the same on one device, several, or several machines."""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfvision.engine.checkpoint import name_variables
from tfvision.engine.embeddings import on_embeddings, output_names, outputs_for, over_replicas
from tfvision.engine.inference import as_map
from tfvision.engine.rates import factors_of
from tfvision.engine.stages import Stage, StagedModel
from tfvision.errors import InputError

Batch = dict[str, tf.Tensor]
BatchLoss = Callable[..., "tf.Tensor | dict[str, tf.Tensor]"]  # see `batch_loss`
Forward = Callable[[keras.Model, Batch, bool], "list[tf.Tensor]"]
Term = tuple[keras.losses.Loss, float | keras.Variable]


def of_images(model: keras.Model, batch: Batch, training: bool) -> list[tf.Tensor]:
    """The outputs of a model that is given the images of a batch and nothing else."""
    outputs = model(batch["image"], training=training)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


class TrainStep:
    """Gradients of a batch, their sum over replicas, one update of the weights.

    The loss of a batch is the mean over its images, whatever replica or part of the batch
    they fall in, so any number of replicas gives the same step (batch normalisation
    aside, which has to be synchronised for that).

    Args:
        model: A built model, made under `strategy.scope()`.
        optimizer: A Keras optimizer, made there too.
        loss: `(batch, outputs, names) -> (b,)` float32, one value an image, or `{name: (b,)}`,
            terms whose sum it is, reported one by one; `names` are those of the outputs.
        strategy: A `tf.distribute` strategy.
        batch_size: Images a step, over all replicas.
        accumulate: Parts each replica works its share of the batch through in, one after
            the other; less memory, the same gradient.
        clip_norm: Bound of the gradient's global norm, or None.
        ema: Decay of the averaged weights, or None.
        xla: Compile forward and backward pass by XLA.
        stages: What learns when, see `engine/stages.py`; none: all of it, always. Until the
            first `begin_stage` all of it learns, too.
        rate_factors: Shell pattern of layer names -> what the learning rate of these layers is
            multiplied by, see `engine/rates.py`. Weight decay goes with the rate.
        forward: `(model, batch, training) -> outputs`: what of the batch the model is given.

    Raises:
        InputError: `batch_size` does not divide by replicas times parts, or a stage or a
            pattern does not fit the model.
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
        stages: Sequence[Stage] = (),
        rate_factors: Mapping[str, float] | None = None,
        forward: Forward = of_images,
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
        self._xla = xla
        self.forward = forward
        self._network, self._trained = model, model.trainable_variables
        self.terms: dict[str, tf.Tensor] = {}  # of the last step's loss, where it tells them apart
        self._moving = list(zip(self._averaged, self.averages, strict=True))
        self._factors = factors_of(model, rate_factors or {})
        self._staged = StagedModel(model, stages) if stages else None
        self._new_slots = [_compact(v) for v in self._slots()] if stages else []
        self._graphs: dict[int, tuple[Callable, Callable]] = {}  # by stage, which is fixed in them
        self._gradients, self._distributed = self._graph()

    def __call__(self, batch: Batch, learning_rate: float) -> tf.Tensor:
        """Takes one step. Returns the loss, a float32 scalar; it is not waited for."""
        self.optimizer.learning_rate.assign(learning_rate)
        loss, self.terms = self._distributed(batch)
        return loss

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self._staged.stages if self._staged else ()

    def outputs_in(self, number: int) -> list[str]:
        """Names of the outputs whose losses count in a stage."""
        return output_names(self._staged.parts[number].model)

    def begin_stage(self, number: int) -> list[str]:
        """Begins a stage as a training of its own; returns lines that say what it is.

        It starts from the averaged weights, where there are averages, and with a new
        optimizer: Adam's correction of its first steps, say, holds for variables that begin
        to learn now, and what a stage has gathered of a variable is not used in the next.
        A stage that keeps slots goes on instead with weights, averages and slots as they are.
        """
        lines = [self._staged.describe(number)]
        if self.stages[number].keep_slots:
            self.enter_stage(number)
            return lines
        if number > 0:
            if self.averages:
                assign_all(self.model.variables, self.scored_values())
            for slot, value in zip(self._slots(), self._new_slots, strict=True):
                slot.assign(np.broadcast_to(value, slot.shape))
        lines += self._staged.transfer(number)
        for variable, average in zip(self._averaged, self.averages, strict=True):
            average.assign(keras.ops.convert_to_numpy(variable))
        self.enter_stage(number)
        return lines

    def enter_stage(self, number: int) -> None:
        """Goes on in a stage that has begun: its variables alone move from now on."""
        part = self._staged.enter(number)
        self._network = part.model
        of_stage = {id(v) for layer in part.layers.values() for v in layer.variables}
        self._trained = [v for v in self.model.trainable_variables if id(v) in of_stage]
        pairs = zip(self._averaged, self.averages, strict=True)
        # An average of what does not move is that very value: not to be rounded again.
        self._moving = [(v, average) for v, average in pairs if id(v) in of_stage]
        if number not in self._graphs:
            self._graphs[number] = self._graph()
        self._gradients, self._distributed = self._graphs[number]

    def leave_stages(self) -> None:
        """Takes back what stages have frozen in the model."""
        if self._staged:
            self._staged.leave()

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

    def _graph(self) -> tuple[Callable, Callable]:
        """Gradients and step, which become graphs when they are called first.

        As in the `fit` of Keras no Python code is translated, which costs seconds of a start:
        what is given here branches on tensors by `tf.cond` and `tf.where` alone.
        """
        gradients = self._gradients_of
        if self._xla:
            gradients = tf.function(gradients, jit_compile=True, autograph=False)
        return gradients, tf.function(self._distributed_step, autograph=False)

    def _slots(self) -> list[keras.Variable]:
        """The optimizer's memory: slots and iterations, neither the learning rate, which every
        step sets, nor the scale of a float16 loss."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return [v for v in optimizer.variables if v is not optimizer.learning_rate]

    def _distributed_step(self, batch):
        learning = {id(v) for v in self._trained}
        slowed = [
            (v, factor, tf.identity(v.value)) for v, factor in self._factors if id(v) in learning
        ]
        losses = self.strategy.run(self._replica_step, args=(batch,))
        for variable, factor, before in slowed:
            # The update of every optimizer is a multiple of its rate: so it is that of
            # `factor * rate`, whatever the optimizer, and the slots are as they were to be.
            variable.assign(before + factor * (variable.value - before))
        for variable, average in self._moving:
            # Slow start: an average over few steps must not remember the initial weights.
            steps = tf.cast(self.optimizer.iterations.value, tf.float32)
            decay = tf.minimum(self._ema, (1 + steps) / (10 + steps))
            average.assign(decay * average.value + (1 - decay) * variable.value)
        return tf.nest.map_structure(
            lambda value: self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None), losses
        )

    def _replica_step(self, batch):
        if self._accumulate == 1:
            losses, gradients = self._gradients(batch)
        else:
            parts = [self._gradients(self._part(batch, i)) for i in range(self._accumulate)]
            losses = tf.nest.map_structure(lambda *of: tf.add_n(of), *[part[0] for part in parts])
            gradients = [tf.add_n(g) for g in zip(*(part[1] for part in parts), strict=True)]
        if self._clip_norm:
            gradients = self._clip(gradients)
        self.optimizer.apply(gradients, self._trained)
        return losses

    def _gradients_of(self, batch):
        with tf.GradientTape() as tape:
            outputs = self.forward(self._network, batch, True)
            losses = self._loss(batch, outputs, output_names(self._network))
            loss = tf.reduce_sum(summed(losses)) / self._batch_size
            share = self.strategy.num_replicas_in_sync * self._accumulate
            penalty = sum(self._network.losses) / share if self._network.losses else 0.0
            scaled = self.optimizer.scale_loss(loss + penalty)
        values = [v.value for v in self._trained]
        terms = losses if isinstance(losses, dict) else {}
        terms = {name: tf.reduce_sum(value) / self._batch_size for name, value in terms.items()}
        return (loss, terms), tape.gradient(scaled, values)

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


def summed(losses: tf.Tensor | dict[str, tf.Tensor]) -> tf.Tensor:
    """(b,) of what a `BatchLoss` gives: itself, or the sum of its terms."""
    return tf.add_n(list(losses.values())) if isinstance(losses, dict) else losses


def assign_all(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Gives each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compact(variable: keras.Variable) -> np.ndarray:
    """A variable's value; one number where all are equal, as in every new slot."""
    value = keras.ops.convert_to_numpy(variable)
    equal = value.size > 0 and (value == value.flat[0]).all()
    return value.reshape(-1)[0] if equal else value


def check_batch_size(batch_size: int, replicas: int, accumulate: int) -> None:
    """Raises an `InputError` where a batch does not divide by devices times parts."""
    if batch_size % (replicas * accumulate):
        raise InputError(
            f"data.batch_size {batch_size} must divide by {replicas} device(s) times "
            f"train.accumulate {accumulate}. Try "
            f"{max(1, batch_size // (replicas * accumulate)) * replicas * accumulate}."
        )


def label_maps(batch: Batch, suffix: str = "") -> tf.Tensor:
    """(b, H, W) int32 of the masks of a batch; of labels, which stand for whole images, (b, 1, 1).

    `suffix`: `_other` for the second truth of a mixed batch.
    """
    if "mask" + suffix in batch:
        return batch["mask" + suffix]
    return batch["label" + suffix][:, None, None]


def term_value(
    loss: keras.losses.Loss, batch: Batch, output: tf.Tensor, *, suffix: str = ""
) -> tf.Tensor:
    """(b,) of one loss on one output, with what the pipeline has prepared for it.

    Args:
        loss: Its attribute `prepared`, where it has one, names keys of the batch that `call`
            takes.
        batch: With `mask`, or `label`.
        output: Logits (b, H, W, K), of a classifier (b, K); embeddings (b, D) for a loss that is
            on them.
        suffix: `_other` for the second labels of a mixed batch.
    """
    labels = label_maps(batch, suffix)
    if on_embeddings(loss):
        return over_replicas(loss, tf.reshape(labels, [-1]), output)
    keys = [key for key in getattr(loss, "prepared", ()) if key + suffix in batch]
    return loss.call(labels, as_map(output), **{k: batch[k + suffix] for k in keys})


def batch_loss(terms: Sequence[Term]) -> BatchLoss:
    """The weighted sum of `terms`, averaged over a model's outputs, one value an image.

    `loss(batch, outputs, names=None)`: the names of the outputs say which are embeddings, none
    where they are left out; a term is on those it is made for, see `outputs_for`, and without
    such an output it counts nothing. A batch that went through MixUp has the labels of two
    images; each gets its share.

    Args:
        terms: (loss, weight); a loss's `call(labels, logits)` gives (b,) float32. A weight
            that is a variable is read in every step.

    Raises:
        InputError: When called: no term is on any of the outputs.
    """
    kinds = [[term for term in terms if on_embeddings(term[0]) == kind] for kind in (False, True)]

    def total(batch, outputs, names, suffix=""):
        found = []
        for of_kind in kinds:
            chosen = outputs_for(of_kind[0][0], outputs, names) if of_kind else []
            values = [
                weight * term_value(loss, batch, y, suffix=suffix)
                for y in chosen
                for loss, weight in of_kind
            ]
            if values:
                found.append(tf.add_n(values) / len(chosen))
        if not found:
            raise InputError(
                "No term of the loss is on the outputs "
                f"{', '.join(names or ()) or 'of the model'}: nothing would be taught. Add one "
                "that is (supervised_contrastive on `embedding`, all others on logits)."
            )
        return tf.add_n(found)

    def of_batch(
        batch: Batch, outputs: Sequence[tf.Tensor], names: Sequence[str] | None = None
    ) -> tf.Tensor:
        own = total(batch, outputs, names)
        if batch.keys().isdisjoint({"mask_other", "label_other"}):
            return own
        return batch["mix"] * own + (1 - batch["mix"]) * total(batch, outputs, names, "_other")

    return of_batch
