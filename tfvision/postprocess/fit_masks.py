"""Predictions of pixels, and the fit of rules on them: counts under any rules, made once each.

NumPy, and OpenCV where a rule needs it.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

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
from tfvision.postprocess.fit import Predictions
from tfvision.stats.evidence import Evidence

PIXELS = 500_000  # that offsets and thresholds are fitted on, the same number of each image
WHOLE = 20_000_000  # pixels of whole images that component rules are fitted on
CELLS = 20_000_000  # numbers a line search may hold


class MaskPredictions(Predictions):
    """Scores and truth of images, and their counts under any rules; every count is made once.

    Args:
        samples: N pairs: scores (H, W, K) float32, of out-of-fold predictions, after the rules
            of single pixels that are in force anyway; truth (H, W) integers, of which those
            outside 0..K-1 are not counted. Read by place, again and again, in ascending order.
        ids: N names.
        kind: Of the evidence: `of(ids, counts)` makes it, `scores_of_settings` scores it.
        num_classes: K.
        candidates: Names of `CANDIDATES` that can be fitted.
        component_rules: Rules on labels (H, W) that are in force anyway.
        pixels: Drawn for the fit of rules of single pixels, in all.
        seed: Of that draw.
    """

    def __init__(
        self,
        samples: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        ids: Sequence[str],
        kind: Any,
        num_classes: int,
        candidates: Sequence[str] = CANDIDATES,
        component_rules: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
        pixels: int = PIXELS,
        seed: int = 0,
    ):
        self._samples, self._ids, self._kind = samples, list(ids), kind
        self.num_classes, self.candidates = num_classes, tuple(candidates)
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

    def evidence(self, rules: Sequence[Rule], rows: Sequence[int] | None = None) -> Evidence:
        rows = range(len(self)) if rows is None else rows
        return self._kind.of([self._ids[row] for row in rows], self.counts(rules, rows))

    def objective(self, contract: Any, score: str) -> Objective:
        """A score under a contract, of many settings at once."""
        scores = partial(self._kind.scores_of_settings, contract=contract, score=score)
        return Objective(scores, per_image=contract.average == "image")

    def fit_one(
        self, name: str, rows: Sequence[int], before: Sequence[Rule], objective: Objective
    ) -> Rule | None:
        if name in FITS:
            return self._fit_on_pixels(name, rows, before, objective)
        area = self.area(rows)
        rows = rows[:: max(1, -(-area // WHOLE))]
        sizes = [size for size in SIZES if size <= max(2, area / len(rows) / 4)]
        settings = [{"name": name, "pixels": size} for size in sizes]
        tried = [[*before], *([*before, setting] for setting in settings)]
        counts = [self.counts(rules, rows) for rules in tried]
        if not objective.per_image:
            counts = [one.sum(axis=0, keepdims=True) for one in counts]
        best = first_best(objective.score(np.stack(counts)))
        return settings[best - 1] if best else None

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

    def _fit_on_pixels(self, name: str, rows, before, objective: Objective) -> Rule | None:
        if objective.per_image:  # a line search holds counts of every image
            cells = 128 * self.num_classes**2
            rows = rows[:: max(1, -(-len(rows) * cells // CELLS))]
        pixels = self.pixels(rows, per_image=objective.per_image)
        for rule in before:
            pixels = pixels.after(rule)
        return FITS[name](pixels, objective) if len(pixels.truth) else None

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
