"""Rules that act on single pixels; they can be part of an exported graph."""

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


def decode(rules: Sequence[Rule]) -> Callable[[object], object]:
    """`probabilities (..., K) -> labels (...) uint8`: the rules in order, then the argmax."""

    def labels(probabilities):
        for rule in rules:
            probabilities = rule(probabilities)
        return ops.cast(ops.argmax(probabilities, axis=-1), "uint8")

    return labels
