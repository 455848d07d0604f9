"""Non-maximum suppression: of boxes that overlap, the one of the highest score stays.

| name | shape | dtype | what it is |
|---|---|---|---|
| boxes | (B, N, 1 or K, 4) | float32 | candidates, one box for all classes or one a class |
| scores | (B, N, K) | float32 | of each class, in [0, 1] |
| kept | (B, D, 4), (B, D), (B, D) | float32, float32, int32 | boxes, scores and classes |

What is kept stands by falling score, then comes padding: 0, 0 and -1.
"""

import tensorflow as tf

Kept = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
MOST_CANDIDATES = 2000  # an image, where suppression is in one list


def suppress(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    *,
    iou: float,
    most: int,
    score: float = 0.0,
    by_class: bool = True,
    xla: bool = False,
) -> Kept:
    """Goes through the candidates by falling score and drops what overlaps one that was kept.

    Args:
        boxes, scores: As above.
        iou: A candidate that overlaps a kept one by more than this is dropped.
        most: D, how many are kept at most.
        score: Only candidates above this score.
        by_class: A box suppresses those of its own class alone. Otherwise each box stands for
            its best class and suppresses all others.
        xla: In ops that XLA compiles, and only the best 2,000 candidates of an image.

    Returns:
        Boxes, scores and classes that were kept.

    Example:
        Of boxes `[0, 0, 4, 4]` of score 0.9 and `[0, 0, 4, 5]` of 0.8, both of class 0, `iou=0.5`
        and `most=2` keep the first, then come a row of zeros, the score 0 and the class -1.
    """
    if by_class and not xla:
        kept = tf.image.combined_non_max_suppression(
            boxes, scores, most, most, iou, score, clip_boxes=False
        )
        there = tf.range(most) < kept.valid_detections[:, None]
        classes = tf.where(there, tf.cast(kept.nmsed_classes, tf.int32), -1)
        return kept.nmsed_boxes, kept.nmsed_scores, classes
    return _in_one_list(*_candidates(boxes, scores, by_class), iou, most, score, by_class)


def _candidates(boxes, scores, by_class: bool) -> Kept:
    """One list an image, best first: boxes (B, N', 4), scores (B, N'), classes (B, N')."""
    rows, classes = tf.shape(scores)[1], scores.shape[2]
    if by_class:
        place = tf.range(rows * classes)[None]
        flat, row, label = (
            tf.reshape(scores, [-1, rows * classes]),
            place // classes,
            place % classes,
        )
    else:
        flat, row = tf.reduce_max(scores, -1), tf.range(rows)[None]
        label = tf.argmax(scores, -1, output_type=tf.int32)
    row, label = (tf.broadcast_to(x, tf.shape(flat)) for x in (row, label))
    flat, best = tf.math.top_k(flat, tf.minimum(MOST_CANDIDATES, tf.shape(flat)[1]))
    row, label = (tf.gather(x, best, batch_dims=1) for x in (row, label))
    column = label if boxes.shape[2] > 1 else tf.zeros_like(label)
    chosen = tf.gather_nd(boxes, tf.stack([row, column], -1), batch_dims=1)
    return chosen, flat, label


def _in_one_list(boxes, scores, classes, iou, most, score, by_class) -> Kept:
    """Boxes of different classes are moved apart, so that they do not overlap."""
    room = tf.reduce_max(tf.abs(boxes), [1, 2], keepdims=True) * 2 + 1
    apart = room * tf.cast(classes, tf.float32)[..., None] if by_class else 0.0
    index, number = tf.image.non_max_suppression_padded(
        boxes + apart,
        tf.where(scores > score, scores, -1.0),
        most,
        iou_threshold=iou,
        score_threshold=0.0,
        pad_to_max_output_size=True,
        sorted_input=True,
        canonicalized_coordinates=True,
    )
    there = tf.range(most) < number[:, None]
    kept = [tf.gather(x, index, batch_dims=1) for x in (boxes, scores, classes)]
    return (
        tf.where(there[..., None], kept[0], 0.0),
        tf.where(there, kept[1], 0.0),
        tf.where(there, kept[2], -1),
    )
