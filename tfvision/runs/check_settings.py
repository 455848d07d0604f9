"""Settings that contradict each other, all found at once, before any data is opened."""

import inspect
from collections.abc import Callable
from typing import Any

from tfvision.augment import ACTS_ON, MIXERS, OPS
from tfvision.config import RunConfig
from tfvision.data.truth.classes import check_class_names
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.distribute import resolve_determinism
from tfvision.engine.step import check_batch_size
from tfvision.errors import InputError
from tfvision.losses.weights import check_class_weights, class_weights
from tfvision.registry import Registry, Spec
from tfvision.tasks.facts import facts_of
from tfvision.tasks.task import Task, task_of


def check_settings(
    config: RunConfig, replicas: int, architecture: dict[str, Any] | None = None
) -> None:
    """Checks a config's settings against each other and against the devices.

    Args:
        config: Of the run; its names and the names of its arguments are right.
        replicas: Devices that share a batch.
        architecture: Of an encoder by path.

    Raises:
        InputError: Some contradict each other; the message lists all that do.
    """
    problems: list[str] = []

    def look(check: Callable, *arguments, **options) -> None:
        try:
            check(*arguments, **options)
        except InputError as error:
            problems.append(str(error))

    look(check_batch_size, config.data.batch_size, replicas, config.train.accumulate)
    look(resolve_determinism, config.train.deterministic, xla=config.train.xla)
    look(_fractions, config.data.val_fraction, config.data.test_fraction)
    for key in ("splits", "exclude", "pseudo"):
        look(_is_file, key, getattr(config.data, key, None))
    for table, spec in _specs(config):
        look(_no_quotes, table, spec)
    look(_acts_on_truth, config)
    task = task_of(config.task)
    for check in task.checks(config, replicas):
        look(check)
    if not problems:  # what follows builds things, and says less well what is wrong above
        look(OPTIMIZERS.build, config.train.optimizer)
        look(_fits_classes, task, config, look)
        for check in task.model_checks(config, architecture):
            look(check)
    if problems:
        raise InputError("\n  ".join(dict.fromkeys(problems)))


def _fractions(val: float, test: float | None) -> None:
    if val + (test or 0.0) >= 1:
        raise InputError(
            f"data.val_fraction {val} and data.test_fraction {test} together leave nothing to "
            "train on. Their sum must be below 1."
        )


def _is_file(key: str, path) -> None:
    if path is not None and not path.is_file():
        raise InputError(f"data.{key}: there is no file {path}.")


def _specs(config: RunConfig) -> list[tuple[Registry, Spec]]:
    tables = facts_of(config.task).all_tables()
    found = [
        (tables["model"], config.model),
        (OPTIMIZERS, config.train.optimizer),
        (SCHEDULES, config.train.schedule),
    ]
    for table, specs in (
        (tables["loss"], config.loss),
        (tables["metrics"], config.metrics),
        (tables["postprocess"], config.postprocess),
        (OPS, config.data.augment),
        (MIXERS, config.data.mix),
    ):
        found += [(table, spec) for spec in specs]
    return found


def _no_quotes(table: Registry, spec: Spec) -> None:
    """A number in quotes is text; a builder would fail on it in words of its own, or worse."""
    parameters = inspect.signature(table[spec.name]).parameters
    for key, value in spec.kwargs.items():
        parameter = parameters.get(key)
        if not isinstance(value, str) or parameter is None:
            continue
        takes_text = isinstance(parameter.default, str) or "str" in str(parameter.annotation)
        try:
            float(value)
        except ValueError:
            continue
        if not takes_text:
            raise InputError(
                f"{table.kind} `{spec.name}`: {key} is the text {value!r}, not a number. Leave "
                "out the quotes."
            )


def _acts_on_truth(config: RunConfig) -> None:
    """A mixing op that acts on masks, say, means nothing where there are none."""
    facts = facts_of(config.task)
    for spec in config.data.mix:
        kinds = ACTS_ON.get(spec.name, (facts.truth,))
        if facts.truth not in kinds:
            raise InputError(
                f"data.mix, {spec.name}: this needs {' or '.join(kinds)}, and a {facts.name} has "
                f"{facts.truth_word}. Leave it out."
            )


def _fits_classes(task: Task, config: RunConfig, look: Callable) -> None:
    """Metrics, rules and class weights against the classes, where the config names them."""
    tables = task.facts.all_tables()
    names = config.data.class_names
    num_classes = None if names is None else len(check_class_names(names))
    if num_classes is not None:
        for key, specs in (("metrics", config.metrics), ("postprocess", config.postprocess)):
            for spec in specs:
                look(tables[key].build, spec, num_classes=num_classes)
        look(
            task.recipe,
            config,
            num_classes=num_classes,
            channels=config.data.channels or 1,
            size=config.data.image_size or (1, 1),
            resized=False,
        )
    for term in config.loss:
        look(_fitting_loss, tables["loss"], term, num_classes)


def _fitting_loss(table: Registry, term: Spec, num_classes: int | None) -> None:
    arguments = dict(term.kwargs)
    weights = arguments.pop("class_weights", None)
    if isinstance(weights, list | tuple):
        try:
            check_class_weights(weights, num_classes=num_classes)
        except InputError as error:
            raise InputError(f"loss `{term.name}`: {error}") from error
    else:  # a rule: its name and arguments, on made-up counts
        class_weights(weights, [[1] * (num_classes or 2)])
    table.build(Spec(name=term.name, **arguments))
