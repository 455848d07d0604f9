"""Segmentation, from a config to a run folder, read from top to bottom."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.augment import MIXERS, OPS
from tfvision.config import DataConfig, SegmentationConfig, differences, dump_config
from tfvision.data.pipeline import Samples, scoring_batches
from tfvision.data.split import write_splits
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.checkpoint import KEEP
from tfvision.engine.distribute import (
    describe,
    make_strategy,
    resolve_determinism,
    resolve_precision,
)
from tfvision.engine.evaluate import Validation
from tfvision.engine.files import write_text
from tfvision.engine.inference import Inference, logits_of
from tfvision.engine.loop import Loop, Plan, cannot_make
from tfvision.engine.progress import Progress, duration
from tfvision.engine.signals import StopRequest
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError, out_of_memory
from tfvision.losses import LOSSES
from tfvision.losses.weights import class_weights
from tfvision.metrics import METRICS, contract
from tfvision.models import MODELS
from tfvision.postprocess import POSTPROCESS
from tfvision.registry import Spec
from tfvision.report.augment_page import write_picture
from tfvision.tasks.check import check_settings
from tfvision.tasks.data import Prepared, prepare, resolved_source
from tfvision.tasks.decode import decode
from tfvision.tasks.environment import environment, peak_memory
from tfvision.tasks.request import TrainRequest
from tfvision.tasks.sampling import augmented, training_set, training_stream
from tfvision.tasks.sentinel import make_watch, start_alarms


@dataclass(frozen=True)
class Recipe:
    """What a config means for a data set: everything that does not depend on weights.

    Attributes:
        config: The run's config.
        num_classes: K.
        channels: Of the images, 1 or 3.
        size: (height, width) images are trained at.
        resized: Whether that is not the size of every image.
        contract: What the score counts.
        rules: Post-processing of single pixels, the contract's own first.
        void: Labels outside 0..K-1 that never count.
    """

    config: SegmentationConfig
    num_classes: int
    channels: int
    size: tuple[int, int]
    resized: bool
    contract: contract.Contract
    rules: tuple
    void: tuple[int, ...]

    @property
    def ignored(self) -> tuple[int, ...]:
        """Labels that never count, inside 0..K-1 or not."""
        return tuple(sorted({*self.void, *self.contract.ignore_labels}))

    @property
    def monitor(self) -> str:
        """Key of the validation score that selects the best epoch."""
        processed = "post_processed_" if self.rules else ""
        return f"val_{processed}{self.config.metrics[0].name}"

    def build(self, input_shape: tuple) -> keras.Model:
        """The model, with new weights."""
        return MODELS.build(
            self.config.model, input_shape=input_shape, num_classes=self.num_classes
        )

    def inference(self, open_model: keras.Model) -> Inference:
        """`open_model` with what stands before and after it."""
        return Inference(
            open_model,
            channels=self.channels,
            size=self.size if self.resized else None,
            rules=self.rules,
        )


def make_recipe(
    config: SegmentationConfig,
    *,
    num_classes: int,
    channels: int,
    size: tuple[int, int],
    resized: bool,
) -> Recipe:
    """Works out contract and rules for K classes.

    Raises:
        InputError: A metric or a rule does not fit the classes.
    """
    if num_classes > 256:
        raise InputError(
            f"The masks have {num_classes} classes; labels are written as bytes, so at most 256 "
            "can be trained. Check data.ignore_label and the mask values."
        )
    ignored = {config.data.ignore_label} - {None}
    if num_classes <= 255:
        ignored.add(255)  # what geometric ops fill with
    names = [spec.name for spec in config.metrics]
    if len(set(names)) < len(names):
        raise InputError(
            f"metrics names {', '.join(names)}: each may stand there once. The first is the "
            "contract; the report shows its score under the other conventions too."
        )
    metric = METRICS.build(config.metrics[0], num_classes=num_classes)
    inside = {label for label in ignored if label < num_classes}
    agreed = replace(
        metric.contract, ignore_labels=tuple(sorted({*metric.contract.ignore_labels, *inside}))
    )
    # A class whose true pixels do not count can only lose when it is predicted.
    never = [k for k in agreed.ignore_labels if 0 <= k < num_classes]
    specs = [Spec(name="drop_class", index=k) for k in never]
    specs += [spec for spec in config.postprocess if spec not in specs]
    dropped = {spec.kwargs.get("index") for spec in specs if spec.name == "drop_class"}
    if dropped >= set(range(num_classes)):
        raise InputError(
            "The metric contract and postprocess together leave no class that may be predicted. "
            "Drop or ignore fewer."
        )
    return Recipe(
        config,
        num_classes,
        channels,
        size,
        resized,
        agreed,
        tuple(POSTPROCESS.build(spec, num_classes=num_classes) for spec in specs),
        tuple(sorted(ignored - inside)),
    )


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
    check_settings(config, strategy.num_replicas_in_sync)
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
    )
    _seed(config)
    surroundings = environment(strategy, request.command)
    identity = _identity(config, prepared)
    warnings = [f"{i.place}: {i.problem}" for i in prepared.scan.issues if i.severity == "warning"]
    if request.resume:
        for line in _changed_surroundings(request, surroundings):
            say(line)
            warnings.append(line)

    chosen = training_set(config, prepared, recipe.ignored)
    for note in chosen.notes:
        say(note)
    prepared = replace(prepared, notes=[*prepared.notes, *chosen.notes])
    train_samples = decode(prepared, chosen.indices)
    val_samples = prepared.decoded("val") if prepared.indices("val") else None
    batches = training_stream(config, train_samples, chosen)
    plain = training_stream(config, train_samples, chosen, vary=False)  # names them, cannot fail
    with _precision(config), strategy.scope():
        model = recipe.build(_input_shape(recipe, batches))
        optimizer = _make_optimizer(config)
    terms = _losses(config, recipe, chosen.class_pixels)
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
    )
    validate = _validation(recipe, val_samples, step, terms)
    say(_overview(recipe, prepared, model, strategy))
    names = prepared.class_names
    _check_first_batch(batches, plain, train_samples)
    for alarm in start_alarms(recipe, step, batches(0), terms, train_samples, names):
        say(f"warning: {alarm}")
        warnings.append(alarm)
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
        return _dry_run(request, recipe, step, batches, validate, prepared, chosen, say)

    request.run.check_space(_bytes_needed(recipe, prepared, step))
    _record(request, config, prepared, surroundings)
    setup = time.monotonic() - began
    plan = _plan(config, recipe, chosen.per_epoch, setup, _reserve(config, prepared, step, model))
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


def _input_shape(recipe: Recipe, batches) -> tuple:
    """Where training sees crops, the model's height and width stay open."""
    cropped = tuple(batches(0).element_spec["image"].shape[1:3])
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


