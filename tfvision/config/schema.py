"""What a run's config holds: its keys, their types, what they default to and what fits together."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from tfvision.registry import Spec, brief
from tfvision.tasks.facts import DEFAULT_TASK, facts_of, task_names


def _seconds(value: Any) -> Any:
    """`90`, `"10m"`, `"8h30m"`, `"45s"` -> seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"write seconds, or a duration such as 10m or 8h30m, not {brief(value)}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


Duration = Annotated[float, BeforeValidator(_seconds)]
Pixels = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1; `epochs: true` is a mistake all the same."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError(f"write a value, not {str(value).lower()}")
        return value


class DataConfig(_Section):
    """Which images to read, how to split and how to vary them."""

    task: ClassVar[str] = "segmentation"

    source: Spec = Spec(name="embedded")
    image_size: tuple[Pixels, Pixels] | None = Field(
        default=None, description="(height, width) in pixels; null: the size of the images."
    )
    channels: Literal[1, 3] | None = Field(default=None, description="null: as in the images.")
    class_names: tuple[str, ...] | None = Field(default=None, description="null: from the data.")
    ignore_label: int | None = Field(default=255, description="Pixels of this label do not count.")
    splits: Path | None = Field(
        default=None,
        description="CSV of id,split: your own; under folds its train rows are dealt, by its fold.",
    )
    exclude: Path | None = Field(default=None, description="CSV of id,reason,evidence: left out.")
    on_bad_sample: Literal["fail", "quarantine"] = Field(
        default="fail", description="quarantine: leave out samples that cannot be used, and say so."
    )
    groups: str | None = Field(
        default=None, description="Regular expression that finds a sample's group in its id."
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
        default=None, ge=2, description="Deals samples into so many folds; one of them is val."
    )
    fold: int | None = Field(default=None, ge=0, description="That one, counted from 0.")
    batch_size: int = Field(default=32, gt=0, description="Images a step, over all devices.")
    augment: tuple[Spec, ...] = Field(default=(), description="Ops on one sample, top to bottom.")
    mix: tuple[Spec, ...] = Field(
        default=(), description="Ops on a batch: copy_paste, mixup, cutmix."
    )
    repeat: int = Field(
        default=1, gt=0, description="Times an epoch has each sample; exact duplicates left out."
    )
    balance: Literal["none", "images"] = Field(
        default="none", description="images: those with rare classes are drawn more often."
    )
    workers: int = Field(default=2, gt=0, description="Threads that prepare samples.")

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


class ClassDataConfig(DataConfig):
    """The data of a classification: what the network is shown of an image, besides."""

    task: ClassVar[str] = "classification"

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

    @model_validator(mode="after")
    def _pseudo_fits(self) -> "ClassDataConfig":
        if self.pseudo_images is not None and self.pseudo is None:
            raise ValueError(
                "data.pseudo_images says where the images of data.pseudo are: give data.pseudo, "
                f"the CSV of their labels, too, or leave it out; got {self.pseudo_images}"
            )
        return self


class StageConfig(_Section):
    """One part of a training, in which some layers learn and the others stay as they are."""

    epochs: int | None = Field(default=None, gt=0, description="The last stage lasts to the end.")
    share: float | None = Field(
        default=None, gt=0, lt=1, description="Of the training, in place of epochs."
    )
    trainable: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Shell patterns of layer names, encoder_*."
    )
    outputs: tuple[int | str, ...] | None = Field(
        default=None, min_length=1, description="Whose losses count; null: all."
    )
    transfer: dict[str, str] = Field(
        default={}, description="Prefix of layers: prefix of those that start with their weights."
    )
    restart: bool = Field(default=False, description="The schedule runs over this stage alone.")
    keep_slots: bool = Field(
        default=False, description="What learnt before goes on as it was, optimizer slots and all."
    )


