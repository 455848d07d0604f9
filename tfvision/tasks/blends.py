"""Out-of-fold predictions of several models, blended with any weights and scored."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfvision.data.truth.base import label_map
from tfvision.engine.ensemble_weights import (
    PIXELS,
    ROUNDS,
    Pixels,
    blend,
    draw,
    fit_log_loss,
    join,
    select_greedily,
)
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.metrics.confusion import confusion_matrix
from tfvision.postprocess.components import decode_images
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.recipe import Recipe
from tfvision.stats.evidence import Evidence

Truths = Callable[[], Iterator[tuple[str, dict[str, np.ndarray]]]]


class AnswerBlends:
    """Predictions that a task's `combine` makes one of.

    Args:
        task: It.
        recipe: Contract and rules.
        stores: J, of the same N samples.
        truths: Gives (id, truth by name) of all samples, in the order of the first store.
    """

    def __init__(self, task: Any, recipe: Recipe, stores: Sequence[Shards], truths: Truths):
        self._task, self._recipe = task, recipe
        self._ids = list(stores[0].ids)
        self._truths = [truth for _, truth in truths()]
        self._models = [[store.prediction(name) for name in self._ids] for store in stores]

    def fit(self, method: str, rows: Sequence[int] | None = None) -> np.ndarray:
        """(J,) weights by greedy selection (see `select_greedily`) on some samples, or all.

        Raises:
            InputError: Another method: these predictions have no likelihood to fit.
        """
        if method != "greedy":
            raise InputError(
                f"--weights {method} is for probabilities of classes; of a "
                f"{self._task.facts.name} the weights are fitted by --weights greedy."
            )
        rows = range(len(self._ids)) if rows is None else [int(i) for i in rows]
        taken = chosen = np.zeros(len(self._models))
        best = -np.inf
        for _ in range(ROUNDS):
            tried = [taken + step for step in np.eye(len(self._models))]
            scores = [self._score([w / w.sum()] * len(rows), rows) for w in tried]
            winner = int(np.argmax(scores))
            if not scores[winner] > best:
                break  # each round costs a fusion of all samples and models
            best, taken, chosen = scores[winner], tried[winner], tried[winner]
        return chosen / chosen.sum()

    def evidence(self, plans: Sequence[Sequence[np.ndarray]]) -> list[Evidence]:
        """One a plan: of all samples, each blended with the plan's weights for it.

        Args:
            plans: For each sample its rows of weights, one a plan.
        """
        rows = range(len(self._ids))
        return [self._evidence(list(of_plan), rows) for of_plan in zip(*plans, strict=True)]

    def _score(self, weights: Sequence[np.ndarray], rows: Sequence[int]) -> float:
        evidence = self._evidence(weights, rows)
        value = evidence.measure(self._recipe.config.metrics[0].name, self._recipe.contract).value()
        return float(np.nan_to_num(value, nan=-1))

    def _evidence(self, weights: Sequence[np.ndarray], rows: Sequence[int]) -> Evidence:
        answers = []
        for i, shares in zip(rows, weights, strict=True):
            used = [j for j, share in enumerate(shares) if share > 0]
            predictions = [self._models[j][i] for j in used]
            one = self._task.combine(predictions, [float(shares[j]) for j in used])
            answers.append(self._task.decode(self._recipe, one))
        ids, truths = [self._ids[i] for i in rows], [self._truths[i] for i in rows]
        return self._task.evidence(self._recipe, ids, answers, truths)


class LabelBlends:
    """Probabilities of classes, of pixels or images, whose weighted mean is the blend.

    Args:
        task, recipe, stores, truths: As `AnswerBlends` has them.
    """

    def __init__(self, task: Any, recipe: Recipe, stores: Sequence[Shards], truths: Truths):
        self._task, self._recipe, self._stores, self._truths = task, recipe, stores, truths
        self._pixels: Pixels | None = None

    def fit(self, method: str, rows: Sequence[int] | None = None) -> np.ndarray:
        """(J,) weights by a method of `OBJECTIVES`, on pixels of some samples, or of all.

        Component rules do not act on single pixels.

        Raises:
            InputError: No pixel counts.
        """
        recipe = self._recipe
        if self._pixels is None:
            most = -(-PIXELS // len(self._stores[0].ids))
            self._pixels = join(
                [
                    draw(probabilities, mask, image=i, most=most, ignored=recipe.ignored)
                    for i, (mask, probabilities) in enumerate(self)
                ]
            )
        pixels = self._pixels if rows is None else self._pixels.of(np.asarray(rows))
        if not len(pixels.truth):
            raise InputError(
                "There are no counted pixels to fit weights on: the metric contract ignores all "
                "true labels of these samples. Use --weights mean."
            )
        if method == "fitted":
            return fit_log_loss(pixels)
        return select_greedily(
            pixels,
            labels_of=decode(recipe.rules),
            contract=recipe.contract,
            metric=recipe.config.metrics[0].name,
        )

    def evidence(self, plans: Sequence[Sequence[np.ndarray]]) -> list[Evidence]:
        """As `AnswerBlends.evidence`, with all rules, at the images' own sizes."""
        recipe = self._recipe
        final, rows = decode_images(recipe.rules, recipe.component_rules), []
        for (mask, probabilities), weights in zip(self, plans, strict=True):
            labels = final(np.stack([blend(probabilities, row) for row in weights]))
            masks = [mask] * len(labels)
            rows.append(confusion_matrix(masks, list(labels), recipe.num_classes, recipe.void))
        kind, ids = self._task.facts.evidence_class(), self._stores[0].ids
        return [kind.of(ids, counts) for counts in np.stack(rows, axis=1)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """(mask (H, W), J probabilities (H, W, K)) of each sample."""
        for name, (other, targets) in zip(self._stores[0].ids, self._truths(), strict=True):
            mask, found = label_map(targets), [store[name] for store in self._stores]
            if name != other or any(p.shape[:2] != mask.shape for p in found):
                raise InputError(
                    f"The truth of {name!r} does not fit what was predicted of it ({other!r}, "
                    f"{mask.shape} against {[p.shape[:2] for p in found]}). The data is not what "
                    "it was; train the folds again."
                )
            yield mask, found


Blends = AnswerBlends | LabelBlends
