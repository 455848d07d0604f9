"""Where the objects are in their boxes, for ops that replace what is around them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tfvision.config import RunConfig
from tfvision.data.crops.foreground import find_region
from tfvision.data.pipeline import Samples
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import decode
from tfvision.recipe.sampling import augmented
from tfvision.registry import Spec
from tfvision.report.augment_page import Augmented

WITH_REGION = {"random_background", "paste_on_background"}  # ops that ask where objects are


def decode_training(config: RunConfig, prepared: Prepared, indices: Sequence[int]) -> Samples:
    """As `decode`, with the target `region` (N, H, W) uint8 where an op of the config asks for it.

    GrabCut finds each object from its box; where it fails with one, the region is 0 all over, so
    that the image keeps its background.
    """
    samples = decode(prepared, list(indices))
    if not any(_needs_region(spec) for spec in (*config.data.augment, *config.data.mix)):
        return samples
    boxes, classes = samples.targets["boxes"], samples.targets["classes"]
    regions = [
        _region(image, boxes[i][classes[i] >= 0], 1 / samples.scale)
        for i, image in enumerate(samples.images)
    ]
    return replace(samples, targets={**samples.targets, "region": np.stack(regions)})


def augmented_training(
    config: RunConfig, prepared: Prepared, ignored: Iterable[int]
) -> Augmented | None:
    """As `augmented`, with the regions that the ops of the config ask for."""
    return augmented(config, prepared, ignored, read=partial(decode_training, config))


def _needs_region(op: Spec) -> bool:
    return op.name in WITH_REGION or op.kwargs.get("cut") == "object"  # of copy_paste


def _region(image: np.ndarray, boxes: np.ndarray, white: float) -> np.ndarray:
    """(H, W) uint8: 1 on all objects of an image; 0 all over where one is not found."""
    whole = np.zeros(image.shape[:2], np.uint8)
    for box in boxes:
        found, _ = find_region(image, box, "grabcut", white=white)
        if found is None:
            return np.zeros_like(whole)
        whole |= found
    return whole
