"""Proposals: where a region proposal network sees objects of any class.

| name | shape | dtype | what it is |
|---|---|---|---|
| logits | (B, N_l) a level | float32 | of an object at each anchor |
| deltas | (B, N_l, 4) a level | float32 | from each anchor to the object |
| anchors | (N_l, 4) a level | float32 | as `AnchorGrid.of` gives them |
| proposals | (B, most, 4) | float32 | by falling score, padded with zeros |
| scores | (B, most) | float32 | probability of an object; 0 for padding |
"""

from collections.abc import Sequence

import tensorflow as tf

from tfvision.detection.boxes import clip, decode, has_sides
from tfvision.detection.nms import suppress

LEAST_SIDE = 1e-3  # pixels, as torchvision has it


def propose(
    logits: Sequence[tf.Tensor],
    deltas: Sequence[tf.Tensor],
    anchors: Sequence[tf.Tensor],
    size: tf.Tensor,
    *,
    before: int,
    most: int,
    iou: float = 0.7,
    xla: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best boxes of an image, suppressed level by level.

    Args:
        logits, deltas, anchors: As above.
        size: (2,) height and width of the images, to which proposals are clipped.
        before: How many of a level go into the suppression.
        most: How many of all levels come out of it.
        iou: Of the suppression.
        xla: See `nms.suppress`.

    Returns:
        Proposals (B, most, 4) and scores (B, most). Those of no area are left out.
    """
    boxes, scores = [], []
    for of_level, shift, place in zip(logits, deltas, anchors, strict=True):
        best, rows = tf.math.top_k(of_level, tf.minimum(before, tf.shape(of_level)[1]))
        found = decode(tf.gather(shift, rows, batch_dims=1), tf.gather(place, rows))
        found = clip(found, size)
        boxes.append(found)
        scores.append(tf.where(has_sides(found, LEAST_SIDE), tf.sigmoid(best), 0.0))
    # A level is a class to the suppression: levels do not suppress each other.
    rows = tf.reduce_max([tf.shape(of_level)[1] for of_level in scores])
    boxes = tf.stack([_filled(of_level, rows) for of_level in boxes], 2)
    scores = tf.stack([_filled(of_level, rows) for of_level in scores], 2)
    return suppress(boxes, scores, iou=iou, most=most, xla=xla)[:2]


def _filled(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """(B, n, ...) -> (B, rows, ...), the rest zeros."""
    rest = [[0, 0]] * (len(values.shape) - 2)
    return tf.pad(values, [[0, 0], [0, rows - tf.shape(values)[1]], *rest])
