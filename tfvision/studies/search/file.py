"""A search's file: a config, and the candidates that are some changes away from it."""

import copy
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tfvision.config import (
    LossTerm,
    RunConfig,
    SegmentationConfig,
    apply_override,
    check_names,
    dump_config,
    load_any,
    load_config,
    validate,
)
from tfvision.errors import InputError
from tfvision.registry import Registry, plain

MOST = 200  # candidates; a finer mixture is a mistake, as each costs at least one training


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CandidateFile(_Part):
    """One candidate: a name, and key paths of the config with their values."""

    name: str = Field(min_length=1, max_length=80)
    set: dict[str, Any] = {}


class MixtureFile(_Part):
    """All mixtures of some losses whose weights are multiples of `step` and add up to 1."""

    terms: tuple[LossTerm, ...] = Field(min_length=2)
    step: float = Field(default=0.25, gt=0, le=0.5)


class DropFile(_Part):
    """When a candidate is dropped: `metrics/race.Rule`."""

    rule: Literal["race", "none"] = "race"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    least: int = Field(default=1, ge=1)
    luck: float = Field(default=0.0, ge=0, lt=1)


class SearchFile(_Part):
    """The whole file."""

    base: str | dict[str, Any]
    folds: int = Field(default=5, ge=2)
    units: Literal["auto", "images"] | int = "auto"
    candidates: tuple[CandidateFile, ...] = ()
    mixture: MixtureFile | None = None
    drop: DropFile = DropFile()


@dataclass(frozen=True)
class Search:
    """A search that can be run.

    Attributes:
        name: Of the file.
        candidates: Name to config, without folds, in the order of the file.
        folds: How many.
        units: What is resampled. `auto`: the units of the folds, that is groups, chains of
            near-duplicates and single images; `images`; or a number: so many that follow each
            other in a fold.
        drop: When a candidate is dropped.
    """

    name: str
    candidates: dict[str, SegmentationConfig]
    folds: int
    units: str | int
    drop: DropFile

    def plan(self) -> dict[str, Any]:
        """What decides the result, as JSON holds it."""
        return {
            "folds": self.folds,
            "units": self.units,
            "drop": self.drop.model_dump(),
            "candidates": {
                name: json.loads(json.dumps(plain(config.model_dump())))
                for name, config in self.candidates.items()
            },
        }


def read_search(
    path: Path,
    tables: Mapping[str, Registry],
    *,
    data: Path | None = None,
    overrides: Sequence[str] = (),
) -> Search:
    """Reads a search and works out the config of every candidate. Imports nothing heavy.

    Args:
        path: The file.
        tables: Key path of a config to the table of its names.
        data: Where all candidates read, or None for what the config says.
        overrides: `key.path=value` for all candidates; a candidate's own `set` comes after.

    Raises:
        InputError: A key, name or value is wrong; the message names the candidate.
    """
    path = Path(path)
    file = load_config(SearchFile, path)
    if isinstance(file.units, int) and file.units < 1:
        raise InputError(f"{path}: units is a number of images, from 1 up; received {file.units}.")
    if file.drop.least >= file.folds:
        raise InputError(
            f"{path}: drop.least {file.drop.least} must be less than folds, {file.folds}, else "
            "nobody is dropped. If that is meant, write rule: none."
        )
    base = _base(path, file.base)
    if data is not None:
        if not data.exists():
            raise InputError(f"--data {data}: there is no such file or folder.")
        source = {"name": "auto", "path": str(data.resolve())}
        base["data"] = {**(base.get("data") or {}), "source": source}
    for override in overrides:
        apply_override(base, override)
    changes = {c.name: c.set for c in file.candidates}
    named = [c.name for c in file.candidates]
    if file.mixture is not None:
        mixtures = _mixtures(path, file.mixture)
        changes.update(mixtures)
        named += mixtures
    double = sorted({name for name in named if named.count(name) > 1})
    if double:
        raise InputError(f"{path}: two candidates are called {', '.join(double)}. Names differ.")
    if not 2 <= len(named) <= MOST:
        raise InputError(
            f"{path} has {len(named)} candidates in `candidates` and `mixture`; a search needs 2 "
            f"to {MOST}."
        )
    candidates = {
        name: _config(f"{path}, candidate {name!r}", base, change, tables)
        for name, change in changes.items()
    }
    _check_different(path, candidates)
    return Search(path.stem, candidates, file.folds, file.units, file.drop)


