"""Segmentation, from a config to a run folder, read from top to bottom."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.augment import MIXERS, OPS
from tfvision.config import DataConfig, SegmentationConfig
from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.distribute import (
    describe,
    make_strategy,
    resolve_determinism,
    resolve_precision,
)
from tfvision.engine.evaluate import Validation
from tfvision.engine.loop import Loop, cannot_make
from tfvision.engine.progress import Progress
from tfvision.engine.signals import StopRequest
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError, out_of_memory
from tfvision.losses import LOSSES
from tfvision.losses.weights import class_weights
from tfvision.metrics import METRICS, contract
from tfvision.models import MODELS
from tfvision.postprocess import POSTPROCESS
from tfvision.registry import Spec
from tfvision.tasks.calibrate import calibrate
from tfvision.tasks.check import check_depth, check_settings
from tfvision.tasks.data import Prepared, prepare, resolved_source
from tfvision.tasks.decode import decode
from tfvision.tasks.dry_run import dry_run
from tfvision.tasks.environment import environment
from tfvision.tasks.plan import bytes_needed, make_plan, seconds_to_finish, stages_of
from tfvision.tasks.pretrained import (
    check_pretrained,
    enter_weights,
    outside_architecture,
    recorded,
)
from tfvision.tasks.recipe import Recipe, make_recipe
from tfvision.tasks.record import changed_surroundings, identity_of, record_run
from tfvision.tasks.request import TrainRequest
from tfvision.tasks.sampling import training_set, training_stream
from tfvision.tasks.sentinel import make_watch, start_alarms
from tfvision.tasks.terms import enricher, with_moving_weights


def train(
    request: TrainRequest,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    trial: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Trains, scores, exports and reports a run. Returns what `summary.json` holds.

    Args:
        request: What the command line asks.
        callbacks: Keras callbacks for the loop. What they remember is not in checkpoints.
        trial: `(recipe, step, batches, say) -> summary`, to be done with what was built in
            place of the training; `request` must be a dry run.
    """
    began = time.monotonic()
    keras.utils.clear_session()  # names of layers start again: a second run here is the first
    config = request.config
    progress = Progress(quiet=request.quiet, log=None if request.dry_run else request.run.log)
    say = progress.line

    strategy = make_strategy(request.device)
    _check_arguments(config)
    check_pretrained(config, resume=request.resume)
    architecture = outside_architecture(config.model, request.run if request.resume else None)
    check_settings(config, strategy.num_replicas_in_sync, architecture)
    _open_run(request)
    issues = None if request.dry_run else request.run.path / "issues.json"
    prepared = prepare(config.data, seed=config.seed, issues=issues)
    config = _resolve(config, prepared)
    for note in prepared.notes:
        say(note)
    recipe = make_recipe(
        config,
        num_classes=prepared.num_classes,
        channels=prepared.channels,
        size=prepared.size,
        resized=prepared.resized,
        architecture=architecture,
    )
    check_depth(recipe)
    _seed(config)
    surroundings = environment(strategy, request.command)
    identity = identity_of(config, prepared)
    warnings = [f"{i.place}: {i.problem}" for i in prepared.scan.issues if i.severity == "warning"]
    if request.resume:
        for line in changed_surroundings(request, surroundings):
            say(line)
            warnings.append(line)

    chosen = training_set(config, prepared, recipe.ignored)
    for note in chosen.notes:
        say(note)
    prepared = replace(prepared, notes=[*prepared.notes, *chosen.notes])
    train_samples = decode(prepared, chosen.indices)
    val_samples = prepared.decoded("val") if prepared.indices("val") else None
    terms = _losses(config, recipe, chosen.class_pixels)
    enrich = enricher(terms, recipe.num_classes)
    batches = training_stream(config, train_samples, chosen, enrich=enrich)
    plain = training_stream(config, train_samples, chosen, vary=False)  # names them, cannot fail
    first = batches(0)  # made once for all looks at it: it holds a copy of the images
    with _precision(config), strategy.scope():
        model = recipe.build(_input_shape(recipe, first))
        optimizer = _make_optimizer(config)
    if request.resume:
        surroundings["pretrained"] = recorded(request.run)
    else:
        surroundings["pretrained"] = enter_weights(model, config, say)
    terms, follow = with_moving_weights(config.loss, terms, strategy)
    step = TrainStep(
        model,
        optimizer,
        batch_loss(terms),
        strategy=strategy,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        clip_norm=config.train.clip_norm,
        ema=config.train.ema,
        xla=config.train.xla,
        stages=stages_of(config),
    )
    validate = _validation(recipe, val_samples, step, terms, enrich)
    say(_overview(recipe, prepared, model, strategy))
    names = prepared.class_names
    _check_first_batch(first, plain, train_samples)
    for alarm in start_alarms(recipe, step, first, terms, train_samples, names):
        say(f"warning: {alarm}")
        warnings.append(alarm)
    del first  # and the copy of the images with it
    if len(train_samples) < config.data.batch_size:
        few = (
            f"data.batch_size {config.data.batch_size} is more than the {len(train_samples)} "
            "training images: a batch holds some of them several times."
        )
        say(f"warning: {few}")
        warnings.append(few)
    if trial is not None:
        return trial(recipe, step, batches, say)
    if request.dry_run:
        return dry_run(request, recipe, step, batches, validate, prepared, chosen, say)

    request.run.check_space(bytes_needed(recipe, prepared, step))
    record_run(request, config, prepared, surroundings, architecture)
    setup = time.monotonic() - began
    plan = make_plan(
        config, recipe, chosen.per_epoch, setup, seconds_to_finish(config, prepared, step, model)
    )
    loop = Loop(
        step,
        batches,
        validate=validate,
        plan=plan,
        folder=request.run.checkpoints,
        identity=identity,
        callbacks=callbacks,
        batch_names=lambda s: _ids_of(next(iter(plain(s).take(1))), train_samples),
        on_epoch=request.run.write_history,
        follow=follow,
        watch=make_watch(recipe, val_samples, names),
        stop_on_alarm=config.train.sentinel == "fail",
        progress=progress,
    )
    if request.resume:
        for line in loop.restore(extend=request.extend):
            say(line)
        began -= loop.state.elapsed  # the wall time of a run has the training of all sittings
    with StopRequest() as stop:
        state = loop.run(stop)
    timing = {"set up": setup, "train": state.elapsed}

    from tfvision.tasks.finish import finish, weights_are_kept

    with weights_are_kept(request.run, timing):
        warnings += calibrate(request.run, recipe, model, val_samples, say)
        return finish(
            request, recipe, prepared, model, loop, surroundings, warnings, timing, began, say
        )


