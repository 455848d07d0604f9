"""A ladder's file: a list of configs, each a few changes away from another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvision.config import RunConfig, apply_override, load_config, validate
from tfvision.errors import InputError
from tfvision.registry import unknown
from tfvision.studies.study.configs import (
    config_of,
    is_raced,
    laid_over,
    raced_tasks,
    with_flags,
)
from tfvision.studies.study.schema import (
    DECLARED,
    NAME,
    STEPS,
    UNIT_KINDS,
    LadderFile,
    Rung,
    RungFile,
    SearchFile,
    SettingsFile,
    Study,
    Units,
)
from tfvision.tasks.facts import facts_of


def read_ladder(
    path: Path,
    *,
    settings: str | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    epochs: int | None = None,
    seeds: str | None = None,
    rungs: str | None = None,
    labels: Path | None = None,
) -> Study:
    """Reads a ladder and works out the config of every rung. Imports nothing heavy.

    A rung's config is `base`, or that of the rung it is `from`, with `over` laid over it:
    mappings are merged, but one with a `name` (a model, a loss) replaces what was there, as a
    list does. `over` may also be a list of `key.path=value`. Then come the settings' `set`,
    --data, and --set. One of these that begins with the name of a rung,
    `rung:key.path=value`, belongs to the `over` of that rung, and so to those `from` it.

    Args:
        path: The file.
        settings: Which block of the file's `settings` to take, or None.
        data: Where all rungs read, or None for what the configs say.
        overrides: `key.path=value`, for all rungs, or `rung:key.path=value`.
        steps, epochs, seeds, labels: Instead of the file's; seeds as `0,1,2`.
        rungs: `a,b`: only these, and those they are compared to; None: all.

    Raises:
        InputError: A key, name or value is wrong; the message names the rung.
    """
    file = load_config(LadderFile, path)
    chosen = _settings(path, file, settings)
    found = _rungs(path, file, chosen.set, data=data, overrides=overrides)
    task = _task(path, found)
    steps, epochs = _length(file, chosen, steps, epochs)
    folds = chosen.folds or file.folds
    labels = labels or chosen.labels or file.labels
    _check_scored(path, found, folds, labels)
    return Study(
        name=path.stem if settings is None else f"{path.stem}-{settings}",
        rungs=_only(path, found, rungs),
        folds=folds,
        units=_units(path, file.units if chosen.units is None else chosen.units, folds),
        seeds=_seeds(seeds) or _distinct(path, chosen.seeds or file.seeds),
        steps=steps,
        epochs=epochs,
        metrics=_metrics(path, file, task),
        labels=labels,
        whole=tuple(found),
    )


def _rungs(path: Path, file: LadderFile, settings, *, data, overrides) -> list[Rung]:
    """The rungs with their configs, from the lowest up."""
    set_for_all, set_of_rung = _shared_out(path, file, settings, "set")
    for_all, of_rung = _shared_out(path, file, overrides, "--set")
    raws: dict[str, dict[str, Any]] = {}
    rungs: list[Rung] = []
    for rung in file.rungs:
        _check_rung(path, rung, raws)
        raw = laid_over(raws[rung.inherits] if rung.inherits else file.base, rung.over)
        for override in (*set_of_rung.get(rung.name, ()), *of_rung.get(rung.name, ())):
            apply_override(raw, override)
        raws[rung.name] = raw
        where = f"{path}, rung {rung.name!r}"
        config = _config(where, with_flags(laid_over(raw, set_for_all), data, for_all))
        _check_search(where, rung.search, config.task)
        against = rung.against or (rungs[-1].name if rungs else None)
        rungs.append(Rung.model_construct(**{**dict(rung), "against": against, "config": config}))
    return rungs


def _settings(path: Path, file: LadderFile, name: str | None) -> SettingsFile:
    if name is None:
        return SettingsFile()
    if name not in file.settings:
        raise InputError(f"{path}: " + unknown("settings", name, file.settings))
    return file.settings[name]


def _shared_out(path: Path, file: LadderFile, overrides: Sequence[str], what: str):
    """The overrides of all rungs, and those that name one: rung -> its own."""
    for_all, of_rung = [], {}
    names = [rung.name for rung in file.rungs]
    for override in overrides:
        head, colon, rest = override.partition(":")
        if not colon or "=" in head:  # a colon of the value
            for_all.append(override)
            continue
        if head.strip() not in names:
            raise InputError(f"{path}, {what} {override}: " + unknown("rung", head.strip(), names))
        of_rung.setdefault(head.strip(), []).append(rest)
    return for_all, of_rung


def _length(
    file: LadderFile, chosen: SettingsFile, steps: int | None, epochs: int | None
) -> tuple[int | None, int | None]:
    """Steps or epochs, one of them None: the flag's, else the settings', else the file's."""
    for flag, value in (("--steps", steps), ("--epochs", epochs)):
        if value is not None and value < 1:
            raise InputError(f"{flag} must be at least 1. Received: {value}.")
    if steps is not None and epochs is not None:
        raise InputError(
            f"Give --steps (as many gradient steps for every rung) or --epochs, not both; got "
            f"{steps} and {epochs}."
        )
    lengths = ((steps, epochs), (chosen.steps, chosen.epochs), (file.steps, file.epochs))
    return next((length for length in lengths if length != (None, None)), (STEPS, None))


