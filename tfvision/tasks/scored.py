"""What scoring some labelled samples gives, image by image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvision.stats.evidence import Evidence


@dataclass(frozen=True)
class Scored:
    """Predictions of labelled samples, scored.

    Attributes:
        evidence: What their scores are computed from; after the post-processing rules.
        answers: N decoded predictions after the rules, as the task writes them: of a
            segmentation labels (H, W) uint8, of a classification (1, 1).
        details: What else the task keeps of them for its page, by name.
    """

    evidence: Evidence
    answers: list[Any]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """One an image."""
        return self.evidence.ids


class ScoredLabels(Scored):
    """The same of labels, whose evidence are confusion matrices; rows truth, columns prediction."""

    @property
    def final(self) -> np.ndarray:
        """(N, K, K) int64 counts of what `predict` writes."""
        return self.evidence.counts

    @property
    def plain(self) -> np.ndarray:
        """The same of the bare argmax."""
        return (self.evidence.before or self.evidence).counts

    @property
    def processed(self) -> np.ndarray | None:
        """`final` where there are post-processing rules, else None."""
        return self.final if self.evidence.processed else None

    def never_predicted(self, class_names: list[str]) -> list[str]:
        """Names of classes that the truth holds and no prediction."""
        truth, predicted = self.final.sum(axis=(0, 2)), self.final.sum(axis=(0, 1))
        return [class_names[k] for k in np.flatnonzero((truth > 0) & (predicted == 0))]