def _validation(recipe: Recipe, samples: Samples | None, step: TrainStep, terms):
    """`() -> scores` of the validation split, or None where there is none."""
    if samples is None:
        return None
    config = recipe.config
    replicas = step.strategy.num_replicas_in_sync
    size = min(config.data.batch_size, -(-len(samples) // replicas) * replicas)
    validation = Validation(
        step.model,
        scoring_batches(samples, batch_size=size, workers=config.data.workers),
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


def _plan(config, recipe: Recipe, num_train: int, setup: float, reserve: float) -> Plan:
    budget = config.train.time_budget
    limit = None
    if budget is not None:
        limit = budget - setup - reserve
        if limit <= 0:
            raise InputError(
                f"train.time_budget of {duration(budget)} leaves nothing to train in: setting up "
                f"took {duration(setup)}, scoring and exporting need about {duration(reserve)}."
            )
    rate = config.train.optimizer.kwargs.get("learning_rate")
    if rate is None:
        rate = float(
            keras.ops.convert_to_numpy(OPTIMIZERS.build(config.train.optimizer).learning_rate)
        )
    return Plan(
        steps_per_epoch=max(1, round(num_train / config.data.batch_size)),
        epochs=config.train.epochs,
        time_limit=limit,
        learning_rate=rate,
        schedule=SCHEDULES.build(config.train.schedule),
        monitor=recipe.monitor,
        early_stopping=config.train.early_stopping,
        checkpoint_every=config.train.checkpoint_every,
    )


def _bytes_needed(recipe: Recipe, prepared: Prepared, step: TrainStep) -> int:
    """About what a run takes on disk at its largest, in bytes."""
    weights = sum(int(np.prod(v.shape)) * 4 for v in step.model.variables)
    scored = [i for s in ("val", "test") for i in prepared.indices(s)]
    pixels = sum(prepared.scan.heights[i] * prepared.scan.widths[i] for i in scored)
    counts = 2 * 8 * recipe.num_classes**2 * len(scored)
    exports = 3 * weights + 4_000_000  # three files, the SavedModel's graph
    report = 3_000_000
    # Labels are compressed, to a tenth or less.
    return _checkpoint_bytes(step) + exports + int(pixels) // 10 + counts + report


def _checkpoint_bytes(step: TrainStep) -> int:
    """The newest ones, the best, and the one being written."""
    return (KEEP + 2) * sum(
        int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in step.named_variables().values()
    )


def _reserve(config, prepared: Prepared, step: TrainStep, model) -> float:
    """Seconds that scoring, exporting and reporting will take, for a time budget."""
    if config.train.time_budget is None:
        return 0.0
    size = config.data.batch_size
    image = tf.zeros((size, *prepared.size, prepared.channels))
    run = tf.function(lambda x: logits_of(model, x))
    run(image)
    began = time.monotonic()
    run(image)
    per_image = (time.monotonic() - began) / size
    scored = 2 * len(prepared.indices("val")) + len(prepared.indices("test", labelled=False))
    return min(0.25 * config.train.time_budget, 50 + 1.5 * scored * per_image)


def _identity(config: SegmentationConfig, prepared: Prepared) -> dict[str, Any]:
    """What must be the same when a run is resumed."""
    fixed = config.model_dump(mode="json")
    del fixed["train"]["epochs"], fixed["train"]["sentinel"]
    return {"config": fixed, "data_fingerprint": prepared.scan.fingerprint}


def _record(request, config, prepared: Prepared, surroundings) -> None:
    """Writes what the run is before its first step."""
    run = request.run
    if request.resume:
        before = run.read_json("data.json")
        changed = data_differences(before, prepared)
        if changed:
            raise InputError(
                "The data set is not the one this run was trained on:\n  "
                + "\n  ".join(changed)
                + "\nStart a new run instead: --config "
                + str(run.config)
            )
    run.write_json("env.json", surroundings)
    run.write_json("data.json", prepared.record())
    write_splits(run.path / "splits.csv", prepared.source.records, prepared.splits)
    prepared.write_quarantine(run.path / "quarantine.csv")
    write_text(run.config, dump_config(config))  # last: with it the folder is a run


def data_differences(before: dict[str, Any], prepared: Prepared) -> list[str]:
    """What differs between `data.json` of a run and a data set as it is now."""
    now = prepared.record()
    if all(before[key] == now[key] for key in ("fingerprint", "splits")):
        return []
    lines = differences(
        {k: before[k] for k in ("class_names", "channels", "image_size", "counts")},
        {k: now[k] for k in ("class_names", "channels", "image_size", "counts")},
    )
    old, new = (_samples_of(record) for record in (before, now))
    both = old.keys() & new.keys()
    for what, ids in (
        ("gone", old.keys() - both),
        ("new", new.keys() - both),
        ("in another split", {i for i in both if old[i].keys() != new[i].keys()}),
        ("changed", {i for i in both if set(old[i].values()) != set(new[i].values())}),
    ):
        if ids:
            shown = ", ".join(sorted(ids)[:10])
            lines.append(f"{len(ids)} samples are {what}: {shown}{' ...' if len(ids) > 10 else ''}")
    return lines or ["the fingerprints differ"]


def _samples_of(record: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Id -> split -> hash, of a `data.json`; a test row of an npz shares its id with another."""
    found: dict[str, dict[str, str]] = {}
    for split, ids in record["splits"].items():
        for i, content in zip(ids, record["hashes"][split], strict=True):
            found.setdefault(i, {})[split] = content
    return found


def _changed_surroundings(request, now) -> list[str]:
    """Why a resumed run will not be bit for bit the uninterrupted one, if so."""
    before = request.run.read_json("env.json")
    keys = ("tensorflow", "keras", "python", "replicas", "strategy", "gpus", "machine")
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in keys if before.get(k) != now.get(k)]
    if not changed:
        return []
    return ["The resumed run is not bit for bit the uninterrupted one: " + ", ".join(changed)]


def _check_first_batch(batches, plain, samples: Samples) -> None:
    """Makes one batch before anything depends on it.

    Raises:
        InputError: The augmentation fails on it; its images are named.
    """
    try:
        next(iter(batches(0)))
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


def _dry_run(request, recipe: Recipe, step: TrainStep, batches, validate, prepared, chosen, say):
    """One step and one validation, timed; what a whole run would take. Writes a picture only."""
    config = recipe.config
    stream = iter(step.strategy.experimental_distribute_dataset(batches(0)))
    rate = 1e-4
    float(step(next(stream), rate))
    began = time.monotonic()
    float(step(next(stream), rate))
    seconds = time.monotonic() - began
    began = time.monotonic()
    if validate is not None:
        validate()
    scoring = time.monotonic() - began
    steps = max(1, round(chosen.per_epoch / config.data.batch_size))
    disk = _checkpoint_bytes(step)
    summary = {
        "task": "segmentation",
        "arch": config.model.name,
        "dry_run": True,
        "num_parameters": step.model.count_params(),
        "steps_per_epoch": steps,
        "seconds_per_step": seconds,
        "estimated_epoch_seconds": steps * seconds + scoring,
        "estimated_seconds": config.train.time_budget
        or config.train.epochs * (steps * seconds + scoring),
        "peak_memory_bytes": peak_memory(),
        "checkpoint_bytes": disk,
        "augmentation_picture": _augmentation_picture(request, recipe, prepared, say),
    }
    say(
        f"dry run: a step takes {seconds:.2f} s, an epoch of {steps} steps with validation about "
        f"{duration(summary['estimated_epoch_seconds'])}, the run about "
        f"{duration(summary['estimated_seconds'])}; peak memory {peak_memory() / 2**30:.1f} GiB, "
        f"checkpoints {disk / 2**20:.0f} MiB. No run was written."
    )
    return summary


def _augmentation_picture(request, recipe: Recipe, prepared: Prepared, say) -> str | None:
    """Writes a dry run's picture beside the run folder, which does not exist; its path."""
    examples = augmented(recipe.config, prepared, recipe.ignored)
    if examples is None:
        say("data.augment and data.mix are empty: there is no augmentation to show")
        return None
    path = request.run.path.with_name(f"{request.run.path.name}-augmentation.png")
    write_picture(path, examples)
    say(f"what the augmentation makes of training samples: {path}")
    return str(path)
