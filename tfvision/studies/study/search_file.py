"""A search's file: a config, and the candidates that are some changes away from it."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, dump_config, load_any, load_config
from tfvision.errors import InputError
from tfvision.registry import plain
from tfvision.studies.study.configs import (
    config_of,
    is_raced,
    raced_tasks,
    with_flags,
)
from tfvision.studies.study.schema import MixtureFile, Rung, SearchFile, Study

MOST = 200  # candidates; a finer mixture is a mistake, as each costs at least one training
ALIKE = ("metrics", "data.ignore_label", "data.source", "data.splits", "seed")  # of candidates


def read_search(path: Path, *, data: Path | None = None, overrides: Sequence[str] = ()) -> Study:
    """Reads a search and works out the config of every candidate. Imports nothing heavy.

    Args:
        path: The file.
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
    base = with_flags(_base(path, file.base), data, overrides)
    changes = [(candidate.name, candidate.set) for candidate in file.candidates]
    if file.mixture is not None:
        changes += _mixtures(path, file.mixture)
    names = [name for name, _ in changes]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: two candidates are called {', '.join(double)}. Names differ.")
    if not 2 <= len(names) <= MOST:
        raise InputError(
            f"{path} has {len(names)} candidates in `candidates` and `mixture`; a search needs 2 "
            f"to {MOST}."
        )
    candidates = tuple(_candidate(path, name, base, change) for name, change in changes)
    _check_different(path, candidates)
    return Study(
        path.stem, candidates, file.folds, file.units, drop=file.drop, holdout=file.holdout
    )


def _base(path: Path, base: str | dict[str, Any]) -> dict[str, Any]:
    """The raw config all start from; a path is relative to the file, or to where one is."""
    if isinstance(base, dict):
        return base
    places = [path.parent / base, Path(base)]
    there = next((place for place in places if place.is_file()), None)
    if there is None:
        raise InputError(f"{path}, base: there is no file {' or '.join(str(p) for p in places)}.")
    return plain(load_any(there).model_dump())


def _mixtures(path: Path, mixture: MixtureFile) -> list[tuple[str, dict[str, Any]]]:
    """Names and changes: the grid of a simplex, the first term from most to least."""
    for term in mixture.terms:
        if term.weight != 1.0 or term.moves:
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
    grid = []
    for shares in itertools.product(range(parts, -1, -1), repeat=len(names)):
        if sum(shares) == parts:
            weights = {t: s / parts for t, s in zip(mixture.terms, shares, strict=True) if s}
            title = " + ".join(f"{term.name} {weight:.3g}" for term, weight in weights.items())
            terms = [{"name": t.name, **t.kwargs, "weight": w} for t, w in weights.items()]
            grid.append((title, {"loss": terms}))
    return grid


def _candidate(path: Path, name: str, base, change: Mapping[str, Any]) -> Rung:
    where = f"{path}, candidate {name!r}"
    over = [f"{key}={json.dumps(value)}" for key, value in change.items()]
    folds = "the search assigns the folds itself; leave out data.folds."
    config = config_of(where, base, over=over, folds=folds)
    if not is_raced(config.task):
        raise InputError(
            f"A search is of {raced_tasks()} configs so far; its base is of {config.task}. Write "
            "the candidates as rungs of a ladder: `python -m tfvision ladder FILE`."
        )
    return Rung.model_construct(name=name, config=config)


def _check_different(path: Path, candidates: Sequence[Rung]) -> None:
    seen: dict[str, str] = {}
    for candidate in candidates:
        text = dump_config(candidate.config)
        if text in seen:
            raise InputError(
                f"{path}: candidates {seen[text]!r} and {candidate.name!r} are the same config."
            )
        seen[text] = candidate.name
        for key in ALIKE:
            if _at(candidate.config, key) != _at(candidates[0].config, key):
                raise InputError(
                    f"{path}, candidate {candidate.name!r}: {key} differs from that of the first "
                    "candidate; all must be scored alike on the same folds."
                )


def _at(config: RunConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value
