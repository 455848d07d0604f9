"""A score of detections as a config names it."""

from collections.abc import Sequence

from tfvision.metrics.contract import Contract


class DetectionMetric:
    """A score of detections as a config names it; `DetectionEvidence.measure` computes it.

    Attributes:
        contract: What is counted.

    Args:
        num_classes: K.
        exclude_classes: Classes that are left out.

    Raises:
        InputError: Classes outside 0..K-1, or none left.
    """

    def __init__(self, *, num_classes: int, exclude_classes: Sequence[int] = ()):
        self.contract = Contract(exclude_classes=tuple(exclude_classes))
        self.contract.check_classes(num_classes)
