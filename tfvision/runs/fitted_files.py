"""Files of what was fitted out of fold: rules, how pieces agree, a temperature.

`python -m tfvision postprocess`, `aggregate` and `calibrate` write them; `evaluate`, `predict` and
`submit` take them.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tfvision.config import check_names, load_config
from tfvision.data.crops.pieces import AGGREGATES
from tfvision.engine.aggregation import Attention
from tfvision.errors import InputError
from tfvision.postprocess import POSTPROCESS
from tfvision.registry import Spec, unknown

LEARNT = "attention"


class RulesFile(BaseModel):
    """The one section of a file of rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    postprocess: tuple[Spec, ...]


class AggregateFile(BaseModel):
    """What joins the pieces of an image, and what it was fitted on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    class_names: tuple[str, ...]
    input: Spec
    aggregate: Spec

    @property
    def attention(self) -> Attention | None:
        """The learnt weights; None where it is a rule of `AGGREGATES`."""
        return Attention.from_dict(self.aggregate.kwargs) if self._learnt else None

    @property
    def text(self) -> str:
        """The name of the rule; of learnt weights, with a part of their SHA-256."""
        if not self._learnt:
            return self.aggregate.name
        values = json.dumps(self.aggregate.kwargs, sort_keys=True)
        return f"{LEARNT} {hashlib.sha256(values.encode()).hexdigest()[:12]}"

    @property
    def _learnt(self) -> bool:
        return self.aggregate.name == LEARNT


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


def read_rules(path: Path) -> tuple[Spec, ...]:
    """The rules of a YAML file whose only section is `postprocess`.

    Raises:
        InputError: It cannot be read, has other keys, or names rules that there are not.
    """
    found = load_config(RulesFile, path)
    check_names(found, {"postprocess": POSTPROCESS})
    return found.postprocess


def read_aggregate(path: Path) -> AggregateFile:
    """A file of `python -m tfvision aggregate`.

    Raises:
        InputError: It cannot be read, has other keys, names a rule that there is not, or learnt
            weights do not fit its classes.
    """
    found = load_config(AggregateFile, path)
    name, given = found.aggregate.name, found.aggregate.kwargs
    if name not in (*AGGREGATES, LEARNT):
        raise InputError(f"{path}: {unknown('aggregate', name, (*AGGREGATES, LEARNT))}")
    wanted = ("v", "u", "w", "mean", "spread") if name == LEARNT else ()
    if set(given) != set(wanted):
        raise InputError(
            f"{path}: aggregate {name} has the values {', '.join(wanted) or 'none'}; got "
            f"{', '.join(given) or 'none'}. Write the file again with the command aggregate."
        )
    if wanted:
        _check_attention(path, given, len(found.class_names) + 1)
    return found


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


def _check_attention(path: Path, given: dict[str, Any], features: int) -> None:
    """Refuses values that are no `Attention` over so many features."""
    try:
        shapes = {k: np.shape(np.array(v, float)) for k, v in given.items() if v is not None}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: attention holds something else than numbers: {error}") from error
    hidden = shapes.get("w", (0,))[0] if shapes.get("w") else 0
    wanted = {"v": (hidden, features), "w": (hidden,), "mean": (features,), "spread": (features,)}
    if "u" in shapes:
        wanted["u"] = wanted["v"]
    if shapes != wanted or not hidden:
        raise InputError(
            f"{path}: the attention of {features - 1} classes must have the shapes {wanted}; got "
            f"{shapes}. Write the file again with the command aggregate."
        )
    if min(given["spread"]) <= 0:
        raise InputError(f"{path}: the spread of a feature must be above 0; got {given['spread']}.")
