"""Where a classifier looked: Grad-CAM of its predictions, and how much of it is beside the object.

Selvaraju et al., "Grad-CAM", 2017, https://arxiv.org/abs/1610.02391; see `engine/grad_cam.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.data.crops.windows import cut_window, fit_image
from tfvision.engine.grad_cam import grad_cam, outside_share
from tfvision.engine.predict import as_float
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import Native, native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.tasks.classification.inference import ClassInference
from tfvision.tasks.classification.pieces import cut_native

LOOKED_AT = 100  # images of which the share is measured
HEAT = np.array([220, 40, 40], np.float32)


def overlays(
    recipe: Recipe,
    inference: ClassInference,
    prepared: Prepared,
    indices: Sequence[int],
    classes: Sequence[int],
) -> list[np.ndarray | None]:
    """What speaks for a class in the first, largest piece of images: (H, W, 3) uint8, red.

    None for each where the model has no map to look at.

    Args:
        recipe: Of the run.
        inference: With the weights that predicted.
        prepared: Its data.
        indices: Places of the images in the source.
        classes: What was predicted of each.
    """
    if not len(indices):
        return []
    images, _ = _first_pieces(recipe, inference, prepared, indices)
    cams = _cams(inference, images, classes)
    if cams is None:
        return [None] * len(images)
    return [red(image, cam) for image, cam in zip(images, cams, strict=True)]


def beside_the_object(
    recipe: Recipe, inference: ClassInference, prepared: Prepared, split: str
) -> dict[str, Any] | None:
    """How much of the attention falls outside the mask or box, on images of a split.

    Returns:
        `split`, `images`, `outside`: the mean share, `area`: the share that is background, which
        attention that is everywhere alike would have. None where no image has a mask or box, or
        where the model has no map.
    """
    indices = prepared.indices(split)
    indices = indices[:: max(1, len(indices) // LOOKED_AT)]
    images, regions = _first_pieces(recipe, inference, prepared, indices)
    known = [i for i, region in enumerate(regions) if region is not None and region.any()]
    if not known:
        return None
    cams = _cams(inference, images[known], None)
    if cams is None:
        return None
    inside = np.stack([regions[i] for i in known])
    shares = outside_share(cams, regions=inside)
    shares = shares[~np.isnan(shares)]  # nothing speaks for the class in the others
    if not len(shares):
        return None
    area = 1 - float(np.mean(inside != 0))
    return {"split": split, "images": len(shares), "outside": float(shares.mean()), "area": area}


def _first_pieces(recipe: Recipe, inference: ClassInference, prepared: Prepared, indices):
    """(n, *size, C) float32 as the model sees them, and where the object is in each, or None."""
    images, regions = [], []
    for i in indices:
        sample = native_scanned(prepared, i)
        piece = cut_native(recipe, sample)[0]
        image = as_float([piece.image], [sample.scale])
        images.append(inference.fitted(tf.constant(image))[0].numpy())
        region = piece.region
        if region is None and sample.box is not None and recipe.cut.name != "dual":
            region = cut_window(_box_region(sample), piece.window)
        if region is not None:
            region = fit_image(region, recipe.size, recipe.config.data.fit, nearest=True)
        regions.append(region)
    return np.stack(images), regions


def _box_region(sample: Native) -> np.ndarray:
    region = np.zeros(sample.image.shape[:2], np.uint8)
    for x1, y1, x2, y2 in np.rint(sample.box).astype(int).reshape(-1, 4):
        region[max(y1, 0) : y2, max(x1, 0) : x2] = 1
    return region


def _cams(inference: ClassInference, images: np.ndarray, classes) -> np.ndarray | None:
    try:
        given = None if classes is None else np.asarray(classes, np.int32)
        return grad_cam(inference.model, images, given)
    except InputError:  # a net without a map to look at
        return None


def red(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """An image (H, W, C) in [0, 1] in grey, red where the map (H, W) in [0, 1] is high."""
    grey = np.clip(image[..., :3].mean(axis=-1, keepdims=True), 0, 1) * 255
    heat = 0.65 * cam[..., None]
    return np.clip((1 - heat) * grey + heat * HEAT, 0, 255).astype(np.uint8)
