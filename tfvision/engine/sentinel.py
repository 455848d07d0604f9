"""A watch over a training: what goes wrong in silence, said while it can still be mended.

Before the first step it looks at one batch as the model gets it and at the gradients of
that batch; after each epoch at the history. Every alarm says what was measured and what to
look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfvision.engine.embeddings import is_embedding, output_names, outputs_for
from tfvision.engine.step import Batch, BatchLoss, TrainStep, label_maps, summed, term_value

PROBED = 4  # images whose gradients are looked at, on each device
LOOKED_AT = 64  # images whose labels are followed through the augmentation
FACTOR = 4.0  # how far the loss at the start may lie from that of equal probabilities
KEPT = 0.2  # share of a class's pixels that augmentation must leave
PATIENCE = 3  # epochs in a row
COLLAPSED = 0.999  # share of one class among predicted pixels


@dataclass(frozen=True)
class Watch:
    """What the history of a run is held against.

    Attributes:
        class_names: K names.
        present: (K,) true pixels of each class in the validation split.
        monitor: The score in the history that selects the best epoch.
        majority: That score of predicting the most frequent class everywhere.
        unit: What is counted: pixels, or images of a classification.
        truth: What says the class of one: masks, or labels.
        script: What trains such a run.
    """

    class_names: Sequence[str]
    present: np.ndarray
    monitor: str
    majority: float
    unit: str = "pixels"
    truth: str = "masks"
    script: str = "train_seg.py"

    def __call__(self, history: Sequence[dict], progress: float) -> dict[str, str]:
        """Alarms by kind.

        Args:
            history: One row an epoch; `val_predicted_<k>` is the share of the counted
                pixels that are predicted as class k.
            progress: Share of the training that is done, in [0, 1].
        """
        alarms: dict[str, str] = {}
        if not history or self.monitor not in history[-1]:
            return alarms
        predicted = np.array(
            [[row[f"val_predicted_{k}"] for k in range(len(self.class_names))] for row in history]
        )
        there = self.present > 0
        self._collapse(predicted, there, alarms)
        if progress >= 0.5 and len(history) >= PATIENCE:
            for k in np.flatnonzero(there & (predicted.max(axis=0) == 0)):
                alarms[f"never predicted {k}"] = (
                    f"after {len(history)} epochs the class {self.class_names[k]!r} has never been "
                    "predicted in the validation split, which holds it. Look at its share in the "
                    "report; class_weights in the loss, data.balance or copy_paste help a rare one."
                )
        loss = history[-1].get("val_loss")
        if loss is not None and not np.isfinite(loss):
            alarms["validation loss"] = (
                f"the validation loss of epoch {history[-1]['epoch']} is {loss}. Look for images "
                "with extreme values in that split, and lower train.optimizer.learning_rate."
            )
        self._no_score(history, progress, alarms)
        return alarms

    def _collapse(self, predicted, there, alarms):
        last = predicted[-PATIENCE:]
        one = int(last[-1].argmax())
        share = self.present[one] / max(self.present.sum(), 1)
        lasting = len(last) == PATIENCE and (last[:, one] >= COLLAPSED).all()
        if lasting and there.sum() > 1 and share < COLLAPSED:
            alarms["collapse"] = (
                f"for {PATIENCE} epochs {last[-1][one]:.1%} of all validation {self.unit} have "
                f"been predicted as {self.class_names[one]!r}, true is {share:.1%}. Look at the "
                f"learning rate ({self.script} --lr-range), class_weights, and whether "
                f"{self.truth} belong to their images (python -m tfvision audit)."
            )

    def _no_score(self, history, progress, alarms):
        values = [row[self.monitor] for row in history]
        fallen = 1 - history[-1]["loss"] / history[0]["loss"] if history[0]["loss"] > 0 else 0.0
        ready = progress >= 0.25 and len(history) >= PATIENCE
        if ready and fallen > 0.2 and np.nanmax([*values[-PATIENCE:], -1.0]) <= self.majority:
            alarms["no score"] = (
                f"the training loss has fallen by {fallen:.0%}, but {self.monitor} is "
                f"{values[-1]:.3f}, no better than the most frequent class everywhere "
                f"({self.majority:.3f}). Look whether the validation {self.truth} mean the same "
                f"classes as the training {self.truth}, and whether both splits hold the same "
                "kind of images."
            )


def check_start(
    step: TrainStep,
    batches: tf.data.Dataset,
    *,
    loss: BatchLoss,
    terms: Sequence[tuple[str, keras.losses.Loss]],
    labels: np.ndarray | None,
    class_names: Sequence[str],
    ignore_labels: Sequence[int],
) -> dict[str, str]:
    """Alarms of the first batches, by kind. Leaves the model as it was.

    Args:
        step: With the model as it will be trained.
        batches: The stream of training batches from its first step on.
        loss: The whole loss.
        terms: Its terms, with their names.
        labels: (N, H, W) of the training samples before augmentation, into which `index` of a
            batch points; None where there are no maps of labels: then neither these nor the
            size of the loss are looked at.
        class_names: K names.
        ignore_labels: True labels that do not count.
    """
    looked: list[Batch] = []
    enough = 1 if labels is None else min(LOOKED_AT, len(labels))
    for batch in batches:
        looked.append(batch)
        if sum(len(b["index"]) for b in looked) >= enough:
            break
    alarms = {}
    if labels is not None:
        alarms = check_labels(
            np.concatenate([labels[b["index"].numpy()].ravel() for b in looked]),
            np.concatenate([label_maps(b).numpy().ravel() for b in looked]),
            class_names=class_names,
            ignore_labels=ignore_labels,
        )
    first = _probed(looked[0], paired=any(is_embedding(n) for n in output_names(step.model)))
    alarms.update(check_images(first_convolution_input(step.model, first["image"])))
    judged = labels is not None
    alarms.update(check_gradients(step, first, loss=loss, terms=terms, judged=judged))
    return alarms


def _probed(batch: Batch, *, paired: bool) -> Batch:
    """A few images of a batch; `paired`: two of each class where there are, since a loss on
    embeddings has no gradient from images that are alone with their class."""
    chosen = np.arange(min(PROBED, len(batch["index"])))
    if paired:
        labels = label_maps(batch).numpy().ravel()
        twice = [np.flatnonzero(labels == k)[:2] for k in np.unique(labels)]
        twice = [i for pair in twice if len(pair) == 2 for i in pair]
        chosen = np.array([*twice, *(i for i in range(len(labels)) if i not in twice)])[:PROBED]
    return {key: tf.gather(value, chosen) for key, value in batch.items()}


def check_labels(
    before: np.ndarray,
    after: np.ndarray,
    *,
    class_names: Sequence[str],
    ignore_labels: Sequence[int],
) -> dict[str, str]:
    """Whether the labels of the same images survive augmentation.

    Args:
        before, after: The labels of all pixels, (n,) and (m,).
        class_names: K names.
        ignore_labels: Labels that do not count, among them what ops fill with.
    """
    alarms = {}
    count = len(class_names)
    odd = sorted(set(np.unique(after).tolist()) - set(range(count)) - set(ignore_labels))
    if odd:
        alarms["new labels"] = (
            f"augmentation makes the labels {odd[:5]}, which are neither one of the {count} "
            "classes nor ignored. Look at the fill of the ops in data.augment."
        )
    shares = [
        np.bincount(labels[(labels >= 0) & (labels < count)], minlength=count) / labels.size
        for labels in (before, after)
    ]
    for k, name in enumerate(class_names):
        if k not in ignore_labels and before.size * shares[0][k] >= 500:
            left = shares[1][k] / shares[0][k]
            if left < KEPT:
                alarms[f"lost class {k}"] = (
                    f"augmentation leaves {left:.0%} of the pixels of {name!r}. Look at crops, "
                    "scales and dropouts in data.augment (--dry-run draws them)."
                )
    ignored = [np.isin(labels, list(ignore_labels)).mean() for labels in (before, after)]
    if ignored[1] - ignored[0] > 0.5:
        alarms["fill"] = (
            f"after augmentation {ignored[1]:.0%} of the pixels have no label, before "
            f"{ignored[0]:.0%}. Look at the ops in data.augment that move images out of sight."
        )
    return alarms


def check_images(values: np.ndarray) -> dict[str, str]:
    """Whether images are normalised once, as the first convolution gets them (B, H, W, C)."""
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        return {"images": "the first batch holds pixels that are not finite. Look at the data."}
    if float(np.ptp(values)) == 0:
        return {"images": "all pixels of the first batch are equal. Look at data.augment."}
    if largest <= 2 / 255:
        return {
            "images": f"the first convolution gets values up to {largest:.2g}: images seem to be "
            "divided by 255 twice. The pipeline gives [0, 1]; look at data.source.white, at "
            "normalising ops in data.augment, and at rescaling layers in the model."
        }
    if largest > 30:
        return {
            "images": f"the first convolution gets values up to {largest:.3g}: images seem not to "
            "be normalised. Look at data.source.white and at the ops in data.augment."
        }
    return {}


def first_convolution_input(model: keras.Model, images: tf.Tensor) -> np.ndarray:
    """What reaches the model's first convolution, after any preprocessing inside it."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            if not isinstance(layer.input, keras.KerasTensor):
                break
            return keras.ops.convert_to_numpy(keras.Model(model.inputs, layer.input)(images))
    return images.numpy()


