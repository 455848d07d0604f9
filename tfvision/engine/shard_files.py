"""The header of a store of predictions, and the rows of its shards. NumPy only."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.errors import InputError
from tfvision.text import some

VERSIONS = (1, 2)  # maps of probabilities; arrays by name


def named_rows(file, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """The arrays of each image, by name."""
    columns = {}
    for name in names:
        shapes = file[f"{name}_shape"]
        ends = np.cumsum(shapes.prod(axis=1))[:-1]
        parts = np.split(file[name], ends)
        columns[name] = [p.reshape(shape) for p, shape in zip(parts, shapes, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read_header(folder: Path) -> dict[str, Any]:
    path = folder / "shards.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"ids": list, "class_names": list, "origin": dict, "per_shard": int}
        wrong = [key for key, kind in kinds.items() if not isinstance(header[key], kind)]
        version = header["version"]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is no store of probabilities: it has no shards.json."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}). Write the store again.") from error
    if version not in VERSIONS:
        raise InputError(
            f"{path} has version {version}; this program reads {' and '.join(map(str, VERSIONS))}. "
            "Write the store again."
        )
    if wrong or header["per_shard"] < 1 or len(set(header["ids"])) < len(header["ids"]):
        raise InputError(
            f"{path} is damaged ({', '.join(wrong) or 'an id comes twice, or per_shard is not'} "
            "as it must be). Write the store again."
        )
    return header


def check_same_store(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key, what in (("ids", "ids"), ("class_names", "classes"), ("origin", "origin")):
        if before[key] != now[key]:
            raise InputError(
                f"{folder} has probabilities of other {what}: {brief_value(before[key])} there, "
                f"{brief_value(now[key])} now. Choose another folder, or remove that one."
            )


def names_in(folder: Path) -> list[str]:
    """What lies there, save what a process killed in the middle of a write leaves."""
    return [p.name for p in folder.iterdir() if not p.name.endswith(".tmp")]


def brief_value(value: list | dict) -> str:
    if isinstance(value, list):
        return f"{len(value)} ({some(value)})"
    return json.dumps(value, ensure_ascii=False)[:300]
