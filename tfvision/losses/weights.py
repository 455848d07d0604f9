"""Class weights from pixel counts, and the checks of weights given by hand. NumPy only."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tfvision.errors import InputError
from tfvision.registry import Spec, unknown


def class_weights(
    rule: str | Mapping | Spec | Sequence[float] | None,
    class_pixels: np.ndarray,
    *,
    ignore_labels: int | Iterable[int] = (),
) -> list[float] | None:
    """The weight of each class, by `rule`, for the `class_weights` of a loss.

    With f_c the share of class c in all counted pixels, and n_c its number of pixels:

    | rule                            | weight of class c, before normalising             |
    |---------------------------------|---------------------------------------------------|
    | `none`, or None                 | no weights: None is returned                      |
    | `inverse`                       | 1 / f_c                                           |
    | `sqrt_inverse`                  | 1 / sqrt(f_c)                                     |
    | `power(exponent=...)`           | 1 / f_c^exponent; 1 and 0.5 are the rules above   |
    | `median_frequency`              | median(g) / g_c, where g_c = n_c over the pixels  |
    |                                 | of the images that hold c                         |
    |                                 | (Eigen and Fergus 2015, arXiv 1411.4734, 6.3.2)   |
    | `effective_number(beta=...)`    | (1 - beta) / (1 - beta^n_c)                       |
    |                                 | (Cui et al. 2019, arXiv 1901.05555)               |
    | a list of K numbers             | the list itself, checked and not normalised       |

    The weights of a rule have mean 1 over the classes that occur. A class that does not
    occur gets weight 0: each rule would divide by its zero frequency, and there is no
    pixel to learn it from.

    Args:
        rule: A name or a call as above, or K numbers.
        class_pixels: (N, K) integers, pixels of each class in each image.
        ignore_labels: Classes in 0..K-1 that the loss ignores. They are left out of all
            counts and get weight 0. Labels outside 0..K-1 are allowed and have no column.

    Returns:
        K floats, or None where no class is to weigh more than another.
    """
    pixels = _check_pixels(class_pixels)
    num_classes = pixels.shape[1]
    if rule is None:
        return None
    if not isinstance(rule, str | Mapping | Spec):
        return list(check_class_weights(rule, num_classes=num_classes))
    spec = Spec.model_validate(rule)
    if spec.name not in RULES:
        raise InputError(unknown("rule for class weights", spec.name, RULES))
    options = {OPTIONS[spec.name]} if spec.name in OPTIONS else set()
    for key in spec.kwargs:
        if key not in options:
            raise InputError(unknown(f"argument of the rule {spec.name}", key, options))
    if spec.name == "none":
        return None
    ignored = check_ignore_labels(ignore_labels)
    pixels[:, [label for label in ignored if 0 <= label < num_classes]] = 0
    present = pixels.sum(axis=0) > 0
    if not present.any():
        raise InputError(
            f"Class weights by the rule {spec.name} need at least one counted pixel, and all "
            "counts are 0. Check the masks and the ignored labels."
        )
    weights = np.zeros(num_classes)
    weights[present] = RULES[spec.name](pixels[:, present], **spec.kwargs)
    weights[present] /= weights[present].mean()
    return weights.tolist()


def check_class_weights(values, *, num_classes: int | None = None) -> tuple[float, ...]:
    """Class weights given by hand, as floats, or an `InputError` that says what is wrong."""
    if isinstance(values, str | Mapping | Spec):
        raise InputError(
            f"A loss takes class weights as numbers, one a class; received {values!r}. Compute "
            "them from the data with tfvision.losses.class_weights(rule, class_pixels)."
        )
    try:
        weights = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Class weights must be a list of numbers, one a class; received {values!r}."
        ) from error
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(
            f"Class weights must be finite and not negative; received {list(weights)}. "
            "Weight 0 leaves a class out."
        )
    if not any(weights):
        raise InputError(
            f"At least one class weight must be above 0; received {list(weights)}, with which "
            "every loss would be 0."
        )
    if num_classes is not None and len(weights) != num_classes:
        raise InputError(
            f"Class weights must be one a class: {len(weights)} weights came for {num_classes} "
            "classes. Background counts as a class."
        )
    return weights


def check_ignore_labels(labels: int | Iterable[int]) -> tuple[int, ...]:
    """One label or several, as a sorted tuple without repeats, or an `InputError`."""
    values = [labels] if np.ndim(labels) == 0 else list(labels)
    if not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values):
        raise InputError(
            f"ignore_labels must be a whole number or a list of them; received {labels!r}. "
            "Write [] to ignore none."
        )
    return tuple(sorted({int(v) for v in values}))


def _check_pixels(class_pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(class_pixels)
    if pixels.ndim != 2 or not np.issubdtype(pixels.dtype, np.number):
        raise InputError(
            "class_pixels must be an (N, K) array, the pixels of each class in each image; "
            f"received shape {pixels.shape} of {pixels.dtype}."
        )
    pixels = pixels.astype(np.float64)
    if not np.isfinite(pixels).all() or (pixels < 0).any():
        raise InputError("class_pixels must be counts, not negative; received a value below 0.")
    return pixels


def _inverse(pixels: np.ndarray) -> np.ndarray:
    return pixels.sum() / pixels.sum(axis=0)


def _sqrt_inverse(pixels: np.ndarray) -> np.ndarray:
    return np.sqrt(_inverse(pixels))


def _power(pixels: np.ndarray, exponent: float = 0.25) -> np.ndarray:
    if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not 0 < exponent <= 1:
        raise InputError(f"exponent of power must lie in (0, 1]; received {exponent!r}.")
    return _inverse(pixels) ** exponent


def _median_frequency(pixels: np.ndarray) -> np.ndarray:
    pixels_of_images_with = ((pixels > 0) * pixels.sum(axis=1, keepdims=True)).sum(axis=0)
    frequency = pixels.sum(axis=0) / pixels_of_images_with
    return np.median(frequency) / frequency


def _effective_number(pixels: np.ndarray, beta: float = 0.999999) -> np.ndarray:
    """The default of beta is for counts of pixels.

    A class of many more than 1 / (1 - beta) pixels counts as saturated. The 0.9 to 0.9999
    of the paper are for counts of images; with pixels they weigh all classes alike.
    """
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta < 1:
        raise InputError(f"beta of effective_number must lie in [0, 1); received {beta!r}.")
    if beta == 0:
        return np.ones(pixels.shape[1])
    # 1 - beta^n by expm1 and log1p: beta is close to 1, and the plain form loses digits.
    return (1 - beta) / -np.expm1(pixels.sum(axis=0) * np.log1p(beta - 1))


RULES: dict[str, Callable[..., np.ndarray] | None] = {
    "none": None,
    "inverse": _inverse,
    "sqrt_inverse": _sqrt_inverse,
    "power": _power,
    "median_frequency": _median_frequency,
    "effective_number": _effective_number,
}
OPTIONS = {"power": "exponent", "effective_number": "beta"}
