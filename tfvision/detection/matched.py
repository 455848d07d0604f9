"""What the losses of a head are computed from: its outputs beside what they should be.

| name | shape | dtype | what it is |
|---|---|---|---|
| logits | (B, N, C) | float32 | of the classes; C is K + 1 where `kind` is `softmax`, else K |
| labels | (B, N) | int32 | 0..K-1, K for background, -1 for what counts nowhere |
| weights | (B, N) | float32 | share in the class terms; 0: not sampled or ignored |
| deltas, target_deltas | (B, N, 4) | float32 | predicted, wanted; 0 wanted where not positive |
| boxes, truths | (B, N, 4) | float32 | decoded, annotated; near (0, 0, 1, 1) where not positive |
| positive | (B, N) | float32 | 1 where a sampled reference is matched with a box, else 0 |
| normaliser | (B,) | float32 | at least 1: what the sum over an image is divided by |
"""

from dataclasses import dataclass

import tensorflow as tf

from tfvision.detection.boxes import decode, encode
from tfvision.detection.matching import BACKGROUND

UNIT = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Matched:
    """The table above; `background` is K, `kind` says what the logits are for: `softmax` over
    classes and background, or a `sigmoid` for each class.

    What is not positive is masked here, before any loss: a proposal without area would bring
    NaN into the gradient, and NaN * 0 is NaN.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor
    deltas: tf.Tensor
    target_deltas: tf.Tensor
    boxes: tf.Tensor
    truths: tf.Tensor
    positive: tf.Tensor
    normaliser: tf.Tensor
    background: int
    kind: str


def matched_of(
    logits: tf.Tensor,
    deltas: tf.Tensor,
    references: tf.Tensor,
    match: tf.Tensor,
    batch: dict[str, tf.Tensor],
    *,
    kind: str,
    weights: tf.Tensor | None = None,
    coder=(1.0, 1.0, 1.0, 1.0),
    normalise_by: str = "positive",
    one_class: bool = False,
) -> Matched:
    """Puts the outputs of a head beside the boxes that their references are matched with.

    Args:
        logits: (B, N, C).
        deltas: (B, N, 4); or (B, N, K or 1, 4): those of the matched box's class are taken.
        references: (N, 4) or (B, N, 4), anchors or proposals.
        match: (B, N), as `matching.match` gives it.
        batch: `boxes` (B, M, 4) and `classes` (B, M).
        kind: Of `Matched`.
        weights: (B, N), 0 for what is not sampled; None: all that is not ignored.
        coder: Weights of the deltas, see `boxes.encode`.
        normalise_by: `positive`, their number in the image, or `sampled`, the sum of weights.
        one_class: Whether the head only tells objects from background.
    """
    found = match >= 0
    row = tf.maximum(match, 0)
    if batch["boxes"].shape[1] == 0:
        batch = {"boxes": _padded(batch["boxes"], 0.0), "classes": _padded(batch["classes"], -1)}
    classes = tf.gather(batch["classes"], row, batch_dims=1)
    background = 1 if one_class else logits.shape[-1] - (kind == "softmax")
    labels = tf.where(found, tf.zeros_like(classes) if one_class else classes, -1)
    labels = tf.where(match == BACKGROUND, background, labels)
    counted = tf.cast(labels >= 0, tf.float32)
    weights = counted if weights is None else tf.cast(weights, tf.float32) * counted
    chosen = found & (weights > 0)
    positive = tf.cast(chosen, tf.float32)

    truths = tf.gather(batch["boxes"], row, batch_dims=1)
    truths = tf.where(chosen[..., None], truths, UNIT)
    references = tf.where(chosen[..., None], references, UNIT)
    if len(deltas.shape) == 4:
        own = tf.where(chosen & (deltas.shape[2] > 1), labels, 0)
        deltas = tf.gather(deltas, own, batch_dims=2)
    deltas = tf.cast(deltas, tf.float32)
    number = tf.reduce_sum(positive if normalise_by == "positive" else weights, -1)
    return Matched(
        logits=tf.cast(logits, tf.float32),
        labels=labels,
        weights=weights,
        deltas=deltas,
        target_deltas=encode(truths, references, coder) * positive[..., None],
        boxes=decode(deltas, references, coder),
        truths=truths,
        positive=positive,
        normaliser=tf.maximum(number, 1.0),
        background=background,
        kind=kind,
    )


def _padded(rows: tf.Tensor, value) -> tf.Tensor:
    """(B, 0, ...) -> (B, 1, ...) of padding."""
    paddings = [[0, 0], [0, 1], *[[0, 0]] * (len(rows.shape) - 2)]
    return tf.pad(rows, paddings, constant_values=value)
