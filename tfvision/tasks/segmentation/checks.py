"""Settings of a segmentation that contradict each other, and nets that do not fit its images."""

import inspect
import math
from typing import Any

import keras

from tfvision.config.schema import RunConfig
from tfvision.engine.stages import StagedModel
from tfvision.errors import InputError
from tfvision.losses import ON_EMBEDDINGS
from tfvision.models import MODELS
from tfvision.recipe.pretrained import self_contained
from tfvision.recipe.recipe import Recipe, stages_of

SMALL = 128  # larger images are looked at once the model is built (check_stride)


def check_embeddings(config: RunConfig) -> None:
    """A loss on embeddings compares images by the one label of each.

    Raises:
        InputError: The config has one.
    """
    found = [term.name for term in config.loss if term.name in ON_EMBEDDINGS]
    if found:
        raise InputError(
            f"loss `{found[0]}` compares images by the one label of each, and a {config.task} has "
            "a mask. It is for train_cls.py; leave it out."
        )


def check_size(config: RunConfig, architecture: dict[str, Any] | None) -> None:
    """An image smaller than the model's stride would be mostly padding.

    Raises:
        InputError: `data.image_size` asks for that.
    """
    size = config.data.image_size
    if size is None or min(size) >= SMALL:
        return
    names = config.data.class_names
    shape = (None, None, config.data.channels or 1)
    spec = self_contained(config.model, architecture)
    model = MODELS.build(spec, input_shape=shape, num_classes=len(names) if names else 2)
    keras.utils.clear_session()  # the run's own model gets the names it would have had
    if min(size) < model.stride:
        raise InputError(
            f"data.image_size {size[0]}x{size[1]} is smaller than the stride of "
            f"{config.model.name}, {model.stride}: the deepest layer would see mostly padding. "
            "Take larger images, or lower model.depth."
        )


def check_stages(config: RunConfig, architecture: dict[str, Any] | None) -> None:
    """Layers and outputs that stages name, where the config names the classes: a model's
    layers may depend on their number. Otherwise they are looked up with the data's classes.

    Raises:
        InputError: A stage names layers or outputs that the model does not have.
    """
    names = config.data.class_names
    if config.train.stages is None or names is None:
        return
    shape = (*(config.data.image_size or (None, None)), config.data.channels or 1)
    spec = self_contained(config.model, architecture)
    model = MODELS.build(spec, input_shape=shape, num_classes=len(names))
    keras.utils.clear_session()
    StagedModel(model, stages_of(config))


def check_depth(recipe: Recipe) -> None:
    """A net that halves an image until one pixel is left, and goes on, learns nothing there.

    Images smaller than the stride are padded; beyond their larger side, or 32 pixels, nothing
    but padding would be left. Asked before the model is built, since one of such a depth may not
    fit into memory; `check_stride` then asks the model itself.

    Raises:
        InputError: `model.depth` asks for that.
    """
    spec, (height, width) = recipe.config.model, recipe.size
    default = inspect.signature(MODELS[spec.name]).parameters.get("depth")
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
