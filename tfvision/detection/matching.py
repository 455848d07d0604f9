"""Which annotated box each anchor or proposal is matched to.

| name | shape | dtype | what it is |
|---|---|---|---|
| references | (N, 4) or (B, N, 4) | float32 | anchors, the same for all images, or proposals |
| boxes | (B, M, 4) | float32 | annotated boxes, padded |
| classes | (B, M) | int32 | their classes, -1 for padding, below for crowds (`crowds`) |
| match | (B, N) | int32 | row of the matched box; `BACKGROUND`; `IGNORED` between the thresholds \
and in a crowd |
"""

import tensorflow as tf

from tfvision.detection.boxes import iou
from tfvision.detection.crowds import INSIDE, is_crowd

BACKGROUND, IGNORED = -1, -2
MOST_AT_ONCE = 64  # annotated boxes an image; where there are more, image after image


def match(
    references: tf.Tensor,
    boxes: tf.Tensor,
    classes: tf.Tensor,
    *,
    high: float,
    low: float,
    low_quality: bool = False,
) -> tf.Tensor:
    """Matches each reference with the box it overlaps most: (B, N) int32.

    Of boxes that it overlaps equally the first is taken. What would be background is ignored where
    at least 0.7 of its area lie in a crowd, which itself matches nothing (Detectron's
    `CROWD_FILTER_THRESH`, there of proposals; torchvision and detectron2 have no such rule).

    Args:
        references, boxes, classes: As above.
        high: IoU from which on a reference is matched.
        low: IoU below which it is background; between the two it is ignored.
        low_quality: Also matches the references that overlap a box most of all (all of those
            that do so equally), with the box that they overlap most themselves (Ren et al. 2015,
            section 3.1.2). A box that nothing overlaps matches nothing.

    Example:
        Of the references `[[0, 0, 4, 4], [9, 9, 12, 12]]` and one image with the box
        `[0, 0, 4, 5]` of class 0 it is `[[0, BACKGROUND]]`.
    """

    def of_images(references, boxes, classes):
        crowd = is_crowd(classes)
        shared = iou(boxes, references, crowd)  # (..., M, N)
        overlap = tf.where(classes[..., None] >= 0, shared, -1.0)
        in_crowd = tf.reduce_any(crowd[..., None] & (shared >= INSIDE), -2)
        best = tf.maximum(tf.reduce_max(overlap, -2), 0.0)
        row = tf.argmax(overlap, -2, output_type=tf.int32)
        found = tf.where(best < high, IGNORED, row)
        found = tf.where(best < low, tf.where(in_crowd, IGNORED, BACKGROUND), found)
        if low_quality:
            most = tf.reduce_max(overlap, -1, keepdims=True)
            wanted = tf.reduce_any((overlap == most) & (overlap > 0), -2)
            found = tf.where(wanted, row, found)
        return found

    if boxes.shape[1] == 0:
        shape = tf.stack([tf.shape(boxes)[0], tf.shape(references)[-2]])
        return tf.fill(shape, BACKGROUND)
    if (boxes.shape[1] or 0) <= MOST_AT_ONCE:
        return of_images(references, boxes, classes)
    shared = len(references.shape) == 2  # the same for all images
    return tf.map_fn(
        lambda one: of_images(references if shared else one[2], *one[:2]),
        (boxes, classes) if shared else (boxes, classes, references),
        fn_output_signature=tf.TensorSpec([references.shape[-2]], tf.int32),
        parallel_iterations=1,
    )
