"""A ladder's file: a list of configs, each a few changes away from another."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tfvision.config import (
    RunConfig,
    apply_override,
    check_names,
    load_config,
    schema_of,
    validate,
)
from tfvision.errors import InputError
from tfvision.metrics.contract import CONVENTIONS
from tfvision.registry import Registry, unknown
from tfvision.tasks.names import tables_of
from tfvision.tasks.search_file import SearchFile

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}")
DECLARED = "contract"  # the metric contract that the configs declare
UNIT_KINDS = ("images", "groups", "chains")
Units = int | Literal["images", "groups", "chains"]


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
    search: dict[str, Any] | None = None
    reported: float | None = Field(default=None, ge=0, le=1)


class SettingsFile(_Part):
    """What is other for one data set."""

    set: tuple[str, ...] = ()
    steps: int | None = Field(default=None, gt=0)
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)
    units: Units | None = None


class LadderFile(_Part):
    """The whole file."""

    base: dict[str, Any] = {}
    steps: int = Field(default=600, gt=0)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    units: Units = "images"
    metrics: tuple[str, ...] = Field(default=(DECLARED, "plain"), min_length=1)
    settings: dict[str, SettingsFile] = {}
    rungs: tuple[RungFile, ...] = Field(min_length=2)


@dataclass(frozen=True)
class Rung:
    """One rung, worked out.

    Attributes:
        name, about, reported, times, search: As the file has them.
        against: The rung it is compared to; None for the first.
        config: Its config; seed and epochs are the ladder's to set.
    """

    name: str
    about: str
    against: str | None
    config: RunConfig
    times: float = 1.0
    search: dict[str, Any] | None = None
    reported: float | None = None


@dataclass(frozen=True)
class Ladder:
    """A ladder that can be run.

    Attributes:
        name: Of the file.
        rungs: From the lowest up.
        steps: Gradient steps of a rung whose `times` is 1.
        seeds: Of the trainings of each rung.
        units: What is resampled: blocks of so many consecutive test images, "images", the
            data's "groups", or "chains" of near-duplicates.
        metrics: `contract` or names of conventions of mean IoU; the first decides.
    """

    name: str
    rungs: tuple[Rung, ...]
    steps: int
    seeds: tuple[int, ...]
    units: Units
    metrics: tuple[str, ...]


def read_ladder(
    path: Path,
    tables: Mapping[str, Registry],
    *,
    settings: str | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    seeds: str | None = None,
    rungs: str | None = None,
) -> Ladder:
    """Reads a ladder and works out the config of every rung. Imports nothing heavy.

    A rung's config is `base`, or that of the rung it is `from`, with `over` laid over it:
    mappings are merged, but one with a `name` (a model, a loss) replaces what was there, as a
    list does. `over` may also be a list of `key.path=value`. Then come the settings' `set`,
    --data, and --set.

    Args:
        path: The file.
        tables: Key path of a config to the table of its names.
        settings: Which block of the file's `settings` to take, or None.
        data: Where all rungs read, or None for what the configs say.
        overrides: `key.path=value`, for all rungs.
        steps, seeds: Instead of the file's; seeds as `0,1,2`.
        rungs: `a,b`: only these, and those they are compared to; None: all.

    Raises:
        InputError: A key, name or value is wrong; the message names the rung.
    """
    file = load_config(LadderFile, path)
    chosen = _settings(path, file, settings)
    if data is not None:
        if not data.exists():
            raise InputError(f"--data {data}: there is no such file or folder.")
        source = {"name": "auto", "path": str(data.resolve())}
    else:
        source = None
    metrics = _metrics(path, file)
    raws: dict[str, dict[str, Any]] = {}
    found: list[Rung] = []
    for rung in file.rungs:
        _check_rung(path, rung, raws)
        raw = copy.deepcopy(file.base if rung.inherits is None else raws[rung.inherits])
        raws[rung.name] = _laid_over(raw, rung)
        raw = copy.deepcopy(raws[rung.name])
        for override in chosen.set:
            apply_override(raw, override)
        if source is not None:
            raw["data"] = {**(raw.get("data") or {}), "source": source}
        for override in overrides:
            apply_override(raw, override)
        where = f"{path}, rung {rung.name!r}"
        config = _config(where, raw, tables)
        _check_search(where, rung.search)
        against = rung.against or (found[-1].name if found else None)
        same = {key: getattr(rung, key) for key in ("name", "about", "times", "search", "reported")}
        found.append(Rung(against=against, config=config, **same))
    metrics = _of_tasks(path, file, metrics, {rung.config.task for rung in found})
    return Ladder(
        name=path.stem if settings is None else f"{path.stem}-{settings}",
        rungs=_only(path, found, rungs),
        steps=_positive(steps) or chosen.steps or file.steps,
        seeds=_seeds(seeds) or _distinct(path, chosen.seeds or file.seeds),
        units=_units(path, chosen.units or file.units),
        metrics=metrics,
    )


def _settings(path: Path, file: LadderFile, name: str | None) -> SettingsFile:
    if name is None:
        return SettingsFile()
    if name not in file.settings:
        raise InputError(f"{path}: " + unknown("settings", name, file.settings))
    return file.settings[name]


def _metrics(path: Path, file: LadderFile) -> tuple[str, ...]:
    known = [DECLARED, *(name for name, _, _ in CONVENTIONS)]
    for name in file.metrics:
        if name not in known:
            raise InputError(f"{path}, metrics: " + unknown("convention", name, known))
    if len(set(file.metrics)) < len(file.metrics):
        raise InputError(f"{path}, metrics: one stands there twice: {list(file.metrics)}.")
    return file.metrics


def _of_tasks(path: Path, file: LadderFile, metrics: tuple[str, ...], tasks: set[str]):
    """The metrics of a ladder; conventions of mean IoU mean nothing to a classification."""
    if len(tasks) > 1:
        raise InputError(f"{path}: all rungs must be of one task; these are of {sorted(tasks)}.")
    if tasks == {"segmentation"}:
        return metrics
    if "metrics" in file.model_fields_set and metrics != (DECLARED,):
        raise InputError(
            f"{path}, metrics: {list(metrics)} are conventions of mean IoU; the rungs classify, "
            f"and have the score their configs declare: metrics: [{DECLARED}]."
        )
    return (DECLARED,)


def _check_rung(path: Path, rung: RungFile, before: Mapping[str, Any]) -> None:
    where = f"{path}, rung {rung.name!r}"
    if not NAME.fullmatch(rung.name):
        raise InputError(
            f"{where}: a name becomes a folder; use letters, digits and . _ + - (at most 61)."
        )
    if rung.name.lower() in {name.lower() for name in before}:
        raise InputError(f"{where}: two rungs have this name. Names must differ.")
    for key, name in (("from", rung.inherits), ("against", rung.against)):
        if name is not None and name not in before:
            raise InputError(
                f"{where}, {key}: " + unknown("rung (one that stands before it)", name, before)
            )


def _laid_over(raw: dict[str, Any], rung: RungFile) -> dict[str, Any]:
    if isinstance(rung.over, dict):
        return _merged(raw, rung.over)
    for override in rung.over:
        apply_override(raw, override)
    return raw


def _merged(below: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `below`; a mapping with a name replaces, as lists and values do."""
    result = dict(below)
    for key, value in over.items():
        there = result.get(key)
        if isinstance(value, dict) and isinstance(there, dict) and "name" not in value:
            result[key] = _merged(there, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _config(where: str, raw: dict[str, Any], tables) -> RunConfig:
    """The config of a rung; refuses what the ladder itself sets."""
    train = raw.get("train") if isinstance(raw.get("train"), dict) else {}
    for key, why in (
        ("epochs", "they follow from the ladder's `steps` and the rung's `times`"),
        ("time_budget", "rungs are trained for equal numbers of steps"),
        ("early_stopping", "rungs are trained for equal numbers of steps"),
    ):
        if train.get(key):
            raise InputError(f"{where}: leave out train.{key}: {why}.")
    if "seed" in raw:
        raise InputError(f"{where}: leave out seed: the ladder's `seeds` are those of its rungs.")
    try:
        config = validate(schema_of(raw, where), raw, where=where)
        check_names(config, tables_of(config.task, tables))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}") from None
    if config.data.folds is not None:
        raise InputError(f"{where}: a ladder scores one test part; leave out data.folds.")
    return config