def _check_arguments(config: SegmentationConfig) -> None:
    """Every argument in the config fits its builder; said before any data is opened."""
    given = {"num_classes"}
    MODELS.check_arguments(config.model, {"input_shape", "num_classes", "name"})
    keras_own = {"name", "reduction", "dtype"}
    for kind, specs, context in (
        (LOSSES, config.loss, keras_own),
        (METRICS, config.metrics, given | keras_own),
        (POSTPROCESS, config.postprocess, given),
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


def _open_run(request: TrainRequest) -> None:
    if request.dry_run:
        return
    if request.resume:
        request.run.lock()
    else:
        request.run.create(overwrite=request.overwrite)


def _resolve(config: SegmentationConfig, prepared: Prepared) -> SegmentationConfig:
    """The config with what the data decided, as it is saved."""
    data = config.data.model_copy(update={"source": resolved_source(config.data, prepared.source)})
    return config.model_copy(update={"data": DataConfig.model_validate(data.model_dump())})


def _seed(config: SegmentationConfig) -> None:
    keras.utils.set_random_seed(config.seed)
    if resolve_determinism(config.train.deterministic, xla=config.train.xla):
        tf.config.experimental.enable_op_determinism()


class _precision:
    """Keras' dtype policy of the run, while the model and its optimizer are built."""

    def __init__(self, config: SegmentationConfig):
        self._policy = resolve_precision(config.train.precision)

    def __enter__(self):
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._policy)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self._before)


