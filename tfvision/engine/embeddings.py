"""Losses on embeddings: which outputs of a model they are on, and a batch on several devices."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfvision.models.heads import EMBEDDING


def on_embeddings(loss: keras.losses.Loss) -> bool:
    """Whether a loss compares embeddings of a batch; others are on the logits of each image."""
    return getattr(loss, "on_embeddings", False)


def is_embedding(name: str) -> bool:
    """Whether an output of a model, by its name, has embeddings in place of logits."""
    return name == EMBEDDING


def output_names(model: keras.Model) -> list[str]:
    """Names of a model's outputs; those of a `Sequential`, which has none, are empty."""
    return getattr(model, "output_names", [""])


def outputs_for(
    loss: keras.losses.Loss, outputs: Sequence[tf.Tensor], names: Sequence[str] | None = None
) -> list[tf.Tensor]:
    """The outputs that a loss is on: embeddings, or logits; without `names` all are logits."""
    wanted = on_embeddings(loss)
    names = names or [""] * len(outputs)
    return [y for y, name in zip(outputs, names, strict=True) if is_embedding(name) == wanted]


def over_replicas(loss: keras.losses.Loss, labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """(b,) of a loss that compares the images of a batch, on all devices together.

    The gradient of `all_gather` sums over the devices, so an image also learns from the anchors
    of the others.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return loss.call(labels, embeddings)
    # One gather, of floats: whole numbers do not always live on the device.
    packed = tf.concat([embeddings, tf.cast(labels, embeddings.dtype)[:, None]], axis=1)
    packed = context.all_gather(packed, axis=0)
    their_labels = tf.cast(tf.round(packed[:, -1]), labels.dtype)
    first = context.replica_id_in_sync_group * tf.shape(embeddings)[0]
    return loss.call(labels, embeddings, others=(their_labels, packed[:, :-1]), first=first)
