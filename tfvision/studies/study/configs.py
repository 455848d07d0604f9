"""How what a study's file says becomes configs: changes laid over a base, flags, checks."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, apply_override, check_names, schema_of, validate
from tfvision.errors import InputError
from tfvision.tasks.facts import facts_of, task_names


def laid_over(raw: Mapping[str, Any], over: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """A copy of `raw` with changes: a mapping merged into it, or `key.path=value` each.

    A mapping with a `name` (a model, a loss) replaces what was there, as lists and values do.
    """
    result = copy.deepcopy(dict(raw))
    if not isinstance(over, Mapping):
        for override in over:
            apply_override(result, override)
        return result
    for key, value in over.items():
        there = result.get(key)
        if isinstance(value, dict) and isinstance(there, dict) and "name" not in value:
            result[key] = laid_over(there, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def with_flags(
    raw: Mapping[str, Any], data: Path | None, overrides: Sequence[str]
) -> dict[str, Any]:
    """A copy of `raw` with what --data and --set say of every config."""
    result = dict(raw)
    if data is not None:
        if not data.exists():
            raise InputError(f"--data {data}: there is no such file or folder.")
        source = {"name": "auto", "path": str(data.resolve())}
        result["data"] = {**(raw.get("data") or {}), "source": source}
    return laid_over(result, overrides)


def config_of(
    where: str, raw: Mapping[str, Any], *, over: Sequence[str] = (), folds: str
) -> RunConfig:
    """The config of one rung or candidate.

    Args:
        where: What to call it in a message.
        raw: Its keys and values.
        over: `key.path=value` each, laid over it.
        folds: What is said where it has folds, which are the study's.

    Raises:
        InputError: A key, name or value is wrong.
    """
    try:
        raw = laid_over(raw, over)
        config = validate(schema_of(raw, where), raw, where=where)
        check_names(config, facts_of(config.task).all_tables())
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}") from None
    if config.data.folds is not None:
        raise InputError(f"{where}: {folds}")
    return config


def is_raced(task: str) -> bool:
    """Whether configs of a task can be candidates of a search."""
    return facts_of(task).supports("search") is None


def raced_tasks() -> str:
    """The tasks whose configs can be candidates, for messages."""
    return ", ".join(filter(is_raced, task_names()))
