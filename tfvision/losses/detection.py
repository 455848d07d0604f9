"""Terms of a detector's loss: `term(matched) -> (B,)` float32, one value an image.

Each is a sum over the anchors or proposals of an image, divided by the image's own
`matched.normaliser`, so that a batch may be cut in any way. Terms of classes are on all that is
sampled; terms of boxes on what is matched with a box, 0 where nothing is.

    heads = model.training_outputs(batch)  # of a `Detector`: {"rpn": ..., "head": ...}
    total = sum(cross_entropy()(head) + smooth_l1()(head) for head in heads.values())  # (B,)
"""

import math
from collections.abc import Callable

import tensorflow as tf

from tfvision.detection.box_losses import ciou_loss, diou_loss, giou_loss
from tfvision.detection.matched import Matched
from tfvision.errors import InputError

Term = Callable[[Matched], tf.Tensor]


def cross_entropy(*, hard_negatives: float = 0) -> Term:
    """Cross-entropy of softmax, or of a sigmoid for each class, as the head has it.

    Args:
        hard_negatives: Counts the background of the highest loss alone, so many for each
            positive of an image, and for one where there is none (Liu et al. 2016, arXiv
            1512.02325, section 2.2: 3). 0: counts all that is sampled.

    Raises:
        InputError: `hard_negatives` below 0.
    """
    if not 0 <= hard_negatives < math.inf:
        raise InputError(f"hard_negatives must be at least 0. Received: {hard_negatives}.")

    def term(matched: Matched) -> tf.Tensor:
        labels = tf.maximum(matched.labels, 0)
        if matched.kind == "softmax":
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, matched.logits)
        else:
            loss = tf.reduce_sum(_sigmoid_loss(matched), -1)
        loss *= matched.weights
        return _mean(
            loss * _hard(loss, matched, hard_negatives) if hard_negatives else loss, matched
        )

    return term


def focal(*, alpha: float = 0.25, gamma: float = 2.0) -> Term:
    """Focal loss, of a sigmoid for each class (Lin et al. 2017, arXiv 1708.02002, equation 5).

    On a head of softmax (1 - p)^gamma (-log p), p the probability of the label, and alpha is for
    classes, 1 - alpha for background.

    Args:
        alpha: In [0, 1], weight of objects against background.
        gamma: >= 0, how much what is right already counts less.

    Raises:
        InputError: A value outside these ranges.
    """
    if not 0 <= alpha <= 1 or not 0 <= gamma < math.inf:
        raise InputError(
            f"focal needs alpha in [0, 1] and gamma of at least 0. Received: {alpha}, {gamma}."
        )

    def weighed(loss, is_object):
        # 1 - p from the cross-entropy, exact also for p near 1; the floor is for its power.
        wrong = tf.maximum(-tf.math.expm1(-loss), 1e-7)
        return tf.where(is_object, alpha, 1 - alpha) * wrong**gamma * loss

    def term(matched: Matched) -> tf.Tensor:
        if matched.kind == "softmax":
            labels = tf.maximum(matched.labels, 0)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, matched.logits)
            loss = weighed(loss, labels < matched.background)
        else:
            loss = tf.reduce_sum(weighed(_sigmoid_loss(matched), _wanted(matched) > 0), -1)
        return _mean(loss * matched.weights, matched)

    return term


def smooth_l1(*, beta: float = 1 / 9) -> Term:
    """Smooth L1 on the four deltas: quadratic below `beta`, linear above; 0 is L1.

    Girshick 2015, arXiv 1504.08083, equation 3, with torchvision's `beta`.

    Raises:
        InputError: `beta` below 0.
    """
    if not 0 <= beta < math.inf:
        raise InputError(f"beta of smooth_l1 must be at least 0. Received: {beta}.")

    def term(matched: Matched) -> tf.Tensor:
        away = tf.abs(matched.deltas - matched.target_deltas)
        loss = away
        if beta:
            loss = tf.where(away < beta, away**2 / (2 * beta), away - beta / 2)
        return _mean(tf.reduce_sum(loss, -1) * matched.positive, matched)

    return term


def giou() -> Term:
    """1 - GIoU of the decoded boxes; see `detection.box_losses`."""
    return _of_boxes(giou_loss)


def diou(*, pairs: str = "matched") -> Term:
    """1 - DIoU of the decoded boxes; see `detection.box_losses`.

    Args:
        pairs: `matched`: a box and the annotated one that it is matched with. `index`: the
            sampled boxes by falling confidence and the annotated ones in the order of the
            sample, without gradient. So it teaches nothing, and is there to show what code
            does that pairs the list of detections with the list of truths.
    """
    return _of_boxes(diou_loss, pairs)


def ciou(*, pairs: str = "matched") -> Term:
    """1 - CIoU of the decoded boxes; `pairs` as `diou` has it."""
    return _of_boxes(ciou_loss, pairs)


def _of_boxes(loss: Callable, pairs: str = "matched") -> Term:
    if pairs not in ("matched", "index"):
        raise InputError(f"pairs must be matched or index. Received: {pairs!r}.")
    if pairs == "matched":
        return lambda m: _mean(loss(m.boxes, m.truths) * m.positive, m)

    def by_index(m: Matched) -> tf.Tensor:
        confidence = tf.reduce_max(m.logits[..., : m.background], -1)
        best = tf.argsort(
            tf.where(m.positive > 0, confidence, m.logits.dtype.min), -1, "DESCENDING"
        )
        first = tf.argsort(-m.positive, stable=True)
        boxes, truths, there = (
            tf.gather(value, order, batch_dims=1)
            for value, order in ((m.boxes, best), (m.truths, first), (m.positive, first))
        )
        return tf.stop_gradient(_mean(loss(boxes, truths) * there, m))

    return by_index


def _mean(loss: tf.Tensor, matched: Matched) -> tf.Tensor:
    """(B, N) -> (B,)."""
    return tf.reduce_sum(loss, -1) / matched.normaliser


def _wanted(matched: Matched) -> tf.Tensor:
    """(B, N, K) float32: 1 for the class of the matched box; a background has no class."""
    return tf.one_hot(matched.labels, matched.background)


def _sigmoid_loss(matched: Matched) -> tf.Tensor:
    """(B, N, K) cross-entropy of each class against the rest."""
    return tf.nn.sigmoid_cross_entropy_with_logits(_wanted(matched), matched.logits)


def _hard(loss: tf.Tensor, matched: Matched, ratio: float) -> tf.Tensor:
    """(B, N): 1 for positives and for the background of the highest loss."""
    free = matched.labels == matched.background
    order = tf.argsort(tf.where(free, tf.stop_gradient(loss), -1.0), direction="DESCENDING")
    rank = tf.argsort(order)  # of each in that order
    number = tf.maximum(tf.reduce_sum(matched.positive, -1, keepdims=True), 1.0) * ratio
    hard = free & (tf.cast(rank, tf.float32) < number)
    return tf.maximum(matched.positive, tf.cast(hard, tf.float32))
