"""What the file of a study may hold, and what the study is once it is worked out.

A study is configs by seeds by folds. A ladder trains all of its rungs, each compared to one below
it; the candidates of a search race, and those that fall behind are dropped.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tfvision.config import LossTerm, RunConfig

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
    """The file of a ladder."""

    base: dict[str, Any] = {}
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    units: Units | None = None
    metrics: tuple[str, ...] = Field(default=(DECLARED, "plain"), min_length=1)
    settings: dict[str, SettingsFile] = {}
    rungs: tuple[RungFile, ...] = Field(min_length=2)


class CandidateFile(_Part):
    """One candidate: a name, and key paths of the config with their values."""

    name: str = Field(min_length=1, max_length=80)
    set: dict[str, Any] = {}


class MixtureFile(_Part):
    """All mixtures of some losses whose weights are multiples of `step` and add up to 1."""

    terms: tuple[LossTerm, ...] = Field(min_length=2)
    step: float = Field(default=0.25, gt=0, le=0.5)


class DropFile(_Part):
    """When a candidate is dropped: see `stats/race.race`."""

    rule: Literal["race", "none"] = "race"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    least: int = Field(default=1, ge=1)
    luck: float = Field(default=0.0, ge=0, lt=1)


class SearchFile(_Part):
    """The file of a search."""

    base: str | dict[str, Any]
    folds: int = Field(default=5, ge=2)
    holdout: bool = False  # only the first fold is trained for
    units: Literal["auto", "images"] | int = "auto"
    candidates: tuple[CandidateFile, ...] = ()
    mixture: MixtureFile | None = None
    drop: DropFile = DropFile()


class Rung(RungFile):
    """A rung, or a candidate, worked out.

    Attributes:
        against: The rung it is compared to; None for the first, and for candidates.
        config: Its config; seed, epochs and folds are the study's to set.
    """

    config: RunConfig


@dataclass(frozen=True)
class Study:
    """A study that can be run.

    Attributes:
        name: Of the file.
        rungs: Its configs: rungs from the lowest up, candidates in the order of the file.
        folds: Each rung and seed is so many runs, scored on the fold they did not train on;
            None: one run.
        units: What is resampled: blocks of so many consecutive images, "images", the data's
            "groups", "chains" of near-duplicates, or "auto", what stays together in a
            fold. The folds of a ladder are always resampled by that.
        drop: When a candidate is out of the race; None: a ladder, all of it is trained.
        holdout: Candidates are trained for the first of the folds alone.
        seeds: Of the trainings of each rung; a candidate has its config's.
        steps: Gradient steps of a rung whose `times` is 1; None: `epochs` is said instead.
        epochs: The same in epochs, or None.
        metrics: `contract`, and names of the task's conventions, or of its scores where it has
            none; the first decides.
        labels: What the runs are scored on in place of the test split, or None.
        whole: All rungs of the file, where `rungs` are only some: folds are made for them.
    """

    name: str
    rungs: tuple[Rung, ...]
    folds: int | None
    units: Units | Literal["auto"]
    drop: DropFile | None = None
    holdout: bool = False
    seeds: tuple[int, ...] = ()
    steps: int | None = None
    epochs: int | None = None
    metrics: tuple[str, ...] = (DECLARED,)
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
