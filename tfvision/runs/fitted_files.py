"""Files of what was fitted out of fold: rules, how pieces agree, a temperature.

`python -m tfvision postprocess`, `aggregate` and `calibrate` write them; `evaluate`, `predict` and
`submit` take them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tfvision.config import check_names, load_config
from tfvision.data.crops.pieces import AGGREGATES
from tfvision.errors import InputError
from tfvision.registry import Spec, unknown
from tfvision.tasks.facts import DEFAULT_TASK, facts_of


class RulesFile(BaseModel):
    """The one section of a file of rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    postprocess: tuple[Spec, ...]


class AggregateFile(BaseModel):
    """The rule that joins the pieces of an image, and what it was chosen on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    class_names: tuple[str, ...]
    input: Spec
    aggregate: Spec


class TemperatureFile(BaseModel):
    """What of `temperature.json` is needed to apply it."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
    class_names: tuple[str, ...]
    aggregate: str
    verdict: Literal["applied", "refused"]
    reason: str
    temperature: float = Field(gt=0)

    @property
    def text(self) -> str:
        """The temperature in four digits."""
        return f"temperature {self.temperature:.4g}"


def read_rules(path: Path, task: str = DEFAULT_TASK) -> tuple[Spec, ...]:
    """The rules of a YAML file whose only section is `postprocess`.

    Args:
        path: The file.
        task: Whose rules they are to be.

    Raises:
        InputError: It cannot be read, has other keys, or names rules that there are not.
    """
    found = load_config(RulesFile, path)
    check_names(found, {"postprocess": facts_of(task).all_tables()["postprocess"]})
    return found.postprocess


def read_aggregate(path: Path) -> AggregateFile:
    """A file of `python -m tfvision aggregate`.

    Raises:
        InputError: It cannot be read, has other keys, or names a rule that there is not.
    """
    file = load_config(AggregateFile, path)
    name, arguments = file.aggregate.name, file.aggregate.kwargs
    if name == "attention":  # files of versions that could learn the weights of pieces
        raise InputError(
            f"{path} asks for learnt attention over pieces, which is gone; run `python -m tfvision "
            f"aggregate FOLDS` again, which chooses among {', '.join(AGGREGATES)}."
        )
    if name not in AGGREGATES:
        raise InputError(f"{path}: {unknown('aggregate', name, AGGREGATES)}")
    if arguments:
        raise InputError(
            f"{path}: aggregate {name} takes no values; got {', '.join(arguments)}. Write the file "
            "again with the command aggregate."
        )
    return file


def write_aggregate(found: AggregateFile, comments: Sequence[str]) -> str:
    """The text of such a file: comments, then each section as JSON, which YAML reads."""
    values = found.model_dump(mode="json")
    sections = [f"{k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in values.items()]
    return "".join([*(f"# {line}\n" for line in comments), *sections])


def read_temperature(path: Path) -> TemperatureFile:
    """A file of `python -m tfvision calibrate` whose temperature may be applied.

    Raises:
        InputError: It cannot be read, keys are missing, or the temperature was refused.
    """
    found = load_config(TemperatureFile, path)
    if found.verdict == "refused":
        raise InputError(
            f"--calibrated {path}: this temperature was refused, as {found.reason}. Leave "
            "--calibrated out."
        )
    return found


def as_written(rules: Sequence[Spec]) -> list[dict]:
    """Rules as plain values, each with its name."""
    return [{"name": rule.name, **rule.kwargs} for rule in rules]


def as_text(rules: Sequence[Spec]) -> str:
    """`drop_class(index=0), fill_holes(pixels=8)`, for records; `none` without any."""
    calls = [
        f"{rule.name}({', '.join(f'{k}={v!r}' for k, v in rule.kwargs.items())})" for rule in rules
    ]
    return ", ".join(calls) or "none"
