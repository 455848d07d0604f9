"""Confusion matrices image by image, as the evidence that comparisons and folds work on.

NumPy only. `ConfusionEvidence` is of masks, `LabelEvidence` of one label an image: a label is a
mask of one pixel, so both hold the same counts and can be measured by the same scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from tfvision.metrics import classification
from tfvision.metrics import contract as _contract
from tfvision.metrics.contract import CONVENTIONS, Contract
from tfvision.metrics.ratios import (
    SCORES,
    class_ratio,
    image_scores,
    score_ratios,
    scores_of_settings,
)
from tfvision.stats.evidence import Evidence
from tfvision.stats.measure import Ratios


@dataclass(frozen=True, eq=False)
class ConfusionEvidence(Evidence):
    """Counts of pixels by true and predicted class.

    Attributes:
        ids: N names of images.
        counts: (N, K, K) int64, rows the truth, columns what `predict` writes.
        before: The counts of the bare argmax, where post-processing rules change it.
    """

    suffix: ClassVar[str] = "confusion"
    scores: ClassVar[tuple[str, ...]] = SCORES
    conventions: ClassVar[Mapping[str, tuple[str, Contract]]] = {
        name: ("mean_iou", convention) for name, _, convention in CONVENTIONS
    }
    per_class: ClassVar[str] = "per_class_iou"
    text: ClassVar[str] = "confusion matrices"
    truth_text: ClassVar[str] = "numbers of pixels a class"

    ids: list[str]
    counts: np.ndarray
    before: Self | None = None

    @classmethod
    def of(cls, ids: Sequence[str], plain: np.ndarray, processed: np.ndarray | None = None) -> Self:
        """From the counts (N, K, K) of the bare argmax, and those after the rules if any."""
        ids = [str(i) for i in ids]
        if processed is None:
            return cls(ids, plain)
        return cls(ids, processed, before=cls(ids, plain))

    def arrays(self) -> dict[str, np.ndarray]:
        """`ids`, `plain`, and `processed` where there are rules."""
        arrays = {"ids": np.array(self.ids, dtype=str)}
        if self.before is None:
            return {**arrays, "plain": self.counts}
        return {**arrays, "plain": self.before.counts, "processed": self.counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        counts = [
            np.asarray(arrays[key], np.int64) for key in ("plain", "processed") if key in arrays
        ]
        shapes = {array.shape for array in (np.asarray(arrays["plain"]), *counts)}
        (shape,) = shapes if len(shapes) == 1 else ((),)
        num_images = len(arrays["ids"])
        if len(shape) != 3 or shape[0] != num_images or shape[1] != shape[2]:
            raise ValueError(f"{num_images} ids, counts {' and '.join(map(str, sorted(shapes)))}")
        return cls.of(arrays["ids"], *counts)

    def digest(self) -> np.ndarray:
        """(N, K), how many pixels of each image are of each class."""
        return self.counts.sum(axis=2)

    def presence(self) -> np.ndarray:
        return self.digest() > 0

    def measure(
        self,
        score: str,
        contract: Contract,
        *,
        groups: Sequence[str] | None = None,
        class_index: int | None = None,
    ) -> Ratios:
        if class_index is None:
            return score_ratios(self.counts, contract, score=score, groups=groups)
        return class_ratio(self.counts, class_index, contract, score=score, groups=groups)

    def image_scores(self, score: str, contract: Contract) -> np.ndarray:
        return image_scores(self.counts, contract, score=score)

    scores_of_settings = staticmethod(scores_of_settings)

    def summary(self, contract: Contract) -> dict[str, Any]:
        """What `metrics.contract.scores` gives."""
        return _contract.scores(self.counts, contract)

    def by_convention(self, contract: Contract) -> dict[str, float | None]:
        """Mean IoU under the run's contract, `contract`, and under each of `conventions`."""
        names = [str(k) for k in range(self.counts.shape[-1])]
        rows = _contract.conventions(self.counts, names, contract)
        return {row["name"]: row["mean_iou"] for row in rows}


class LabelEvidence(ConfusionEvidence):
    """Counts of one an image, its true label and the predicted one."""

    conventions: ClassVar[Mapping[str, tuple[str, Contract]]] = {}  # they are of mean IoU
    per_class: ClassVar[str] = "per_class_f1"

    def summary(self, contract: Contract) -> dict[str, Any]:
        """What `metrics.classification.count_scores` gives."""
        return classification.count_scores(self.counts, contract)

    def by_convention(self, contract: Contract) -> dict[str, float | None]:
        return {}
