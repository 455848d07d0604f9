"""The size that a detector is trained at."""

from dataclasses import replace

import numpy as np

from tfvision.config import RunConfig
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.input_size import letterbox_size


def input_size(
    asked: tuple[int, int] | None, own: np.ndarray, model: str, stride: int
) -> tuple[int, int]:
    """(height, width) that the network sees: what is asked for, else `letterbox_size`.

    Args:
        asked: `data.image_size`.
        own: (N, 2) heights and widths of the images.
        model, stride: The detector's name, and what sides must be multiples of.

    Raises:
        InputError: What is asked for is no multiple of the stride.
    """
    if asked is not None and any(side % stride for side in asked):
        near = [-(-side // stride) * stride for side in asked]
        raise InputError(
            f"data.image_size {list(asked)}: {model} needs multiples of {stride}, its stride. "
            f"Take {near}."
        )
    return tuple(asked or letterbox_size(own, multiple=stride))


def settled(config: RunConfig, prepared: Prepared, stride: int) -> Prepared:
    """The data, with a size that the detector's stride divides; see `input_size`.

    Raises:
        InputError: `data.image_size` is no multiple of the stride.
    """
    used = [i for i, split in enumerate(prepared.splits) if split is not None]
    own = np.stack([prepared.scan.heights, prepared.scan.widths], -1)[used]
    asked = config.data.image_size
    size = input_size(asked, own, config.model.name, stride)
    notes, (low, high) = list(prepared.notes), (own.min(axis=0), own.max(axis=0))
    if asked is None and (low != high).any():
        notes.append(
            f"images have different sizes, {low[0]}x{low[1]} to {high[0]}x{high[1]}: trained at "
            f"{size[0]}x{size[1]} (data.fit: {config.data.fit}), scored and predicted at their "
            "own; data.image_size sets another"
        )
    return replace(
        prepared,
        size=size,
        resized=bool((own != size).any()),
        notes=notes,
        fit=config.data.fit,
        enlarge=asked is not None,
    )
