"""The config of a segmentation."""

from typing import ClassVar

from tfvision.config.schema import RunConfig


class SegmentationConfig(RunConfig):
    """Everything `train_seg.py` needs to know."""

    task: ClassVar[str] = "segmentation"
