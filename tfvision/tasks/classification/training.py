"""Classification, from a config to a run folder, read from top to bottom."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.config import ClassificationConfig
from tfvision.data.pipeline import scoring_batches
from tfvision.engine.distribute import make_strategy
from tfvision.engine.loop import Loop
from tfvision.engine.progress import Progress
from tfvision.engine.signals import StopRequest
from tfvision.engine.stages import Stage
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError
from tfvision.metrics import METRICS, contract
from tfvision.metrics.confusion import confusion_matrix
from tfvision.models.unfreezing import progressive_stages
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.dataset import prepare
from tfvision.recipe.loss_terms import with_moving_weights
from tfvision.recipe.pretrained import (
    check_pretrained,
    enter_weights,
    outside_architecture,
    recorded,
)
from tfvision.recipe.recipe import Recipe, make_recipe
from tfvision.recipe.sampling import training_set, training_stream
from tfvision.runs.check_settings import check_settings
from tfvision.runs.dry_run import dry_run
from tfvision.runs.environment import environment
from tfvision.runs.plan import bytes_needed, make_plan, seconds_to_finish, stages_of
from tfvision.runs.record import changed_surroundings, identity_of, record_run
from tfvision.runs.request import TrainRequest
from tfvision.runs.sentinel import make_watch, start_alarms, unscored_stages
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
from tfvision.tasks.classification.inference import ClassValidation
from tfvision.tasks.classification.pieces import (
    Pieces,
    augmented_pieces,
    decode_pieces,
    of_pieces,
    with_piece_size,
)
from tfvision.tasks.classification.pseudo_labels import with_pseudo


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

    def made(prepared) -> Recipe:
        return make_recipe(
            config,
            num_classes=prepared.num_classes,
            channels=prepared.channels,
            size=prepared.size,
            resized=prepared.resized,
            architecture=architecture,
        )

    prepared = with_piece_size(config, prepared, made(prepared).cut)
    recipe = made(prepared)
    prepared, training = with_pseudo(config.data, prepared)
    for note in prepared.notes:
        say(note)
    seed_everything(config)
    surroundings = environment(strategy, request.command)
    identity = identity_of(config, prepared)
    warnings = [f"{i.place}: {i.problem}" for i in prepared.scan.issues if i.severity == "warning"]
    if request.resume:
        for line in changed_surroundings(request, surroundings):
            say(line)
            warnings.append(line)

    chosen = training_set(config, training, recipe.ignored)
    train_pieces = decode_pieces(recipe, training, chosen.indices)
    notes = [*chosen.notes, *train_pieces.notes]
    chosen, train_samples = of_pieces(chosen, train_pieces), train_pieces.samples
    val_indices = prepared.indices("val")
    val_pieces = decode_pieces(recipe, prepared, val_indices) if val_indices else None
    for note in notes:
        say(note)
    prepared = replace(prepared, notes=[*prepared.notes, *notes])
    class_pieces = {
        name: np.bincount(of.samples.labels, minlength=recipe.num_classes).tolist()
        for name, of in (("train", train_pieces), ("val", val_pieces))
        if of is not None
    }
    terms = make_losses(config, recipe, chosen.class_pixels)
    batches = training_stream(config, train_samples, chosen)
    plain = training_stream(config, train_samples, chosen, vary=False)  # names them, cannot fail
    first = batches(0)  # made once for all looks at it: it holds a copy of the images
    _check_shape(recipe, first)
    with precision(config), strategy.scope():
        model = recipe.build(recipe.open_shape)
        trained = recipe.trained(model)
        optimizer = make_optimizer(config)
    if request.resume:
        surroundings["pretrained"] = recorded(request.run)
    else:
        surroundings["pretrained"] = enter_weights(model, config, say)
    terms, follow = with_moving_weights(config.loss, terms, strategy)
    step = TrainStep(
        trained,
        optimizer,
        batch_loss(terms),
        strategy=strategy,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        clip_norm=config.train.clip_norm,
        ema=config.train.ema,
        xla=config.train.xla,
        stages=_stages(config, trained),
        rate_factors=config.train.rate_factors,
    )
    validate = _validation(recipe, val_pieces, model, terms, strategy)
    say(overview(recipe, prepared, model, strategy))
    if trained is not model:
        beside = trained.count_params() - model.count_params()
        say(f"a projection head of {beside:,} parameters learns beside it and is not exported")
    names = prepared.class_names
    check_first_batch(first, plain, train_samples)
    masks = train_samples.labels[:, None, None]
    for alarm in start_alarms(recipe, step, first, terms, masks, names):
        say(f"warning: {alarm}")
        warnings.append(alarm)
    del first  # and the copy of the images with it
    for few in few_samples(config, len(train_samples), chosen.views):
        say(f"warning: {few}")
        warnings.append(few)
    if trial is not None:
        return trial(recipe, step, batches, say)
    if request.dry_run:
        examples = augmented_pieces(recipe, prepared)
        return dry_run(request, recipe, step, batches, validate, chosen, examples, say)

    request.run.check_space(bytes_needed(recipe, prepared, step))
    record_run(request, config, prepared, surroundings, architecture)
    setup = time.monotonic() - began
    reserve = seconds_to_finish(recipe, prepared, model)
    loop = Loop(
        step,
        batches,
        validate=validate,
        plan=make_plan(config, recipe, chosen.per_epoch, setup, reserve),
        folder=request.run.checkpoints,
        identity=identity,
        callbacks=callbacks,
        batch_names=lambda s: ids_of(next(iter(plain(s).take(1))), train_samples),
        on_epoch=request.run.write_history,
        follow=follow,
        watch=make_watch(
            recipe,
            val_pieces and val_pieces.truth[:, None, None],
            names,
            unscored=unscored_stages(step),
        ),
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

    from tfvision.runs.finish import Trained, weights_are_kept
    from tfvision.tasks.classification.results import finish

    outcome = Trained(
        request, recipe, prepared, model, loop, surroundings, warnings, timing, began, say
    )
    with weights_are_kept(request.run, timing):
        return finish(outcome, class_pieces)


def _stages(config: ClassificationConfig, model: keras.Model) -> tuple[Stage, ...]:
    """The stages of the training: those of the config, or made from the backbone's blocks.

    Raises:
        InputError: There is no backbone, or its blocks need more epochs than there are.
    """
    unfreeze = config.train.unfreeze
    if unfreeze is None:
        return stages_of(config)
    stages = tuple(Stage(**stage) for stage in progressive_stages(model, **unfreeze.model_dump()))
    before = sum(stage.epochs or 0 for stage in stages)
    if before >= config.train.epochs:
        raise InputError(
            f"train.unfreeze opens the backbone in {len(stages)} stages, the last after {before} "
            f"epochs; train.epochs is {config.train.epochs}. Raise train.epochs above {before}, or "
            "unfreeze more blocks at a time, or sooner."
        )
    return stages


def _check_shape(recipe: Recipe, stream: tf.data.Dataset) -> None:
    """A classifier takes one size; a crop in the augmentation would give it another.

    Raises:
        InputError: The batches have another shape than the model takes.
    """
    given, takes = tuple(stream.element_spec["image"].shape[1:]), recipe.open_shape
    if given != takes:
        raise InputError(
            f"The augmentation gives images of {'x'.join(map(str, given))}; {recipe.model.name} "
            f"takes {'x'.join(map(str, takes))}, the size it predicts at. Leave crops that change "
            "the size out of data.augment, or set data.image_size to theirs."
        )


def _validation(recipe: Recipe, pieces: Pieces | None, model: keras.Model, terms, strategy):
    """`() -> scores` of the validation images, or None where there are none.

    `val_loss` is of the terms on logits: one on embeddings depends on who else is in the batch,
    and here a batch is of neighbours.
    The pieces of an image are put together first: what selects the best epoch is a score of
    images. `val_piece_accuracy` stands beside it where there are more pieces than images.
    """
    if pieces is None:
        return None
    config, samples = recipe.config, pieces.samples
    replicas = strategy.num_replicas_in_sync
    size = min(config.data.batch_size, -(-len(samples) // replicas) * replicas)
    validation = ClassValidation(
        model,
        scoring_batches(samples, batch_size=size, workers=config.data.workers),
        loss=batch_loss(terms),
        strategy=strategy,
    )
    agreed = [
        (spec.name, METRICS.build(spec, num_classes=recipe.num_classes).contract)
        for spec in config.metrics[1:]
    ]
    agreed = [(config.metrics[0].name, recipe.contract), *agreed]
    truth = pieces.truth[:, None, None]
    rules = decode(recipe.rules)

    def counts(labels: np.ndarray, truth: np.ndarray = truth) -> np.ndarray:
        return confusion_matrix(truth, labels[:, None, None], recipe.num_classes, recipe.void)

    def validate() -> dict[str, float]:
        of_pieces, loss = validation()
        of_pieces = of_pieces[:, 0, 0]
        found = pieces.of_images(of_pieces, config.data.aggregate)
        plain = counts(found.argmax(-1))
        scores = {"val_loss": loss}
        kinds = {"val_": plain}
        if recipe.rules:
            kinds["val_post_processed_"] = counts(np.asarray(rules(found.astype(np.float32))))
        for prefix, cms in kinds.items():
            for name, own in agreed:
                scores[prefix + name] = METRICS[name].from_counts(cms, own)
        scores.setdefault("val_accuracy", METRICS["accuracy"].from_counts(plain, recipe.contract))
        if len(samples) > len(truth):
            each = counts(of_pieces.argmax(-1), samples.labels[:, None, None])
            scores["val_piece_accuracy"] = METRICS["accuracy"].from_counts(each, recipe.contract)
        pooled = plain.sum(axis=0)
        for k, value in enumerate(contract.dice_per_class(pooled)):
            scores[f"val_f1_{k}"] = float(value)
        for k, count in enumerate(pooled.sum(axis=0)):
            scores[f"val_predicted_{k}"] = float(count) / max(float(pooled.sum()), 1.0)
        return scores

    return validate
