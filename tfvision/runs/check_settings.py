"""Settings that contradict each other, all found at once, before any data is opened."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras

from tfvision.augment import MIXERS, OPS
from tfvision.config import RunConfig
from tfvision.data.scan.classes import check_class_names
from tfvision.engine import OPTIMIZERS, SCHEDULES
from tfvision.engine.distribute import resolve_determinism
from tfvision.engine.stages import StagedModel
from tfvision.engine.step import check_batch_size
from tfvision.errors import InputError
from tfvision.losses import LOSSES, ON_EMBEDDINGS
from tfvision.losses.weights import check_class_weights, class_weights
from tfvision.metrics import METRICS
from tfvision.postprocess import ON_COMPONENTS, POSTPROCESS
from tfvision.recipe.pretrained import self_contained
from tfvision.recipe.recipe import Recipe, make_recipe, models_of
from tfvision.registry import Registry, Spec
from tfvision.runs.plan import stages_of

OF_MASKS = {"copy_paste", "boundary", *ON_COMPONENTS}
SMALL = 128  # larger images are looked at once the model is built (check_stride)


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
    look(_fits_task, config)
    look(_fits_embeddings, config, replicas)
    look(_fits_views, config)
    if not problems:  # what follows builds things, and says less well what is wrong above
        look(OPTIMIZERS.build, config.train.optimizer)
        look(_fits_classes, config, look)
        look(_fits_stride, config, architecture)
        look(_fits_stages, config, architecture)
    if problems:
        raise InputError("\n  ".join(dict.fromkeys(problems)))


def _fits_task(config: RunConfig) -> None:
    """What needs the pixels of a mask means nothing where an image has one label."""
    if config.task != "classification":
        return
    names = [spec.name for spec in (*config.data.mix, *config.loss, *config.postprocess)]
    odd = [name for name in names if name in OF_MASKS]
    _spares_the_mask(config)
    if odd:
        raise InputError(
            f"{', '.join(dict.fromkeys(odd))}: this needs masks, and a classification has one "
            "label an image. Leave it out."
        )


def _fits_embeddings(config: RunConfig, replicas: int) -> None:
    """A loss on embeddings compares the images of a whole batch by their one label."""
    names = [term.name for term in config.loss]
    found = [name for name in names if name in ON_EMBEDDINGS]
    if not found:
        return
    if config.task != "classification":
        raise InputError(
            f"loss `{found[0]}` compares images by the one label of each, and a {config.task} has "
            "a mask. It is for train_cls.py; leave it out."
        )
    if set(names) <= ON_EMBEDDINGS:
        raise InputError(
            f"loss has {', '.join(names)} alone, which does not teach the logits: nothing would "
            "be classified. Add a term on them, cross_entropy say; a stage whose outputs are "
            "[embedding] goes without it."
        )
    if config.data.mix:
        mixers = ", ".join(spec.name for spec in config.data.mix)
        raise InputError(
            f"loss `{found[0]}` needs one label an image, and data.mix ({mixers}) gives two. Leave "
            "one of them out."
        )
    if config.train.accumulate > 1:
        raise InputError(
            f"loss `{found[0]}` compares all images of a batch, and train.accumulate "
            f"{config.train.accumulate} never has them all at once. Set it to 1, with a smaller "
            "data.batch_size if memory asks for it."
        )
    if config.train.xla and replicas > 1:
        raise InputError(
            f"loss `{found[0]}` gathers the images of {replicas} devices, which train.xla cannot "
            "compile. Leave out train.xla, or train on one device."
        )


def _fits_views(config: RunConfig) -> None:
    """A batch has all views of an image."""
    if config.task != "classification" or config.data.batch_size % config.data.views == 0:
        return
    raise InputError(
        f"data.batch_size {config.data.batch_size} must divide by data.views {config.data.views}: "
        "a batch has all views of each of its images."
    )


def _spares_the_mask(config: RunConfig) -> None:
    """Brightness of the channel that holds the region would be another region."""
    if config.data.input.name != "mask_channel":
        return
    names = [spec.name for spec in config.data.augment]
    odd = [name for name in names if OPS[name].__module__ == "tfvision.augment.photometric"]
    if odd:
        raise InputError(
            f"data.augment {', '.join(odd)}: under data.input mask_channel it would change the "
            "mask, which is a channel of the image, too. Leave it out."
        )


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
    found = [
        (models_of(config.task), config.model),
        (OPTIMIZERS, config.train.optimizer),
        (SCHEDULES, config.train.schedule),
    ]
    for table, specs in (
        (LOSSES, config.loss),
        (METRICS, config.metrics),
        (POSTPROCESS, config.postprocess),
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


def _fits_classes(config: RunConfig, look: Callable) -> None:
    """Metrics, rules and class weights against the classes, where the config names them."""
    names = config.data.class_names
    num_classes = None if names is None else len(check_class_names(names))
    if num_classes is not None:
        size = config.data.image_size or (1, 1)
        channels = config.data.channels or 1
        for spec in config.metrics:
            look(METRICS.build, spec, num_classes=num_classes)
        for spec in config.postprocess:
            look(POSTPROCESS.build, spec, num_classes=num_classes)
        look(
            make_recipe,
            config,
            num_classes=num_classes,
            channels=channels,
            size=size,
            resized=False,
        )
    for term in config.loss:
        look(_fitting_loss, term, num_classes)


def _fitting_loss(term: Spec, num_classes: int | None) -> None:
    arguments = dict(term.kwargs)
    weights = arguments.pop("class_weights", None)
    if isinstance(weights, list | tuple):
        try:
            check_class_weights(weights, num_classes=num_classes)
        except InputError as error:
            raise InputError(f"loss `{term.name}`: {error}") from error
    else:  # a rule: its name and arguments, on made-up counts
        class_weights(weights, [[1] * (num_classes or 2)])
    LOSSES.build(Spec(name=term.name, **arguments))


def _fits_stride(config: RunConfig, architecture: dict[str, Any] | None) -> None:
    """An image smaller than the model's stride would be mostly padding."""
    size = config.data.image_size
    if size is None or min(size) >= SMALL or config.task == "classification":
        return
    names = config.data.class_names
    shape = (None, None, config.data.channels or 1)
    spec = self_contained(config.model, architecture)
    table = models_of(config.task)
    model = table.build(spec, input_shape=shape, num_classes=len(names) if names else 2)
    keras.utils.clear_session()  # the run's own model gets the names it would have had
    if min(size) < model.stride:
        raise InputError(
            f"data.image_size {size[0]}x{size[1]} is smaller than the stride of "
            f"{config.model.name}, {model.stride}: the deepest layer would see mostly padding. "
            "Take larger images, or lower model.depth."
        )


