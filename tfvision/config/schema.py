"""What a run's config holds: its keys, their types, what they default to and what fits together."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    Field,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from tfvision.config.section import Section
from tfvision.config.train import TrainConfig
from tfvision.registry import Spec, brief
from tfvision.tasks.facts import DEFAULT_TASK, facts_of, task_entry, task_names

Pixels = Annotated[int, Field(gt=0)]


class DataConfig(Section):
    """Which images to read, how to split and how to vary them."""

    task: ClassVar[str] = DEFAULT_TASK
    sized_by_images: ClassVar[bool] = True  # or the task settles the size that it trains at

    source: Spec = Spec(name="embedded")
    image_size: tuple[Pixels, Pixels] | None = Field(
        default=None, description="(height, width) in pixels; null: the size of the images."
    )
    channels: Literal[1, 3] | None = Field(default=None, description="null: as in the images.")
    class_names: tuple[str, ...] | None = Field(default=None, description="null: from the data.")
    ignore_label: int | None = Field(default=255, description="Pixels of this label do not count.")
    splits: Path | None = Field(
        default=None,
        description="CSV of id,split: your own; under folds its train rows, by its column fold.",
    )
    exclude: Path | None = Field(default=None, description="CSV of id,reason,evidence: left out.")
    on_bad_sample: Literal["fail", "quarantine"] = Field(
        default="fail", description="quarantine: leave out samples that cannot be used, and say so."
    )
    groups: str | None = Field(
        default="names",
        description="names: patients, videos, ... that ids tell of; none: no groups; or a regular "
        "expression that finds a sample's group in its id.",
    )
    near_duplicates: Literal["together", "ignore"] = Field(
        default="together", description="together: in one split, chains of them in blocks."
    )
    val_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Without effect under data.folds."
    )
    test_fraction: float | None = Field(
        default=None, ge=0, lt=1, description="null: 0.2, and 0 where the data has a test set."
    )
    folds: int | None = Field(
        default=None, ge=2, description="Assigns samples into so many folds; one of them is val."
    )
    fold: int | None = Field(default=None, ge=0, description="That one, counted from 0.")
    batch_size: int = Field(default=32, gt=0, description="Images a step, over all devices.")
    augment: tuple[Spec, ...] = Field(default=(), description="Ops on one sample, top to bottom.")
    mix: tuple[Spec, ...] = Field(
        default=(), description="Ops on a batch: copy_paste, mosaic, mixup, cutmix."
    )
    repeat: int = Field(
        default=1, gt=0, description="Times an epoch has each sample; exact duplicates left out."
    )
    balance: Literal["none", "images"] = Field(
        default="none", description="images: those with rare classes are drawn more often."
    )
    workers: int = Field(default=2, gt=0, description="Threads that prepare samples.")
    keep_samples: Annotated[int, Field(gt=0)] | Literal[False] = Field(
        default=300,
        description="Training and validation samples that the run keeps; false: none, as of "
        "private data.",
    )

    def shown(self) -> str:
        """What the network is shown of an image, and how its answers are put together."""
        return "whole images"

    @field_validator("groups")
    @classmethod
    def _groups_compile(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"{brief(value)} is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _folds_fit(self) -> "DataConfig":
        if (self.folds is None) != (self.fold is None):
            raise ValueError(
                "data.folds and data.fold go together: how many folds, and which of them, from 0 "
                f"on, validates; got folds {self.folds} and fold {self.fold} (as flags: --folds 5 "
                "trains all, --folds 5 --fold 2 one)"
            )
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(
                f"data.fold counts from 0 to {self.folds - 1} under data.folds {self.folds}; got "
                f"{self.fold}"
            )
        return self


class LossTerm(Spec):
    """One summand of the loss: `focal(gamma=2.0, weight=0.5)`.

    With a `weight_end` the weight goes from `weight` to it, in a straight line over the
    training; with a `weight_from` over what follows that share of it. What it is before is
    `weight_before`.
    """

    weight: float = Field(default=1.0, gt=0)
    weight_end: float | None = Field(default=None, ge=0)
    weight_from: float = Field(default=0.0, ge=0, lt=1)
    weight_before: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _parted(self) -> "LossTerm":
        if self.weight_before is not None and not self.weight_from:
            raise ValueError(
                "weight_before is the weight until weight_from, a share of the training; give "
                "both, as in weight_before=0, weight_from=0.4"
            )
        if self.weight_from and not self.moves:
            raise ValueError(
                "weight_from is the share of the training from which on a weight moves; give "
                "weight_end or weight_before beside it"
            )
        return self

    @property
    def moves(self) -> bool:
        """Whether the weight changes while training."""
        return self.weight_end is not None or self.weight_before is not None

    def weight_at(self, share: float) -> float:
        """The weight when a share in [0, 1] of the training is done."""
        if share < self.weight_from:
            return self.weight if self.weight_before is None else self.weight_before
        end = self.weight if self.weight_end is None else self.weight_end
        done = (share - self.weight_from) / (1 - self.weight_from)
        return self.weight + done * (end - self.weight)

    @model_serializer(mode="wrap")
    def _short(self, handler: Callable[[Any], Any]) -> Any:
        """A weight that does not move is saved as it is usually written."""
        full = handler(self)
        usual = (("weight_end", None), ("weight_from", 0), ("weight_before", None))
        return {k: v for k, v in full.items() if (k, v) not in usual}


class ModelSpec(Spec):
    """The model, what it begins with, and whether weights from outside may enter it."""

    pretrained: Literal["allowed", "forbidden"] = "allowed"
    weights: str | None = Field(
        default=None, description="A run or file whose weights it begins with, where they fit."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_spec(cls, value: Any) -> Any:
        plain_spec = isinstance(value, Spec) and not isinstance(value, cls)
        return {"name": value.name, **value.kwargs} if plain_spec else value

    @model_serializer(mode="wrap")
    def _short(self, handler: Callable[[Any], Any]) -> Any:
        """What is allowed anyway is not saved; a bare name is saved as it is usually written."""
        full = handler(self)
        usual = (("pretrained", "allowed"), ("weights", None))
        full = {k: v for k, v in full.items() if (k, v) not in usual}
        return self.name if full.keys() == {"name"} else full


class RunConfig(Section):
    """Everything a training script needs to know. A run saves it as `config.yaml`."""

    task: ClassVar[str]

    seed: int = Field(default=0, ge=0, lt=2**31)
    data: DataConfig = DataConfig()
    model: ModelSpec
    loss: tuple[LossTerm, ...] = Field(default=(LossTerm(name="cross_entropy"),), min_length=1)
    metrics: tuple[Spec, ...] = Field(
        default=(Spec(name="mean_iou"),), min_length=1, description="The first is the contract."
    )
    postprocess: tuple[Spec, ...] = ()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _of_this_task(cls, value: Any) -> Any:
        """A saved config names its task; one without a name is of segmentation, as of old."""
        if not isinstance(value, dict) or "task" not in value:
            return value
        if value["task"] != cls.task:
            raise ValueError(
                f"the config is of the task {brief(value['task'])}, and this is {cls.task}: give "
                f"it to {_script_of(value['task'])}"
            )
        return {key: item for key, item in value.items() if key != "task"}

    @model_serializer(mode="wrap")
    def _named(self, handler: Callable[[Any], Any]) -> Any:
        """A run is known by its config; one that names no task is of `DEFAULT_TASK`, as of old."""
        return {**task_entry(self.task), **handler(self)}


def _script_of(task: Any) -> str:
    known = isinstance(task, str) and task in task_names()
    return facts_of(task).script if known else "the script of that task"


def audit_schema(task: str) -> type[BaseModel]:
    """The class of what `python -m tfvision audit` takes from a config: its section `data`."""
    data = facts_of(task).schema().model_fields["data"].annotation
    return create_model("AuditConfig", __base__=Section, data=(data, data()))
