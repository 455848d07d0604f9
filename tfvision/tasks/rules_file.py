"""A file of post-processing rules, as `python -m tfvision postprocess` writes it."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tfvision.config import check_names, load_config
from tfvision.postprocess import POSTPROCESS
from tfvision.registry import Spec


class RulesFile(BaseModel):
    """The one section of such a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    postprocess: tuple[Spec, ...]


def read_rules(path: Path) -> tuple[Spec, ...]:
    """The rules of a YAML file whose only section is `postprocess`.

    Raises:
        InputError: It cannot be read, has other keys, or names rules that there are not.
    """
    found = load_config(RulesFile, path)
    check_names(found, {"postprocess": POSTPROCESS})
    return found.postprocess


def as_written(rules: Sequence[Spec]) -> list[dict]:
    """Rules as plain values, each with its name."""
    return [{"name": rule.name, **rule.kwargs} for rule in rules]


def as_text(rules: Sequence[Spec]) -> str:
    """`drop_class(index=0), fill_holes(pixels=8)`, for records; `none` without any."""
    calls = [
        f"{rule.name}({', '.join(f'{k}={v!r}' for k, v in rule.kwargs.items())})" for rule in rules
    ]
    return ", ".join(calls) or "none"
