"""A training, from a config to a run folder, read from top to bottom."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfvision.engine.loop import Loop
from tfvision.engine.progress import Progress
from tfvision.engine.signals import StopRequest
from tfvision.runs.build import Built, build
from tfvision.runs.dry_run import dry_run
from tfvision.runs.finish import finish, weights_are_kept
from tfvision.runs.keep import keep_samples
from tfvision.runs.plan import bytes_needed, make_plan, seconds_to_finish
from tfvision.runs.record import MAY_CHANGE, identity_of, record_run
from tfvision.runs.request import TrainRequest
from tfvision.runs.set_up import SetUp, set_up
from tfvision.runs.watch import make_watch, unscored_stages


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
    progress = Progress(quiet=request.quiet, log=None if request.dry_run else request.run.log)
    run = set_up(request, progress)
    built = build(run)
    if trial is not None:
        return trial(run.recipe, built.step, built.batches, run.say)
    if request.dry_run:
        return dry_run(run, built)

    request.run.check_space(bytes_needed(run.recipe, run.prepared, built.step))
    record_run(request, run.config, run.prepared, run.surroundings, architecture=run.architecture)
    keep_samples(request.run, run.config, run.prepared, run.say)
    setup = time.monotonic() - began
    loop = make_loop(run, built, progress, callbacks, setup=setup)
    if request.resume:
        for line in loop.restore(extend=request.extend):
            run.say(line)
        began -= loop.state.elapsed  # the wall time of a run has the training of all sittings
    with StopRequest() as stop:
        state = loop.run(stop)
    timing = {"set up": setup, "train": state.elapsed}
    with weights_are_kept(request.run, timing):
        fitted = run.task.after_training(
            request.run, run.recipe, built.model, run.examples, say=run.say
        )
        run.warnings.extend(fitted)
        return finish(run, built, loop, timing, began=began)


def make_loop(
    run: SetUp,
    built: Built,
    progress: Progress,
    callbacks: Sequence[keras.callbacks.Callback],
    setup: float,
) -> Loop:
    """The loop of a run; `setup` are the seconds that went before it."""
    config, recipe, examples = run.config, run.recipe, run.examples
    reserve = seconds_to_finish(run.task, recipe, run.prepared, built.model)
    return Loop(
        built.step,
        built.batches,
        validate=built.validate,
        plan=make_plan(config, recipe, examples.chosen.per_epoch, setup, reserve=reserve),
        folder=run.request.run.checkpoints,
        identity=identity_of(config, run.prepared),
        may_change=MAY_CHANGE,
        callbacks=callbacks,
        batch_names=lambda step: built.ids_at(step, examples.train),
        on_epoch=run.request.run.write_history,
        follow=built.loss.follow,
        watch=make_watch(
            run.task,
            recipe,
            examples.val_labels,
            run.prepared.class_names,
            unscored=unscored_stages(built.step),
        ),
        stop_on_alarm=config.train.sentinel == "fail",
        progress=progress,
    )
