"""Rules on the boxes of an image, and several predictions of it fused into one.

A prediction here is a dict of `boxes` (D, 4) float32 `x1 y1 x2 y2`, `scores` (D,) float32 and
`classes` (D,) int32, in order of falling score. NumPy only.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tfvision.errors import InputError

Detections = dict[str, np.ndarray]
Rule = Callable[[Detections], Detections]


def score_threshold(*, minimum: float | None = None, by_class: Sequence[float] | None = None):
    """Leaves out boxes with a score below a threshold.

    Args:
        minimum: In [0, 1], for every class.
        by_class: In its place one threshold a class, K numbers.

    Example:
        `score_threshold(minimum=0.5)` keeps what is at least as likely as not.
    """
    given = [minimum] if by_class is None else list(by_class)
    numbers = all(isinstance(x, int | float) and 0 <= x <= 1 for x in given)
    if not numbers or (minimum is not None and by_class is not None):
        raise InputError(
            "score_threshold takes minimum=0.5, or by_class=[...] with one number a class, each "
            f"from 0 to 1. Received: minimum={minimum!r}, by_class={by_class!r}."
        )
    thresholds = np.asarray(given, np.float32)

    def rule(prediction: Detections) -> Detections:
        classes = prediction["classes"]
        if by_class is not None and classes.max(initial=-1) >= len(thresholds):
            raise InputError(
                f"score_threshold: by_class has {len(thresholds)} numbers, and there is a class "
                f"{classes.max()}. Give one number for each class."
            )
        least = thresholds[0] if by_class is None else thresholds[classes]
        return take(prediction, prediction["scores"] >= least)

    return rule


def suppress(*, iou: float = 0.5, over_all: bool = False):
    """Leaves out boxes that overlap one of a higher score by more than `iou`.

    Args:
        iou: Intersection over union, in (0, 1).
        over_all: Boxes of other classes suppress, too; else those of the same class alone.
    """
    if not isinstance(iou, int | float) or not 0 < iou < 1:
        raise InputError(f"suppress(iou=...) is a number between 0 and 1. Received: {iou!r}.")

    def rule(prediction: Detections) -> Detections:
        groups = np.zeros_like(prediction["classes"]) if over_all else prediction["classes"]
        kept = greedy(prediction["boxes"], prediction["scores"], groups, iou)
        return take(prediction, np.sort(kept))

    return rule


def at_most(*, number: int):
    """Keeps the boxes with the highest scores of an image; `number` is at least 1."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InputError(
            f"at_most(number=...) is a whole number of at least 1. Received: {number!r}."
        )
    return lambda prediction: take(prediction, slice(number))


def take(prediction: Detections, rows) -> Detections:
    """The boxes at these rows."""
    return {name: value[rows] for name, value in prediction.items()}


def by_score(boxes, scores, classes) -> Detections:
    """A prediction of boxes in any order."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    return {
        "boxes": np.asarray(boxes, np.float32).reshape(-1, 4)[order],
        "scores": np.asarray(scores, np.float32)[order],
        "classes": np.asarray(classes, np.int32)[order],
    }


def pairwise_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4)."""
    common = intersections(one, other)
    union = areas(one)[:, None] + areas(other) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def intersections(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Areas (n, m) that boxes (n, 4) and (m, 4) share."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return np.clip(high - low, 0, None).prod(-1)


def areas(boxes: np.ndarray) -> np.ndarray:
    """(n,) of boxes (n, 4)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)


def greedy(boxes, scores, groups, iou: float) -> np.ndarray:
    """Places of the boxes that stay in a greedy suppression inside each group, best first."""
    order = np.argsort(-scores, kind="stable")
    overlap = pairwise_iou(boxes, boxes) * (groups[:, None] == groups)
    free, kept = np.ones(len(boxes), bool), []
    for i in order:
        if free[i]:
            kept.append(i)
            free &= overlap[i] <= iou
    return np.array(kept, int)


def fuse(
    predictions: Sequence[Detections], weights: Sequence[float], *, iou: float = 0.55
) -> Detections:
    """Weighted boxes fusion of several predictions of one image (Solovyev, Wang and Gabruseva,
    "Weighted Boxes Fusion", 2021, section 3).

    Boxes of one class that overlap by more than `iou` with the mean of a group join it. A group
    becomes one box, the mean of its boxes by weighted score; its score is the mean of theirs,
    times the share of the weights that found it.

    Args:
        predictions: Of the same image, in its pixels.
        weights: One a prediction, above 0.
        iou: From which on two boxes are one.
    """
    weights = np.asarray(weights, np.float64) / np.sum(weights)
    boxes = np.concatenate([p["boxes"] for p in predictions]).astype(np.float64)
    raw = np.concatenate([p["scores"] for p in predictions]).astype(np.float64)
    classes = np.concatenate([p["classes"] for p in predictions])
    member = np.repeat(np.arange(len(predictions)), [len(p["scores"]) for p in predictions])
    groups: list[list[int]] = []
    means = np.zeros((0, 4))
    kinds = np.zeros(0, int)
    for i in np.argsort(-raw * weights[member], kind="stable"):
        overlap = pairwise_iou(boxes[i : i + 1], means)[0] * (kinds == classes[i])
        best = int(overlap.argmax()) if len(overlap) else -1
        if best >= 0 and overlap[best] > iou:
            groups[best].append(i)
        else:
            best = len(groups)
            groups.append([i])
            means = np.concatenate([means, boxes[i : i + 1]])
            kinds = np.append(kinds, classes[i])
        rows = groups[best]
        means[best] = np.average(boxes[rows], axis=0, weights=raw[rows] * weights[member[rows]])
    scores = []
    for rows in groups:
        share = weights[member[rows]]
        found = weights[np.unique(member[rows])].sum()
        scores.append(np.average(raw[rows], weights=share) * found)
    return by_score(means, scores, kinds)


def join_tiles(
    tiles: Sequence[tuple[tuple[int, int], tuple[int, int], Detections]],
    size: tuple[int, int],
    *,
    iou: float = 0.5,
) -> Detections:
    """Predictions of tiles as one of the whole image.

    A box that touches an edge of its tile inside the image may be part of an object: it gives
    way to a box of the same class that covers most of it. Then boxes of the same class suppress
    each other. An object larger than the overlap of two tiles is found in parts.

    Args:
        tiles: ((top, left), (height, width) of the tile, its prediction in pixels of the tile).
        size: (height, width) of the image.
        iou: Above which boxes of the same class suppress each other.
    """
    boxes, scores, classes, cut = [], [], [], []
    for (top, left), (height, width), one in tiles:
        own = one["boxes"]
        inner = [left > 0, top > 0, left + width < size[1], top + height < size[0]]
        near = np.stack(
            [own[:, 0] < 2, own[:, 1] < 2, own[:, 2] > width - 2, own[:, 3] > height - 2], -1
        )
        cut.append((near & inner).any(-1))
        boxes.append(own + np.array([left, top] * 2, np.float32))
        scores.append(one["scores"])
        classes.append(one["classes"])
    boxes, scores, classes, cut = map(np.concatenate, (boxes, scores, classes, cut))
    covered = intersections(boxes, boxes) / np.maximum(areas(boxes), 1e-9)[:, None]
    larger = areas(boxes)[None] > areas(boxes)[:, None]
    covered = (covered > 0.6) & (classes[:, None] == classes) & larger
    whole = by_score(boxes, scores, classes)
    order = np.argsort(-scores, kind="stable")
    whole = take(whole, ~(cut & covered.any(1))[order])
    return suppress(iou=iou)(whole)
