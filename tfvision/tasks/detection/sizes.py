"""The size that a detector is trained at."""

from dataclasses import replace

import numpy as np

from tfvision.config import RunConfig
from tfvision.errors import InputError
from tfvision.recipe.dataset import LARGEST_SIDE, Prepared


def settled(config: RunConfig, prepared: Prepared, stride: int) -> Prepared:
    """The data, with a size that the detector's stride divides.

    Images of one size keep it, padded to multiples of the stride. Of several sizes the median
    is taken, its longer side at most `LARGEST_SIDE`. `data.image_size` sets another.

    Raises:
        InputError: `data.image_size` is no multiple of the stride.
    """
    used = [i for i, split in enumerate(prepared.splits) if split is not None]
    own = np.stack([prepared.scan.heights, prepared.scan.widths], -1)[used]
    asked = config.data.image_size
    if asked is not None and any(side % stride for side in asked):
        near = "x".join(str(-(-side // stride) * stride) for side in asked)
        raise InputError(
            f"data.image_size {asked[0]}x{asked[1]}: {config.model.name} needs multiples of "
            f"{stride}, its stride. Take {near}."
        )
    one_size = bool((own == own[0]).all())
    median = np.median(own, axis=0)
    shrink = min(1.0, LARGEST_SIDE / median.max())
    size = asked or tuple(int(-(-(side * shrink) // stride) * stride) for side in median)
    notes = list(prepared.notes)
    if not one_size and asked is None:
        low, high = own.min(axis=0), own.max(axis=0)
        notes.append(
            f"images have different sizes, {low[0]}x{low[1]} to {high[0]}x{high[1]}: trained at "
            f"{size[0]}x{size[1]}, made of the median (data.fit: {config.data.fit}), scored and "
            "predicted at their own; data.image_size sets another"
        )
    resized = not bool((own == np.array(size)).all())
    return replace(prepared, size=size, resized=resized, notes=notes)
