"""The config of a detection."""

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tfvision.config.schema import DataConfig, LossTerm, RunConfig
from tfvision.config.section import Section
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


class ReadingConfig(Section):
    """How a string is read from boxes: from left to right, each class a character."""

    overlap: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Of two boxes that share more of the smaller one than this the better counts.",
    )
    threshold: float | None = Field(
        default=None, gt=0, le=1, description="Of the score; null: chosen on validation."
    )
    leading_zeros: Literal["keep", "drop"] = "keep"
    empty: str = Field(default="-1", description="What is read where there is no box.")
    characters: tuple[str, ...] | None = Field(
        default=None, description="One a class, where the classes have other names."
    )

    @field_validator("characters", "empty", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """YAML reads a digit as a number."""
        if isinstance(value, list | tuple):
            return [str(one) if type(one) is int else one for one in value]
        return str(value) if type(value) is int else value


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
    reading: ReadingConfig | None = Field(
        default=None, description="How strings are read; null: they are not."
    )

    @model_validator(mode="before")
    @classmethod
    def _scored_strings_are_read(cls, value: Any) -> Any:
        """Who names the score of strings wants them read."""
        if not isinstance(value, dict) or value.get("reading") is not None:
            return value
        named = "string_accuracy" in repr(value.get("metrics", ()))
        return {**value, "reading": {}} if named else value