def folder_name(number: int, name: str) -> str:
    """A folder for a candidate: its number and what of its name fits a file system."""
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-')[:60]}"


def _base(path: Path, base: str | dict[str, Any]) -> dict[str, Any]:
    """The raw config all start from; a path is relative to the file, or to where one is."""
    if isinstance(base, dict):
        return copy.deepcopy(base)
    places = [path.parent / base, Path(base)]
    there = next((place for place in places if place.is_file()), None)
    if there is None:
        raise InputError(f"{path}, base: there is no file {' or '.join(str(p) for p in places)}.")
    return plain(_of_masks(load_any(there)).model_dump())


def _of_masks(config: RunConfig) -> RunConfig:
    if config.task != "segmentation":
        raise InputError(
            f"A search is of segmentation configs so far; its base is of {config.task}. Write the "
            "candidates as rungs of a ladder: `python -m tfvision ladder FILE`."
        )
    return config


def _mixtures(path: Path, mixture: MixtureFile) -> dict[str, dict[str, Any]]:
    """Name to changes: the grid of a simplex, the first term from most to least."""
    for term in mixture.terms:
        if term.weight != 1.0 or term.weight_end is not None:
            raise InputError(
                f"{path}, mixture: {term.name} has a weight of its own; the mixture gives the "
                "weights. Leave it out, or write such candidates under `candidates`."
            )
    names = [term.name for term in mixture.terms]
    if len(set(names)) < len(names):
        raise InputError(f"{path}, mixture: terms names a loss twice: {', '.join(names)}.")
    parts = round(1 / mixture.step)
    if abs(parts * mixture.step - 1) > 1e-6:
        raise InputError(
            f"{path}, mixture: step must divide 1, as 0.5, 0.25, 0.2 and 0.1 do; received "
            f"{mixture.step}."
        )
    found = {}
    for shares in itertools.product(range(parts, -1, -1), repeat=len(names)):
        if sum(shares) == parts:
            weights = {t: s / parts for t, s in zip(mixture.terms, shares, strict=True) if s}
            title = " + ".join(f"{term.name} {weight:.3g}" for term, weight in weights.items())
            found[title] = {
                "loss": [{"name": t.name, **t.kwargs, "weight": w} for t, w in weights.items()]
            }
    return found


def _config(where: str, base: dict[str, Any], change: Mapping[str, Any], tables):
    raw = copy.deepcopy(base)
    try:
        for key, value in change.items():
            apply_override(raw, f"{key}={json.dumps(value)}")
        config = validate(SegmentationConfig, raw, where=where)
        check_names(config, dict(tables))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}") from None
    if config.data.folds is not None:
        raise InputError(f"{where}: the search deals the folds itself; leave out data.folds.")
    return config


def _check_different(path: Path, candidates: Mapping[str, SegmentationConfig]) -> None:
    seen: dict[str, str] = {}
    for name, config in candidates.items():
        text = dump_config(config)
        if text in seen:
            raise InputError(f"{path}: candidates {seen[text]!r} and {name!r} are the same config.")
        seen[text] = name
        for key in ("metrics", "data.ignore_label", "data.source", "data.splits", "seed"):
            values = [_at(c, key) for c in (config, next(iter(candidates.values())))]
            if values[0] != values[1]:
                raise InputError(
                    f"{path}, candidate {name!r}: {key} differs from that of the first candidate; "
                    "all must be scored alike on the same folds."
                )


def _at(config: SegmentationConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