def check_gradients(
    step: TrainStep,
    batch: Batch,
    *,
    loss: BatchLoss,
    terms: Sequence[tuple[str, keras.losses.Loss]],
    judged: bool = True,
) -> dict[str, str]:
    """The loss before any step, and what its gradients reach.

    Args:
        step: With model and strategy.
        batch: A few images.
        loss: The whole loss.
        terms: Its terms, with their names.
        judged: Whether it is held against the loss of equal probabilities, which is what
            outputs of 0 are to a softmax.
    """
    model, names = step.model, output_names(step.model)
    trained = {id(v) for v in model.trainable_variables}
    kept = [  # statistics and seed states: a forward pass changes them
        (v, keras.ops.convert_to_numpy(v)) for v in model.variables if id(v) not in trained
    ]

    def probe(batch):
        with tf.GradientTape(persistent=not judged) as tape:
            outputs = step.forward(model, batch, True)
            values = loss(batch, outputs, names)
            value = tf.reduce_mean(summed(values))
            named = values if isinstance(values, dict) else {}
            named = {name: tf.reduce_mean(term) for name, term in named.items()}
        weights = [v.value for v in model.trainable_variables]
        reach = _largest(tape, value, weights)
        if not judged:
            of_terms = {
                name: (term, tf.reduce_max(_largest(tape, term, weights)))
                for name, term in named.items()
            }
            return value, value, reach, tf.constant([0.0]), of_terms
        # Embeddings have no value of equal probabilities: the logits alone are judged.
        logits = [y for y, name in zip(outputs, names, strict=True) if not is_embedding(name)]
        return (
            tf.reduce_mean(summed(loss(batch, logits))),
            tf.reduce_mean(summed(loss(batch, [tf.zeros_like(y) for y in logits]))),
            reach,
            tf.stack([0.0, *(_reach(t, batch, outputs_for(t, outputs, names)) for _, t in terms)]),
            {},
        )

    try:
        results = step.strategy.run(probe, args=(batch,))
    finally:
        for variable, value in kept:
            variable.assign(value)
    start, chance, reach, term_reach, named = tf.nest.map_structure(
        lambda value: step.strategy.experimental_local_results(value)[0].numpy(), results
    )
    alarms = _judge_loss(float(start), float(chance)) if judged else {}
    for name, (value, largest) in named.items():
        if value != 0 and largest == 0:
            alarms[f"term {name}"] = (
                f"the loss term {name!r} is {value:.3g} on the first batch and gives no gradient: "
                "it teaches nothing."
            )
    for (name, _), value in zip(terms, term_reach[1:], strict=True):
        if value == 0:
            alarms[f"term {name}"] = (
                f"the loss term {name!r} gives no gradient on the first batch: it teaches nothing. "
                "Look at its arguments (ignore_labels, class_weights)."
            )
    dead = [v.path for v, r in zip(model.trainable_variables, reach, strict=True) if r == 0]
    if dead and chance > 0:
        alarms["gradients"] = (
            f"no gradient reaches {len(dead)} of {len(reach)} weights, first {dead[0]}. Look "
            "whether these layers are connected to an output that has a loss."
        )
    return alarms


