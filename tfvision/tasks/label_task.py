"""What tasks of labels share: losses on labels, scores from confusion matrices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.data.truth.base import label_map
from tfvision.engine.predict import half
from tfvision.engine.shards import Shards
from tfvision.postprocess import ON_COMPONENTS
from tfvision.postprocess.candidates import CANDIDATES
from tfvision.postprocess.fit_masks import MaskPredictions
from tfvision.recipe.labels import describe_labels
from tfvision.recipe.loss_terms import RunLoss, loss_of_labels
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import TrainingSet
from tfvision.tasks.blends import LabelBlends, Truths
from tfvision.tasks.parts import Prediction
from tfvision.tasks.scored import ScoredLabels
from tfvision.tasks.task import Task

HELD = 100_000_000  # probabilities that are held in memory; of more, the store is read again


class LabelTask(Task):
    """A task that gives pixels or images one label each."""

    def loss(
        self, recipe: Recipe, chosen: TrainingSet, strategy: tf.distribute.Strategy
    ) -> RunLoss:
        return loss_of_labels(recipe, chosen.class_pixels, strategy)

    def compact(self, prediction: Prediction) -> Prediction:
        return {"probabilities": half(prediction["probabilities"])}

    def never_predicted(self, scored: ScoredLabels, class_names: Sequence[str]) -> list[str]:
        return scored.never_predicted(list(class_names))

    def describe_export(self, recipe: Recipe, data: dict[str, Any], predictor) -> dict[str, Any]:
        return describe_labels(recipe, predictor)

    def blends(self, recipe: Recipe, stores: Sequence[Shards], truths: Truths) -> LabelBlends:
        return LabelBlends(self, recipe, stores, truths)

    def fitting(
        self,
        recipe: Recipe,
        store: Shards,
        truths: Sequence[dict[str, np.ndarray]],
        *,
        with_rules: bool,
    ) -> MaskPredictions:
        whole = self.facts.supports("components") is None
        masks = [label_map(targets) for targets in truths]
        return MaskPredictions(
            _Images(store, masks, recipe.rules if with_rules else ()),
            ids=store.ids,
            kind=self.facts.evidence_class(),
            num_classes=recipe.num_classes,
            candidates=[name for name in CANDIDATES if whole or name not in ON_COMPONENTS],
            component_rules=recipe.component_rules if with_rules else (),
        )


class _Images(Sequence):
    """(scores (H, W, K) float32 after rules of single pixels, truth (H, W)) of each image."""

    def __init__(self, store: Shards, masks: Sequence[np.ndarray], rules):
        self._store, self._masks, self._rules = store, masks, rules
        small = sum(mask.size for mask in masks) * store.num_classes <= HELD
        self._held = [self._read(name) for name in store.ids] if small else None

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        held = self._held
        scores = self._read(self._store.ids[place]) if held is None else held[place]
        return scores, self._masks[place]

    def _read(self, name: str) -> np.ndarray:
        scores = self._store[name]
        for rule in self._rules:
            scores = np.asarray(rule(scores))
        return scores
