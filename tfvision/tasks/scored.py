"""What scoring some labelled samples gives, image by image."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scored:
    """Predictions of labelled samples, scored.

    Attributes:
        ids: One an image.
        plain: (N, K, K) int64 counts of the bare argmax; row truth, column prediction.
        processed: The same after the post-processing rules, or None without any.
        answers: N decoded predictions after the rules, as the task writes them: of a
            segmentation labels (H, W) uint8, of a classification (1, 1).
        details: What else the task keeps of them for its page, by name.
    """

    ids: list[str]
    plain: np.ndarray
    processed: np.ndarray | None
    answers: list[Any]
    details: dict[str, Any]

    @property
    def final(self) -> np.ndarray:
        """The counts of what `predict` writes."""
        return self.plain if self.processed is None else self.processed
