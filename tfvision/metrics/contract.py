"""The metric contract: what a segmentation score counts, and the score under each convention.

All scores are functions of confusion matrices, (K, K) or (N, K, K) counts, one an image,
rows the truth, columns the prediction. Whatever way the images were batched, the number is
the same. NumPy only, float64.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfvision.errors import InputError
from tfvision.metrics.confusion import check_labels
from tfvision.registry import unknown

ABSENT = ("skip", "zero", "one")
AVERAGES = ("dataset", "image")


@dataclass(frozen=True)
class Contract:
    """What the score counts. Three switches that are often mixed up stand apart here.

    Args:
        ignore_labels: Pixels whose TRUE label is one of these are not counted. A class in
            it can still be predicted elsewhere, and then stands in the mean with IoU 0; to
            prevent that, exclude it too. Void labels such as 255 belong here.
        exclude_classes: Classes left out of the mean. Their pixels still count, for the
            other classes.
        absent: The score of a class that neither truth nor prediction holds: `skip` leaves
            it out of the mean, `zero` and `one` score it so.
        average: `dataset` adds the counts of all images and scores once; `image` scores each
            image and takes the mean of the images that have a score.
    """

    ignore_labels: tuple[int, ...] = ()
    exclude_classes: tuple[int, ...] = ()
    absent: str = "skip"
    average: str = "dataset"

    def __post_init__(self):
        for field in ("ignore_labels", "exclude_classes"):
            object.__setattr__(self, field, check_labels(getattr(self, field), field))
        for field, options in (("absent", ABSENT), ("average", AVERAGES)):
            if getattr(self, field) not in options:
                raise InputError(
                    unknown(
                        f"value of `{field}` in the metric contract", getattr(self, field), options
                    )
                )

    def check_classes(self, num_classes: int) -> None:
        """Raises an `InputError` where `exclude_classes` does not fit K classes."""
        wrong = [c for c in self.exclude_classes if not 0 <= c < num_classes]
        if wrong:
            raise InputError(
                f"exclude_classes must lie in 0..{num_classes - 1}; received {wrong}. Labels that "
                "are no class, such as 255, belong in ignore_labels."
            )
        if len(self.exclude_classes) == num_classes:
            raise InputError(
                f"exclude_classes names all {num_classes} classes, and none is left to average."
            )


def iou_per_class(cm: np.ndarray) -> np.ndarray:
    """Intersection over union: (..., K, K) counts -> (..., K), NaN where the union is empty."""
    hit, truth, predicted = marginals(cm)
    return divide(hit, truth + predicted - hit)


def dice_per_class(cm: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN), the F1 of pixels: (..., K), NaN where the union is empty."""
    hit, truth, predicted = marginals(cm)
    return divide(2 * hit, truth + predicted)


def precision_per_class(cm: np.ndarray) -> np.ndarray:
    """TP / (TP + FP): (..., K), NaN where the class is never predicted."""
    hit, _, predicted = marginals(cm)
    return divide(hit, predicted)


def recall_per_class(cm: np.ndarray) -> np.ndarray:
    """TP / (TP + FN): (..., K), NaN where the class is not in the truth."""
    hit, truth, _ = marginals(cm)
    return divide(hit, truth)


def mean_iou(cms: np.ndarray, contract: Contract = Contract()) -> float:
    """Mean IoU of (N, K, K) counts under `contract`; NaN where nothing is counted."""
    return average_over(lambda cm: class_mean(iou_per_class(cm), contract), cms, contract)


def mean_dice(cms: np.ndarray, contract: Contract = Contract()) -> float:
    """Mean Dice of (N, K, K) counts under `contract`; NaN where nothing is counted."""
    return average_over(lambda cm: class_mean(dice_per_class(cm), contract), cms, contract)


def pixel_accuracy(cms: np.ndarray, contract: Contract = Contract()) -> float:
    """Share of the counted pixels that are right; NaN where nothing is counted.

    No mean over classes, so `exclude_classes` and `absent` do not matter here.
    """
    return average_over(
        lambda cm: divide(marginals(cm)[0].sum(-1), cm.sum((-2, -1))), cms, contract
    )


def scores(cms: np.ndarray, contract: Contract = Contract()) -> dict:
    """All scores of (N, K, K) counts under `contract`, ready for JSON: None stands for NaN.

    `mean_iou`, `mean_dice` and `pixel_accuracy` follow the contract; `mean_iou_per_image` is
    the mean of the images whatever the contract's average. The lists `per_class_iou`,
    `per_class_dice`, `precision` and `recall` have all K classes, the excluded ones too, from
    the counts of all images, with None where a class has no score.
    """
    cms = counted_rows(cms, contract)
    total = cms.sum(axis=0)
    per_image = Contract(
        contract.ignore_labels, contract.exclude_classes, contract.absent, average="image"
    )
    return {
        "mean_iou": or_none(mean_iou(cms, contract)),
        "per_class_iou": or_none(iou_per_class(total)),
        "mean_dice": or_none(mean_dice(cms, contract)),
        "per_class_dice": or_none(dice_per_class(total)),
        "pixel_accuracy": or_none(pixel_accuracy(cms, contract)),
        "precision": or_none(precision_per_class(total)),
        "recall": or_none(recall_per_class(total)),
        "mean_iou_per_image": or_none(mean_iou(cms, per_image)),
        "num_images": len(cms),
    }


