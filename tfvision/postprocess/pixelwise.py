"""Rules that act on single pixels; they can be part of an exported graph."""

import math
from collections.abc import Callable, Sequence

from keras import ops

from tfvision.errors import InputError

Rule = Callable[..., object]


def drop_class(*, num_classes: int, index: int) -> Rule:
    """Pixels of class `index` get their second most probable class (a masked argmax).

    The rule of the Mars-terrain report. It gains where the metric leaves true pixels of
    that class out but still punishes predicting it; see the conventions in the report.

    Args:
        num_classes: K.
        index: Class that is never predicted, 0 to K - 1.

    Returns:
        `scores (..., K) -> scores (..., K)`, the class's score below all others.

    Raises:
        InputError: There is no such class, or no other.
    """
    whole = isinstance(index, int) and not isinstance(index, bool)
    if num_classes < 2 or not whole or not 0 <= index < num_classes:
        raise InputError(
            f"drop_class(index=...) must name one of {num_classes} classes, 0 to "
            f"{num_classes - 1}, and leave another. Received: {index!r}."
        )
    dropped = [-1.0 if k == index else 0.0 for k in range(num_classes)]
    kept = [0.0 if k == index else 1.0 for k in range(num_classes)]

    def rule(scores):
        return scores * ops.cast(kept, scores.dtype) + ops.cast(dropped, scores.dtype)

    return rule


def class_prior_offsets(*, num_classes: int, offsets: Sequence[float]) -> Rule:
    """Log-probabilities plus an offset a class: what a change of the class priors calls for.

    Posteriors p(k|x) learned under priors a_k become, under priors b_k, proportional to
    p(k|x) b_k / a_k; so offset k is log(b_k / a_k), up to a constant (Saerens, Latinne,
    Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 14, 2002, eq. 2.4).

    Args:
        num_classes: K.
        offsets: K finite numbers of -20 to 20, in natural logarithms.

    Returns:
        `scores (..., K) -> scores (..., K)`: probabilities times exp(offset), their sum 1
        again. A dropped class, whose score is below 0, stays below all others.

    Raises:
        InputError: Not K such numbers.
    """
    _check_numbers("class_prior_offsets(offsets=...)", offsets, num_classes, -20.0, high=20.0)
    weights = [math.exp(value) for value in offsets]

    def rule(scores):
        weighted = scores * ops.cast(weights, scores.dtype)
        total = ops.sum(ops.maximum(weighted, 0), axis=-1, keepdims=True)
        # It is 0 where a dropped class was certain.
        return weighted / ops.where(total > 0, total, ops.ones_like(total))

    return rule


def class_thresholds(*, num_classes: int, thresholds: Sequence[float]) -> Rule:
    """A class counts where its probability reaches its threshold.

    Of the classes that reach theirs the most probable is taken; where none does, the most
    probable of all, so that every pixel gets a label.

    Args:
        num_classes: K.
        thresholds: K numbers of 0 to 1; 0 leaves a class as it is.

    Returns:
        `scores (..., K) -> scores (..., K)`, those that reach their threshold larger by 1.

    Raises:
        InputError: Not K such numbers.
    """
    _check_numbers("class_thresholds(thresholds=...)", thresholds, num_classes, 0.0, high=1.0)
    cuts = [float(value) for value in thresholds]

    def rule(scores):
        reached = scores >= ops.cast(cuts, scores.dtype)
        return scores + ops.cast(reached, scores.dtype)

    return rule


def decode(rules: Sequence[Rule]) -> Callable[[object], object]:
    """`probabilities (..., K) -> labels (...) uint8`: the rules in order, then the argmax."""

    def labels(probabilities):
        for rule in rules:
            probabilities = rule(probabilities)
        return ops.cast(ops.argmax(probabilities, axis=-1), "uint8")

    return labels


def _check_numbers(what: str, values, count: int, low: float, high: float) -> None:
    """Raises an `InputError` unless `values` are `count` numbers of `low` to `high`."""
    right = isinstance(values, list | tuple) and len(values) == count
    if not right or not all(type(v) in (int, float) and low <= v <= high for v in values):
        raise InputError(
            f"{what} must be {count} numbers of {low:g} to {high:g}, one a class. "
            f"Received: {values!r}."
        )