def _make_optimizer(config: SegmentationConfig) -> keras.optimizers.Optimizer:
    spec = config.train.optimizer
    optimizer = OPTIMIZERS.build(spec, name=spec.name)
    if keras.config.dtype_policy().name == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def _input_shape(recipe: Recipe, stream: tf.data.Dataset) -> tuple:
    """Where training sees crops, the model's height and width stay open."""
    cropped = tuple(stream.element_spec["image"].shape[1:3])
    if cropped == recipe.size:
        return (*recipe.size, recipe.channels)
    stride = recipe.build((None, None, recipe.channels)).stride
    if any(side is None or side % stride for side in cropped):
        raise InputError(
            f"The augmentation gives images of {cropped[0]}x{cropped[1]} to train on; "
            f"{recipe.config.model.name} needs multiples of {stride}. Change the crop in "
            "data.augment, or model.depth."
        )
    return (None, None, recipe.channels)


def _losses(config, recipe: Recipe, class_pixels: np.ndarray) -> list:
    """(loss, weight) of each term, class weights computed, ignored labels as the contract's."""
    terms = []
    for term in config.loss:
        arguments = {"ignore_labels": recipe.ignored, **term.kwargs}
        if "class_weights" in arguments:
            arguments["class_weights"] = class_weights(
                arguments["class_weights"], class_pixels, ignore_labels=arguments["ignore_labels"]
            )
        loss = LOSSES.build(Spec(name=term.name, **arguments))
        terms.append((loss, term.weight))
    return terms


def _validation(recipe: Recipe, samples: Samples | None, step: TrainStep, terms, enrich):
    """`() -> scores` of the validation split, or None where there is none."""
    if samples is None:
        return None
    config = recipe.config
    replicas = step.strategy.num_replicas_in_sync
    size = min(config.data.batch_size, -(-len(samples) // replicas) * replicas)
    validation = Validation(
        step.model,
        scoring_batches(samples, batch_size=size, workers=config.data.workers, enrich=enrich),
        num_classes=recipe.num_classes,
        loss=batch_loss(terms),
        rules=recipe.rules,
        ignore_labels=recipe.void,
        strategy=step.strategy,
    )
    others = [
        (spec.name, METRICS.build(spec, num_classes=recipe.num_classes).contract)
        for spec in config.metrics[1:]
    ]

    def validate() -> dict[str, float]:
        plain, processed, loss = validation()
        scores = {"val_loss": loss}
        for prefix, counts in (("val_", plain), ("val_post_processed_", processed)):
            if counts is None:
                continue
            for name, agreed in [(config.metrics[0].name, recipe.contract), *others]:
                scores[prefix + name] = METRICS[name].from_counts(counts, agreed)
        scores.setdefault("val_pixel_accuracy", contract.pixel_accuracy(plain, recipe.contract))
        pooled = plain.sum(axis=0)
        for k, value in enumerate(contract.iou_per_class(pooled)):
            scores[f"val_iou_{k}"] = float(value)
        for k, count in enumerate(pooled.sum(axis=0)):
            scores[f"val_predicted_{k}"] = float(count) / max(float(pooled.sum()), 1.0)
        return scores

    return validate


def _check_first_batch(stream: tf.data.Dataset, plain, samples: Samples) -> None:
    """Makes one batch before anything depends on it.

    Raises:
        InputError: The augmentation fails on it; its images are named.
    """
    try:
        next(iter(stream))
    except tf.errors.OpError as error:
        if out_of_memory(error):
            raise
        raise cannot_make(0, error, _ids_of(next(iter(plain(0))), samples)) from error


def _ids_of(batch, samples: Samples) -> list[str]:
    return [samples.ids[i] for i in batch["index"].numpy()]


def _overview(recipe: Recipe, prepared: Prepared, model, strategy) -> str:
    counts = " / ".join(str(len(prepared.indices(s))) for s in ("train", "val", "test"))
    devices = describe(strategy)
    where = ", ".join(devices["gpus"]) or f"{devices['cpus']} CPU cores (no GPU in use)"
    return (
        f"{recipe.config.model.name}: {model.count_params():,} parameters, "
        f"{recipe.num_classes} classes ({', '.join(prepared.class_names)})\n"
        f"labelled train / val / test: {counts}  ({prepared.how})\n"
        f"{'x'.join(map(str, prepared.size))}x{prepared.channels}, batch "
        f"{recipe.config.data.batch_size}, {devices['replicas']} replica(s) on {where}, "
        f"{resolve_precision(recipe.config.train.precision)}"
    )
