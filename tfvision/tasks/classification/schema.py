"""The config of a classification: what the network is shown of an image, and unfreezing."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tfvision.config.schema import DataConfig, RunConfig
from tfvision.config.section import Section
from tfvision.config.train import TrainConfig
from tfvision.registry import Spec


class ClassDataConfig(DataConfig):
    """The data of a classification: what the network is shown of an image, besides."""

    task: ClassVar[str] = "classification"
    sized_by_images: ClassVar[bool] = False  # but by the pieces of them

    source: Spec = Spec(name="embedded_classes")
    ignore_label: int | None = Field(default=None, description="A label that does not count.")
    input: Spec = Field(
        default=Spec(name="full"), description="What the network sees of an image: its pieces."
    )
    aggregate: Literal["mean", "area", "log_mean", "median", "max"] = Field(
        default="mean", description="How the pieces of an image agree on its probabilities."
    )
    fit: Literal["stretch", "pad"] = Field(
        default="stretch", description="How a piece is brought to image_size."
    )
    views: int = Field(
        default=1, gt=0, description="Times a batch has each of its images, each augmented anew."
    )
    pseudo: Path | None = Field(
        default=None,
        description="CSV of id,label,probability: images without labels to train on too.",
    )
    pseudo_images: Path | None = Field(
        default=None, description="Where these images are; null: in the run's own data."
    )

    def shown(self) -> str:
        return f"data.input {self.input.model_dump()}, data.aggregate {self.aggregate}"

    @model_validator(mode="after")
    def _pseudo_fits(self) -> "ClassDataConfig":
        if self.pseudo_images is not None and self.pseudo is None:
            raise ValueError(
                "data.pseudo_images says where the images of data.pseudo are: give data.pseudo, "
                f"the CSV of their labels, too, or leave it out; got {self.pseudo_images}"
            )
        return self


class UnfreezeConfig(Section):
    """Progressive unfreezing: the head learns first, then the backbone from its end."""

    blocks: int = Field(default=2, gt=0, description="Of the backbone, released at a time.")
    every: int = Field(default=20, gt=0, description="Epochs between two releases.")
    head_epochs: int | None = Field(
        default=None, gt=0, description="Of the head alone; null: as many."
    )


class ClassTrainConfig(TrainConfig):
    """How a classification learns, which may open its backbone block by block."""

    unfreeze: UnfreezeConfig | None = Field(
        default=None, description="Stages made from the backbone's blocks; null: none."
    )

    @model_validator(mode="after")
    def _unfreezing_fits(self) -> "ClassTrainConfig":
        if self.unfreeze is not None and self.stages is not None:
            raise ValueError("unfreeze makes the stages itself: leave out train.stages, or it")
        if self.unfreeze is not None and self.time_budget is not None:
            raise ValueError(
                "unfreeze is measured in epochs, and under a time_budget stages have shares of it: "
                "leave one out"
            )
        return self


class ClassificationConfig(RunConfig):
    """Everything `train_cls.py` needs to know."""

    task: ClassVar[str] = "classification"

    data: ClassDataConfig = ClassDataConfig()
    train: ClassTrainConfig = ClassTrainConfig()
    metrics: tuple[Spec, ...] = Field(
        default=(Spec(name="macro_f1"),), min_length=1, description="The first is the contract."
    )
