"""The config of a detection."""

from typing import ClassVar, Literal

from pydantic import Field

from tfvision.config.schema import DataConfig, LossTerm, RunConfig
from tfvision.registry import Spec


class DetectionDataConfig(DataConfig):
    """The data of a detection: how images of several sizes become a batch, besides."""

    task: ClassVar[str] = "detection"
    sized_by_images: ClassVar[bool] = False  # but by what the detector's stride divides

    source: Spec = Spec(name="embedded_boxes")
    ignore_label: None = Field(default=None, description="Boxes have no label that is ignored.")
    fit: Literal["pad", "stretch"] = Field(
        default="pad",
        description="How an image is brought to image_size: scaled as a whole and padded at the "
        "right and bottom, or each side by itself.",
    )


class DetectionLoss(LossTerm):
    """One summand of the loss, on the heads of the detector that it names."""

    heads: tuple[str, ...] | None = Field(
        default=None, description="rpn, head; null: all that the detector has."
    )


class DetectionConfig(RunConfig):
    """Everything `train_det.py` needs to know."""

    task: ClassVar[str] = "detection"

    data: DetectionDataConfig = DetectionDataConfig()
    loss: tuple[DetectionLoss, ...] = Field(
        default=(DetectionLoss(name="cross_entropy"), DetectionLoss(name="smooth_l1")),
        min_length=1,
    )
    metrics: tuple[Spec, ...] = Field(
        default=(Spec(name="ap"),), min_length=1, description="The first selects the best epoch."
    )
