"""Another data set with its truth, read as a run's own data: `evaluate --data`."""

import json
from collections.abc import Sequence
from pathlib import Path

from tfvision.config import apply_override, audit_schema, validate
from tfvision.config.schema import DataConfig
from tfvision.data.scan.result import Scan
from tfvision.data.scan.scan import scan
from tfvision.data.sources.renumbered import Renumbered
from tfvision.data.sources.source import Source
from tfvision.data.truth.alike import read_alike
from tfvision.data.truth.classes import numbered_names
from tfvision.errors import InputError
from tfvision.recipe.opening import open_beside
from tfvision.runs.load import LoadedRun
from tfvision.text import some

NO_VALUE = -1  # and below: raw values of classes that the other data does not have


def open_other(
    loaded: LoadedRun, path: Path, overrides: Sequence[str] = ()
) -> tuple[Source, Scan, list[str]]:
    """Another data set, with the class numbers of a run.

    Classes are matched by name where both have names; masks of {0, 1} and of {0, 255} are read
    alike.

    Args:
        loaded: The run.
        path: The data set.
        overrides: `data.KEY=VALUE`: how it is read, where that is not as the run's was.

    Returns:
        The source, its scan, and what was done, for the user.

    Raises:
        InputError: The classes contradict each other, or the data cannot be used; says what to
            type.
    """
    data, config = loaded.data, _with_overrides(loaded.config.data, overrides)
    source = open_beside(config, path, mask_values=None, white=data["white"])
    own = list(source.class_names or ())
    if any(text.strip().startswith("data.class_names") for text in overrides):
        own = list(config.class_names or ())
    numbers = _numbers_by_name(own, data, path)
    notes = []
    if numbers is not None and numbers != list(range(len(numbers))):
        order = ", ".join(f"{name} {k} -> {numbers[k]}" for k, name in enumerate(own))
        notes.append(f"{path}: classes are matched by name (here -> in the run): {order}")
    if source.truth == "masks":
        declared = any(text.strip().startswith("data.source.") for text in overrides)
        found, said = _scan_masks(source, config, data, numbers, declared=declared)
        notes += [f"{path}: {said}"] if said else []
    else:
        if own:
            numbers = range(len(own)) if numbers is None else numbers
            labels = data.get("class_labels")
            source = Renumbered(source, numbers, data["class_names"], labels)
        found = _scan(source, data["class_names"], config)
    try:
        found.raise_for_errors()
    except InputError as error:
        raise InputError(
            f"{error}\nHow this data is to be read is said with --set data.KEY=VALUE, such as "
            "--set 'data.source.mask_values=[0, 1]'."
        ) from error
    return source, found, notes


def _with_overrides(config: DataConfig, overrides: Sequence[str]) -> DataConfig:
    """The config's section with what `--set` says of the other data."""
    if not overrides:
        return config
    raw = {"data": config.model_dump(mode="json")}
    for override in overrides:
        if not override.strip().startswith("data."):
            raise InputError(
                "--set of evaluate says how --data is read, and sets keys of data, such as "
                f"data.source.mask_values. Received: {override!r}."
            )
        apply_override(raw, override)
    return validate(audit_schema(config.task), raw, where="--set").data


def _scan(source: Source, names: Sequence[str], config: DataConfig) -> Scan:
    return scan(source, class_names=names, ignore_label=config.ignore_label)


def _scan_masks(
    source: Source, config: DataConfig, data: dict, numbers: Sequence[int] | None, *, declared: bool
) -> tuple[Scan, str]:
    """The scan of a source whose masks are read as those of the run, and how their values are.

    Args:
        source: Gets the values of its masks, in the order of the run's classes.
        config: How it is read.
        data: `data.json` of the run.
        numbers: The run's number of each class of the source; None: the same.
        declared: The user says how values are read.
    """
    names, count = data["class_names"], data["num_classes"] if numbers is None else len(numbers)
    ordered = numbers is None or list(numbers) == list(range(len(names)))
    values = source.mask_values or (data["mask_values"] if ordered else None)
    source.mask_values = values
    found = _scan(source, names if ordered else numbered_names(count), config)
    said = ""
    if not declared:
        seen = {value for fact in found.facts if fact for value in fact.values}
        values, said = read_alike(seen, values, count)
    if ordered and not said:
        return found, ""
    if not ordered:
        raw, values = values or list(range(count)), [NO_VALUE - k for k in range(len(names))]
        for value, number in zip(raw, numbers, strict=True):
            values[number] = value
    source.mask_values, source.class_names = values, list(names)
    return _scan(source, names, config), said


def _numbers_by_name(own: Sequence[str], data: dict, path: Path) -> list[int] | None:
    """The run's number of each class of other data; None where names say nothing.

    Raises:
        InputError: The names contradict those of the run.
    """
    names = list(data["class_names"])
    # What the data of the run writes counts too, where its config has given other names.
    for known in (data.get("class_labels") or names, names):
        if own and (numbers := _numbers(own, known)) is not None:
            return numbers
    if not own or names == numbered_names(len(names)):
        return None
    typed = json.dumps(names[: len(own)], ensure_ascii=False)
    strange = [name for name in own if name not in names]
    raise InputError(
        f"{path} has the classes {own}, the run has {names}: {some(strange)} "
        f"{'are no classes' if len(strange) > 1 else 'is no class'} of the run, so nothing says "
        "which is which. Rename them in the data; or, where they are the run's classes in this "
        f"order, say so: --set 'data.class_names={typed}'."
    )


def _numbers(own: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """The number of each name among those that are known; None where one is not among them."""
    for spell in (str, lambda name: name.strip().casefold()):
        number_of = {spell(name): number for number, name in enumerate(known)}
        found = [number_of.get(spell(name)) for name in own]
        if len(number_of) == len(known) and None not in found and len(set(found)) == len(found):
            return found
    return None
