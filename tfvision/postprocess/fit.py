"""Rules fitted on predictions of images the model was not trained on, and scored honestly.

Nested: the images are dealt into parts; what is scored on a part was fitted on the others. So
the counts of `nested` are those of the whole procedure, choice of the numbers included, on
images it has not seen (Varma, Simon, "Bias in error estimation when using cross-validation for
model selection", BMC Bioinformatics 7:91, 2006). NumPy, and OpenCV where a rule needs it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tfvision.errors import InputError
from tfvision.postprocess.candidates import (
    CANDIDATES,
    FITS,
    SIZES,
    Objective,
    Pixels,
    Rule,
    apply,
    first_best,
)
from tfvision.registry import unknown

PARTS = 5  # at least, where there are so many units
PIXELS = 500_000  # that offsets and thresholds are fitted on, the same number of each image
WHOLE = 20_000_000  # pixels of whole images that component rules are fitted on
CELLS = 20_000_000  # numbers a line search may hold


class Predictions:
    """Scores and truth of images, and their counts under any rules; every count is made once.

    Args:
        samples: N pairs: scores (H, W, K) float32, of out-of-fold predictions, after the rules
            of single pixels that are in force anyway; truth (H, W) integers, of which those
            outside 0..K-1 are not counted. Read by place, again and again, in ascending order.
        num_classes: K.
        component_rules: Rules on labels (H, W) that are in force anyway.
        pixels: Drawn for the fit of rules of single pixels, in all.
        seed: Of that draw.
    """

    def __init__(
        self,
        samples: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        num_classes: int,
        component_rules: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
        pixels: int = PIXELS,
        seed: int = 0,
    ):
        self._samples, self.num_classes = samples, num_classes
        self._component_rules = tuple(component_rules)
        self._counts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._drawn: list[tuple[np.ndarray, np.ndarray]] = []
        self._areas: list[int] = []
        share = max(1, pixels // max(1, len(samples)))
        for place in range(len(samples)):
            scores, truth = samples[place]
            if scores.shape != (*truth.shape, num_classes):
                raise InputError(
                    f"Image {place}: its scores {scores.shape} must be (H, W, {num_classes}) of "
                    f"the size of its mask {truth.shape}."
                )
            valid = np.flatnonzero((truth >= 0) & (truth < num_classes))
            if len(valid) > share:
                rng = np.random.default_rng([seed, place])
                valid = np.sort(rng.choice(valid, share, replace=False))
            drawn = scores.reshape(-1, num_classes)[valid].astype(np.float32)
            self._drawn.append((drawn, truth.ravel()[valid].astype(np.int64)))
            self._areas.append(truth.size)

    def __len__(self) -> int:
        return len(self._samples)

    def counts(self, rules: Sequence[Rule], rows: Sequence[int] | None = None) -> np.ndarray:
        """(len(rows), K, K) int64 counts of images `rows` under `rules`; None: of all."""
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        shape = (len(self), self.num_classes, self.num_classes)
        key = json.dumps(list(rules), sort_keys=True)
        if key not in self._counts:
            self._counts[key] = np.zeros(shape, np.int32), np.zeros(len(self), bool)
        counts, done = self._counts[key]
        new = np.sort(rows[~done[rows]])
        if len(new):
            of_pixels = [rule for rule in rules if rule["name"] in FITS]
            on_labels = [self._build(rule) for rule in rules if rule["name"] not in FITS]
            for place in new.tolist():
                counts[place] = self._count(place, of_pixels, on_labels)
            done[new] = True
        return counts[rows].astype(np.int64)

    def pixels(self, rows: Sequence[int], *, per_image: bool) -> Pixels:
        """The drawn pixels of some images."""
        drawn = [self._drawn[row] for row in rows]
        image = [np.full(len(truth), i * per_image) for i, (_, truth) in enumerate(drawn)]
        scores, truth = (np.concatenate(column) for column in zip(*drawn, strict=True))
        return Pixels(scores, truth, np.concatenate(image).astype(np.int64))

    def area(self, rows: Sequence[int]) -> int:
        """Pixels of some images."""
        return sum(self._areas[row] for row in rows)

    def _count(self, place: int, of_pixels, on_labels) -> np.ndarray:
        scores, truth = self._samples[place]
        scores = scores.astype(np.float32, copy=False)
        for rule in of_pixels:
            scores = apply(rule, scores)
        labels = scores.argmax(axis=-1).astype(np.uint8)
        for rule in (*self._component_rules, *on_labels):
            labels = rule(labels)
        size = self.num_classes
        valid = (truth >= 0) & (truth < size)
        cells = truth[valid].astype(np.int64) * size + labels[valid]
        return np.bincount(cells, minlength=size * size).reshape(size, size)

    def _build(self, rule: Rule):
        from tfvision.postprocess import components  # OpenCV and Keras, only where needed

        arguments = {key: value for key, value in rule.items() if key != "name"}
        return getattr(components, rule["name"])(num_classes=self.num_classes, **arguments)


def fit(
    names: Sequence[str], predictions: Predictions, rows: Sequence[int], objective: Objective
) -> list[Rule]:
    """Fits candidates on images `rows`, one after the other in the order of `CANDIDATES`.

    Each is fitted on what those before it left; one of which no setting scores higher than
    going without is left out.
    """
    rules: list[Rule] = []
    rows = list(rows)
    for name in sorted(names, key=CANDIDATES.index):
        fitted = _fit_one(name, predictions, rows, rules, objective)
        rules += [fitted] if fitted else []
    return rules


def nested(
    names: Sequence[str],
    predictions: Predictions,
    parts: Sequence[np.ndarray],
    objective: Objective,
) -> tuple[np.ndarray, list[list[Rule]]]:
    """Counts of all images, each under rules fitted on the parts it is not in.

    Args:
        names: Of candidates; several are fitted on top of each other.
        predictions: N images.
        parts: Places of the images of each part; together every place once.

    Returns:
        (N, K, K) int64 counts, and the rules of each part.
    """
    found, rules = None, []
    for part in parts:
        others = np.setdiff1d(np.arange(len(predictions)), part)
        rules.append(fit(names, predictions, others, objective))
        counted = predictions.counts(rules[-1], part)
        if found is None:
            found = np.zeros((len(predictions), *counted.shape[1:]), np.int64)
        found[part] = counted
    return found, rules


def deal_parts(
    units: Sequence[str], folds: Sequence[int], *, at_least: int = PARTS
) -> list[np.ndarray]:
    """Deals images into parts for `nested`; images of one unit never come apart.

    A part is a fold, so that rules are scored on predictions of a model they were not fitted
    on; where there are few folds each is cut into as many parts as make `at_least`. A unit
    that lies in several folds goes with the one that holds most of it.

    Args:
        units: The unit of each image, N names.
        folds: The fold of each image, N numbers.
        at_least: Parts wanted; fewer where units or folds do not suffice.

    Returns:
        Places of the images of each part, ascending; no part is empty.

    Raises:
        InputError: Fewer than 2 units.
    """
    members: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        members.setdefault(unit, []).append(place)
    if len(members) < 2:
        raise InputError(
            f"{len(units)} images that form {len(members)} unit (images that belong together) "
            "cannot be cut in two: a rule must be scored on other units than it is fitted on. "
            "Give more data, or check data.groups."
        )
    home: dict[int, list[str]] = {}
    for unit, places in members.items():
        counted = Counter(folds[place] for place in places)
        home.setdefault(min(counted, key=lambda f: (-counted[f], f)), []).append(unit)
    cuts = -(-at_least // len(home))
    parts = []
    for fold in sorted(home):
        piles: list[list[int]] = [[] for _ in range(min(cuts, len(home[fold])))]
        for unit in sorted(home[fold], key=lambda u: (-len(members[u]), _hash(u))):
            min(piles, key=len).extend(members[unit])
        parts += [np.sort(pile) for pile in piles]
    return parts


def check_candidates(names: Sequence[str]) -> list[str]:
    """The names in the order in which they act.

    Raises:
        InputError: None, one twice, or one that there is not.
    """
    for name in names:
        if name not in CANDIDATES:
            raise InputError(unknown("candidate of post-processing", name, CANDIDATES))
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"--candidates lists what is to be tried, each once: {', '.join(CANDIDATES)}. "
            f"Received: {', '.join(names) or 'nothing'}."
        )
    return sorted(names, key=CANDIDATES.index)


def _fit_one(name, predictions: Predictions, rows, before: list[Rule], objective) -> Rule | None:
    if name in FITS:
        if objective.per_image:  # a line search holds counts of every image
            cells = 128 * predictions.num_classes**2
            rows = rows[:: max(1, -(-len(rows) * cells // CELLS))]
        pixels = predictions.pixels(rows, per_image=objective.per_image)
        for rule in before:
            pixels = pixels.after(rule)
        return FITS[name](pixels, objective) if len(pixels.truth) else None
    area = predictions.area(rows)
    rows = rows[:: max(1, -(-area // WHOLE))]
    sizes = [size for size in SIZES if size <= max(2, area / len(rows) / 4)]
    options = [{"name": name, "pixels": size} for size in sizes]
    counts = [predictions.counts([*before, *rule], rows) for rule in ([], *([o] for o in options))]
    if not objective.per_image:
        counts = [found.sum(axis=0, keepdims=True) for found in counts]
    best = first_best(objective.score(np.stack(counts)))
    return options[best - 1] if best else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