def conventions(
    cms: np.ndarray, class_names: Sequence[str], contract: Contract = Contract()
) -> list[dict]:
    """The mean IoU of the same predictions under each convention in common use.

    Args:
        cms: (N, K, K) counts in which only labels outside 0..K-1 were left out.
        class_names: K names.
        contract: The run's own.

    Returns:
        A list of `{"name", "explanation", "mean_iou", "is_contract"}`, the run's own first;
        `is_contract` marks the conventions that are the same as the run's contract on labels
        0..K-1. `mean_iou` is None where nothing is counted.
    """
    num_classes = check_counts(cms).shape[-1]
    if len(class_names) != num_classes:
        raise InputError(
            f"{num_classes} classes need {num_classes} names; received {len(class_names)}: "
            f"{list(class_names)}."
        )
    rows = [("contract", "The metric contract of this run.", contract)]
    rows += [(name, text.format(first=class_names[0]), c) for name, text, c in CONVENTIONS]
    inside = _inside(contract, num_classes)
    return [
        {
            "name": name,
            "explanation": text,
            "mean_iou": or_none(mean_iou(cms, convention)),
            "is_contract": _inside(convention, num_classes) == inside,
        }
        for name, text, convention in rows
    ]


CONVENTIONS = (
    (
        "plain",
        "No label ignored; mean over the classes that occur in truth or prediction, of all "
        "images together. Keras MeanIoU without ignore_class.",
        Contract(),
    ),
    (
        "keras_ignore_class_0",
        "Keras MeanIoU(ignore_class=0): pixels whose truth is class 0 ({first}) are dropped, but "
        "class 0 stays in the mean as soon as one other pixel is predicted as 0, with IoU 0.",
        Contract(ignore_labels=(0,)),
    ),
    (
        "mmsegmentation_ignore_index_0",
        "mmsegmentation with ignore_index=0: true pixels of class 0 ({first}) are dropped, then "
        "the mean over the classes that have a union. Computed otherwise than by Keras, but the "
        "same number.",
        Contract(ignore_labels=(0,)),
    ),
    (
        "mmsegmentation_reduce_zero_label",
        "mmsegmentation with reduce_zero_label: class 0 ({first}) is neither in the truth nor in "
        "the mean. A pixel predicted as 0 is a miss of its true class and nothing more.",
        Contract(ignore_labels=(0,), exclude_classes=(0,)),
    ),
    (
        "sklearn_macro",
        "scikit-learn jaccard_score(average='macro') over all classes: one that neither truth "
        "nor prediction holds scores 0.",
        Contract(absent="zero"),
    ),
    (
        "per_image",
        "Each image scored alone over the classes that occur in it, then the mean of the images.",
        Contract(average="image"),
    ),
)


def check_counts(cms: np.ndarray) -> np.ndarray:
    """(N, K, K) counts, or an `InputError`."""
    cms = np.asarray(cms)
    if cms.ndim != 3 or cms.shape[1] != cms.shape[2]:
        raise InputError(
            "Scores are made from confusion matrices (N, K, K), one an image; received shape "
            f"{cms.shape}."
        )
    wrong = np.flatnonzero((cms < 0).any(axis=(1, 2)))
    if wrong.size:
        raise InputError(
            f"{wrong.size} of {len(cms)} images have labels outside 0..{cms.shape[-1] - 1} that "
            f"are not ignored, the first at position {wrong[0]}. Scan the data set: the scan names "
            "files and labels. Then correct them, or name them in ignore_labels."
        )
    return cms


def counted_rows(cms: np.ndarray, contract: Contract) -> np.ndarray:
    """The counts without the rows of ignored labels, as a new array."""
    cms = check_counts(cms).copy()
    contract.check_classes(cms.shape[-1])
    cms[:, [label for label in contract.ignore_labels if 0 <= label < cms.shape[-1]]] = 0
    return cms


def average_over(score: Callable, cms: np.ndarray, contract: Contract) -> float:
    """`score` of the sum of the counts, or its mean over the images, as the contract says."""
    cms = counted_rows(cms, contract)
    if contract.average == "dataset":
        cms = cms.sum(axis=0, keepdims=True)
    # An image without a counted pixel has no score, whatever an absent class would get.
    cms = cms[cms.sum(axis=(1, 2)) > 0]
    values = score(cms)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan


def class_mean(values: np.ndarray, contract: Contract) -> np.ndarray:
    """(N, K) scores with NaN for absent classes -> (N,) means over the classes that stay."""
    stay = [c for c in range(values.shape[-1]) if c not in contract.exclude_classes]
    values = values[:, stay]
    if contract.absent != "skip":
        values = np.where(np.isnan(values), float(contract.absent == "one"), values)
    present = ~np.isnan(values)
    return divide(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1))


def marginals(cm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cm = np.asarray(cm)
    return np.diagonal(cm, axis1=-2, axis2=-1), cm.sum(axis=-1), cm.sum(axis=-2)


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1), math.nan)


def _inside(contract: Contract, num_classes: int) -> Contract:
    """`contract` without the ignored labels that have no row in the counts."""
    labels = tuple(label for label in contract.ignore_labels if 0 <= label < num_classes)
    return Contract(labels, contract.exclude_classes, contract.absent, contract.average)


def or_none(value):
    """Floats for JSON, which has no NaN."""
    if np.ndim(value):
        return [or_none(v) for v in value]
    return None if math.isnan(value) else float(value)