def _largest(tape: tf.GradientTape, value: tf.Tensor, weights: list) -> tf.Tensor:
    """(n,) float32, the largest gradient of a loss in each weight, 0 where none reaches it."""
    # A large multiple, so that half precision does not round small gradients to zero.
    gradients = tape.gradient(value, weights, output_gradients=tf.constant(1e4))
    none = tf.constant(0.0)
    return tf.stack(
        [none if g is None else tf.cast(tf.reduce_max(tf.abs(g)), tf.float32) for g in gradients]
    )


def _reach(term: keras.losses.Loss, batch: Batch, outputs) -> tf.Tensor:
    """The largest gradient of one loss term in any of its outputs."""
    copies = [tf.identity(y) for y in outputs]
    with tf.GradientTape() as tape:
        tape.watch(copies)
        value = tf.add_n([tf.reduce_sum(term_value(term, batch, y)) for y in copies])
    gradients = [g for g in tape.gradient(value, copies) if g is not None]
    return tf.reduce_max([0.0, *[tf.cast(tf.reduce_max(tf.abs(g)), tf.float32) for g in gradients]])


def _judge_loss(start: float, chance: float) -> dict[str, str]:
    if not np.isfinite(start):
        return {"start": f"the loss before any step is {start}. Look at the images and the loss."}
    if chance == 0:
        return {
            "start": "the loss of equal probabilities is 0 on the first batch: no pixel counts. "
            "Look at data.ignore_label and the ignore_labels of loss and metrics."
        }
    if not chance / FACTOR <= start <= chance * FACTOR:
        return {
            "start": f"the loss before any step is {start:.3g}, that of equal probabilities "
            f"{chance:.3g}: more than {FACTOR:g} times apart. Look at the range of the images and "
            "at the initial weights."
        }
    return {}
