"""Segmentation, from a config to a run folder, read from top to bottom."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.engine.distribute import make_strategy
from tfvision.engine.evaluate import Validation
from tfvision.engine.loop import Loop
from tfvision.engine.progress import Progress
from tfvision.engine.signals import StopRequest
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError
from tfvision.metrics import METRICS, contract
from tfvision.recipe.dataset import prepare
from tfvision.recipe.loss_terms import enricher, with_moving_weights
from tfvision.recipe.pretrained import (
    check_pretrained,
    enter_weights,
    outside_architecture,
    recorded,
)
from tfvision.recipe.read import decode
from tfvision.recipe.recipe import Recipe, make_recipe
from tfvision.recipe.sampling import augmented, training_set, training_stream
from tfvision.runs.check_settings import check_depth, check_settings, check_stride
from tfvision.runs.dry_run import dry_run
from tfvision.runs.environment import environment
from tfvision.runs.plan import bytes_needed, make_plan, seconds_to_finish, stages_of
from tfvision.runs.record import changed_surroundings, identity_of, record_run
from tfvision.runs.request import TrainRequest
from tfvision.runs.sentinel import make_watch, start_alarms
from tfvision.runs.train import (
    check_arguments,
    check_first_batch,
    few_samples,
    ids_of,
    make_losses,
    make_optimizer,
    open_run,
    overview,
    precision,
    resolve,
    seed_everything,
)
from tfvision.tasks.segmentation.specialists import calibrate


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
    check_arguments(config)
    check_pretrained(config, resume=request.resume)
    architecture = outside_architecture(config.model, request.run if request.resume else None)
    check_settings(config, strategy.num_replicas_in_sync, architecture)
    open_run(request)
    issues = None if request.dry_run else request.run.path / "issues.json"
    prepared = prepare(config.data, seed=config.seed, issues=issues)
    config = resolve(config, prepared)
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
    seed_everything(config)
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
    terms = make_losses(config, recipe, chosen.class_pixels)
    enrich = enricher(terms, recipe.num_classes)
    batches = training_stream(config, train_samples, chosen, enrich=enrich)
    plain = training_stream(config, train_samples, chosen, vary=False)  # names them, cannot fail
    first = batches(0)  # made once for all looks at it: it holds a copy of the images
    with precision(config), strategy.scope():
        model = recipe.build(_input_shape(recipe, first))
        optimizer = make_optimizer(config)
    for padding in check_stride(model.stride, config.model.name, recipe.size):
        say(f"warning: {padding}")
        warnings.append(padding)
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
        rate_factors=config.train.rate_factors,
    )
    validate = _validation(recipe, val_samples, step, terms, enrich)
    say(overview(recipe, prepared, model, strategy))
    names = prepared.class_names
    check_first_batch(first, plain, train_samples)
    for alarm in start_alarms(recipe, step, first, terms, train_samples.masks, names):
        say(f"warning: {alarm}")
        warnings.append(alarm)
    del first  # and the copy of the images with it
    for few in few_samples(config, len(train_samples)):
        say(f"warning: {few}")
        warnings.append(few)
    if trial is not None:
        return trial(recipe, step, batches, say)
    if request.dry_run:
        examples = augmented(config, prepared, recipe.ignored)
        return dry_run(request, recipe, step, batches, validate, chosen, examples, say)

    request.run.check_space(bytes_needed(recipe, prepared, step))
    record_run(request, config, prepared, surroundings, architecture)
    setup = time.monotonic() - began
    plan = make_plan(
        config, recipe, chosen.per_epoch, setup, seconds_to_finish(recipe, prepared, model)
    )
    loop = Loop(
        step,
        batches,
        validate=validate,
        plan=plan,
        folder=request.run.checkpoints,
        identity=identity,
        callbacks=callbacks,
        batch_names=lambda s: ids_of(next(iter(plain(s).take(1))), train_samples),
        on_epoch=request.run.write_history,
        follow=follow,
        watch=make_watch(recipe, None if val_samples is None else val_samples.masks, names),
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

    from tfvision.runs.finish import Trained, finish, weights_are_kept

    with weights_are_kept(request.run, timing):
        warnings += calibrate(request.run, recipe, model, val_samples, say)
        return finish(
            Trained(
                request, recipe, prepared, model, loop, surroundings, warnings, timing, began, say
            )
        )


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
