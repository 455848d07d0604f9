"""The model of a training, its loss, its step and its batches, and a first look at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfvision.config.schema import RunConfig
from tfvision.data.pipeline import Samples
from tfvision.data.sources.source import SPLITS
from tfvision.engine.distribute import describe, resolve_precision
from tfvision.engine.loop_messages import cannot_make
from tfvision.engine.step import TrainStep
from tfvision.errors import out_of_memory
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.loss_terms import RunLoss
from tfvision.recipe.model import make_optimizer, precision
from tfvision.recipe.pretrained import enter_weights, recorded
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import steps_per_epoch, training_stream
from tfvision.recipe.starting_weights import start_from
from tfvision.runs.set_up import SetUp
from tfvision.runs.watch import start_alarms
from tfvision.tasks.parts import Validate
from tfvision.text import counted


@dataclass(frozen=True)
class Built:
    """What trains.

    Attributes:
        model: The one that is scored and exported.
        step: With the model that trains: `model` itself, or one that shares its layers.
        loss: What is minimised.
        batches: `first step -> dataset` of the training batches.
        plain: The same batches without augmentation: tells which samples a batch has.
        validate: `() -> scores` of the validation split, or None where there is none.
    """

    model: keras.Model
    step: TrainStep
    loss: RunLoss
    batches: Callable[[int], tf.data.Dataset]
    plain: Callable[[int], tf.data.Dataset]
    validate: Validate | None

    def ids_at(self, step: int, samples: Samples) -> list[str]:
        """The ids of the samples in the batch of a step."""
        return ids_of(next(iter(self.plain(step).take(1))), samples)


def build(run: SetUp) -> Built:
    """Builds what trains, and looks at the first batch and its gradients.

    Raises:
        InputError: The model does not fit the data, or the first batch cannot be made.
    """
    task, config, recipe, examples = run.task, run.config, run.recipe, run.examples
    loss = task.loss(recipe, examples.chosen, run.strategy)
    batches = training_stream(config, examples.train, examples.chosen, enrich=loss.enrich)
    plain = training_stream(config, examples.train, examples.chosen, vary=False)  # cannot fail
    first = batches(0)  # made once for all looks at it: it holds a copy of the images
    shape = task.input_shape(recipe, first)
    with precision(config), run.strategy.scope():
        model = recipe.build(shape)
        trained = recipe.trained(model)
        optimizer = make_optimizer(config)
    warn(run, task.check_model(recipe, model))
    if run.request.resume:
        run.surroundings.update(recorded(run.request.run))
    else:
        run.surroundings["pretrained"] = enter_weights(model, config, run.say)
        run.surroundings["started_from"] = start_from(
            model, recipe, run.prepared.class_names, shape, run.say
        )
    step = TrainStep(
        trained,
        optimizer,
        loss.of_batch,
        strategy=run.strategy,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        clip_norm=config.train.clip_norm,
        ema=config.train.ema,
        xla=config.train.xla,
        stages=task.stages(config, trained),
        rate_factors=config.train.rate_factors,
        forward=task.forward,
    )
    validate = None
    if examples.val is not None:
        validate = task.validation(recipe, examples, model, step, loss=loss)
    built = Built(model, step, loss, batches, plain=plain, validate=validate)
    _look_first(run, built, first)
    return built


def warn(run: SetUp, lines: Sequence[str]) -> None:
    """Says warnings, and keeps them for the report."""
    for line in lines:
        run.say(f"warning: {line}")
    run.warnings.extend(lines)


def _look_first(run: SetUp, built: Built, first: tf.data.Dataset) -> None:
    """Says what is going to be trained, and what looks wrong before the first step."""
    recipe, examples, prepared = run.recipe, run.examples, run.prepared
    run.say(overview(recipe, prepared, built.model, run.strategy))
    if built.step.model is not built.model:
        beside = built.step.model.count_params() - built.model.count_params()
        run.say(f"a projection head of {beside:,} parameters learns beside it and is not exported")
    check_first_batch(first, built.plain, examples.train)
    alarms = start_alarms(
        recipe,
        built.step,
        first,
        built.loss,
        labels=examples.train_labels,
        class_names=prepared.class_names,
    )
    warn(run, alarms)
    warn(run, few_samples(run.config, len(examples.train), examples.chosen.views))
    if not (run.surroundings.get("pretrained") or run.surroundings.get("started_from")):
        an_epoch = steps_per_epoch(run.config, examples.chosen.per_epoch)
        warn(run, few_steps(run.config, an_epoch, run.task.facts.least_steps))


def check_first_batch(stream: tf.data.Dataset, plain, samples: Samples) -> None:
    """Makes one batch before anything depends on it.

    Raises:
        InputError: The augmentation fails on it; its images are named.
    """
    try:
        next(iter(stream))
    except tf.errors.OpError as error:
        if out_of_memory(error):
            raise
        raise cannot_make(0, error, ids_of(next(iter(plain(0))), samples)) from error


def ids_of(batch, samples: Samples) -> list[str]:
    """The ids of the samples in a batch."""
    return [samples.ids[i] for i in batch["index"].numpy()]


def few_samples(config: RunConfig, count: int, views: int) -> list[str]:
    """A warning where a batch, each image of which it has `views` times, is larger than the
    training set."""
    if count * views >= config.data.batch_size:
        return []
    return [
        f"data.batch_size {config.data.batch_size} is more than the {count} training images: a "
        "batch holds some of them several times."
    ]


def few_steps(config: RunConfig, an_epoch: int, least: int) -> list[str]:
    """A warning where a training from new weights ends before its task has begun to be learnt.

    Args:
        config: Of the run.
        an_epoch: Steps of an epoch.
        least: Steps that the task needs, of which `TaskFacts.least_steps` speaks.
    """
    steps = an_epoch * config.train.epochs
    if steps >= least or config.train.time_budget:
        return []
    return [
        f"{counted(steps, 'step')} in all, which is little from new weights: "
        f"{config.task} took some {least} on small sets. To train for as many: "
        f"--set train.epochs={-(-least // an_epoch)}"
    ]


def overview(recipe: Recipe, prepared: Prepared, model, strategy) -> str:
    """What is going to be trained, on what and where, for the terminal."""
    parts = {split: len(prepared.indices(split)) for split in SPLITS}
    counts = ", ".join(f"{number} {split}" for split, number in parts.items() if number)
    devices = describe(strategy)
    where = ", ".join(devices["gpus"]) or f"{devices['cpus']} CPU cores (no GPU in use)"
    return (
        f"{recipe.config.model.name}: {model.count_params():,} parameters, "
        f"{counted(recipe.num_classes, 'class')} ({', '.join(prepared.class_names)})\n"
        f"labelled: {counts}  ({prepared.how})\n"
        f"{'x'.join(map(str, prepared.size))}x{prepared.channels}, batch "
        f"{recipe.config.data.batch_size}, {counted(devices['replicas'], 'replica')} on {where}, "
        f"{resolve_precision(recipe.config.train.precision)}"
    )
