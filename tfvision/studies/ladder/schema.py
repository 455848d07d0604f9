"""What a ladder's file may hold, and what it is once it is worked out."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tfvision.config import RunConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}")
DECLARED = "contract"  # the metric contract that the configs declare
UNIT_KINDS = ("images", "groups", "chains")
Units = int | Literal["images", "groups", "chains"]
STEPS = 600  # where the file says neither steps nor epochs


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RungFile(_Part):
    """One rung as the file has it."""

    name: str
    about: str = ""
    inherits: str | None = Field(default=None, alias="from")
    over: dict[str, Any] | tuple[str, ...] = ()
    against: str | None = None
    times: float = Field(default=1.0, gt=0)
    epochs: int | None = Field(default=None, gt=0)
    search: dict[str, Any] | None = None
    reported: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _one_length(self) -> "RungFile":
        if self.epochs is not None and "times" in self.model_fields_set:
            raise ValueError(
                f"give a rung times or epochs, not both; got times {self.times:g} and epochs "
                f"{self.epochs}"
            )
        return self


class _Scored(_Part):
    """How long is trained and what is scored: the file says it, a block of settings over it."""

    steps: int | None = Field(default=None, gt=0)
    epochs: int | None = Field(default=None, gt=0)
    folds: int | None = Field(default=None, ge=2)
    labels: Path | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "_Scored":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                "give steps (all rungs take as many gradient steps) or epochs (as many passes over "
                f"their data), not both; got steps {self.steps} and epochs {self.epochs}"
            )
        return self


class SettingsFile(_Scored):
    """What is other for one data set."""

    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)
    units: Units | None = None


class LadderFile(_Scored):
    """The whole file."""

    base: dict[str, Any] = {}
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    units: Units | None = None
    metrics: tuple[str, ...] = Field(default=(DECLARED, "plain"), min_length=1)
    settings: dict[str, SettingsFile] = {}
    rungs: tuple[RungFile, ...] = Field(min_length=2)


@dataclass(frozen=True)
class Rung:
    """One rung, worked out.

    Attributes:
        name, about, reported, times, search: As the file has them.
        against: The rung it is compared to; None for the first.
        config: Its config; seed, epochs and folds are the ladder's to set.
        epochs: Its own, in place of the ladder's length; None: that.
    """

    name: str
    about: str
    against: str | None
    config: RunConfig
    times: float = 1.0
    epochs: int | None = None
    search: dict[str, Any] | None = None
    reported: float | None = None


@dataclass(frozen=True)
class Ladder:
    """A ladder that can be run.

    Attributes:
        name: Of the file.
        rungs: From the lowest up.
        steps: Gradient steps of a rung whose `times` is 1; None: `epochs` is said instead.
        epochs: The same in epochs, or None.
        seeds: Of the trainings of each rung.
        units: What is resampled: blocks of so many consecutive images, "images", the data's
            "groups", or "chains" of near-duplicates. Under folds it is what was dealt together.
        metrics: `contract`, names of conventions of mean IoU, or scores of a classification;
            the first decides.
        folds: Each rung and seed is so many runs, scored on the fold they did not train on;
            None: one run.
        labels: What the runs are scored on in place of the test split, or None.
        whole: All rungs of the file, where `rungs` are only some: folds are dealt for them.
    """

    name: str
    rungs: tuple[Rung, ...]
    steps: int | None
    epochs: int | None
    seeds: tuple[int, ...]
    units: Units
    metrics: tuple[str, ...]
    folds: int | None = None
    labels: Path | None = None
    whole: tuple[Rung, ...] = ()

    @property
    def scored(self) -> str:
        """`folds`, `labels` or `test`."""
        if self.folds is not None:
            return "folds"
        return "test" if self.labels is None else "labels"

    @property
    def task(self) -> str:
        return self.rungs[0].config.task
