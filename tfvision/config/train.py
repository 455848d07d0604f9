"""The section `train` of a config: how long and how fast to learn, and in which stages."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tfvision.config.section import Section
from tfvision.registry import Spec, brief


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


class StageConfig(Section):
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


class TrainConfig(Section):
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
