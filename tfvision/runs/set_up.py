"""What a training stands on: its settings checked, its folder open, its data read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from tfvision.augment import MIXERS, OPS
from tfvision.config.schema import RunConfig
from tfvision.data.files.issue import by_kind, grouped
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.distribute import make_strategy, resolve_determinism
from tfvision.engine.progress import Progress
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared, prepare
from tfvision.recipe.opening import resolved_source
from tfvision.recipe.pretrained import check_pretrained, outside_architecture
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.starting_weights import check_starting_weights
from tfvision.runs.check_settings import check_settings
from tfvision.runs.environment import environment
from tfvision.runs.record import changed_surroundings
from tfvision.runs.request import TrainRequest
from tfvision.tasks.parts import Examples
from tfvision.tasks.task import Task, task_of


@dataclass(frozen=True)
class SetUp:
    """A run before its model is built.

    Attributes:
        request: What was asked.
        task: The task of its config.
        config: As it is saved: with what the data decided.
        strategy: The devices.
        recipe, prepared: What the config means, and the data.
        examples: What is trained and validated on.
        architecture: Of an encoder that the config has by path, or None.
        surroundings: Versions and devices.
        warnings: Sentences that a reader must see first; more are added.
        say: Takes a line for the terminal.
    """

    request: TrainRequest
    task: Task
    config: RunConfig
    strategy: tf.distribute.Strategy
    recipe: Recipe
    prepared: Prepared
    examples: Examples
    architecture: dict[str, Any] | None
    surroundings: dict[str, Any]
    warnings: list[str]
    say: Callable[[str], None]


def set_up(request: TrainRequest, progress: Progress) -> SetUp:
    """Checks a run's settings, opens its folder and reads its data.

    Raises:
        InputError: Settings or data cannot be used; nothing has been trained then.
    """
    config, say = request.config, progress.line
    task = task_of(config.task)
    strategy = make_strategy(request.device)
    architecture = check_config(
        config, strategy.num_replicas_in_sync, request.run if request.resume else None
    )
    open_run(request)
    issues = None if request.dry_run else request.run.path / "issues.json"
    known = request.run.read_json("data.json") if request.resume else None
    prepared = prepare(config.data, seed=config.seed, issues=issues, known=known)
    config = resolve(config, prepared)
    settled = task.settle(config, prepared, architecture)
    for note in settled.prepared.notes:
        say(note)
    seed_everything(config)
    surroundings = environment(strategy, request.command)
    # What the split gave rise to is among the notes already.
    found = [issue for issue in prepared.scan.warnings if issue.place != "splits"]
    for line in by_kind(found):
        say(f"warning: {line}")
    warnings = [f"{i.place}: {i.problem}" for i in grouped(prepared.scan.warnings)]
    if request.resume:
        changed = changed_surroundings(request, surroundings)
        for line in changed:
            say(line)
        warnings += changed
    examples = task.examples(settled.recipe, settled.prepared, settled.training)
    for note in examples.notes:
        say(note)
    noted = replace(settled.prepared, notes=[*settled.prepared.notes, *examples.notes])
    return SetUp(
        request=request,
        task=task,
        config=config,
        strategy=strategy,
        recipe=settled.recipe,
        prepared=noted,
        examples=examples,
        architecture=architecture,
        surroundings=surroundings,
        warnings=warnings,
        say=say,
    )


def check_config(
    config: RunConfig, replicas: int, run: RunFolder | None = None
) -> dict[str, Any] | None:
    """Checks all of a config that can be checked before its data is opened.

    Args:
        config: Of the run.
        replicas: Devices that share a batch.
        run: The one to go on with, or None for a new one.

    Returns:
        The architecture of an encoder that the config has by path, or None.

    Raises:
        InputError: Settings that cannot be used.
    """
    resume = run is not None
    check_arguments(config)
    check_pretrained(config, resume=resume)
    check_starting_weights(config, resume=resume)
    architecture = outside_architecture(config.model, run)
    check_settings(_without_split_files(config) if resume else config, replicas, architecture)
    return architecture


def _without_split_files(config: RunConfig) -> RunConfig:
    """A run that is there has its split on record: files that it came from may be gone."""
    data = config.data.model_copy(update={"splits": None, "exclude": None})
    return config.model_copy(update={"data": data})


def check_arguments(config: RunConfig) -> None:
    """Every argument in the config fits its builder; said before any data is opened."""
    task = task_of(config.task)
    tables, of_keras = task.facts.all_tables(), {"name", "reduction", "dtype"}
    tables["model"].check_arguments(config.model, {"input_shape", "num_classes", "name"})
    task.check_arguments(config)
    for kind, specs, context in (
        (tables["loss"], config.loss, of_keras),
        (tables["metrics"], config.metrics, {"num_classes"} | of_keras),
        (tables["postprocess"], config.postprocess, {"num_classes"}),
        (OPS, config.data.augment, set()),
        (MIXERS, config.data.mix, set()),
        (OPTIMIZERS, (config.train.optimizer,), {"name"}),
        (SCHEDULES, (config.train.schedule,), set()),
    ):
        for spec in specs:
            kind.check_arguments(spec, context)
    for kind, specs in ((OPS, config.data.augment), (MIXERS, config.data.mix)):
        for spec in specs:
            kind.build(spec)
    SCHEDULES.build(config.train.schedule)
    if "clipnorm" in config.train.optimizer.kwargs or "ema_momentum" in (
        config.train.optimizer.kwargs
    ):
        raise InputError(
            "Clipping and averaging are train.clip_norm and train.ema, which mean the same on any "
            "number of devices; leave them out of train.optimizer."
        )


def open_run(request: TrainRequest) -> None:
    """Makes and locks the run folder, or locks the one to go on with; a dry run has none."""
    if request.dry_run:
        return
    if request.resume:
        request.run.lock()
    else:
        request.run.create(overwrite=request.overwrite)


def resolve(config: RunConfig, prepared: Prepared) -> RunConfig:
    """The config with what the data decided, as it is saved."""
    data = config.data.model_copy(update={"source": resolved_source(config.data, prepared.source)})
    return config.model_copy(update={"data": type(config.data).model_validate(data.model_dump())})


def seed_everything(config: RunConfig) -> None:
    """Seeds Keras; enables deterministic ops where the config asks for them."""
    keras.utils.set_random_seed(config.seed)
    if resolve_determinism(config.train.deterministic, xla=config.train.xla):
        tf.config.experimental.enable_op_determinism()