def _task(path: Path, rungs: Sequence[Rung]) -> str:
    tasks = sorted({rung.config.task for rung in rungs})
    if len(tasks) > 1:
        raise InputError(f"{path}: all rungs must be of one task; these are of {tasks}.")
    return tasks[0]


def _check_scored(path: Path, rungs: Sequence[Rung], folds: int | None, labels: Path | None):
    """Raises where two ways of scoring are asked for at once, or one cannot be."""
    if folds is not None and labels is not None:
        raise InputError(
            f"{path}: under folds {folds} rungs are scored out of fold, and under labels {labels} "
            "on those. Leave one out (a block of settings may have either)."
        )
    if labels is not None and not labels.exists():
        raise InputError(f"--labels {labels}: there is no such file or folder.")
    searching = [rung.name for rung in rungs if rung.search is not None]
    if folds is not None and searching:
        raise InputError(
            f"{path}, rung {searching[0]!r}: a search looks at all samples that are assigned to "
            "folds, also those that its rung is then scored on. Leave out search, or folds."
        )


def _metrics(path: Path, file: LadderFile, task: str) -> tuple[str, ...]:
    """The metrics of a ladder: the contract, and the conventions or the scores of its task."""
    conventions = facts_of(task).evidence_class().conventions
    if not conventions and "metrics" not in file.model_fields_set:
        return (DECLARED,)
    known = [DECLARED, *(conventions or facts_of(task).scores)]
    for name in file.metrics:
        if name not in known:
            kind = "convention" if conventions else f"score of a {task}"
            raise InputError(f"{path}, metrics: " + unknown(kind, name, known))
    if len(set(file.metrics)) < len(file.metrics):
        raise InputError(f"{path}, metrics: one stands there twice: {list(file.metrics)}.")
    return file.metrics


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


def _config(where: str, raw: dict[str, Any]) -> RunConfig:
    """The config of a rung; refuses what the ladder itself sets."""
    train = raw.get("train") if isinstance(raw.get("train"), dict) else {}
    for key, why in (
        ("epochs", "they follow from the ladder's `steps` or `epochs`, and the rung's"),
        ("time_budget", "rungs are trained for equal numbers of steps or epochs"),
        ("early_stopping", "rungs are trained for equal numbers of steps or epochs"),
    ):
        if train.get(key):
            raise InputError(f"{where}: leave out train.{key}: {why}.")
    if "seed" in raw:
        raise InputError(f"{where}: leave out seed: the ladder's `seeds` are those of its rungs.")
    folds = "leave out data.folds: a key `folds` of the ladder assigns for all rungs."
    return config_of(where, raw, folds=folds)


def _check_search(where: str, search: dict[str, Any] | None, task: str) -> None:
    """What a rung's search may say: a search file's keys without `base`, and `steps`."""
    if search is None:
        return
    if not is_raced(task):
        raise InputError(f"{where}: leave out search: it serves {raced_tasks()}, not {task}.")
    if "base" in search:
        raise InputError(f"{where}, search: leave out base: it is the rung's own config.")
    steps = search.get("steps", 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"{where}, search: steps is a whole number from 1 up; got {steps!r}.")
    keys = {key: value for key, value in search.items() if key != "steps"}
    validate(SearchFile, {"base": {}, **keys}, where=f"{where}, search")


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
    left = [rung for rung in rungs if rung.name in wanted | below]
    if len(left) < 2:
        raise InputError(f"--rungs leaves only {left[0].name!r}; a ladder has at least two rungs.")
    # What a rung was added for is its score; what it is compared to itself stays out.
    return tuple(
        rung if rung.against in wanted | below else rung.model_copy(update={"against": None})
        for rung in left
    )


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--seeds takes whole numbers, 0,1,2. Received: {text!r}.") from error
    return _distinct("--seeds", seeds)


def _distinct(where: Path | str, seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds) or any(not 0 <= s < 2**31 for s in seeds):
        raise InputError(
            f"{where}: seeds must differ and lie in 0..2147483647. Received: {list(seeds)}."
        )
    return seeds


def _units(path: Path, units: Units | None, folds: int | None) -> Units:
    if folds is not None and units is not None:
        raise InputError(
            f"{path}: leave out units ({units}) under folds {folds}: they are what "
            "stays together in a fold: equal images, groups, near-duplicates."
        )
    if isinstance(units, int) and units < 1:
        raise InputError(
            f"{path}: units is a number of images, from 1 up, or one of {', '.join(UNIT_KINDS)}; "
            f"received {units}."
        )
    return "images" if units is None else units