def _check_search(where: str, search: dict[str, Any] | None) -> None:
    """What a rung's search may say: a search file's keys without `base`, and `steps`."""
    if search is None:
        return
    if "base" in search:
        raise InputError(f"{where}, search: leave out base: it is the rung's own config.")
    steps = search.get("steps", 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"{where}, search: steps is a whole number from 1 up; got {steps!r}.")
    asked = {key: value for key, value in search.items() if key != "steps"}
    validate(SearchFile, {"base": {}, **asked}, where=f"{where}, search")


def _only(path: Path, rungs: list[Rung], names: str | None) -> tuple[Rung, ...]:
    if names is None:
        return tuple(rungs)
    known = {rung.name: rung for rung in rungs}
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    for name in sorted(wanted):
        if name not in known:
            raise InputError(f"--rungs: {path}: " + unknown("rung", name, known))
    if not wanted:
        raise InputError("--rungs names no rung.")
    below = {known[name].against for name in wanted} - {None}
    kept = [rung for rung in rungs if rung.name in wanted | below]
    if len(kept) < 2:
        raise InputError(f"--rungs leaves only {kept[0].name!r}; a ladder has at least two rungs.")
    left = {rung.name for rung in kept}
    # What a rung was added for is its score; what it is compared to itself stays out.
    return tuple(
        rung if rung.against in left or rung.against is None else replace(rung, against=None)
        for rung in kept
    )


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return _distinct("--seeds", tuple(int(part) for part in text.split(",")))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--seeds takes whole numbers, 0,1,2. Received: {text!r}.") from error


def _distinct(where: Path | str, seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds) or any(not 0 <= s < 2**31 for s in seeds):
        raise InputError(
            f"{where}: seeds must differ and lie in 0..2147483647. Received: {list(seeds)}."
        )
    return seeds


def _units(path: Path, units: Units) -> Units:
    if isinstance(units, int) and units < 1:
        raise InputError(
            f"{path}: units is a number of images, from 1 up, or one of {', '.join(UNIT_KINDS)}; "
            f"received {units}."
        )
    return units


def _positive(steps: int | None) -> int | None:
    if steps is not None and steps < 1:
        raise InputError(f"--steps must be at least 1. Received: {steps}.")
    return steps
