"""Where a segmentation looked: what speaks for the pixels of a class, and whether it lies on it.

Seg-Grad-CAM: Grad-CAM of the sum of a class's logits over the pixels predicted as the class.
Vinogradova, Dibrov and Myers, "Towards Interpretable Semantic Segmentation via
Gradient-weighted Class Activation Mapping", 2020, https://arxiv.org/abs/2002.11434; see
`engine/grad_cam.py`. A few images only: it is for looking, and the shares are no test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.data.crops.windows import cut_window
from tfvision.engine.grad_cam import grad_cam, outside_share
from tfvision.engine.inference import Inference, resize_image, resize_labels
from tfvision.engine.predict import as_float
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.recipe.recipe import Recipe
from tfvision.report.looks import Look
from tfvision.tasks.classification.attention import red
from tfvision.tasks.scored import ScoredLabels

WORST, BEST = 2, 2  # images looked at, and one with the rarest class
CLASSES = 3  # of an image, those with the most predicted pixels
SIDE = 512  # in pixels: of a larger image a window of it is looked at


@dataclass(frozen=True)
class _View:
    """An image (H, W, C) in [0, 1], truth and prediction (H, W) at the size looked at, of a class
    `k`; `i` is its place in the split."""

    i: int
    why: str
    k: int
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def look_at(
    recipe: Recipe,
    inference: Inference,
    prepared: Prepared,
    scored: dict[str, ScoredLabels],
    order: Sequence[int],
) -> tuple[dict[str, Any], list[Look]]:
    """Looks into a model on a few images. Whatever goes wrong is a reason, and no error.

    Args:
        recipe: Of the run.
        inference: With the weights that predicted.
        prepared: The run's data.
        scored: By split; the first of test and val that is there counts.
        order: Places of images in that split, the worst first.

    Returns:
        For `summary.json`: `split`, `images`, and `classes`: of each class looked at the mean
        share of the attention `outside` its true mask, `area`: the share that is not the class,
        which attention that is everywhere alike would have, and `images`, how many. Or `skipped`:
        why not. And the pictures.
    """
    split = next((name for name in ("test", "val") if name in scored), None)
    if split is None or not order:
        return {"skipped": "no labelled image to look at"}, []
    try:
        views = _views(recipe, inference, prepared, split, result=scored[split], order=order)
        if not views:
            return {"skipped": "no class that counts is predicted in the images looked at"}, []
        return _looked(recipe, inference, prepared, split, result=scored[split], views=views)
    except InputError as error:  # a net without a map
        return {"skipped": str(error)}, []
    except Exception as error:  # it is an extra: scores and weights are more worth than it
        return {"skipped": f"failed: {type(error).__name__}: {error}"[:500]}, []


def _looked(recipe, inference, prepared, split, result, views) -> tuple[dict, list[Look]]:
    cams: list[np.ndarray] = [np.empty(0)] * len(views)
    for shape in dict.fromkeys(view.image.shape for view in views):
        same = [n for n, view in enumerate(views) if view.image.shape == shape]
        found = grad_cam(
            inference.model,
            np.stack([views[n].image for n in same]),
            np.array([views[n].k for n in same], np.int32),
            pixels=np.stack([views[n].prediction == views[n].k for n in same]),
            batch_size=1,  # all maps of an image are held for its gradient
        )
        for n, cam in zip(same, found, strict=True):
            cams[n] = cam
    shares = [_share(recipe, view, cam) for view, cam in zip(views, cams, strict=True)]
    looks = [
        Look(
            result.ids[v.i],
            split,
            v.why,
            v.k,
            picture=red(v.image, cam),
            outside=None if s is None else s[0],
        )
        for v, cam, s in zip(views, cams, shares, strict=True)
    ]
    record: dict[str, Any] = {"split": split, "images": len({view.i for view in views})}
    record["classes"] = {}
    for k, name in enumerate(prepared.class_names):
        own = [s for view, s in zip(views, shares, strict=True) if view.k == k and s is not None]
        if own:
            outside, area = np.mean(own, axis=0)
            row = {"outside": float(outside), "area": float(area), "images": len(own)}
            record["classes"][name] = row
    return record, looks


def _share(recipe: Recipe, view: _View, cam: np.ndarray) -> tuple[float, float] | None:
    """How much of the attention falls outside the true class, and how much of the image does.

    Pixels without a label that counts are left out. None where the class has no true pixel or
    nothing speaks for it.
    """
    known = ~np.isin(view.truth, recipe.ignored)
    region = (view.truth == view.k) & known
    if not region.any():
        return None
    (outside,) = outside_share((cam * known)[None], regions=region[None])
    if np.isnan(outside):
        return None
    return float(outside), float(1 - region.sum() / known.sum())


def _views(recipe, inference, prepared, split, result, order) -> list[_View]:
    """What is looked at: some images, each with its classes of most predicted pixels."""
    indices = prepared.indices(split)
    views = []
    for i, why in _chosen(recipe, result, order).items():
        sample = native_scanned(prepared, indices[i])
        prediction = np.asarray(result.answers[i])
        pixels = np.bincount(prediction.ravel(), minlength=recipe.num_classes)
        pixels[[k for k in recipe.ignored if 0 <= k < recipe.num_classes]] = 0
        classes = [int(k) for k in np.argsort(-pixels, kind="stable")[:CLASSES] if pixels[k]]
        for k in classes:
            parts = _window(sample.image, sample.labels, prediction, k, size=inference.size)
            shown = as_float([parts[0]], [sample.scale])
            labels = parts[1:]
            if inference.size is not None:
                shown = resize_image(tf.constant(shown), inference.size).numpy()
                labels = [
                    resize_labels(tf.constant(y[None].astype(np.int32)), inference.size)[0].numpy()
                    for y in labels
                ]
            view = _View(i, why, k, shown[0], *labels)
            if (view.prediction == k).any():
                views.append(view)
    return views


def _chosen(recipe: Recipe, result: ScoredLabels, order: Sequence[int]) -> dict[int, str]:
    """Place in the split -> why it is looked at."""
    chosen = dict.fromkeys(order[:WORST], "worst")
    chosen |= {i: "best" for i in order[-BEST:] if i not in chosen}
    truth = result.final.sum(axis=2)  # (n, K) true pixels of each class that count
    totals = truth.sum(axis=0).astype(float)
    totals[[k for k in recipe.ignored if 0 <= k < recipe.num_classes]] = 0
    if totals.any():
        rarest = int(np.where(totals > 0, totals, np.inf).argmin())
        chosen.setdefault(int(truth[:, rarest].argmax()), "rarest class")
    return chosen


def _window(image, truth, prediction, k: int, size) -> list[np.ndarray]:
    """The image and its labels; of a large one that is not resized what lies around the class."""
    height, width = prediction.shape
    if size is not None or max(height, width) <= SIDE:
        return [image, truth, prediction]
    rows, columns = np.nonzero(prediction == k)
    starts = [
        int(np.clip(np.median(place) - SIDE // 2, 0, max(0, length - SIDE)))
        for place, length in ((columns, width), (rows, height))
    ]
    window = (*starts, min(starts[0] + SIDE, width), min(starts[1] + SIDE, height))
    return [cut_window(part, window) for part in (image, truth, prediction)]