class TrainConfig(_Section):
    """How long and how fast to learn."""

    epochs: int = Field(default=40, gt=0, description="Without effect under a time_budget.")
    time_budget: Duration | None = Field(
        default=None, gt=0, description="Wall time of the whole run: seconds, 10m, 8h30m."
    )
    optimizer: Spec = Spec(name="adamw", learning_rate=1e-3)
    schedule: Spec = Spec(name="cosine")
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    xla: bool = False
    deterministic: Literal["auto"] | bool = Field(
        default="auto", description="Bitwise repeatable; auto: on the CPU, not on GPUs."
    )
    clip_norm: float | None = Field(default=None, gt=0, description="Bound of the gradient's norm.")
    accumulate: int = Field(default=1, gt=0, description="Parts a batch is worked through in.")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="Decay of the averaged weights that are scored."
    )
    early_stopping: int = Field(default=0, ge=0, description="Epochs without gain; 0 is never.")
    checkpoint_every: Duration = Field(
        default=300.0, gt=0, description="Longest time between two checkpoints."
    )
    sentinel: Literal["warn", "fail", "off"] = Field(
        default="warn", description="What an alarm of the watch over the training does."
    )
    export: bool = Field(
        default=True, description="Write SavedModel, weights and .keras, and check them."
    )
    stages: tuple[StageConfig, ...] | None = Field(
        default=None, min_length=1, description="What learns when; null: all of it, always."
    )
    rate_factors: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Pattern of layer names: what the rate is multiplied by there."
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> "TrainConfig":
        *first, last = self.stages or (StageConfig(),)
        for number, stage in enumerate(first):
            if (stage.epochs is None) == (stage.share is None):
                raise ValueError(
                    f"stages.{number} needs either epochs or a share of the training; got epochs "
                    f"{stage.epochs} and share {stage.share}"
                )
        if last.epochs is not None or last.share is not None:
            raise ValueError(
                f"stages.{len(first)} is the last stage and lasts to the end of the training: "
                f"leave out its epochs and share; got epochs {last.epochs}, share {last.share}"
            )
        shares = [stage.share for stage in first if stage.share is not None]
        epochs = [stage.epochs for stage in first if stage.epochs is not None]
        if shares and epochs:
            raise ValueError("stages are measured all in epochs, or all in shares, not in both")
        if epochs and self.time_budget is not None:
            raise ValueError("under a time_budget stages have shares of it, not epochs")
        if sum(epochs) >= self.epochs and self.time_budget is None:
            raise ValueError(
                f"the stages before the last have {sum(epochs)} of train.epochs {self.epochs}: "
                "nothing is left for the last"
            )
        if sum(shares) >= 1:
            raise ValueError(f"the shares of the stages before the last add up to {sum(shares):g}")
        starts = [round(sum(shares[:n]) * self.epochs) for n in range(len(shares) + 1)]
        starts.append(self.epochs)
        if self.time_budget is None and shares and len(set(starts)) < len(starts):
            raise ValueError(
                f"of train.epochs {self.epochs} a stage gets no whole epoch: the stages would "
                f"begin after {', '.join(map(str, starts[:-1]))} epochs"
            )
        return self


class UnfreezeConfig(_Section):
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


class LossTerm(Spec):
    """One summand of the loss: `focal(gamma=2.0, weight=0.5)`.

    With a `weight_end` the weight goes from `weight` to it, in a straight line over the
    training.
    """

    weight: float = Field(default=1.0, gt=0)
    weight_end: float | None = Field(default=None, ge=0)

    def weight_at(self, share: float) -> float:
        """The weight when a share in [0, 1] of the training is done."""
        end = self.weight if self.weight_end is None else self.weight_end
        return self.weight + share * (end - self.weight)

    @model_serializer(mode="wrap")
    def _short(self, handler: Callable[[Any], Any]) -> Any:
        """A weight that does not move is saved as it is usually written."""
        full = handler(self)
        return {k: v for k, v in full.items() if k != "weight_end" or v is not None}


class ModelSpec(Spec):
    """The model, and whether weights from outside may enter it."""

    pretrained: Literal["allowed", "forbidden"] = "allowed"

    @model_validator(mode="before")
    @classmethod
    def _from_spec(cls, value: Any) -> Any:
        plain_spec = isinstance(value, Spec) and not isinstance(value, cls)
        return {"name": value.name, **value.kwargs} if plain_spec else value

    @model_serializer(mode="wrap")
    def _short(self, handler: Callable[[Any], Any]) -> Any:
        """What is allowed anyway is not saved; a bare name is saved as it is usually written."""
        full = handler(self)
        full = {k: v for k, v in full.items() if (k, v) != ("pretrained", "allowed")}
        return self.name if full.keys() == {"name"} else full


class RunConfig(_Section):
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
        named = {} if self.task == DEFAULT_TASK else {"task": self.task}
        return {**named, **handler(self)}


def _script_of(task: Any) -> str:
    known = isinstance(task, str) and task in task_names()
    return facts_of(task).script if known else "the script of that task"


class SegmentationConfig(RunConfig):
    """Everything `train_seg.py` needs to know."""

    task: ClassVar[str] = "segmentation"


class ClassificationConfig(RunConfig):
    """Everything `train_cls.py` needs to know."""

    task: ClassVar[str] = "classification"

    data: ClassDataConfig = ClassDataConfig()
    train: ClassTrainConfig = ClassTrainConfig()
    metrics: tuple[Spec, ...] = Field(
        default=(Spec(name="macro_f1"),), min_length=1, description="The first is the contract."
    )


class AuditConfig(_Section):
    """What `python -m tfvision audit` takes from a config."""

    data: DataConfig = DataConfig()


class ClassAuditConfig(AuditConfig):
    """The same, of the data of a classification."""

    data: ClassDataConfig = ClassDataConfig()