def check_depth(recipe: Recipe) -> None:
    """A net that halves an image until one pixel is left, and goes on, learns nothing there.

    Images smaller than the stride are padded; beyond their larger side, or 32 pixels, nothing
    but padding would be left. Asked before the model is built, since one of such a depth may not
    fit into memory; `check_stride` then asks the model itself.

    Raises:
        InputError: `model.depth` asks for that.
    """
    spec, (height, width) = recipe.config.model, recipe.size
    default = inspect.signature(models_of(recipe.config.task)[spec.name]).parameters.get("depth")
    depth = spec.kwargs.get("depth", default.default if default else 0)
    encoder = spec.kwargs.get("encoder")
    enlarged = encoder.get("upsample", 1) if isinstance(encoder, dict) else 1
    most = int(math.log2(enlarged * max(height, width, 32)))
    if isinstance(depth, int) and depth > most:
        raise InputError(
            f"model.depth {depth} halves an image {depth} times; images of {height}x{width} allow "
            f"{most} at most. Lower model.depth, or take larger images (data.image_size)."
        )


def check_stride(stride: int, name: str, size: tuple[int, int]) -> list[str]:
    """Warns where most of what a net sees of an image is padding.

    Images are padded to multiples of the stride. Up to 32 pixels that is a net's way with small
    images; beyond, and beyond the image's larger side, its deepest layer sees padding alone.

    Args:
        stride: Of the model, which some nets make deeper than `model.depth` says.
        name: Of the model.
        size: (height, width) of the images.

    Raises:
        InputError: The stride is such.
    """
    height, width = size
    if stride > max(height, width, 32):
        raise InputError(
            f"{name} halves an image to a {stride}th, and images are {height}x{width}: its deepest "
            "layer would see padding alone. Lower model.depth (of pan model.levels), or "
            "take larger images (data.image_size)."
        )
    padded = math.prod(-(-side // stride) * stride for side in size)
    if height * width * 2 >= padded:
        return []
    share = 1 - height * width / padded
    return [
        f"Images of {height}x{width} are padded to multiples of the stride of {name}, {stride}: "
        f"{share:.0%} of what it sees is padding. Lower model.depth, or take larger images."
    ]


def _fits_stages(config: RunConfig, architecture: dict[str, Any] | None) -> None:
    """Layers and outputs that stages name, where the config names the classes: a model's
    layers may depend on their number. Otherwise they are looked up with the data's classes."""
    names = config.data.class_names
    fixed = config.task == "classification"  # its model needs a size, and channels of its input
    if config.train.stages is None or names is None or fixed:
        return
    shape = (*(config.data.image_size or (None, None)), config.data.channels or 1)
    spec = self_contained(config.model, architecture)
    model = models_of(config.task).build(spec, input_shape=shape, num_classes=len(names))
    keras.utils.clear_session()
    StagedModel(model, stages_of(config))
