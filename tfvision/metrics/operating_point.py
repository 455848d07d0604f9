"""The score from which on detections are used: what a run has chosen of it."""

from collections.abc import Mapping
from typing import Any

THRESHOLD = 0.5  # of scores, where none was chosen


def threshold_of(point: Mapping[str, Any] | None) -> tuple[float, str]:
    """The score from which on the detections of a run count, and who chose it.

    Args:
        point: `operating_point` of its `summary.json`; None: it has none.
    """
    if point is None:
        return THRESHOLD, "the run has no operating point"
    chosen = "the run's best F1 on validation" if point["chosen_on"] else "no validation chose it"
    return float(point["threshold"]), chosen
